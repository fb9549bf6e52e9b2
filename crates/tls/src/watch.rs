//! Identities that are read again when their files change.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{Clock, DelayedCall, Threads, call_later, defer_to_threads};

use crate::{Identities, Identity, IdentityError, IdentityFiles, Source};

/// How often files are looked at, where nothing is said.
pub const RELOAD_EVERY: Duration = Duration::from_secs(5);

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
    /// What was found last, whether it could be used or not.
    digest: RefCell<String>,
    /// What is in use.
    in_use: RefCell<Vec<Identity>>,
    told: Cell<Duration>,
    next: RefCell<Option<DelayedCall>>,
    stopped: Cell<bool>,
}

/// What another look found.
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
        let reading = files.clone();
        let read = move || {
            let snapshot = reading.read()?;
            let digest = snapshot.digest();
            Ok::<_, IdentityError>((digest, snapshot.identities(&reading)?))
        };
        let (store, files) = (self.clone(), files.clone());
        let loaded = defer_to_threads(&*threads, read);
        loaded.add_callback(move |(digest, identities)| {
            let source = store.add_all(&identities)?;
            let inner = Inner {
                identities: store,
                source,
                files,
                every,
                clock,
                threads,
                digest: RefCell::new(digest),
                in_use: RefCell::new(identities),
                told: Cell::new(Duration::ZERO),
                next: RefCell::new(None),
                stopped: Cell::new(false),
            };
            let watch = Watch { inner: Rc::new(inner) };
            watch.inner.tell_expiry();
            watch.inner.wait();
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
    }

    /// How many days the certificate is still good for that ends first.
    pub fn days_left(&self) -> u64 {
        self.inner.in_use.borrow().iter().map(Identity::days_left).min().unwrap_or(0)
    }
}

impl Inner {
    fn wait(self: &Rc<Self>) {
        if self.stopped.get() {
            return;
        }
        let this = Rc::clone(self);
        let next = call_later(&*self.clock, self.every, move || this.look());
        if let Some(before) = self.next.replace(Some(next)) {
            before.cancel();
        }
    }

    fn look(self: &Rc<Self>) {
        let (files, digest) = (self.files.clone(), self.digest.borrow().clone());
        let read = move || {
            let snapshot = match files.read() {
                Ok(snapshot) => snapshot,
                // A file that is away for a moment is as good as one that cannot be used.
                Err(error) => return Ok(Found::of(&digest, error.to_string(), || Err(error))),
            };
            let now = snapshot.digest();
            Ok::<_, Failure>(Found::of(&digest, now, || snapshot.identities(&files)))
        };
        let this = Rc::clone(self);
        defer_to_threads(&*self.threads, read).on_result(move |found| {
            match found {
                Ok(Found::Same) => (),
                Ok(Found::New(digest, made)) => {
                    *this.digest.borrow_mut() = digest;
                    this.take(made);
                }
                // The pool is full or has stopped; another look comes anyway.
                Err(failure) => {
                    tracing::warn!(target: "ropewalk::tls", "{}: not read: {failure}", this.files);
                }
            }
            if this.clock.now() >= this.told.get() + EXPIRY_TOLD_EVERY {
                this.tell_expiry();
            }
            this.wait();
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
