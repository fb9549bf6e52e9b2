//! Folders that vanish with their owner.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process};

/// A new empty folder, removed with all that is in it when dropped.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a folder whose name begins with `ropewalk-` and `purpose`.
    ///
    /// # Errors
    ///
    /// When the system's folder for temporary files cannot be written to.
    pub fn new(purpose: &str) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = MADE.fetch_add(1, Ordering::Relaxed);
            let path =
                env::temp_dir().join(format!("ropewalk-{purpose}-{}-{count}", process::id()));
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self { path }),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it; its path.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, content).map(|()| path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Best effort: a folder that somebody still holds is the system's to clean.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::TempDir;

    #[test]
    fn a_folder_goes_with_all_that_is_in_it() {
        let folder = TempDir::new("test").expect("a folder");
        let file = folder.write("page", "hello").expect("a file");
        assert_eq!(std::fs::read(&file).expect("the file"), b"hello");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn no_two_folders_are_one() {
        let folders =
            [TempDir::new("same"), TempDir::new("same")].map(|made| made.expect("a folder"));
        assert_ne!(folders[0].path(), folders[1].path());
    }
}
