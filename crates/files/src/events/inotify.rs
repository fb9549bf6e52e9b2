//! Linux's `inotify`, read by a loop.
//!
//! Events are looked at one by one, in order. Where one says that a folder has come, a thread has it and all in
//! it watched and tells what is there by then; the events that came meanwhile are looked at after that, so that
//! nothing is missed, and nothing told twice.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Panicked, Promise, deferred};
use ropewalk_protocol::{
    Clock, DelayedCall, Descriptor, Readable, Readiness, Threads, call_later, defer_to_threads,
};
use rustix::fs::inotify::{CreateFlags, Reader, init, remove_watch};
use rustix::io::Errno;

use super::scan::{self, Scanned};
use super::tree::{Purpose, Raw, Step, Tree};
use super::{FileEvent, FileWatch, FileWatcher, Told, WatchEnding, WatchOptions};
use crate::{FileError, FilePath};

/// How long the second half of a move is waited for. The two come at once, but for what comes between them.
const MOVE_PATIENCE: Duration = Duration::from_millis(10);
/// How often events are read in one turn.
const READS_PER_TURN_MAX: usize = 8;
/// How many bytes of events are read at once.
const READ_SIZE: usize = 8 * 1024;
/// How many watches may wait for their folders to be gone through.
pub(super) const BEGINNINGS_MAX: usize = 4096;

/// Events of the file system, by Linux's `inotify`: one queue for any number of watches. Clones are the same.
///
/// Folders are gone through in threads. Each watch ends by itself: that the folder of one is removed is told to
/// that one, and changes nothing for others. More events than the system keeps (16,384 unless its
/// administrator says otherwise) are [`FileEvent::Overflow`] to all; a folder too many for it is
/// [`FileError::NoWatchLeft`].
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use ropewalk_deferred::Failure;
/// use ropewalk_files::{FileEvent, FilePath, FileWatcher, Notifier, WatchOptions};
/// use ropewalk_reactor::Reactor;
///
/// # let folder = std::env::temp_dir().join(format!("ropewalk-notifier-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let reactor = Reactor::new()?;
/// let notifier = Notifier::new(reactor.clone())?;
/// let heard = Rc::new(RefCell::new(Vec::new()));
/// let hears = Rc::clone(&heard);
/// let told = move |event| hears.borrow_mut().push(event);
/// let path = FilePath::new(&*folder);
/// let options = WatchOptions::default().recursive();
/// let watch = reactor.run_until(notifier.watch(&path, options, Box::new(told)))?;
/// path.child("new")?.create_folder()?;
/// while heard.borrow().is_empty() {
///     reactor.turn(std::time::Duration::from_secs(1))?;
/// }
/// assert!(matches!(heard.borrow()[0], FileEvent::Created { is_folder: true, .. }));
/// drop(watch);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Failure>(())
/// ```
#[derive(Clone)]
pub struct Notifier(Rc<Inner>);

struct Inner {
    inotify: Arc<OwnedFd>,
    loops: Rc<dyn Readiness>,
    clock: Rc<dyn Clock>,
    threads: Rc<dyn Threads>,
    /// Absent once there is no telling any more, until somebody asks for it.
    readable: RefCell<Option<Readable>>,
    tree: RefCell<Tree>,
    /// Who is told of the events of each watch; out while that happens.
    told: RefCell<BTreeMap<u64, Option<Told>>>,
    /// Events that were read and not looked at.
    raws: RefCell<VecDeque<Raw>>,
    tasks: RefCell<VecDeque<Task>>,
    /// A thread goes through folders.
    is_scanning: Cell<bool>,
    /// Events are being looked at, further up on the stack.
    is_pumping: Cell<bool>,
    end_of_moves: RefCell<Option<DelayedCall>>,
    last_id: Cell<u64>,
}

/// Folders to be gone through.
enum Task {
    First { path: FilePath, options: WatchOptions, told: Told, promise: Promise<FileWatch> },
    News { id: u64, below: PathBuf },
    Again { id: u64 },
}

impl Notifier {
    /// A queue of events that `event_loop` reads.
    ///
    /// # Errors
    ///
    /// If the system gives no such queue (128 for each user unless its administrator says otherwise), or the
    /// loop cannot watch it.
    pub fn new<L>(event_loop: L) -> Result<Self, Failure>
    where
        L: Readiness + Clock + Threads + 'static,
    {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(|errno| FileError::system("making a queue of events", "inotify", errno))?;
        let event_loop = Rc::new(event_loop);
        let inner = Rc::new(Inner {
            inotify: Arc::new(inotify),
            loops: Rc::clone(&event_loop) as Rc<dyn Readiness>,
            clock: Rc::clone(&event_loop) as Rc<dyn Clock>,
            threads: event_loop,
            readable: RefCell::new(None),
            tree: RefCell::default(),
            told: RefCell::default(),
            raws: RefCell::default(),
            tasks: RefCell::default(),
            is_scanning: Cell::new(false),
            is_pumping: Cell::new(false),
            end_of_moves: RefCell::new(None),
            last_id: Cell::new(0),
        });
        inner.listen()?;
        Ok(Self(inner))
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        self.0.told.borrow().len()
    }
}

