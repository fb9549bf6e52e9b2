//! A reactor in each of several threads.

use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use ropewalk_deferred::{Deferred, Failure, Panicked, deferred};
use ropewalk_reactor::{DriverKind, Exit, Reactor};

use crate::affinity::StaysOnOneCore;
use crate::group::{Dealing, Group, Sibling};
use crate::{Mailbox, SendError};

/// How many messages may wait for one shard unless told otherwise.
pub const MESSAGES_MAX: usize = 16 * 1024;

/// Runs `count` reactors, each in a thread of its own, and returns when all have ended. `start` is called
/// with each of them, and with its number from 0 on, before it runs.
///
/// [`Shards`] is the same with more to choose.
///
/// ```
/// use std::net::SocketAddr;
/// use ropewalk_protocol::{Conn, Port, Protocol};
/// use ropewalk_reactor::TcpListenOptions;
/// # use ropewalk_protocol::{Address, Factory};
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
/// # struct Echoes;
/// # impl Factory for Echoes {
/// #     type Protocol = Echo;
/// #     fn build(&mut self, _: &Address) -> Option<Echo> { Some(Echo) }
/// # }
///
/// ropewalk_shards::shards(2, |reactor, index| {
///     let place = SocketAddr::from(([127, 0, 0, 1], 0));
///     reactor.listen_tcp(place, TcpListenOptions::default(), Box::new(Echoes))?;
///     if index == 1 {
///         reactor.stop(); // of one is of all
///     }
///     Ok(())
/// })?;
/// # Ok::<(), ropewalk_shards::ShardFailed>(())
/// ```
///
/// # Errors
///
/// What a shard failed of, and which.
pub fn shards(
    count: usize,
    start: impl Fn(&Reactor, usize) -> Result<(), Failure> + Sync,
) -> Result<Exit, ShardFailed> {
    Shards::new(count).run(|shard| start(shard.reactor(), shard.index()))
}

/// How many cores this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Several reactors, each in a thread of its own, that serve the same places.
///
/// They share nothing but what they send each other. Where each of them listens at the same place, it is
/// one place: [`Dealing`] says who gets which connection. The first runs in the thread that calls
/// [`run`](Self::run), and hears the signals; stopping any of them, or [`ShardsHandle::stop`], stops all in order, each as
/// [`Reactor::stop`] says, and a second signal ends all at once.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::call_later;
/// use ropewalk_shards::Shards;
///
/// // Each greets the next; the first stops them all when its own greeting comes.
/// Shards::new(3).messages::<String>(16).run(|shard| {
///     let here = shard.clone();
///     shard.on_message(move |from, words| {
///         if here.index() == 0 {
///             assert_eq!((from, words.as_str()), (2, "hello from 2"));
///             here.reactor().stop();
///         }
///     });
///     let next = (shard.index() + 1) % shard.count();
///     shard.send(next, format!("hello from {}", shard.index()))?;
///     Ok(())
/// })?;
/// # Ok::<(), ropewalk_shards::ShardFailed>(())
/// ```
pub struct Shards<M = ()> {
    driver: DriverKind,
    pinned: bool,
    signals: bool,
    group: Arc<Group>,
    mailboxes: Vec<Mailbox<(usize, M)>>,
}

impl Shards<()> {
    /// So many shards; at least one. [`cores`] is a good number.
    pub fn new(count: usize) -> Self {
        let count = count.max(1);
        Self {
            driver: DriverKind::default(),
            pinned: false,
            signals: true,
            group: Arc::new(Group::new(count, Dealing::default())),
            mailboxes: mailboxes(count, MESSAGES_MAX),
        }
    }
}

fn mailboxes<M>(count: usize, bound: usize) -> Vec<Mailbox<(usize, M)>> {
    (0..count).map(|_| Mailbox::new(bound)).collect()
}

