//! What the shards of one run share, and how connections are dealt out among them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ropewalk_deferred::Failure;
use ropewalk_protocol::Address;
use ropewalk_reactor::{Bind, Reactor, ReactorHandle, Siblings};
use rustix::fd::OwnedFd;

use crate::pulse::Pulse;
use crate::{Mailbox, ShardFailed};

/// How connections are dealt out to shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dealing {
    /// Each shard has a socket of its own for each place (`SO_REUSEPORT`), and keeps what the system gives
    /// it. Which that is depends on the addresses of both ends alone.
    System,
    /// The same, but a shard hands a connection that it has just accepted to the shard that has the fewest,
    /// when it has more than so many more itself. While some are hard at work and others sleep, a few go to those who
    /// sleep, whatever they have: connections that say nothing keep nobody busy.
    Even {
        /// How many more it may have.
        tolerance: usize,
    },
    /// All shards wait at one socket, and who is first has the connection; none is handed on.
    FirstCome,
}

impl Default for Dealing {
    fn default() -> Self {
        Self::Even { tolerance: 0 }
    }
}

/// How many connections may be on their way to one shard.
const UNDER_WAY_MAX: usize = 4096;

/// What all shards share.
pub(crate) struct Group {
    dealing: Dealing,
    members: Vec<Member>,
    /// Where the shards listen: by what was asked for, and how often before by the same shard.
    places: Mutex<HashMap<(Address, usize), Place>>,
    is_stopping: AtomicBool,
    failure: Mutex<Option<ShardFailed>>,
    starting: Mutex<Starting>,
    changed: Condvar,
    /// Tells the first shard which others have ended.
    pub(crate) ended: Mailbox<usize>,
}

/// Each has its own cache lines: what one counts in each turn is not to slow the others down.
#[repr(align(128))]
struct Member {
    load: AtomicUsize,
    /// How often it has turned.
    turns: AtomicU64,
    /// Connections that it has been handed and has not taken in yet.
    under_way: AtomicUsize,
    handed: Mailbox<(Address, OwnedFd)>,
    handle: Mutex<Option<ReactorHandle>>,
}

struct Place {
    address: Address,
    /// Kept until every shard has its own.
    socket: Option<OwnedFd>,
    takers: usize,
}