impl FileWatcher for Notifier {
    fn watch(&self, path: &FilePath, options: WatchOptions, told: Told) -> Deferred<FileWatch> {
        if self.0.tasks.borrow().len() >= BEGINNINGS_MAX {
            return Deferred::fail(FileError::Crowded { waiting_max: BEGINNINGS_MAX });
        }
        if let Err(failure) = self.0.listen() {
            return Deferred::fail(failure);
        }
        let (promise, waiting) = deferred();
        let path = path.clone();
        self.0.tasks.borrow_mut().push_back(Task::First { path, options, told, promise });
        self.0.pump();
        waiting
    }
}

impl Inner {
    /// Has the loop tell when there are events.
    fn listen(self: &Rc<Self>) -> Result<(), Failure> {
        if self.readable.borrow().is_some() {
            return Ok(());
        }
        let this = Rc::downgrade(self);
        let told = move |ready: Result<(), Failure>| {
            let Some(this) = this.upgrade() else { return };
            match ready {
                Ok(()) => this.pump(),
                Err(failure) => this.end_all(&failure.to_string()),
            }
        };
        let queue = self.inotify.try_clone()?;
        let readable = self.loops.tell_readable(Descriptor::from(queue), Box::new(told))?;
        self.readable.replace(Some(readable));
        Ok(())
    }

    /// Looks at what came, and has done what is to be done, as far as that needs no waiting.
    fn pump(self: &Rc<Self>) {
        if self.is_pumping.replace(true) {
            return;
        }
        let mut reads = 0;
        while !self.is_scanning.get() {
            let task = self.tasks.borrow_mut().pop_front();
            if let Some(task) = task {
                self.begin(task);
                continue;
            }
            let raw = self.raws.borrow_mut().pop_front();
            if let Some(raw) = raw {
                let steps = self.tree.borrow_mut().handle(&raw, &mut self.raws.borrow_mut());
                self.carry_out(steps);
                continue;
            }
            if reads == READS_PER_TURN_MAX {
                break;
            }
            reads += 1;
            match self.read() {
                Ok(()) => (),
                Err(Errno::WOULDBLOCK) => {
                    self.tree.borrow_mut().caught_up();
                    break;
                }
                Err(errno) => {
                    self.end_all(&std::io::Error::from(errno).to_string());
                    break;
                }
            }
        }
        self.is_pumping.set(false);
        if let Some(readable) = &*self.readable.borrow() {
            if self.is_scanning.get() { readable.pause() } else { readable.resume() }
        }
        self.wait_for_moves();
    }

