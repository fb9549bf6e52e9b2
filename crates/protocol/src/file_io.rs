//! Reads and writes of files, as something that is done elsewhere.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use ropewalk_deferred::Deferred;

use crate::{Threads, defer_to_threads};

/// What is to be done with an open file.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileAction {
    /// Fills the buffer from this place of the file on, as far as one read goes: the answer counts the bytes,
    /// and is 0 at the file's end.
    Read {
        /// How many bytes into the file.
        offset: u64,
        /// What is to be filled, as long as it is.
        buffer: Vec<u8>,
    },
    /// Writes the bytes to this place of the file, as far as one write goes: the answer counts them.
    Write {
        /// How many bytes into the file.
        offset: u64,
        /// What is to be written.
        bytes: Bytes,
    },
    /// Waits until what was written is on the disk.
    Sync {
        /// Only what is needed to read it again, not when it was changed.
        data_only: bool,
    },
}

/// An operation on an open file that can be read and written at any place.
#[derive(Debug)]
pub struct FileOperation {
    /// The file, kept open until it is done.
    pub file: Arc<File>,
    /// What is to be done.
    pub action: FileAction,
}

/// What became of a [`FileOperation`].
#[derive(Debug, Default)]
pub struct FileOutcome {
    /// How many bytes were read or written.
    pub count: usize,
    /// The buffer of a read, as long as it was.
    pub buffer: Vec<u8>,
}

impl FileOperation {
    /// Does it on this thread, which it may block.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn perform(self) -> io::Result<FileOutcome> {
        match self.action {
            FileAction::Read { offset, mut buffer } => {
                let count = again(|| read_at(&self.file, &mut buffer, offset))?;
                Ok(FileOutcome { count, buffer })
            }
            FileAction::Write { offset, bytes } => {
                let count = again(|| write_at(&self.file, &bytes, offset))?;
                Ok(FileOutcome { count, buffer: Vec::new() })
            }
            FileAction::Sync { data_only } => {
                if data_only { self.file.sync_data() } else { self.file.sync_all() }?;
                Ok(FileOutcome::default())
            }
        }
    }
}

/// A place where files are read and written while this thread goes on: a reactor, whose driver may have the
/// kernel do it, or threads.
pub trait FileIo: Threads {
    /// Has the operation done; the deferred brings its outcome, or the [`io::Error`].
    ///
    /// Operations that are under way at once are done in any order. Cancelled, one may be done or not.
    #[track_caller]
    fn operate(&self, operation: FileOperation) -> Deferred<FileOutcome> {
        defer_to_threads(self, move || operation.perform())
    }
}

/// A signal is no reason to give up.
fn again(mut act: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            done => return done,
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}