impl<M: Send + 'static> Shards<M> {
    /// On this driver; on the one that measures best unless set.
    pub fn driver(self, driver: DriverKind) -> Self {
        Self { driver, ..self }
    }

    /// Keeps each shard on a core of its own (`sched_setaffinity`), as far as there are so many; only on
    /// Linux. Not unless set: the system then moves them as it sees fit.
    pub fn pinned(self, pinned: bool) -> Self {
        Self { pinned, ..self }
    }

    /// Whether SIGINT and SIGTERM stop all in order; they do unless told otherwise.
    pub fn signals(self, signals: bool) -> Self {
        Self { signals, ..self }
    }

    /// Deals connections out so. Handles that were taken before are of no use any more.
    pub fn dealing(self, dealing: Dealing) -> Self {
        Self { group: Arc::new(Group::new(self.group.count(), dealing)), ..self }
    }

    /// Lets shards send each other messages of this type, as many as `bound` of which may wait for one.
    pub fn messages<N: Send + 'static>(self, bound: usize) -> Shards<N> {
        let Self { driver, pinned, signals, group, .. } = self;
        let mailboxes = mailboxes(group.count(), bound);
        Shards { driver, pinned, signals, group, mailboxes }
    }

    /// Something that other threads can stop them by.
    pub fn handle(&self) -> ShardsHandle {
        ShardsHandle { group: Arc::clone(&self.group) }
    }

    /// Starts them one after the other, then runs them all; returns when all have ended.
    ///
    /// # Errors
    ///
    /// What a shard failed of, and which: `start` failed or panicked, [`Shard::fail`] was called, or its
    /// reactor did not come about or broke. The others have been stopped in order then.
    pub fn run(
        self,
        start: impl Fn(&Shard<M>) -> Result<(), Failure> + Sync,
    ) -> Result<Exit, ShardFailed> {
        let (shards, start) = (&self, &start);
        let exit = thread::scope(|scope| {
            for index in 1..shards.group.count() {
                let name = format!("shard-{index}");
                let work = move || {
                    shards.run_one(index, start);
                };
                if let Err(error) = thread::Builder::new().name(name).spawn_scoped(scope, work) {
                    shards.group.fail(index, error.into());
                }
            }
            shards.run_one(0, start)
        });
        match self.group.take_failure() {
            Some(failed) => Err(failed),
            None => Ok(exit.unwrap_or(Exit::Stopped)),
        }
    }

    /// One shard from beginning to end.
    fn run_one(
        &self,
        index: usize,
        start: &(impl Fn(&Shard<M>) -> Result<(), Failure> + Sync),
    ) -> Option<Exit> {
        let group = &self.group;
        let ran = catch_unwind(AssertUnwindSafe(|| self.live(index, start)));
        let exit = match ran {
            Ok(Ok(exit)) => exit,
            Ok(Err(failure)) => {
                group.fail(index, failure);
                None
            }
            Err(payload) => {
                group.fail(index, Panicked::from_payload(&*payload).into());
                None
            }
        };
        drop(self.mailboxes[index].close());
        group.leave(index);
        group.stop();
        // The first waits for the others, unless it was told not to: then nobody does.
        if index == 0 && !group.has_failed() {
            group.stop_now();
        }
        exit
    }

    fn live(
        &self,
        index: usize,
        start: &(impl Fn(&Shard<M>) -> Result<(), Failure> + Sync),
    ) -> Result<Option<Exit>, Failure> {
        let group = &self.group;
        if !group.wait_for_turn(index) {
            return Ok(None);
        }
        let _pinned = if self.pinned { Some(StaysOnOneCore::begin(index)?) } else { None };
        let reactor = Reactor::with_driver(self.driver)?;
        let _ended = Ended(&reactor);
        group.enter(index, reactor.handle());
        reactor.set_siblings(Rc::new(Sibling::new(group, index)));
        group.take_in(index, &reactor);
        let (all, carrier) = (Arc::clone(group), reactor.clone());
        let others = (index == 0).then(|| self.others_end(&reactor));
        reactor.before_stop(move || {
            all.stop();
            all.take_the_rest(index, &carrier);
            Deferred::succeed(())
        });
        if let Some(others) = others {
            reactor.before_stop(move || others);
        }
        let shard = Shard {
            reactor: reactor.clone(),
            index,
            group: Arc::clone(group),
            mailboxes: self.mailboxes.clone().into(),
        };
        start(&shard)?;
        drop(shard);
        if !group.wait_for_all() {
            return Ok(None);
        }
        if group.is_stopping() {
            reactor.stop();
        }
        let is_heard = self.signals && index == 0;
        let exit = if is_heard { reactor.run()? } else { reactor.run_without_signals()? };
        Ok(Some(exit))
    }

    /// Tells when all other shards have ended.
    fn others_end(&self, reactor: &Reactor) -> Deferred<()> {
        let (promise, all_ended) = deferred();
        let (mut promise, mut left) = (Some(promise), self.group.count() - 1);
        if left == 0 {
            return Deferred::succeed(());
        }
        self.group.ended.deliver(reactor, move |_| {
            left -= 1;
            if left == 0
                && let Some(promise) = promise.take()
            {
                promise.succeed(());
            }
        });
        // A first shard that never runs waits for nobody.
        all_ended.add_errback(|_| ())
    }
}

