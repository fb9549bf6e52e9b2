//! Checkers whose work blocks.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use ropewalk_deferred::{Crowded, Deferred, DeferredSemaphore, Failure, Permit};
use ropewalk_protocol::{Threads, defer_to_threads};

use crate::credentials::{ProvenPassword, UsernamePassword};
use crate::digest::Username;
use crate::error::LoginError;
use crate::memory::{proven, verdict};
use crate::portal::{AvatarId, Checker};

/// How many checks are on threads at a time unless told otherwise: slow hashes leave threads to others.
pub const CHECKS_AT_ONCE: usize = 2;
/// How many more wait for their turn; others fail with [`LoginError::Busy`].
pub const CHECKS_WAITING_MAX: usize = 256;

/// Somewhere that passwords can be looked up, which may take its time: files, slow hashes, a database.
pub trait Passwords: Send + Sync + 'static {
    /// Whether this is the user's password. An unknown user takes as long as a wrong password.
    ///
    /// # Errors
    ///
    /// If it cannot be found out.
    fn is_password(&self, username: &str, password: &str) -> Result<bool, Failure>;
}

/// Somewhere that has passwords as they are, which proofs want to be compared with.
pub trait PlainPasswords: Send + Sync + 'static {
    /// The user of this name as it is written here, and its password.
    ///
    /// # Errors
    ///
    /// If it cannot be found out.
    fn find(&self, username: &Username) -> Result<Option<(Arc<str>, String)>, Failure>;
}

/// A checker that does its work on threads, a few at a time.
///
/// It takes [`UsernamePassword`] where `P` is [`Passwords`], and [`ProvenPassword`] where it is
/// [`PlainPasswords`]. A check that was begun holds its turn to its end, also where nobody waits for it any
/// longer, so that those who hang up at once cannot take up every thread.
pub struct Threaded<P> {
    passwords: Arc<P>,
    threads: Rc<dyn Threads>,
    turns: DeferredSemaphore,
}

impl<P> Threaded<P> {
    /// Looks at credentials with `passwords`, on `threads`.
    pub fn new(passwords: P, threads: impl Threads + 'static) -> Self {
        Self::shared(Arc::new(passwords), threads)
    }

    /// The same with passwords that others use, too.
    pub fn shared(passwords: Arc<P>, threads: impl Threads + 'static) -> Self {
        let turns = DeferredSemaphore::with_waiters_max(CHECKS_AT_ONCE, CHECKS_WAITING_MAX);
        Self { passwords, threads: Rc::new(threads), turns }
    }

    /// Has so many checks on threads at a time, [`CHECKS_AT_ONCE`] unless set, while so many more wait,
    /// [`CHECKS_WAITING_MAX`] unless set.
    ///
    /// # Panics
    ///
    /// If it is none at a time.
    #[track_caller]
    pub fn at_once(self, count: usize, waiting_max: usize) -> Self {
        Self { turns: DeferredSemaphore::with_waiters_max(count, waiting_max), ..self }
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Deferred<T> {
        let threads = Rc::clone(&self.threads);
        let turn = self.turns.acquire().add_errback(|failure| match failure.check::<Crowded>() {
            Some(_) => Err(LoginError::Busy.into()),
            None => Err(failure),
        });
        turn.add_callback(move |permit| {
            let turn = Turn { threads, permit: Cell::new(Some(permit)) };
            defer_to_threads(&turn, work)
        })
    }
}

/// Threads for one piece of work, which gives its turn back when it has ended.
struct Turn {
    threads: Rc<dyn Threads>,
    permit: Cell<Option<Permit>>,
}

impl Threads for Turn {
    fn submit(
        &self,
        work: Box<dyn FnOnce() + Send>,
        finished: Box<dyn FnOnce()>,
    ) -> Result<(), Failure> {
        let permit = self.permit.take();
        let finished = Box::new(move || {
            drop(permit);
            finished();
        });
        self.threads.submit(work, finished)
    }
}

impl<P: Passwords> Checker<UsernamePassword> for Threaded<P> {
    fn check(&self, credentials: UsernamePassword) -> Deferred<AvatarId> {
        let passwords = Arc::clone(&self.passwords);
        let checked = self.run(move || {
            let UsernamePassword { username, password } = credentials;
            let fits = passwords.is_password(&username, &password)?;
            Ok(fits.then_some(username))
        });
        checked.add_callback(|user| verdict(user.map(AvatarId::user)))
    }
}

impl<P: PlainPasswords> Checker<ProvenPassword> for Threaded<P> {
    fn check(&self, credentials: ProvenPassword) -> Deferred<AvatarId> {
        let (passwords, username) = (Arc::clone(&self.passwords), credentials.proof().username());
        self.run(move || passwords.find(&username)).add_callback(move |found| {
            let found = found.as_ref().map(|(name, password)| (name, password.as_str()));
            verdict(proven(found, &credentials))
        })
    }
}

impl<P> fmt::Debug for Threaded<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threaded").field("free", &self.turns.free()).finish_non_exhaustive()
    }
}
