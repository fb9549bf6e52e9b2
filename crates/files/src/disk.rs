//! Files that are read, written and walked while the loop goes on.

use std::fmt;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, DeferredSemaphore, Failure, deferred};
use ropewalk_protocol::{FileAction, FileIo, FileOperation, FileOutcome, defer_to_threads};

use crate::streams::{Pieces, Walks};
use crate::{
    AtomicWrite, FileError, FilePath, FileSystem, Metadata, OpenFile, OpenOptions, WalkOptions,
};

/// How many operations are under way at once, unless set.
pub const UNDER_WAY_MAX: usize = 32;
/// How many operations may wait for those, unless set.
pub const WAITING_MAX: usize = 4096;

/// This machine's files, read, written and walked while the loop goes on.
///
/// Reads and writes of open files are done by what [`FileIo`] has for them, which is the kernel on `io_uring`
/// and threads elsewhere; all else by threads. No more than [`UNDER_WAY_MAX`] operations are under way at
/// once, others wait for them in order, and one too many is [`FileError::Crowded`]. A cancelled one is not
/// begun; one that is under way already may be done or not, and its place is free only when it is over.
///
/// ```
/// use ropewalk_deferred::Failure;
/// use ropewalk_files::{AtomicWrite, Disk, FilePath, FileSystem};
/// use ropewalk_reactor::Reactor;
///
/// # let folder = std::env::temp_dir().join(format!("ropewalk-files-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let reactor = Reactor::new()?;
/// let disk = Disk::new(reactor.clone());
/// let note = FilePath::new(&*folder).child("note")?;
/// let how = AtomicWrite::default();
/// let written = disk.write_atomically(&note, "remember".into(), &how);
/// reactor.run_until(written)?;
/// assert_eq!(reactor.run_until(disk.read(&note, 100))?, b"remember");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Failure>(())
/// ```
#[derive(Clone)]
pub struct Disk {
    io: Rc<dyn FileIo>,
    places: DeferredSemaphore,
    waiting_max: usize,
}

impl Disk {
    /// Files by way of `io`.
    pub fn new(io: impl FileIo + 'static) -> Self {
        Self::with_bounds(io, UNDER_WAY_MAX, WAITING_MAX)
    }

    /// The same with other bounds: how many operations are under way at once, and how many may wait.
    pub fn with_bounds(
        io: impl FileIo + 'static,
        under_way_max: usize,
        waiting_max: usize,
    ) -> Self {
        let places = DeferredSemaphore::with_waiters_max(under_way_max.max(1), waiting_max);
        Self { io: Rc::new(io), places, waiting_max }
    }

    /// How many operations wait.
    pub fn waiting(&self) -> usize {
        self.places.waiting()
    }

