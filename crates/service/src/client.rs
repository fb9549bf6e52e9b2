//! A client that stays connected.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::{Canceller, Deferred, Failure, Promise, deferred};
use ropewalk_protocol::{
    ClientEndpoint, Clock, Conn, DelayedCall, Disconnect, Protocol, call_later, seat_and_watch,
};

use crate::{Backoff, Service};

/// How long a connection has to last for the waits to begin from the first again.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// How many may wait for the connection.
pub const WAITERS_MAX: usize = 16 * 1024;

/// A connection to one place, made again whenever it is lost. Clones are the same client.
///
/// Between attempts it waits as its [`Backoff`] says. A connection may be [prepared](Self::prepare): while
/// that is under way nobody is given it, and if it fails the connection is ended, and that attempt has
/// failed.
///
/// Starting it succeeds at once, whether or not anybody answers; [`when_connected`](Self::when_connected)
/// tells when somebody does.
pub struct ClientService<P: 'static>(Rc<Inner<P>>);

struct Inner<P: 'static> {
    place: Box<dyn ClientEndpoint>,
    clock: Box<dyn Clock>,
    make: RefCell<Box<dyn FnMut() -> P>>,
    prepare: RefCell<Option<Prepare<P>>>,
    backoff: RefCell<Backoff>,
    state: RefCell<Phase<P>>,
    /// Tells one attempt from those before it.
    attempt: Cell<u64>,
    /// Attempts that failed since the last connection that lasted.
    failures: Cell<u32>,
    waiting: RefCell<Vec<Waiting<P>>>,
}

type Prepare<P> = Rc<dyn Fn(&Conn<P>) -> Deferred<()>>;

struct Waiting<P: 'static> {
    promise: Promise<Conn<P>>,
    /// How many more failures it waits for.
    failures_left: Option<u32>,
}

enum Phase<P: 'static> {
    Stopped,
    Connecting(Canceller),
    Preparing(Conn<P>, Canceller),
    Connected(Conn<P>, Duration),
    Waiting(DelayedCall),
    /// The connection is being ended.
    Stopping(Vec<Promise<()>>, bool),
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientState {
    /// It does not run.
    Stopped,
    /// A connection is being made.
    Connecting,
    /// A connection is made, and is being prepared.
    Preparing,
    /// The connection is up.
    Connected,
    /// It waits before it tries again.
    Waiting,
    /// The connection is being ended.
    Stopping,
}

/// Whoever waited for a client's connection waits in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoConnection {
    /// The client was stopped, or never started.
    Stopped,
    /// So many wait already.
    Crowded(usize),
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the client does not run"),
            Self::Crowded(count) => write!(f, "{count} wait for the connection already"),
        }
    }
}

impl Error for NoConnection {}

impl<P: Protocol> ClientService<P> {
    /// A client of `place`, with what `make` makes for each attempt.
    pub fn new(
        place: impl ClientEndpoint + 'static,
        clock: impl Clock + 'static,
        make: impl FnMut() -> P + 'static,
    ) -> Self {
        Self(Rc::new(Inner {
            place: Box::new(place),
            clock: Box::new(clock),
            make: RefCell::new(Box::new(make)),
            prepare: RefCell::default(),
            backoff: RefCell::default(),
            state: RefCell::new(Phase::Stopped),
            attempt: Cell::new(0),
            failures: Cell::new(0),
            waiting: RefCell::default(),
        }))
    }