impl<M> fmt::Debug for Shards<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("count", &self.group.count())
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}

/// Takes a reactor apart, also one that never ran.
struct Ended<'a>(&'a Reactor);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.stop_now();
        if let Err(error) = self.0.run_without_signals() {
            tracing::error!(target: "ropewalk::shards", "a shard was not taken apart: {error}");
        }
    }
}

/// One of several reactors, for what is done on it. Clones are the same shard.
pub struct Shard<M = ()> {
    reactor: Reactor,
    index: usize,
    group: Arc<Group>,
    mailboxes: Rc<[Mailbox<(usize, M)>]>,
}

impl<M: Send + 'static> Shard<M> {
    /// Its reactor.
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Its number, from 0 on.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.group.count()
    }

    /// Sends a message to the shard of this number, which may be this one.
    ///
    /// # Errors
    ///
    /// If too many wait there already, or that shard has ended; the message is given back.
    ///
    /// # Panics
    ///
    /// If there is no shard of that number.
    pub fn send(&self, to: usize, message: M) -> Result<(), SendError<M>> {
        let sent = self.mailboxes[to].send((self.index, message));
        sent.map_err(|error| SendError { message: error.message.1, why: error.why })
    }

    /// Sends a message to all others; answers how many of them take it.
    pub fn broadcast(&self, message: &M) -> usize
    where
        M: Clone,
    {
        let others = (0..self.count()).filter(|to| *to != self.index);
        others.filter(|to| self.send(*to, message.clone()).is_ok()).count()
    }

    /// Calls `told` with each message to this shard, and with the number of the one who sent it. Messages
    /// that came before wait for this.
    #[track_caller]
    pub fn on_message(&self, mut told: impl FnMut(usize, M) + 'static) {
        let mailbox = &self.mailboxes[self.index];
        mailbox.deliver(&self.reactor, move |(from, message)| told(from, message));
    }

    /// Ends all shards in order, for this reason: it is what [`Shards::run`] fails of, with this shard's
    /// number.
    pub fn fail(&self, failure: impl Into<Failure>) {
        self.group.fail(self.index, failure.into());
    }

    /// How many connections, listeners, and the like each shard had after its last turn.
    pub fn loads(&self) -> Vec<usize> {
        self.group.loads()
    }

    /// Something that other threads can stop all shards by.
    pub fn handle(&self) -> ShardsHandle {
        ShardsHandle { group: Arc::clone(&self.group) }
    }
}

impl<M> Clone for Shard<M> {
    fn clone(&self) -> Self {
        Self {
            reactor: self.reactor.clone(),
            index: self.index,
            group: Arc::clone(&self.group),
            mailboxes: Rc::clone(&self.mailboxes),
        }
    }
}

impl<M> fmt::Debug for Shard<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("index", &self.index)
            .field("reactor", &self.reactor)
            .finish_non_exhaustive()
    }
}

/// Reaches all shards of a run from any thread.
#[derive(Clone)]
pub struct ShardsHandle {
    group: Arc<Group>,
}

impl ShardsHandle {
    /// Stops all in order, each as [`Reactor::stop`] does; before they run, as soon as they do.
    pub fn stop(&self) {
        self.group.stop();
    }

    /// Ends all without waiting for anything.
    pub fn stop_now(&self) {
        self.group.stop_now();
    }

    /// How many connections, listeners, and the like each shard had after its last turn.
    pub fn loads(&self) -> Vec<usize> {
        self.group.loads()
    }
}

impl fmt::Debug for ShardsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardsHandle").field("loads", &self.loads()).finish_non_exhaustive()
    }
}

/// A shard failed, and the others were stopped for it.
#[derive(Debug)]
pub struct ShardFailed {
    /// Its number.
    pub shard: usize,
    /// Why: what its `start` failed of, or [`Panicked`](ropewalk_deferred::Panicked).
    pub failure: Failure,
}

impl fmt::Display for ShardFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} failed", self.shard)
    }
}

impl Error for ShardFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.failure.error())
    }
}
