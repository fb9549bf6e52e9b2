//! What programs ask of files, whoever has them.

use bytes::Bytes;
use ropewalk_deferred::Deferred;

use crate::{AtomicWrite, FilePath, Metadata};

/// Files as a program uses them: this machine's ([`Disk`](crate::Disk)), or those that a test makes up.
///
/// All of it fails with a [`FileError`](crate::FileError).
pub trait FileSystem {
    /// What a file holds, if that is no more than `bytes_max`.
    fn read(&self, path: &FilePath, bytes_max: usize) -> Deferred<Vec<u8>>;

    /// Replaces a file at once, or not at all: see [`FilePath::write_atomically`].
    fn write_atomically(&self, path: &FilePath, content: Bytes, how: &AtomicWrite) -> Deferred<()>;

    /// What there is, or where a link leads.
    fn metadata(&self, path: &FilePath) -> Deferred<Metadata>;

    /// What a folder holds, by name.
    fn children(&self, folder: &FilePath) -> Deferred<Vec<FilePath>>;

    /// Makes a folder and those that it is to be in, where they are not there.
    fn create_folders(&self, folder: &FilePath) -> Deferred<()>;

    /// Gives it another name, or place; what is there already is replaced.
    fn move_to(&self, from: &FilePath, to: &FilePath) -> Deferred<()>;

    /// Removes it with all that it holds.
    fn remove(&self, path: &FilePath) -> Deferred<()>;
}
