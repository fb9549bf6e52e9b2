//! An open file.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use crate::{FileError, FilePath, Metadata};

/// An open file, and where it was found. Clones are the same open file.
///
/// It can be handed to threads, or to [`Disk`](crate::Disk), which reads and writes it while the loop goes on.
#[derive(Clone)]
pub struct OpenFile {
    file: Arc<File>,
    path: FilePath,
}

impl OpenFile {
    pub(crate) fn new(file: File, path: FilePath) -> Self {
        Self { file: Arc::new(file), path }
    }

    /// The file itself.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Where it was found.
    pub fn path(&self) -> &FilePath {
        &self.path
    }

    /// What the system says of it, whatever has its name by now.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn metadata(&self) -> Result<Metadata, FileError> {
        let stat = rustix::fs::fstat(&*self.file);
        stat.map(|stat| Metadata::of(&stat)).map_err(|errno| self.path.blame("looking at", errno))
    }

    pub(crate) fn blame(&self, doing: &'static str, error: std::io::Error) -> FileError {
        FileError::system(doing, self.path.path(), error)
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").field("path", &self.path).finish_non_exhaustive()
    }
}