    /// Waits so between attempts.
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.0.backoff.replace(backoff);
        self
    }

    /// Has each connection go through this before anybody is given it: a login, a greeting.
    pub fn prepare(self, prepare: impl Fn(&Conn<P>) -> Deferred<()> + 'static) -> Self {
        self.0.prepare.replace(Some(Rc::new(prepare)));
        self
    }

    /// The connection, once there is one that is prepared; at once if there is.
    ///
    /// # Errors
    ///
    /// [`NoConnection`] if the client does not run, is stopped meanwhile, or too many wait.
    pub fn when_connected(&self) -> Deferred<Conn<P>> {
        self.wait(None)
    }

    /// The same, but fails with what the attempt failed of once so many more have.
    ///
    /// # Errors
    ///
    /// As above, and with the last attempt's own failure.
    pub fn when_connected_within(&self, attempts: u32) -> Deferred<Conn<P>> {
        self.wait(Some(attempts.max(1)))
    }

    fn wait(&self, failures_left: Option<u32>) -> Deferred<Conn<P>> {
        match &*self.0.state.borrow() {
            Phase::Connected(conn, _) => return Deferred::succeed(conn.clone()),
            Phase::Stopped | Phase::Stopping(_, false) => {
                return Deferred::fail(NoConnection::Stopped);
            }
            _ => (),
        }
        let mut waiting = self.0.waiting.borrow_mut();
        waiting.retain(|one| one.promise.is_wanted());
        if waiting.len() >= WAITERS_MAX {
            return Deferred::fail(NoConnection::Crowded(WAITERS_MAX));
        }
        let (promise, connected) = deferred();
        waiting.push(Waiting { promise, failures_left });
        connected
    }

    /// How far it is.
    pub fn state(&self) -> ClientState {
        match &*self.0.state.borrow() {
            Phase::Stopped => ClientState::Stopped,
            Phase::Connecting(_) => ClientState::Connecting,
            Phase::Preparing(..) => ClientState::Preparing,
            Phase::Connected(..) => ClientState::Connected,
            Phase::Waiting(_) => ClientState::Waiting,
            Phase::Stopping(..) => ClientState::Stopping,
        }
    }
}

impl<P: Protocol> Service for ClientService<P> {
    fn start(&self) -> Deferred<()> {
        let inner = &self.0;
        if let Phase::Stopping(_, again) = &mut *inner.state.borrow_mut() {
            *again = true;
            return Deferred::succeed(());
        }
        if self.state() == ClientState::Stopped {
            inner.failures.set(0);
            inner.connect();
        }
        Deferred::succeed(())
    }

    /// Ends the connection in order, or the attempt; whoever waits for it is told.
    fn stop(&self) -> Deferred<()> {
        let inner = &self.0;
        let phase = inner.state.replace(Phase::Stopped);
        let (promise, stopped) = deferred();
        match phase {
            Phase::Stopped => promise.succeed(()),
            Phase::Waiting(call) => {
                call.cancel();
                promise.succeed(());
            }
            Phase::Connecting(attempt) => {
                inner.state.replace(Phase::Stopping(vec![promise], false));
                attempt.cancel();
            }
            Phase::Preparing(conn, prepared) => {
                inner.state.replace(Phase::Stopping(vec![promise], false));
                prepared.cancel();
                conn.close();
            }
            Phase::Connected(conn, _) => {
                inner.state.replace(Phase::Stopping(vec![promise], false));
                conn.close();
            }
            Phase::Stopping(mut promises, _) => {
                promises.push(promise);
                inner.state.replace(Phase::Stopping(promises, false));
            }
        }
        inner.disappoint();
        stopped
    }
}

impl<P: Protocol> Inner<P> {
    fn connect(self: &Rc<Self>) {
        let attempt = self.attempt.get() + 1;
        self.attempt.set(attempt);
        let protocol = (self.make.borrow_mut())();
        let (seat, made, lost) = seat_and_watch(protocol);
        let canceller = made.canceller();
        self.state.replace(Phase::Connecting(canceller));
        let inner = Rc::downgrade(self);
        made.on_result(move |made| {
            if let Some(inner) = current(&inner, attempt) {
                inner.made(attempt, made);
            }
        });
        let inner = Rc::downgrade(self);
        lost.on_result(move |lost| {
            if let Some(inner) = current(&inner, attempt) {
                inner.lost(lost.unwrap_or(Disconnect::Stopped));
            }
        });
        self.place.connect_seat(seat);
    }

