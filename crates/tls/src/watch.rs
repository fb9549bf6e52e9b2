//! Identities that are read again when their files change.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{Clock, DelayedCall, Threads, call_later, defer_to_threads};

use crate::{
    FollowFiles, Followed, FollowedFolder, Following, Identities, Identity, IdentityError,
    IdentityFiles, Source,
};

/// How often files are looked at, where nothing is said.
pub const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// How often at most they are looked at while somebody [tells of changes](FollowFiles): for what is not told
/// of, say on a disk of another machine.
pub const FOLLOWED_RELOAD_EVERY: Duration = Duration::from_mins(1);

/// How long after a change they are looked at, so that those of one moment are looked at once.
pub const SETTLES_WITHIN: Duration = Duration::from_millis(100);

/// How often it is said how long certificates are still good for.
pub const EXPIRY_TOLD_EVERY: Duration = Duration::from_hours(24);

/// From how many days before its end on a certificate is warned of.
pub const EXPIRY_WARNED_DAYS: u64 = 14;

/// Looks at files again and again, and has a store follow them. Dropping it changes nothing.
///
/// What is in the files counts, not their dates: a file that is written, replaced, or reached by a
/// link that leads elsewhere now, is seen. All of it is read, then checked as a whole, by threads that
/// may wait; only then it takes the place of what was there, for the next connection. Where something
/// cannot be used, say because only one of two files was written yet, what was there stays, and it is
/// said once.
#[derive(Clone)]
pub struct Watch {
    inner: Rc<Inner>,
}

struct Inner {
    identities: Identities,
    source: Source,
    files: IdentityFiles,
    every: Duration,
    clock: Rc<dyn Clock>,
    threads: Rc<dyn Threads>,
    /// Who tells of changes, if anybody.
    follows: RefCell<Option<Rc<dyn FollowFiles>>>,
    /// Where he was last asked to.
    folders: RefCell<Vec<FollowedFolder>>,
    /// While he does.
    following: RefCell<Option<Following>>,
    /// What was found last, whether it could be used or not.
    digest: RefCell<String>,
    /// What is in use.
    in_use: RefCell<Vec<Identity>>,
    told: Cell<Duration>,
    next: RefCell<Option<DelayedCall>>,
    /// A look is on its way, and whether another one is to come after it.
    looking: Cell<Option<bool>>,
    /// One comes as soon as what changes has settled.
    is_soon: Cell<bool>,
    stopped: Cell<bool>,
}

/// What a look found.
struct Seen {
    /// Where changes would be seen; nothing, if there are too many places.
    folders: Option<Vec<FollowedFolder>>,
    found: Found,
}

/// What is in the files.
enum Found {
    /// Nothing new.
    Same,
    /// Something else, and what can be made of it.
    New(String, Result<Vec<Identity>, IdentityError>),
}

impl Identities {
    /// Adds what is in files, read by `threads`, and follows them: it looks at them each time that
    /// `every` has passed on `clock`.
    ///
    /// The deferred fails, and nothing is followed, if they cannot be used from the start.
    #[track_caller]
    pub fn watch(
        &self,
        files: &IdentityFiles,
        every: Duration,
        clock: Rc<dyn Clock>,
        threads: Rc<dyn Threads>,
    ) -> Deferred<Watch> {
        self.watch_with(files, every, clock, threads, None)
    }

    /// The same with somebody who tells of changes, such as the system: they are looked at
    /// [soon](SETTLES_WITHIN) after one, and besides only once in `every` or
    /// [`FOLLOWED_RELOAD_EVERY`], whichever is longer. Where changes cannot be told of it goes by `every`.
    #[track_caller]
    pub fn watch_with(
        &self,
        files: &IdentityFiles,
        every: Duration,
        clock: Rc<dyn Clock>,
        threads: Rc<dyn Threads>,
        follows: Option<Rc<dyn FollowFiles>>,
    ) -> Deferred<Watch> {
        let reading = files.clone();
        let read = move || {
            // First, so that what changes meanwhile is told of.
            let folders = reading.followed();
            let snapshot = reading.read()?;
            let digest = snapshot.digest();
            Ok::<_, IdentityError>((folders, digest, snapshot.identities(&reading)?))
        };
        let (store, files) = (self.clone(), files.clone());
        let loaded = defer_to_threads(&*threads, read);
        loaded.add_callback(move |(folders, digest, identities)| {
            let source = store.add_all(&identities)?;
            let inner = Inner {
                identities: store,
                source,
                files,
                every,
                clock,
                threads,
                follows: RefCell::new(follows),
                folders: RefCell::default(),
                following: RefCell::default(),
                digest: RefCell::new(digest),
                in_use: RefCell::new(identities),
                told: Cell::new(Duration::ZERO),
                next: RefCell::new(None),
                looking: Cell::new(None),
                is_soon: Cell::new(false),
                stopped: Cell::new(false),
            };
            let watch = Watch { inner: Rc::new(inner) };
            watch.inner.tell_expiry();
            watch.inner.wait();
            watch.inner.follow(folders);
            Ok::<_, Failure>(watch)
        })
    }
}

impl Watch {
    /// Looks at the files now, as well.
    pub fn look(&self) {
        self.inner.look();
    }

    /// Follows the files no longer; what is in use stays.
    pub fn stop(&self) {
        self.inner.stopped.set(true);
        if let Some(next) = self.inner.next.take() {
            next.cancel();
        }
        self.inner.follow_nothing();
        drop(self.inner.follows.take());
    }

    /// Whether changes are told of, so that files need not be looked at so often.
    pub fn is_told(&self) -> bool {
        self.inner.following.borrow().is_some()
    }

