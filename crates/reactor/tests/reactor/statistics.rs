//! What a reactor counts, and what it is at.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk_deferred::deferred;
use ropewalk_protocol::{
    Address, Clock, Conn, Disconnect, LoopingCall, Port, Protocol, call_later, seat, sleep, timeout,
};
use ropewalk_reactor::{ConnectOptions, Gauge, Reactor, Statistics, TcpListenOptions, Turn};

use crate::kit::{PATIENCE, reactor, turn_until};

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Answers twice what it gets.
struct Twice;

impl Protocol for Twice {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
        conn.write(data);
        conn.count("twice_said");
    }
}

struct Ask {
    left: usize,
}

impl Protocol for Ask {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"12345");
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.left -= data.len();
        if self.left == 0 {
            conn.count("answered");
        }
    }
}

fn listen(reactor: &Reactor) -> Address {
    let twice = |_: &Address| Some(Twice);
    let port = reactor.listen_tcp(ANYWHERE, TcpListenOptions::default(), Box::new(twice)).unwrap();
    port.address()
}

fn ask(reactor: &Reactor, at: &Address) {
    let at = at.ip().unwrap();
    reactor.connect_tcp(at, ConnectOptions::default(), seat(Ask { left: 10 }));
}

fn counted(statistics: &Statistics, name: &str) -> u64 {
    statistics.counts.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count)
}

#[test]
fn connections_are_counted_by_listener_and_protocol_with_their_bytes() {
    let reactor = reactor();
    let at = listen(&reactor);
    ask(&reactor, &at);
    ask(&reactor, &at);
    turn_until(&reactor, || counted(&reactor.statistics(), "answered") == 2);
    let statistics = reactor.statistics();
    let of = |listener: &str| {
        let mut found = statistics.sources.iter().filter(|source| source.listener == listener);
        let source = found.next().unwrap().clone();
        assert!(found.next().is_none(), "{statistics:?}");
        source
    };
    let (here, there) = (of(&at.to_string()), of("outgoing"));
    assert_eq!((here.open, here.opened, here.received, here.sent), (2, 2, 10, 20));
    assert_eq!((there.open, there.opened, there.received, there.sent), (2, 2, 20, 10));
    assert!(here.protocol.ends_with("::Twice") && there.protocol.ends_with("::Ask"), "{here:?}");
    assert_eq!(counted(&statistics, "twice_said"), 2);
    assert!(statistics.turns > 0 && statistics.turn_time.count() == statistics.turns);

    let mut all = reactor.connections();
    all.sort_by_key(|connection| connection.listener == "outgoing");
    let states: Vec<_> = all.iter().map(|one| (one.state, one.received, one.sent)).collect();
    assert_eq!(states, [("open", 5, 10), ("open", 5, 10), ("open", 10, 5), ("open", 10, 5)]);
    assert!(all.iter().all(|one| one.age < PATIENCE && one.peer.ip().is_some()));

    // One end is cut from outside: both are gone, and their bytes stay counted.
    assert!(reactor.abort_connection(all[0].id));
    turn_until(&reactor, || reactor.connections().len() == 2);
    assert!(!reactor.abort_connection(all[0].id), "it is gone");
    let after = reactor.statistics();
    let ended = |cause| after.ended.iter().find(|(name, _)| *name == cause).unwrap().1;
    assert_eq!(ended("aborted"), 1, "{after:?}");
    assert_eq!(ended("reset") + ended("closed"), 1, "{after:?}");
    let sums = |statistics: &Statistics| {
        let sources = statistics.sources.iter();
        sources.fold((0, 0), |sum, source| (sum.0 + source.received, sum.1 + source.sent))
    };
    assert_eq!(sums(&after), (30, 30));
    assert_eq!(after.sources.iter().map(|source| source.open).sum::<u64>(), 2);
}

#[test]
fn a_connection_is_counted_under_the_protocol_that_has_it() {
    struct First;
    impl Protocol for First {
        fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
            conn.switch_protocol(Twice, data);
        }
    }
    let reactor = reactor();
    let first = |_: &Address| Some(First);
    let port = reactor.listen_tcp(ANYWHERE, TcpListenOptions::default(), Box::new(first)).unwrap();
    ask(&reactor, &port.address());
    turn_until(&reactor, || counted(&reactor.statistics(), "answered") == 1);
    let statistics = reactor.statistics();
    let of = |name: &str| {
        let mut sources = statistics.sources.iter();
        let source = sources.find(|source| source.protocol.ends_with(name)).unwrap();
        (source.open, source.opened, source.received)
    };
    assert_eq!(of("::First"), (0, 1, 0));
    assert_eq!(of("::Twice"), (1, 0, 5));
}

