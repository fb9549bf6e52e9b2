//! What is known of a file without reading it.

use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Stat};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A socket, a pipe or a device.
    Other,
}

impl FileKind {
    pub(crate) fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            _ => Self::Other,
        }
    }
}

/// What is known of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    kind: FileKind,
    length: u64,
    mode: u32,
    modified: SystemTime,
    identity: (u64, u64),
}

impl Metadata {
    /// What a file system that is none of this machine's, such as a test's, says of a file.
    pub fn new(kind: FileKind, length: u64, mode: u32, modified: SystemTime) -> Self {
        Self { kind, length, mode: mode & 0o7777, modified, identity: (0, 0) }
    }

    #[allow(clippy::unnecessary_cast, reason = "the types differ from system to system")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            kind: FileKind::of(FileType::from_raw_mode(stat.st_mode)),
            length: stat.st_size as u64,
            mode: stat.st_mode as u32 & 0o7777,
            modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            identity: identity(stat),
        }
    }

    /// What it is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind == FileKind::File
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == FileKind::Folder
    }

    /// How many bytes it holds.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Who may read, write and execute it: the lowest twelve bits.
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// When its content last changed.
    pub fn modified(&self) -> SystemTime {
        self.modified
    }

    /// The numbers of its device and of itself on that: the same for two names of one file.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types differ from system to system")]
pub(crate) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let part = Duration::from_nanos(u64::from(nanoseconds.min(999_999_999)));
    let epoch = SystemTime::UNIX_EPOCH;
    let at = if seconds < 0 { epoch.checked_sub(whole) } else { epoch.checked_add(whole) };
    at.and_then(|at| at.checked_add(part)).unwrap_or(epoch)
}
