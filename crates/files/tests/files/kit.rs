//! Folders for tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk_files::FilePath;

/// Tells a process that it is a test's own, and where it works.
pub(crate) const INNER: &str = "ROPEWALK_FILES_INNER";

/// A folder that is gone when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("files-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file_path(&self) -> FilePath {
        FilePath::new(&*self.0)
    }

    /// Makes a file, and the folders that it is in.
    pub(crate) fn put(&self, name: &str, content: &str) -> &Self {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) -> &Self {
        std::os::unix::fs::symlink(target, self.0.join(name)).unwrap();
        self
    }

    /// All names in it, at any depth.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut left = vec![self.0.clone()];
        while let Some(folder) = left.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                names.push(path.strip_prefix(&self.0).unwrap().to_str().unwrap().to_owned());
                if path.is_dir() && !path.is_symlink() {
                    left.push(path);
                }
            }
        }
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// This test again, in a process of its own.
pub(crate) fn inner(name: &str, place: &Path, before: &[&str]) -> Command {
    let own = std::env::current_exe().unwrap();
    let mut command = match before {
        [] => Command::new(own),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(own);
            command
        }
    };
    command.args(["--exact", name, "--nocapture"]).env(INNER, place);
    command
}