    fn made(self: Rc<Self>, attempt: u64, made: Result<Conn<P>, Failure>) {
        let conn = match made {
            Ok(conn) => conn,
            Err(failure) => return self.failed(failure),
        };
        if matches!(&*self.state.borrow(), Phase::Stopping(..)) {
            return conn.close();
        }
        let prepare = self.prepare.borrow().clone();
        let Some(prepare) = prepare else { return self.connected(&conn) };
        let prepared = prepare(&conn);
        let inner = Rc::downgrade(&self);
        self.state.replace(Phase::Preparing(conn.clone(), prepared.canceller()));
        prepared.on_result(move |prepared| {
            let Some(inner) = current(&inner, attempt) else { return };
            if !matches!(&*inner.state.borrow(), Phase::Preparing(..)) {
                return;
            }
            match prepared {
                Ok(()) => inner.connected(&conn),
                Err(failure) => {
                    // What becomes of this connection is of no interest any more.
                    inner.attempt.set(inner.attempt.get() + 1);
                    conn.abort();
                    inner.failed(failure);
                }
            }
        });
    }

    fn connected(&self, conn: &Conn<P>) {
        self.state.replace(Phase::Connected(conn.clone(), self.clock.now()));
        for one in self.waiting.take() {
            one.promise.succeed(conn.clone());
        }
    }

    /// The connection is over.
    fn lost(self: Rc<Self>, why: Disconnect) {
        enum Was {
            Up(Duration),
            Preparing,
            Stopping,
        }
        let was = match &*self.state.borrow() {
            Phase::Connected(_, since) => Was::Up(*since),
            Phase::Preparing(..) => Was::Preparing,
            Phase::Stopping(..) => Was::Stopping,
            // The attempt has failed, which is told elsewhere.
            Phase::Connecting(_) | Phase::Stopped | Phase::Waiting(_) => return,
        };
        match was {
            Was::Up(since) => {
                if self.clock.now().saturating_sub(since) >= HEALTHY_AFTER {
                    self.failures.set(0);
                }
                tracing::info!(target: "ropewalk::service", "a client's connection was lost: {why}");
                self.wait_to_retry();
            }
            Was::Preparing => self.failed(why.into()),
            Was::Stopping => self.stopped(),
        }
    }

    /// An attempt has failed.
    fn failed(self: Rc<Self>, failure: Failure) {
        if matches!(&*self.state.borrow(), Phase::Stopping(..)) {
            return self.stopped();
        }
        tracing::warn!(target: "ropewalk::service", "a client does not connect: {failure}");
        let waiting = self.waiting.take();
        let (mut left, mut disappointed) = (Vec::new(), Vec::new());
        for mut one in waiting {
            match &mut one.failures_left {
                Some(1) => disappointed.push(one),
                Some(count) => {
                    *count -= 1;
                    left.push(one);
                }
                None => left.push(one),
            }
        }
        self.waiting.replace(left);
        self.wait_to_retry();
        let told = failure.to_string();
        let mut failure = Some(failure);
        for one in disappointed {
            match failure.take() {
                Some(failure) => one.promise.fail(failure),
                None => one.promise.fail(Failure::new(told.clone())),
            }
        }
    }

    fn wait_to_retry(self: &Rc<Self>) {
        let failures = self.failures.get();
        self.failures.set(failures.saturating_add(1));
        let wait = self.backoff.borrow().wait(failures);
        let inner = Rc::downgrade(self);
        let again = call_later(&*self.clock, wait, move || {
            if let Some(inner) = inner.upgrade() {
                inner.connect();
            }
        });
        self.state.replace(Phase::Waiting(again));
    }

    /// The connection of a client that is to stop is over.
    fn stopped(self: &Rc<Self>) {
        let Phase::Stopping(promises, again) = self.state.replace(Phase::Stopped) else { return };
        if again {
            self.failures.set(0);
            self.connect();
        }
        for promise in promises {
            promise.succeed(());
        }
    }

    /// Nobody will be given a connection.
    fn disappoint(&self) {
        for one in self.waiting.take() {
            one.promise.fail(NoConnection::Stopped);
        }
    }
}

/// The client, if this attempt is still its last.
fn current<P>(inner: &Weak<Inner<P>>, attempt: u64) -> Option<Rc<Inner<P>>> {
    inner.upgrade().filter(|inner| inner.attempt.get() == attempt)
}

impl<P: 'static> Clone for ClientService<P> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<P: Protocol> fmt::Debug for ClientService<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientService")
            .field("state", &self.state())
            .field("failures", &self.0.failures.get())
            .finish_non_exhaustive()
    }
}
