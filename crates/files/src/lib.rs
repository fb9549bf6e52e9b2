//! Files: paths that nothing escapes, reads and writes that keep no loop waiting, files replaced at once, and
//! events of the file system.
//!
//! | to | look at |
//! |---|---|
//! | go from a folder to what strangers name in it | [`FilePath::child`], [`FilePath::below`] |
//! | read, replace, list, move and remove, whoever has the files | [`FileSystem`] |
//! | have it done while the loop goes on | [`Disk`], over a reactor or anything else that is [`FileIo`](ropewalk_protocol::FileIo) |
//! | read and write parts of files | [`Disk::open`], [`Disk::read_at`], [`Disk::write_at`], [`Disk::pieces`] |
//! | go through folders in folders | [`Disk::walk`], [`FilePath::walk`] |
//! | replace a file at once, or not at all | [`FilePath::write_atomically`], [`AtomicWrite`] |
//! | hear of what happens to files and folders | [`FileWatcher`], [`FileEvent`]; [`Notifier`] on Linux |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | operations under way at once | [`UNDER_WAY_MAX`], 32 | wait |
//! | operations that wait | [`WAITING_MAX`], 4,096 | [`FileError::Crowded`] |
//! | bytes of a file read at once | whoever reads says | [`FileError::TooLong`] |
//! | names in a folder that is listed | [`CHILDREN_MAX`], 100,000 | [`FileError::TooMany`] |
//! | folders in one another that are walked | [`DEPTH_MAX`], 128 | [`FileError::TooMany`] |
//! | folders that one watch goes into | [`FOLDERS_MAX`], 16,384 | [`FileEvent::Unwatched`] |
//! | watches that wait for their folders to be gone through | 4,096 | [`FileError::Crowded`] |
//! | events that wait | the system's, 16,384 | [`FileEvent::Overflow`] |
//! | links on one way | 40 | the system's own error |
//!
//! The room is for Unix; elsewhere it is empty.

#![cfg(unix)]
#![forbid(unsafe_code)]

mod atomic;
mod beneath;
mod changes;
mod disk;
mod error;
mod events;
mod file_system;
mod glob;
mod metadata;
mod open_file;
mod path;
mod streams;
mod walk;

#[doc = include_str!("twisted.md")]
pub mod twisted {}

pub use atomic::AtomicWrite;
pub use changes::OpenOptions;
pub use disk::{Disk, UNDER_WAY_MAX, WAITING_MAX};
pub use error::FileError;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use events::Notifier;
pub use events::{FOLDERS_MAX, FileEvent, FileWatch, FileWatcher, Told, WatchEnding, WatchOptions};
pub use file_system::FileSystem;
pub use metadata::{FileKind, Metadata};
pub use open_file::OpenFile;
pub use path::{CHILDREN_MAX, FilePath};
pub use streams::{Pieces, Walks};
pub use walk::{DEPTH_MAX, Walk, WalkOptions, Walked};