    fn read(&self) -> Result<(), Errno> {
        let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
        let mut reader = Reader::new(&*self.inotify, &mut buffer);
        let mut raws = self.raws.borrow_mut();
        loop {
            match reader.next() {
                Ok(event) => raws.push_back(Raw {
                    number: event.wd(),
                    what: event.events(),
                    cookie: event.cookie(),
                    name: event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).into()),
                }),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            }
            if reader.is_buffer_empty() {
                return Ok(());
            }
        }
    }

    /// Has what was moved away told of as gone, once it has not come back for a while.
    fn wait_for_moves(self: &Rc<Self>) {
        let is_moving = self.tree.borrow().is_moving();
        let mut waits = self.end_of_moves.borrow_mut();
        if !is_moving || waits.is_some() {
            return;
        }
        let this = Rc::downgrade(self);
        *waits = Some(call_later(&*self.clock, MOVE_PATIENCE, move || {
            let Some(this) = this.upgrade() else { return };
            this.end_of_moves.take();
            // What is read and waits may hold the other half.
            this.pump();
            if !this.is_scanning.get() {
                let steps = this.tree.borrow_mut().end_moves();
                this.carry_out(steps);
                this.pump();
            }
        }));
    }

    /// Has a thread go through folders.
    fn begin(self: &Rc<Self>, task: Task) {
        let inotify = Arc::clone(&self.inotify);
        self.is_scanning.set(true);
        let this = Rc::downgrade(self);
        match task {
            Task::First { path, options, told, promise } => {
                let asked = options.clone();
                let work = move || {
                    let (root, only) = scan::root(&path)?;
                    let asked = if only.is_some() { WatchOptions::default() } else { asked };
                    let room = asked.folders_max;
                    let mut scanned = scan::scan(&inotify, &root, PathBuf::new(), &asked, room);
                    if scanned.watched.is_empty()
                        && let Some((_, why)) = scanned.blind.pop()
                    {
                        return Err(why);
                    }
                    Ok((root, only, asked, scanned))
                };
                defer_to_threads(&*self.threads, work).on_result(move |result| {
                    let Some(this) = this.upgrade() else { return };
                    this.is_scanning.set(false);
                    match result {
                        Ok((root, only, asked, scanned)) => {
                            let id = this.last_id.get() + 1;
                            this.last_id.set(id);
                            this.tree.borrow_mut().add(id, root, only, asked);
                            this.told.borrow_mut().insert(id, Some(told));
                            let steps = this.tree.borrow_mut().take_in(id, scanned, Purpose::First);
                            let owner = Rc::clone(&this);
                            // Cancelled meanwhile, it is dropped here and so ends.
                            promise.succeed(FileWatch::new(move || owner.end(id)));
                            this.carry_out(steps);
                        }
                        Err(failure) => promise.fail(failure),
                    }
                    this.pump();
                });
            }
            Task::News { id, below } => self.scan_in_thread(id, below, Purpose::News),
            Task::Again { id } => self.scan_in_thread(id, PathBuf::new(), Purpose::Again),
        }
    }

    fn scan_in_thread(self: &Rc<Self>, id: u64, below: PathBuf, purpose: Purpose) {
        let asked = self.tree.borrow().scan_of(id, purpose == Purpose::Again);
        let Some((root, options, room)) = asked else {
            self.is_scanning.set(false);
            return;
        };
        let (this, inotify) = (Rc::downgrade(self), Arc::clone(&self.inotify));
        let blind = below.clone();
        let work = move || Ok::<_, Failure>(scan::scan(&inotify, &root, below, &options, room));
        defer_to_threads(&*self.threads, work).on_result(move |result| {
            let Some(this) = this.upgrade() else { return };
            this.is_scanning.set(false);
            let scanned = result.unwrap_or_else(|failure| {
                let error = std::io::Error::other(failure.to_string());
                let why = FileError::system("watching", &*blind, error);
                Scanned { watched: Vec::new(), blind: vec![(blind, why)] }
            });
            let steps = this.tree.borrow_mut().take_in(id, scanned, purpose);
            this.carry_out(steps);
            this.pump();
        });
    }

    fn carry_out(self: &Rc<Self>, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Tell(id, event) => self.tell(id, event),
                Step::End(id, why) => self.tell_end(id, why),
                Step::Scan(id, below) => {
                    self.tasks.borrow_mut().push_back(Task::News { id, below });
                }
                Step::ScanAgain(id) => self.tasks.borrow_mut().push_back(Task::Again { id }),
                Step::Forget(number) => self.forget(number),
            }
        }
    }

    /// Tells of an event; who panics is told of no other.
    fn tell(self: &Rc<Self>, id: u64, event: FileEvent) {
        let told = self.told.borrow_mut().get_mut(&id).and_then(Option::take);
        let Some(mut told) = told else { return };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| told(event))) {
            let panicked = Panicked::from_payload(&*payload);
            tracing::error!(target: "ropewalk::files", "who watches files {panicked}");
            return self.end(id);
        }
        // Unless it has ended its watch meanwhile.
        if let Some(place) = self.told.borrow_mut().get_mut(&id) {
            *place = Some(told);
        }
    }

    fn tell_end(self: &Rc<Self>, id: u64, why: WatchEnding) {
        self.tell(id, FileEvent::Ended(why));
        self.end(id);
    }

    /// Ends a watch.
    fn end(&self, id: u64) {
        let told = self.told.borrow_mut().remove(&id);
        drop(told);
        let numbers = self.tree.borrow_mut().remove(id);
        for number in numbers {
            self.forget(number);
        }
    }

    fn forget(&self, number: i32) {
        match remove_watch(&*self.inotify, number) {
            // The system has forgotten it already.
            Ok(()) | Err(Errno::INVAL) => (),
            Err(errno) => {
                tracing::warn!(target: "ropewalk::files", "a folder is watched on: {errno}");
            }
        }
    }

    /// Nobody will be told of anything any more.
    fn end_all(self: &Rc<Self>, why: &str) {
        self.readable.take();
        let ids = self.tree.borrow().ids();
        for id in ids {
            let error = std::io::Error::other(why.to_owned());
            let why = FileError::system("waiting for events of", "inotify", error);
            self.tell_end(id, WatchEnding::Failed(why));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(waits) = self.end_of_moves.take() {
            waits.cancel();
        }
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("watches", &self.watches()).finish_non_exhaustive()
    }
}
