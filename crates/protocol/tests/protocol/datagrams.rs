//! The promises to datagram protocols, in memory.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Cancelled, Failure, deferred};
use ropewalk_protocol::{
    Address, DATAGRAM_OVERHEAD, DATAGRAMS_HELD_MAX, DatagramEndpoint, DatagramEvent, DatagramPort,
    DatagramProtocol, DatagramQueue, DatagramSeat, Disconnect, Interface, Membership,
    MulticastChange, MulticastError, Outgoing, SEND_QUEUE_MAX, SendError, connect_datagrams,
    open_datagrams, seat_datagrams,
};
use ropewalk_trial::{Clock, MemoryDatagrams};

const SECOND: Duration = Duration::from_secs(1);

type Log = Rc<RefCell<Vec<String>>>;
type React = Box<dyn FnMut(&mut Witness, &DatagramPort<Witness>, &str)>;

/// Writes down what it is told, and does what the test wants on top.
struct Witness {
    log: Log,
    react: Option<React>,
}

impl Witness {
    fn new(react: impl FnMut(&mut Self, &DatagramPort<Self>, &str) + 'static) -> (Self, Log) {
        let log = Log::default();
        (Self { log: Rc::clone(&log), react: Some(Box::new(react)) }, log)
    }

    fn note(&mut self, port: &DatagramPort<Self>, line: impl Into<String>) {
        let line = line.into();
        self.log.borrow_mut().push(line.clone());
        if let Some(mut react) = self.react.take() {
            react(self, port, &line);
            self.react = Some(react);
        }
    }
}

impl DatagramProtocol for Witness {
    fn started(&mut self, port: &DatagramPort<Self>) {
        self.note(port, "started");
    }

    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        self.note(port, format!("{} from {from}", String::from_utf8_lossy(data)));
    }

    fn datagram_truncated(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        self.note(port, format!("{}… from {from}", String::from_utf8_lossy(data)));
    }

    fn connection_refused(&mut self, port: &DatagramPort<Self>) {
        self.note(port, "refused");
    }

    fn send_failed(&mut self, port: &DatagramPort<Self>, to: Option<&Address>, why: SendError) {
        let to = to.map_or("peer".to_owned(), Address::to_string);
        self.note(port, format!("unsent to {to}: {why:?}"));
    }

    fn writing_resumed(&mut self, port: &DatagramPort<Self>) {
        self.note(port, "resumed");
    }

    fn stopped(&mut self, port: &DatagramPort<Self>, why: Disconnect) {
        self.note(port, format!("stopped: {why:?}"));
    }
}

/// Seats a witness that reacts so.
fn witness(
    react: impl FnMut(&mut Witness, &DatagramPort<Witness>, &str) + 'static,
) -> (MemoryDatagrams, DatagramPort<Witness>, Log) {
    let (witness, log) = Witness::new(react);
    let (memory, port) = MemoryDatagrams::seat_with_port(witness, &Clock::new());
    (memory, port, log)
}

fn silent() -> (MemoryDatagrams, DatagramPort<Witness>, Log) {
    witness(|_, _, _| ())
}

fn somebody() -> Address {
    Address::Memory("somebody".to_owned())
}

fn other() -> Address {
    Address::Memory("other".to_owned())
}

#[track_caller]
fn check(log: &Log, expected: &[&str]) {
    assert_eq!(*log.borrow(), expected);
}

/// Bytes that leave room for just the overhead.
fn filler(size: usize) -> Vec<u8> {
    vec![b'x'; size - DATAGRAM_OVERHEAD]
}

#[test]
fn start_comes_first_and_stop_last_and_once() {
    let (mut memory, port, log) = silent();
    assert!(port.is_open() && !port.is_over());
    memory.push(b"one", &somebody());
    memory.stop(Disconnect::Unreachable);
    memory.stop(Disconnect::Closed);
    assert!(!memory.push(b"late", &somebody()));
    port.abort();
    memory.run();
    check(&log, &["started", "one from memory:somebody", "stopped: Unreachable"]);
    assert!(!port.is_open() && port.is_over());
    assert_eq!(port.send_to(b"late", &somebody()), Err(SendError::Closed));
}

#[test]
fn a_port_that_was_never_opened_is_told_so_alone() {
    let (witness, log) = Witness::new(|_, _, _| ());
    let mut seat = seat_datagrams(witness);
    seat.handle(DatagramEvent::Stopped(Disconnect::Failed(std::io::ErrorKind::AddrInUse)));
    seat.handle(DatagramEvent::Started { connected: false });
    check(&log, &["stopped: Failed(AddrInUse)"]);
}