#[derive(Default)]
struct Starting {
    /// How many have done what they do before they run.
    started: usize,
    given_up: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    pub(crate) fn new(count: usize, dealing: Dealing) -> Self {
        let member = |_| Member {
            load: AtomicUsize::new(0),
            turns: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            handed: Mailbox::new(UNDER_WAY_MAX),
            handle: Mutex::default(),
        };
        Self {
            dealing,
            members: (0..count).map(member).collect(),
            places: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            failure: Mutex::default(),
            starting: Mutex::default(),
            changed: Condvar::new(),
            ended: Mailbox::new(count),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }

    /// How many connections, listeners and the like each shard had after its last turn, with what is on
    /// its way there.
    pub(crate) fn loads(&self) -> Vec<usize> {
        self.members.iter().map(Member::load).collect()
    }

    /// Waits until all before this one have started; whether it is to start itself.
    pub(crate) fn wait_for_turn(&self, index: usize) -> bool {
        self.wait_until(|starting| starting.started == index)
    }

    /// Says that this one has started, and waits for all others; whether they have.
    pub(crate) fn wait_for_all(&self) -> bool {
        lock(&self.starting).started += 1;
        self.changed.notify_all();
        self.wait_until(|starting| starting.started == self.count())
    }

    fn wait_until(&self, is_so: impl Fn(&Starting) -> bool) -> bool {
        let mut starting = lock(&self.starting);
        loop {
            if starting.given_up {
                return false;
            }
            if is_so(&starting) {
                return true;
            }
            starting = self.changed.wait(starting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes a reactor known as that of this shard.
    pub(crate) fn enter(&self, index: usize, handle: ReactorHandle) {
        *lock(&self.members[index].handle) = Some(handle);
    }

    /// The shard's reactor is no more; who is left is told.
    pub(crate) fn leave(&self, index: usize) {
        let member = &self.members[index];
        lock(&member.handle).take();
        drop(member.handed.close());
        // Nobody hears it when the first has gone before.
        let _ = self.ended.send(index);
    }

    /// Has all shards stop in order.
    pub(crate) fn stop(&self) {
        if self.is_stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        lock(&self.places).clear();
        self.each_handle(|handle| {
            // Who is gone has stopped.
            let _ = handle.stop();
        });
    }

    /// Has all shards end without waiting for anything.
    pub(crate) fn stop_now(&self) {
        self.stop();
        self.each_handle(|handle| {
            let _ = handle.call_from_thread(Reactor::stop_now);
        });
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn each_handle(&self, tell: impl Fn(&ReactorHandle)) {
        for member in &self.members {
            let handle = lock(&member.handle).clone();
            handle.iter().for_each(&tell);
        }
    }

    /// A shard has failed, which ends the others. The first to say so is the one that is named.
    pub(crate) fn fail(&self, shard: usize, failure: Failure) {
        let mut first = lock(&self.failure);
        if first.is_none() {
            *first = Some(ShardFailed { shard, failure });
        } else {
            tracing::error!(target: "ropewalk::shards", shard, "another shard failed: {failure:?}");
        }
        drop(first);
        lock(&self.starting).given_up = true;
        self.changed.notify_all();
        self.stop();
    }

    pub(crate) fn take_failure(&self) -> Option<ShardFailed> {
        lock(&self.failure).take()
    }

    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    /// Calls `told` with each connection that this shard is handed.
    pub(crate) fn take_in(self: &Arc<Self>, index: usize, reactor: &Reactor) {
        let (group, carrier) = (Arc::clone(self), reactor.clone());
        self.members[index].handed.deliver(reactor, move |(place, socket)| {
            group.take_one(index, &carrier, &place, socket);
        });
    }

    /// Takes in what is on its way to this shard; what comes after that is not handed to it.
    pub(crate) fn take_the_rest(&self, index: usize, reactor: &Reactor) {
        for (place, socket) in self.members[index].handed.close() {
            self.take_one(index, reactor, &place, socket);
        }
    }

    fn take_one(&self, index: usize, reactor: &Reactor, place: &Address, socket: OwnedFd) {
        let taken = reactor.accept_for(place, socket);
        // It counts as what the reactor has before it ceases to be on its way.
        self.members[index].under_way.fetch_sub(1, Ordering::AcqRel);
        if let Err(error) = taken {
            tracing::warn!(
                target: "ropewalk::shards",
                shard = index,
                "a connection to {place} that was handed over ended at once: {error}",
            );
        }
    }
}

impl Member {
    fn load(&self) -> usize {
        self.load.load(Ordering::Acquire) + self.under_way.load(Ordering::Acquire)
    }
}

/// One shard as its reactor sees it.
pub(crate) struct Sibling {
    pub(crate) group: Arc<Group>,
    pub(crate) index: usize,
    /// How often this shard has listened at each place.
    asked: RefCell<HashMap<Address, usize>>,
    pulse: RefCell<Pulse>,
}

impl Sibling {
    pub(crate) fn new(group: &Arc<Group>, index: usize) -> Self {
        let pulse = RefCell::new(Pulse::of(group.count()));
        Self { group: Arc::clone(group), index, asked: RefCell::default(), pulse }
    }

    /// Who is to have a connection that this shard has accepted, and has so many already; nobody else, if it is to stay.
    fn taker(&self, own: usize, tolerance: usize) -> Option<&Member> {
        let members = &self.group.members;
        let mut pulse = self.pulse.borrow_mut();
        pulse.look(members.iter().map(|member| member.turns.load(Ordering::Relaxed)));
        let is_for_sleepers = pulse.has_sleepers();
        let may_have = |index: usize| !is_for_sleepers || pulse.sleeps(index);
        let others = members.iter().enumerate();
        let others = others.filter(|(index, _)| *index != self.index && may_have(*index));
        let least = others.map(|(_, member)| (member.load(), member)).min_by_key(|least| least.0);
        let stays = |least: usize| may_have(self.index) && own <= least + tolerance;
        let taker = least.and_then(|(least, member)| (!stays(least)).then_some(member));
        if is_for_sleepers {
            pulse.given();
        }
        taker
    }
}

impl Siblings for Sibling {
    fn listen(&self, place: &Address, bind: Bind<'_>) -> io::Result<(OwnedFd, Address)> {
        let mut asked = self.asked.borrow_mut();
        let before = asked.entry(place.clone()).or_default();
        let key = (place.clone(), *before);
        let mut places = lock(&self.group.places);
        // A place of the Internet has a socket for each shard, others have one for all.
        let is_own = place.ip().is_some() && self.group.dealing != Dealing::FirstCome;
        let bound = if let Some(known) = places.get_mut(&key) {
            let bound = match &known.socket {
                Some(socket) => (socket.try_clone()?, known.address.clone()),
                None => bind(&known.address, true)?,
            };
            known.takers += 1;
            if known.takers == self.group.count() {
                places.remove(&key);
            }
            bound
        } else {
            let (socket, address) = bind(place, is_own)?;
            if self.group.count() > 1 && !self.group.is_stopping() {
                let kept = if is_own { None } else { Some(socket.try_clone()?) };
                let known = Place { address: address.clone(), socket: kept, takers: 1 };
                places.insert(key, known);
            }
            (socket, address)
        };
        *before += 1;
        Ok(bound)
    }

    fn deal(&self, place: &Address, socket: OwnedFd, load: usize) -> Option<OwnedFd> {
        let Dealing::Even { tolerance } = self.group.dealing else { return Some(socket) };
        if self.group.is_stopping() {
            return Some(socket);
        }
        let this = &self.group.members[self.index];
        let own = load + this.under_way.load(Ordering::Acquire);
        let Some(member) = self.taker(own, tolerance) else {
            // The others accept at the same time, and are not to reckon with less.
            this.load.store(load + 1, Ordering::Release);
            return Some(socket);
        };
        member.under_way.fetch_add(1, Ordering::AcqRel);
        match member.handed.send((place.clone(), socket)) {
            Ok(()) => None,
            Err(error) => {
                member.under_way.fetch_sub(1, Ordering::AcqRel);
                Some(error.message.1)
            }
        }
    }

    fn loaded(&self, load: usize) {
        let this = &self.group.members[self.index];
        // Nobody else writes there, so that nothing is lost between the two.
        this.turns.store(this.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        // Looking is cheaper than writing where nothing has changed.
        if this.load.load(Ordering::Relaxed) != load {
            this.load.store(load, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use ropewalk_protocol::Address;
    use ropewalk_reactor::Siblings as _;
    use rustix::fd::OwnedFd;

    use super::{Dealing, Group, Sibling};

    /// Shards without their reactors: what each has is counted here.
    struct Shards {
        siblings: Vec<Sibling>,
        kept: Vec<usize>,
    }

    impl Shards {
        fn new(count: usize) -> Self {
            let group = Arc::new(Group::new(count, Dealing::default()));
            let siblings = (0..count).map(|index| Sibling::new(&group, index)).collect();
            Self { siblings, kept: vec![0; count] }
        }

        /// A connection comes to the socket of this shard.
        fn accept(&mut self, index: usize) {
            let place = Address::Ip(([127, 0, 0, 1], 80).into());
            let (socket, _) = io::pipe().expect("a descriptor");
            let kept = self.siblings[index].deal(&place, OwnedFd::from(socket), self.kept[index]);
            self.kept[index] += usize::from(kept.is_some());
        }

        fn turn(&self, index: usize, turns: u64) {
            for _ in 0..turns {
                self.siblings[index].loaded(self.kept[index]);
            }
        }

        fn loads(&self) -> Vec<usize> {
            self.siblings[0].group.loads()
        }
    }

    #[test]
    fn no_shard_has_more_than_its_share_wherever_they_come() {
        for count in 2..=4 {
            for seed in 0..50_u64 {
                let (mut shards, mut state) = (Shards::new(count), seed * 2 + 1);
                for connections in 1..=16 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    shards.accept((state >> 33) as usize % count);
                    let most = shards.loads().into_iter().max();
                    assert_eq!(most, Some(usize::div_ceil(connections, count)), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn who_sleeps_is_given_some_while_another_works() {
        let mut shards = Shards::new(2);
        // The first has many that say nothing.
        shards.kept[0] = 20;
        shards.turn(0, 1);
        shards.accept(0);
        assert_eq!(shards.loads(), [20, 1], "the second has fewer");
        shards.turn(1, 5000);
        let steps = [
            (1, [21, 1]),
            (0, [22, 1]),
            (0, [23, 1]),
            (1, [24, 1]),
            (1, [25, 1]),
            (1, [26, 1]),
            // That were all that go there unseen.
            (1, [26, 2]),
        ];
        for (at, loads) in steps {
            shards.accept(at);
            assert_eq!(shards.loads(), loads);
        }
        // Awake, it has its share.
        shards.turn(0, 2000);
        shards.turn(1, 2000);
        shards.accept(0);
        assert_eq!(shards.loads(), [26, 3]);
    }
}
