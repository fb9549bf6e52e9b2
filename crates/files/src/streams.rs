//! What comes piece by piece, each when it is asked for.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, DeferredSemaphore};

use crate::{Disk, FileError, OpenFile, Walk, Walked};

/// How much of a walk is done at a time.
const WALKED_AT_ONCE: usize = 256;

/// A file's bytes, in pieces, each read when it is asked for: [`Disk::pieces`].
pub struct Pieces {
    disk: Disk,
    file: OpenFile,
    piece_max: usize,
    next: Rc<Cell<u64>>,
    turn: DeferredSemaphore,
}

impl Pieces {
    pub(crate) fn new(disk: Disk, file: OpenFile, offset: u64, piece_max: usize) -> Self {
        Self {
            disk,
            file,
            piece_max,
            next: Rc::new(Cell::new(offset)),
            turn: DeferredSemaphore::new(1),
        }
    }

    /// The next piece; `None` at the file's end. Who asks for several has them in order. One that is cancelled
    /// is read again by whoever asks next.
    #[track_caller]
    pub fn next(&self) -> Deferred<Option<Bytes>> {
        let (disk, file) = (self.disk.clone(), self.file.clone());
        let (next, piece_max) = (Rc::clone(&self.next), self.piece_max);
        self.turn.run(move || {
            disk.read_at(&file, next.get(), piece_max).map(move |piece| {
                next.set(next.get() + piece.len() as u64);
                (!piece.is_empty()).then(|| Bytes::from(piece))
            })
        })
    }

    /// Where the next piece begins.
    pub fn offset(&self) -> u64 {
        self.next.get()
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces")
            .field("file", &self.file)
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

/// A walk through a folder, some of it at a time: [`Disk::walk`].
pub struct Walks {
    disk: Disk,
    /// Out while a thread goes on with it.
    walk: Rc<RefCell<Option<Walk>>>,
    turn: DeferredSemaphore,
}

impl Walks {
    pub(crate) fn new(disk: Disk, walk: Walk) -> Self {
        let walk = Rc::new(RefCell::new(Some(walk)));
        Self { disk, walk, turn: DeferredSemaphore::new(1) }
    }

    /// What the walk comes by next, at most 256 at once, and what it could not go into; none once it is over.
    /// Cancelling this ends it.
    #[track_caller]
    pub fn next(&self) -> Deferred<Vec<Result<Walked, FileError>>> {
        let (disk, place) = (self.disk.clone(), Rc::clone(&self.walk));
        self.turn.run(move || {
            let Some(mut walk) = place.borrow_mut().take() else {
                return Deferred::succeed(Vec::new());
            };
            let work = disk.run(move || {
                let found: Vec<_> = walk.by_ref().take(WALKED_AT_ONCE).collect();
                Ok((walk, found))
            });
            work.map(move |(walk, found)| {
                *place.borrow_mut() = Some(walk);
                found
            })
        })
    }
}

impl fmt::Debug for Walks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walks").field("walk", &self.walk).finish_non_exhaustive()
    }
}