    /// Does blocking work with files in a thread, within the bounds.
    #[track_caller]
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
    ) -> Deferred<T> {
        let io = Rc::clone(&self.io);
        self.in_turn(move || defer_to_threads(&*io, work))
    }

    /// Begins something when it is its turn; its place is kept until it is over, wanted or not.
    fn in_turn<T: 'static>(&self, begin: impl FnOnce() -> Deferred<T> + 'static) -> Deferred<T> {
        let waiting_max = self.waiting_max;
        if self.places.free() == 0 && self.places.waiting() >= waiting_max {
            return Deferred::fail(FileError::Crowded { waiting_max });
        }
        self.places.acquire().add_callback(move |permit| {
            let (promise, waiting) = deferred();
            begin().on_result(move |result| {
                drop(permit);
                if promise.is_wanted() {
                    promise.fire(result);
                }
            });
            waiting
        })
    }

    /// Opens a file.
    #[track_caller]
    pub fn open(&self, path: &FilePath, how: OpenOptions) -> Deferred<OpenFile> {
        let path = path.clone();
        self.run(move || path.open(how))
    }

    /// Reads from a place in a file on: fewer bytes than `length` only at its end.
    #[track_caller]
    pub fn read_at(&self, file: &OpenFile, offset: u64, length: usize) -> Deferred<Vec<u8>> {
        self.fill(file.clone(), offset, vec![0; length], 0)
    }

    fn fill(
        &self,
        file: OpenFile,
        offset: u64,
        buffer: Vec<u8>,
        filled: usize,
    ) -> Deferred<Vec<u8>> {
        let this = self.clone();
        let wanted = buffer.len() - filled;
        // What was filled already must not be overwritten: the rest is read into a buffer of its own.
        let (mut kept, rest) =
            if filled == 0 { (Vec::new(), buffer) } else { (buffer, vec![0; wanted]) };
        let action =
            FileAction::Read { offset: offset.saturating_add(filled as u64), buffer: rest };
        self.operate(&file, "reading", action).add_callback(move |done| {
            if kept.is_empty() {
                kept = done.buffer;
            } else {
                kept[filled..filled + done.count].copy_from_slice(&done.buffer[..done.count]);
            }
            if done.count == 0 || done.count == wanted {
                kept.truncate(filled + done.count);
                return Deferred::succeed(kept);
            }
            this.fill(file, offset, kept, filled + done.count)
        })
    }

    /// Writes all of `bytes` from a place in a file on. After a failure some of them may have been written.
    #[track_caller]
    pub fn write_at(&self, file: &OpenFile, offset: u64, bytes: impl Into<Bytes>) -> Deferred<()> {
        let (this, file, mut bytes) = (self.clone(), file.clone(), bytes.into());
        if bytes.is_empty() {
            return Deferred::succeed(());
        }
        let action = FileAction::Write { offset, bytes: bytes.clone() };
        self.operate(&file, "writing", action).add_callback(move |done| {
            if done.count == 0 {
                let error = io::Error::from(io::ErrorKind::WriteZero);
                return Deferred::fail(file.blame("writing", error));
            }
            let rest = bytes.split_off(done.count);
            this.write_at(&file, offset.saturating_add(done.count as u64), rest)
        })
    }

    /// Waits until what was written to a file is on the disk.
    #[track_caller]
    pub fn sync(&self, file: &OpenFile) -> Deferred<()> {
        self.operate(file, "syncing", FileAction::Sync { data_only: false }).map(drop)
    }

    /// A file's bytes from `offset` on, in pieces of at most `piece_max`, each read when it is asked for.
    pub fn pieces(&self, file: &OpenFile, offset: u64, piece_max: usize) -> Pieces {
        Pieces::new(self.clone(), file.clone(), offset, piece_max.max(1))
    }

    #[track_caller]
    fn operate(
        &self,
        file: &OpenFile,
        doing: &'static str,
        action: FileAction,
    ) -> Deferred<FileOutcome> {
        let operation = FileOperation { file: file.file().clone(), action };
        let (io, file) = (Rc::clone(&self.io), file.clone());
        self.in_turn(move || io.operate(operation)).add_errback(move |failure| {
            Err(match failure.downcast::<io::Error>() {
                Ok(error) => Failure::from(file.blame(doing, error)),
                Err(failure) => failure,
            })
        })
    }

    /// Walks a folder, some of it at a time, each when it is asked for.
    pub fn walk(&self, folder: &FilePath, options: WalkOptions) -> Walks {
        Walks::new(self.clone(), folder.walk(options))
    }
}

impl FileSystem for Disk {
    fn read(&self, path: &FilePath, bytes_max: usize) -> Deferred<Vec<u8>> {
        let path = path.clone();
        self.run(move || path.read(bytes_max))
    }

    fn write_atomically(&self, path: &FilePath, content: Bytes, how: &AtomicWrite) -> Deferred<()> {
        let (path, how) = (path.clone(), how.clone());
        self.run(move || path.write_atomically(&content, &how))
    }

    fn metadata(&self, path: &FilePath) -> Deferred<Metadata> {
        let path = path.clone();
        self.run(move || path.metadata())
    }

    fn children(&self, folder: &FilePath) -> Deferred<Vec<FilePath>> {
        let folder = folder.clone();
        self.run(move || folder.children())
    }

    fn create_folders(&self, folder: &FilePath) -> Deferred<()> {
        let folder = folder.clone();
        self.run(move || folder.create_folders())
    }

    fn move_to(&self, from: &FilePath, to: &FilePath) -> Deferred<()> {
        let (from, to) = (from.clone(), to.clone());
        self.run(move || from.move_to(&to))
    }

    fn remove(&self, path: &FilePath) -> Deferred<()> {
        let path = path.clone();
        self.run(move || path.remove())
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
