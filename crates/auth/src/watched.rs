//! Files that are read again once they have changed.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// How many bytes a file of users may have.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file and what it says, read again when it has changed since. It blocks, and stands on threads.
pub(crate) struct Watched<T> {
    path: PathBuf,
    last: Mutex<(Stamp, Arc<T>)>,
}

/// What tells that a file is another one now.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }
}

impl<T> Watched<T> {
    pub(crate) fn open<E: From<io::Error>>(
        path: &Path,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Self, E> {
        let (stamp, bytes) = load(path)?;
        let last = Mutex::new((stamp, Arc::new(read(&bytes)?)));
        Ok(Self { path: path.to_owned(), last })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says now. While it cannot be read or means nothing, it says what it said last; the log
    /// is told so, once for each state of the file.
    pub(crate) fn get<E: From<io::Error> + std::fmt::Display>(
        &self,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Arc<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |error: &dyn std::fmt::Display| {
            let path = self.path.display();
            tracing::error!(target: "ropewalk::auth", "{path} is not read again: {error}");
        };
        let now = std::fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata));
        let now = now.unwrap_or(Stamp { modified: None, length: 0, inode: 0 });
        if now == last.0 {
            return Arc::clone(&last.1);
        }
        match load(&self.path)
            .map_err(E::from)
            .and_then(|(stamp, bytes)| Ok((stamp, read(&bytes)?)))
        {
            Ok((stamp, read)) => {
                tracing::info!(target: "ropewalk::auth", "{} was read again", self.path.display());
                *last = (stamp, Arc::new(read));
            }
            Err(error) => {
                told(&error);
                last.0 = now;
            }
        }
        Arc::clone(&last.1)
    }
}

fn load(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let error = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok((stamp, bytes))
}