#[test]
fn an_observer_in_another_thread_names_what_holds_the_loop_up() {
    struct Stuck {
        until: mpsc::Receiver<()>,
    }
    impl Protocol for Stuck {
        fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
            self.until.recv().unwrap();
            conn.count("went_on");
        }
    }
    let reactor = reactor();
    let (go_on, mut until) = {
        let (sender, receiver) = mpsc::channel();
        (sender, Some(receiver))
    };
    let stuck = move |_: &Address| Some(Stuck { until: until.take()? });
    let port = reactor.listen_tcp(ANYWHERE, TcpListenOptions::default(), Box::new(stuck)).unwrap();
    ask(&reactor, &port.address());
    let observer = reactor.observer();
    assert_eq!(observer.turn(), None, "no turn is under way");
    let wanted = port.address().to_string();
    let looks_on = move || {
        let is_it = |turn: &Turn| turn.runs.contains("::Stuck") && turn.runs.contains(&wanted);
        loop {
            match observer.turn().filter(is_it) {
                Some(turn) if turn.lasts > Duration::from_millis(20) => break,
                _ => thread::yield_now(),
            }
        }
        let _ = go_on.send(());
        observer.thread()
    };
    let other = thread::Builder::new().spawn(looks_on).unwrap();
    turn_until(&reactor, || counted(&reactor.statistics(), "went_on") == 1);
    let thread = other.join().unwrap();
    if cfg!(target_os = "linux") {
        assert!(thread.is_some_and(|id| std::fs::exists(format!("/proc/self/task/{id}")).unwrap()));
    }
    let statistics = reactor.statistics();
    assert!(statistics.turn_time.max() > Duration::from_millis(20), "{statistics:?}");
    assert!(statistics.turn_time.sum() <= statistics.age.mul_f64(1.05), "{statistics:?}");
}

#[test]
fn timers_that_are_asked_for_through_a_pointer_name_who_asked() {
    let reactor = reactor();
    let pointer: Rc<dyn Clock> = Rc::new(reactor.clone());
    let mut lines = Vec::new();
    let mut here = |line| lines.push(line);
    let _call = call_later(&*pointer, PATIENCE, || ());
    here(line!() - 1);
    let _counted = pointer.schedule(PATIENCE, Box::new(|| ()));
    here(line!() - 1);
    let asleep = sleep(&*pointer, PATIENCE);
    here(line!() - 1);
    let patient = timeout(&*pointer, PATIENCE, sleep(&reactor, PATIENCE * 2));
    here(line!() - 1);
    here(line!() - 2);
    let (_looping, ended) = LoopingCall::start_later(Rc::clone(&pointer), PATIENCE, |_| ());
    here(line!() - 1);
    let mut told: Vec<u32> = reactor
        .timers()
        .iter()
        .map(|(at, _)| {
            assert!(at.file().ends_with("statistics.rs"), "{at}");
            at.line()
        })
        .collect();
    told.sort_unstable();
    lines.sort_unstable();
    assert_eq!(told, lines);
    for waiting in [asleep, patient, ended] {
        waiting.cancel();
    }
}

#[test]
fn deferreds_are_listed_where_somebody_wants_it() {
    let reactor = reactor();
    assert!(reactor.deferreds().is_none());
    reactor.follow_deferreds(true);
    let (promise, answer) = deferred::<()>();
    let line = line!() - 1;
    let answer = answer.map(|()| ());
    let all = reactor.deferreds().unwrap();
    assert_eq!((all.len(), all[0].made_at.line()), (1, line));
    assert_eq!(all[0].heard_at.unwrap().line(), line + 2);
    let old = Duration::from_millis(5);
    // Turns have the time by which age is told, and there is one when this is due.
    let _turn = call_later(&reactor, old, || ());
    turn_until(&reactor, || reactor.deferreds().unwrap()[0].age >= old);
    promise.succeed(());
    assert!(answer.now_or_never().is_some());
    assert!(reactor.deferreds().unwrap().is_empty());
    reactor.follow_deferreds(false);
    assert!(reactor.deferreds().is_none());
}

#[test]
fn calls_tasks_and_jobs_tell_of_themselves() {
    let reactor = reactor();
    let waiting = call_later(&reactor, PATIENCE, || ());
    let line = line!() - 1;
    let (at, due) = reactor.timers()[0];
    assert_eq!((at.line(), at.file().ends_with("statistics.rs")), (line, true));
    assert!(due >= PATIENCE, "{due:?}");
    waiting.cancel();
    assert!(reactor.timers().is_empty());

    let done = reactor.defer_to_thread(|| Ok::<_, Disconnect>(()));
    reactor.run_until(done).unwrap();
    assert_eq!(reactor.statistics().pool_waits.count(), 1);

    let probe = reactor.add_probe(|gauges| {
        gauges.push(Gauge { name: "depth", of: "the well".to_owned(), value: 7.0 });
    });
    assert_eq!(reactor.statistics().gauges.len(), 1);
    drop(probe);
    assert_eq!(reactor.statistics().gauges, []);
}

#[test]
fn whoever_is_turned_away_is_counted() {
    let reactor = reactor();
    let nobody = |_: &Address| None::<Twice>;
    let port = reactor.listen_tcp(ANYWHERE, TcpListenOptions::default(), Box::new(nobody)).unwrap();
    ask(&reactor, &port.address());
    turn_until(&reactor, || reactor.statistics().turned_away == 1);
}
