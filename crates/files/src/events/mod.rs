//! What happens to files while somebody watches.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod inotify;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod scan;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod tree;

use std::fmt;

use ropewalk_deferred::Deferred;

use crate::{FileError, FilePath};

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use inotify::Notifier;

/// How many folders one watch goes into, unless set.
pub const FOLDERS_MAX: usize = 16 * 1024;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    pub(crate) is_recursive: bool,
    pub(crate) folders_max: usize,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { is_recursive: false, folders_max: FOLDERS_MAX }
    }
}

impl WatchOptions {
    /// Folders in the folder as well, at any depth, those that come later included; not links to folders.
    pub fn recursive(self) -> Self {
        Self { is_recursive: true, ..self }
    }

    /// How many folders it goes into; [`FOLDERS_MAX`] unless set.
    pub fn folders_max(self, folders_max: usize) -> Self {
        Self { folders_max, ..self }
    }

    /// Whether folders in the folder are watched as well.
    pub fn is_recursive(&self) -> bool {
        self.is_recursive
    }
}

/// Something happened to what is watched.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileEvent {
    /// It is there now: made, linked, or moved here from where nobody watches.
    Created {
        /// What.
        path: FilePath,
        /// Whether it is a folder.
        is_folder: bool,
    },
    /// Something was written to it, or it was cut off.
    Changed {
        /// What.
        path: FilePath,
    },
    /// Somebody who could write to it has closed it.
    Written {
        /// What.
        path: FilePath,
    },
    /// Its mode, owner, times or number of names changed.
    Attributes {
        /// What.
        path: FilePath,
    },
    /// It is not there any more: removed, or moved to where nobody watches.
    Removed {
        /// What.
        path: FilePath,
        /// Whether it was a folder.
        is_folder: bool,
    },
    /// It has another name, or is in another folder. What had that name before is gone.
    Moved {
        /// Where it was.
        from: FilePath,
        /// Where it is.
        to: FilePath,
        /// Whether it is a folder.
        is_folder: bool,
    },
    /// Events were lost, as more came than the system keeps: anything may have happened. What is there now is
    /// watched.
    Overflow,
    /// A folder is not watched, for this reason; all else is.
    Unwatched {
        /// Which.
        path: FilePath,
        /// Why not.
        why: FileError,
    },
    /// The watch is over; no other event follows.
    Ended(WatchEnding),
}

/// Why a watch is over.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEnding {
    /// The folder that was watched, or in which the file was, is removed.
    Removed,
    /// It was moved, and what is at its path now is something else.
    Moved,
    /// Its file system was unmounted.
    Unmounted,
    /// Whatever tells of events does so no more, for this reason.
    Failed(FileError),
}

impl fmt::Display for WatchEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "what was watched has been removed",
            Self::Moved => "what was watched has been moved",
            Self::Unmounted => "the file system has been unmounted",
            Self::Failed(_) => "there is no telling what happens to files any more",
        })
    }
}

/// Who is told of events.
pub type Told = Box<dyn FnMut(FileEvent)>;

/// Whoever tells of what happens to files: the system ([`Notifier`] on Linux), or a test.
pub trait FileWatcher {
    /// Tells `told` of what happens in a folder, or to a file, from the time on at which the deferred gives the
    /// watch until that is dropped.
    ///
    /// A file is watched by its name, which need not be there yet: also when it is replaced, or removed and
    /// made anew.
    ///
    /// The deferred fails with a [`FileError`] if there is neither a file nor a folder that it could be in, or
    /// the system watches no more.
    fn watch(&self, path: &FilePath, options: WatchOptions, told: Told) -> Deferred<FileWatch>;
}

/// A watch on files; dropping it ends it.
#[must_use = "nothing is told any more once this is dropped"]
pub struct FileWatch {
    end: Option<Box<dyn FnOnce()>>,
}

impl FileWatch {
    /// A watch that `end` ends.
    pub fn new(end: impl FnOnce() + 'static) -> Self {
        Self { end: Some(Box::new(end)) }
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

impl fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWatch").finish_non_exhaustive()
    }
}