#[test]
fn datagrams_come_whole_and_empty_ones_too() {
    let (mut memory, port, log) = silent();
    memory.push(b"", &somebody());
    memory.push(b"two words", &other());
    memory.push_truncated(b"begin", &somebody());
    check(
        &log,
        &[
            "started",
            " from memory:somebody",
            "two words from memory:other",
            "begin… from memory:somebody",
        ],
    );
    port.send_to(b"", &other()).unwrap();
    assert_eq!(memory.take_sent(), [(Vec::new(), other())]);
}

#[test]
fn what_one_turn_sends_leaves_together_and_in_order() {
    let (mut memory, port, _) = witness(|_, port, line| {
        if line.starts_with('a') {
            port.send_to(b"1", &somebody()).unwrap();
            port.send_with(Some(&other()), |out| out.extend_from_slice(b"22")).unwrap();
        }
    });
    memory.push_together(&[(b"a", &somebody()), (b"a", &somebody())]);
    port.send_to(b"from outside", &other()).unwrap();
    let sent = memory.take_sent();
    let said: Vec<_> = sent.iter().map(|(data, _)| String::from_utf8_lossy(data)).collect();
    assert_eq!(said, ["1", "22", "1", "22", "from outside"]);
    assert_eq!([&sent[0].1, &sent[1].1], [&somebody(), &other()]);
}

#[test]
fn only_connected_ports_have_a_peer() {
    let (_memory, port, _) = silent();
    assert_eq!(port.send(b"x"), Err(SendError::NotConnected));
    assert_eq!(port.peer(), Address::Unnamed);

    let (witness, log) = Witness::new(|_, port, line| {
        if line == "started" {
            assert_eq!(port.peer(), somebody());
            assert_eq!(port.local(), Address::Memory("local".to_owned()));
            port.send(b"question").unwrap();
        }
    });
    let mut memory = MemoryDatagrams::seat_connected(witness, somebody(), &Clock::new());
    assert_eq!(memory.take_sent(), [(b"question".to_vec(), somebody())]);
    assert!(!memory.push(b"forged", &other()));
    assert!(memory.push(b"answer", &somebody()));
    // Statement 77: the port stays open when it is refused.
    memory.refuse();
    assert!(memory.push(b"more", &somebody()));
    check(
        &log,
        &["started", "answer from memory:somebody", "refused", "more from memory:somebody"],
    );
}

#[test]
fn a_failed_send_is_told_and_the_rest_goes() {
    let (mut memory, port, log) = silent();
    memory.fail_next(SendError::TooLong);
    port.send_to(b"long", &somebody()).unwrap();
    port.send_to(b"short", &other()).unwrap();
    assert_eq!(memory.take_sent(), [(b"short".to_vec(), other())]);
    check(&log, &["started", "unsent to memory:somebody: TooLong"]);
}

#[test]
fn the_queue_is_bounded_and_tells_when_it_has_room_again() {
    let (mut memory, port, log) = silent();
    memory.set_room(0);
    port.send_to(&filler(SEND_QUEUE_MAX / 2), &somebody()).unwrap();
    port.send_to(&filler(SEND_QUEUE_MAX / 2), &somebody()).unwrap();
    assert_eq!(port.waiting(), SEND_QUEUE_MAX);
    assert_eq!(port.send_to(b"", &somebody()), Err(SendError::QueueFull));
    assert_eq!(port.send_with(Some(&somebody()), |_| ()), Err(SendError::QueueFull));
    memory.run();
    check(&log, &["started"]);
    memory.set_room(1);
    assert_eq!(port.waiting(), SEND_QUEUE_MAX / 2);
    check(&log, &["started", "resumed"]);
    memory.set_room(1);
    check(&log, &["started", "resumed"]);
    assert_eq!(memory.take_sent().len(), 2);
}

#[test]
fn who_tries_again_at_once_does_not_spin() {
    let big = filler(700);
    let (mut memory, port, log) = witness(move |_, port, line| {
        if line == "started" {
            port.set_queue_max(1000);
            port.send_to(&filler(400), &somebody()).unwrap();
        }
        if line == "resumed" || line.starts_with("go") {
            assert_eq!(port.send_to(&big, &somebody()).is_ok(), port.waiting() == 700);
        }
    });
    memory.set_room(0);
    port.send_to(&filler(400), &somebody()).unwrap();
    memory.push(b"go", &other());
    memory.run();
    assert_eq!(log.borrow().len(), 2);
    memory.set_room(usize::MAX);
    check(&log, &["started", "go from memory:other", "resumed"]);
    assert_eq!(memory.take_sent().len(), 3);
}

#[test]
fn a_datagram_that_never_fits_is_too_long() {
    let (_memory, port, _) = silent();
    port.set_queue_max(100);
    assert_eq!(port.send_to(&filler(101), &somebody()), Err(SendError::TooLong));
    assert_eq!(
        port.send_with(Some(&somebody()), |out| out.extend_from_slice(&filler(101))),
        Err(SendError::TooLong),
    );
    port.send_to(&filler(100), &somebody()).unwrap();
}