    /// How many days the certificate is still good for that ends first.
    pub fn days_left(&self) -> u64 {
        self.inner.in_use.borrow().iter().map(Identity::days_left).min().unwrap_or(0)
    }
}

impl Inner {
    fn wait(self: &Rc<Self>) {
        let is_told = self.following.borrow().is_some();
        self.wait_for(if is_told { self.every.max(FOLLOWED_RELOAD_EVERY) } else { self.every });
    }

    fn wait_for(self: &Rc<Self>, time: Duration) {
        if self.stopped.get() {
            return;
        }
        let this = Rc::clone(self);
        let next = call_later(&*self.clock, time, move || this.look());
        if let Some(before) = self.next.replace(Some(next)) {
            before.cancel();
        }
    }

    /// Has changes told of in these folders, if that is not so already.
    fn follow(self: &Rc<Self>, folders: Option<Vec<FollowedFolder>>) {
        let Some(follows) = self.follows.borrow().clone() else { return };
        let Some(folders) = folders else {
            self.follow_nothing();
            return;
        };
        if *self.folders.borrow() == folders {
            return;
        }
        let weak = Rc::downgrade(self);
        let told = move |what| {
            let Some(this) = weak.upgrade() else { return };
            if what == Followed::Lost {
                this.follow_nothing();
            }
            this.look_soon();
        };
        let begun = follows.follow(&folders, Rc::new(told));
        self.folders.replace(folders);
        let this = Rc::clone(self);
        begun.on_result(move |begun| {
            if this.stopped.get() {
                return;
            }
            match begun {
                Ok(following) => {
                    drop(this.following.replace(Some(following)));
                    // Something may have happened between the last look and now.
                    this.look();
                }
                Err(failure) => {
                    this.follow_nothing();
                    tracing::debug!(
                        target: "ropewalk::tls",
                        "{}: changes are looked for, as they are not told of: {failure}",
                        this.files,
                    );
                }
            }
        });
    }

    /// Goes by the clock alone, until a look finds places to follow.
    fn follow_nothing(&self) {
        self.folders.take();
        drop(self.following.take());
    }

    /// Looks once what changes now has settled, and no later for what changes until then.
    fn look_soon(self: &Rc<Self>) {
        if self.looking.get().is_some() {
            self.looking.set(Some(true));
        } else if !self.is_soon.replace(true) {
            self.wait_for(SETTLES_WITHIN);
        }
    }

    fn look(self: &Rc<Self>) {
        // What is read later counts: two looks at a time could come back the other way round.
        if self.looking.get().is_some() {
            return self.looking.set(Some(true));
        }
        self.looking.set(Some(false));
        self.is_soon.set(false);
        let (files, digest) = (self.files.clone(), self.digest.borrow().clone());
        let read = move || {
            let folders = files.followed();
            let found = match files.read() {
                Ok(snapshot) => {
                    let now = snapshot.digest();
                    Found::of(&digest, now, || snapshot.identities(&files))
                }
                // A file that is away for a moment is as good as one that cannot be used.
                Err(error) => Found::of(&digest, error.to_string(), || Err(error)),
            };
            Ok::<_, Failure>(Seen { folders, found })
        };
        let this = Rc::clone(self);
        defer_to_threads(&*self.threads, read).on_result(move |seen| {
            let again = this.looking.take() == Some(true);
            this.wait();
            match seen {
                Ok(Seen { folders, found }) => {
                    if let Found::New(digest, made) = found {
                        *this.digest.borrow_mut() = digest;
                        this.take(made);
                    }
                    this.follow(folders);
                }
                // The pool is full or has stopped; another look comes anyway.
                Err(failure) => {
                    tracing::warn!(target: "ropewalk::tls", "{}: not read: {failure}", this.files);
                }
            }
            if this.clock.now() >= this.told.get() + EXPIRY_TOLD_EVERY {
                this.tell_expiry();
            }
            if again {
                this.look_soon();
            }
        });
    }

    fn take(&self, made: Result<Vec<Identity>, IdentityError>) {
        let files = &self.files;
        let used = made.and_then(|identities| {
            self.identities.replace(self.source, &identities)?;
            Ok(identities)
        });
        match used {
            Ok(identities) => {
                *self.in_use.borrow_mut() = identities;
                tracing::info!(target: "ropewalk::tls", "{files}: read again, and in use");
                self.tell_expiry();
            }
            Err(error) => {
                let failure = Failure::from(error);
                let words: Vec<_> = failure.chain().map(ToString::to_string).collect();
                let why = words.join(": ");
                tracing::warn!(
                    target: "ropewalk::tls",
                    "{files}: cannot be used, what was read before stays: {why}"
                );
            }
        }
    }

    fn tell_expiry(&self) {
        self.told.set(self.clock.now());
        for identity in &*self.in_use.borrow() {
            tell_expiry(identity);
        }
    }
}

impl Found {
    fn of(
        before: &str,
        now: String,
        make: impl FnOnce() -> Result<Vec<Identity>, IdentityError>,
    ) -> Self {
        if before == now { Self::Same } else { Self::New(now, make()) }
    }
}

/// Says how long a certificate is still good for, and louder the shorter that is.
pub(crate) fn tell_expiry(identity: &Identity) {
    let (names, days) = (identity.names().join(", "), identity.days_left());
    match days {
        0 => {
            tracing::error!(target: "ropewalk::tls", "the certificate of {names} ends today, or has");
        }
        1..=EXPIRY_WARNED_DAYS => {
            tracing::warn!(target: "ropewalk::tls", "the certificate of {names} is good for {days} days");
        }
        _ => {
            tracing::info!(target: "ropewalk::tls", "the certificate of {names} is good for {days} days");
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("files", &self.inner.files).finish_non_exhaustive()
    }
}