#[test]
fn nothing_comes_while_reading_is_paused_and_what_was_under_way_comes_after() {
    let (mut memory, port, log) = witness(|_, port, line| {
        if line.starts_with("stop") {
            port.pause_reading();
        }
    });
    let from = somebody();
    memory.push_together(&[
        (b"1", &from),
        (b"stop", &from),
        (b"2", &from),
        (b"stop", &from),
        (b"3", &from),
    ]);
    assert!(!memory.is_reading());
    assert!(!memory.push(b"lost", &from));
    assert_eq!(log.borrow().last().unwrap(), "stop from memory:somebody");
    port.resume_reading();
    memory.run();
    assert_eq!(log.borrow().len(), 5);
    port.resume_reading();
    memory.run();
    let last: Vec<_> = log.borrow().iter().map(|line| line[..1].to_owned()).collect();
    assert_eq!(last.concat(), "s1s2s3");
}

#[test]
fn what_is_held_back_is_bounded() {
    let (mut memory, port, log) = silent();
    port.pause_reading();
    let (from, half) = (somebody(), filler(DATAGRAMS_HELD_MAX / 2));
    memory.push_together(&[(&half, &from), (&half, &from), (b"", &from)]);
    port.resume_reading();
    memory.run();
    assert_eq!(log.borrow().len(), 3);
}

#[test]
fn close_sends_what_waits_and_abort_forgets_it() {
    let (mut memory, port, log) = silent();
    memory.set_room(0);
    port.send_to(b"last", &somebody()).unwrap();
    port.close();
    port.close();
    assert_eq!(port.send_to(b"too late", &somebody()), Err(SendError::Closed));
    memory.run();
    assert_eq!(memory.ended(), None);
    memory.set_room(1);
    assert_eq!(memory.take_sent(), [(b"last".to_vec(), somebody())]);
    check(&log, &["started", "stopped: Closed"]);

    let (mut memory, port, log) = silent();
    port.send_to(b"last", &somebody()).unwrap();
    port.abort();
    assert_eq!(memory.take_sent(), []);
    check(&log, &["started", "stopped: Aborted"]);
}

#[test]
fn a_network_that_takes_nothing_does_not_keep_a_port_open_for_ever() {
    let (mut memory, port, log) = silent();
    memory.set_room(0);
    port.send_to(b"last", &somebody()).unwrap();
    port.close();
    memory.advance(29 * SECOND);
    assert_eq!(memory.ended(), None);
    memory.advance(SECOND);
    check(&log, &["started", "stopped: Aborted"]);
}

#[test]
fn calls_and_results_come_home_and_die_with_the_port() {
    let (mut memory, port, log) = silent();
    port.call_later(SECOND, |this, port| this.note(port, "one"));
    let two = port.call_later(2 * SECOND, |this, port| this.note(port, "two"));
    let never = port.call_later(SECOND, |this, port| this.note(port, "never"));
    assert!(port.cancel_call(never) && !port.cancel_call(never));
    assert!(port.reset_call(two, 3 * SECOND));
    let (promise, result) = deferred::<u32>();
    port.then(result, |this, port, result| this.note(port, format!("{}", result.unwrap())));
    memory.advance(2 * SECOND);
    check(&log, &["started", "one"]);
    promise.succeed(7);
    memory.advance(SECOND);
    check(&log, &["started", "one", "7", "two"]);

    let (promise, result) = deferred::<u32>();
    let cancelled = Rc::new(RefCell::new(false));
    let seen = Rc::clone(&cancelled);
    promise.on_cancel(move || *seen.borrow_mut() = true);
    port.then(result, |this, port, _| this.note(port, "a result after the end"));
    port.call_later(SECOND, |this, port| this.note(port, "a call after the end"));
    memory.stop(Disconnect::Closed);
    assert!(*cancelled.borrow());
    memory.advance(SECOND);
    check(&log, &["started", "one", "7", "two", "stopped: Closed"]);
}

#[test]
fn a_panic_costs_one_call_and_not_the_port() {
    // Statement 77: an exception in datagramReceived is logged, and the port stays.
    let (mut memory, _, log) = witness(|_, _, line| assert!(!line.starts_with("bad"), "as asked"));
    memory.push(b"bad", &somebody());
    memory.push(b"good", &somebody());
    check(&log, &["started", "bad from memory:somebody", "good from memory:somebody"]);

    let (witness, log) = Witness::new(|_, _, line| assert_ne!(line, "started", "as asked"));
    let memory = MemoryDatagrams::seat(witness, &Clock::new());
    assert_eq!(memory.ended(), Some(Disconnect::Panicked));
    check(&log, &["started", "stopped: Panicked"]);
}

#[test]
fn groups_are_joined_and_left() {
    let (memory, port, _) = silent();
    let group = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251));
    let nobody = IpAddr::V4(Ipv4Addr::LOCALHOST);
    port.join_group(group, Interface::Index(1)).unwrap();
    assert_eq!(port.join_group(group, Interface::Index(1)), Err(MulticastError::AlreadyJoined));
    assert_eq!(port.join_group(nobody, Interface::Any), Err(MulticastError::NotAGroup(nobody)));
    let joined = Membership { group, interface: Interface::Index(1), source: None };
    assert_eq!(memory.groups(), [joined]);
    port.leave_group(group, Interface::Index(1)).unwrap();
    assert_eq!(port.leave_group(group, Interface::Index(1)), Err(MulticastError::NotJoined));
    port.change_multicast(MulticastChange::Hops(4)).unwrap();
    port.change_multicast(MulticastChange::Loopback(false)).unwrap();
    let settings = port.multicast_settings().unwrap();
    assert_eq!((settings.hops, settings.loopback), (4, false));
    drop(memory);
    assert_eq!(port.join_group(group, Interface::Any), Err(MulticastError::Unsupported));
}

/// A place where ports can be opened, or not.
struct Place {
    opened: RefCell<Vec<MemoryDatagrams>>,
    refuses: bool,
}

impl DatagramEndpoint for Place {
    fn open_seat(&self, peer: Option<&Address>, mut seat: Box<dyn DatagramSeat>) {
        if self.refuses {
            return seat.handle(DatagramEvent::Stopped(Disconnect::Unreachable));
        }
        let port = MemoryDatagrams::take_seat(seat, peer.cloned(), &Clock::new());
        self.opened.borrow_mut().push(port);
    }
}

#[test]
fn places_open_ports_or_say_why_not() {
    let place = Place { opened: RefCell::default(), refuses: false };
    let opened = open_datagrams(&place, Witness::new(|_, _, _| ()).0);
    let port = opened.now_or_never().unwrap().unwrap();
    port.send_to(b"x", &other()).unwrap();
    let connected = connect_datagrams(&place, &somebody(), Witness::new(|_, _, _| ()).0);
    let connected = connected.now_or_never().unwrap().unwrap();
    connected.send(b"y").unwrap();
    let sent: Vec<_> =
        place.opened.borrow_mut().iter_mut().map(MemoryDatagrams::take_sent).collect();
    assert_eq!(sent.concat(), [(b"x".to_vec(), other()), (b"y".to_vec(), somebody())]);

    let nowhere = Place { opened: RefCell::default(), refuses: true };
    let (witness, log) = Witness::new(|_, _, _| ());
    let failure: Failure = open_datagrams(&nowhere, witness).now_or_never().unwrap().unwrap_err();
    assert_eq!(failure.downcast::<Disconnect>().ok(), Some(Disconnect::Unreachable));
    check(&log, &["stopped: Unreachable"]);
}

#[test]
fn an_opening_that_is_cancelled_is_given_up() {
    let (witness, log) = Witness::new(|_, _, _| ());
    let (seat, opened) = ropewalk_protocol::seat_datagrams_and_tell(witness);
    let heard = Rc::new(RefCell::new(None));
    let hears = Rc::clone(&heard);
    let canceller = opened.on_result(move |result| {
        *hears.borrow_mut() =
            Some(result.is_err_and(|failure| failure.check::<Cancelled>().is_some()));
    });
    canceller.cancel();
    let memory = MemoryDatagrams::take_seat(seat, None, &Clock::new());
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
    check(&log, &["stopped: Aborted"]);
    assert_eq!(*heard.borrow(), Some(true));
}

#[test]
fn queues_keep_datagrams_apart_and_their_bytes_together() {
    let mut queue = DatagramQueue::default();
    for round in 0..200_u32 {
        for size in [0, 1, 700, 3] {
            queue.push(&vec![round as u8; size], (size > 1).then(somebody).as_ref());
        }
        queue.advance(3);
    }
    assert_eq!(queue.len(), 200);
    let bytes: usize = queue.iter().map(|each| each.data.len()).sum();
    assert_eq!(queue.bytes().len(), bytes);
    assert_eq!(queue.size(), bytes + 200 * DATAGRAM_OVERHEAD);
    let mut sizes = Vec::new();
    for Outgoing { data, to } in queue.iter() {
        assert_eq!(to.is_some(), data.len() > 1);
        assert!(data.windows(2).all(|pair| pair[0] == pair[1]));
        sizes.push(data.len());
    }
    assert_eq!(sizes[..4], [0, 1, 700, 3]);
    let mut more = DatagramQueue::default();
    more.push(b"behind", None);
    queue.append(&more);
    queue.advance(200);
    assert_eq!(queue.front().unwrap().data, b"behind");
    queue.advance(7);
    assert!(queue.is_empty() && queue.bytes().is_empty() && queue.capacity() > 0);
}
