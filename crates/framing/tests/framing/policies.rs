//! Policies, each by itself and composed, on a clock that stands still.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_framing::policy::{
    Limits, Pace, Policy, Rate, Rates, Throttle, Timeouts, TokenBucket, TrafficLog,
};
use ropewalk_protocol::{
    Address, ClientEndpoint, Conn, Disconnect, Protocol, Seat, SeatFactory, connect,
};
use ropewalk_trial::{Clock, Memory};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

fn just_before(time: Duration) -> Duration {
    time.checked_sub(MILLISECOND).expect("at least a millisecond")
}

type Ends = Rc<RefCell<Vec<Disconnect>>>;

/// Says back what it hears, as often as its first byte says if that is a digit; stops reading at
/// `p`, closes at a full stop.
#[derive(Clone, Default)]
struct Echo(Ends);

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let times = (data[0] as char).to_digit(10).unwrap_or(1);
        for _ in 0..times {
            conn.write(data);
        }
        if data.contains(&b'p') {
            conn.pause_reading();
        }
        if data.contains(&b'.') {
            conn.close();
        }
    }

    fn eof_received(&mut self, _: &Conn<Self>) {}

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.0.borrow_mut().push(why);
    }
}

fn echoes(ends: &Ends) -> impl SeatFactory {
    let ends = Rc::clone(ends);
    move |_: &Address| Some(Echo(Rc::clone(&ends)))
}

fn someone() -> Address {
    Address::Memory("someone".to_owned())
}

/// An echo under a policy, and how it ended.
fn under(policy: impl Policy) -> (Memory, Ends) {
    let ends = Ends::default();
    let seat = policy.wrap(echoes(&ends)).seat(&someone()).expect("all are welcome");
    (Memory::take_seat(seat, &Clock::new()), ends)
}

#[track_caller]
fn check_end(memory: &mut Memory, ends: &Ends, after: Duration) {
    memory.advance(just_before(after));
    assert!(ends.borrow().is_empty(), "too early");
    memory.advance(MILLISECOND);
    assert_eq!(*ends.borrow(), [Disconnect::TimedOut]);
    assert!(memory.ended().is_some());
}

#[test]
fn idle_connections_end_to_the_millisecond() {
    let (mut memory, ends) = under(Timeouts::default());
    check_end(&mut memory, &ends, 60 * SECOND);
    assert_eq!(memory.ended(), Some(Disconnect::Closed), "the peer sees a clean end");

    let (mut memory, ends) = under(Timeouts { idle: Some(10 * SECOND), ..Timeouts::default() });
    for _ in 0..5 {
        memory.advance(just_before(10 * SECOND));
        memory.push(b"x");
    }
    check_end(&mut memory, &ends, 10 * SECOND);
    assert_eq!(memory.sent(), b"xxxxx");
}

#[test]
fn a_peer_that_takes_something_is_not_idle() {
    let (mut memory, ends) = under(Timeouts { idle: Some(10 * SECOND), ..Timeouts::default() });
    memory.set_room(0);
    memory.push(b"9876543210");
    for _ in 0..5 {
        memory.advance(9 * SECOND);
        memory.set_room(1);
    }
    check_end(&mut memory, &ends, 10 * SECOND);
    assert_eq!(memory.ended(), Some(Disconnect::TimedOut), "there was more for it");
}

#[test]
fn first_messages_have_their_time() {
    let first = Timeouts { first: Some(5 * SECOND), ..Timeouts::default() };
    let (mut memory, ends) = under(first);
    check_end(&mut memory, &ends, 5 * SECOND);
    let (mut memory, ends) = under(first);
    memory.push(b"0 is not answered");
    memory.advance(3 * SECOND);
    check_end(&mut memory, &ends, 2 * SECOND);
    let (mut memory, ends) = under(first);
    memory.push(b"x");
    check_end(&mut memory, &ends, 60 * SECOND);
}

/// Speaks up every second, unasked.
struct Ticker(Ends);

impl Ticker {
    fn tick(conn: &Conn<Self>) {
        conn.write(b"t");
        conn.call_later(SECOND, |_, conn| Self::tick(conn));
    }
}

impl Protocol for Ticker {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        Self::tick(conn);
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.0.borrow_mut().push(why);
    }
}

#[test]
fn who_speaks_is_not_idle_and_what_was_not_asked_is_no_answer() {
    let ends = Ends::default();
    let its_ends = Rc::clone(&ends);
    let timeouts =
        Timeouts { idle: Some(2 * SECOND), first: Some(90 * SECOND), ..Timeouts::default() };
    let mut server = timeouts.wrap(move |_: &Address| Some(Ticker(Rc::clone(&its_ends))));
    let seat = server.seat(&someone()).expect("all are welcome");
    let mut memory = Memory::take_seat(seat, &Clock::new());
    check_end(&mut memory, &ends, 90 * SECOND);
    assert_eq!(memory.sent().len(), 90);
}

#[test]
fn lives_have_their_time() {
    let (mut memory, ends) = under(Timeouts { total: Some(90 * SECOND), ..Timeouts::default() });
    for _ in 0..8 {
        memory.advance(10 * SECOND);
        memory.push(b"x");
    }
    check_end(&mut memory, &ends, 10 * SECOND);
}

#[test]
fn what_is_not_set_does_not_end_connections() {
    let (mut memory, ends) = under(Timeouts { idle: None, first: None, total: None });
    memory.advance(Duration::from_hours(24));
    assert_eq!(memory.push(b"x"), 1);
    memory.lose(Disconnect::Reset);
    assert_eq!(*ends.borrow(), [Disconnect::Reset]);
    assert_eq!(memory.next_call(), None);
}

fn rate(per_second: u64, burst: u64) -> Option<Rate> {
    Rate::new(per_second).map(|rate| rate.burst(burst))
}

#[test]
fn buckets_round_nothing() {
    let mut bucket = TokenBucket::new(rate(3, 10).unwrap());
    bucket.take(Duration::ZERO, 10);
    assert_eq!(bucket.wait_for(Duration::ZERO, 1), Duration::from_nanos(333_333_334));
    assert_eq!(bucket.available(Duration::from_nanos(333_333_333)), 0);
    assert_eq!(bucket.available(Duration::from_nanos(333_333_334)), 1);
    // Many small steps come to the same as a large one.
    for step in 0..=1000 {
        bucket.available(step * MILLISECOND);
    }
    assert_eq!(bucket.available(SECOND), 3);
    assert_eq!(bucket.available(1000 * SECOND), 10, "no more than the burst");
    assert_eq!(bucket.available(SECOND), 10, "time does not run backwards");
    assert_eq!(Rate::new(0), None);
}

#[test]
fn writing_is_held_to_its_rate() {
    let write = Rates { write: rate(100, 100), ..Rates::default() };
    let (mut memory, ends) = under(Throttle::each(write));
    memory.push(&[b"2", &[b'x'; 299][..]].concat());
    memory.push(b".");
    assert_eq!(memory.sent().len(), 100, "a burst goes at once");
    memory.advance(just_before(SECOND / 2));
    assert_eq!(memory.sent().len(), 100);
    memory.advance(MILLISECOND);
    assert_eq!(memory.sent().len(), 150, "and then in pieces of half a burst");
    memory.advance(SECOND * 4);
    assert_eq!((memory.sent().len(), memory.ended()), (550, None));
    // What is left is fewer than a piece, and is not waited for longer than it needs.
    memory.advance(just_before(51 * SECOND / 100));
    assert_eq!((memory.sent().len(), memory.ended()), (600, None));
    memory.advance(MILLISECOND);
    assert_eq!((memory.sent().len(), memory.ended()), (601, Some(Disconnect::Closed)));
    assert_eq!(*ends.borrow(), [Disconnect::Closed]);
}

#[test]
fn reading_is_held_to_its_rate() {
    let read = Rates { read: rate(100, 50), ..Rates::default() };
    let (mut memory, _) = under(Throttle::each(read));
    memory.push(&[b'x'; 50]);
    assert!(memory.is_reading(), "nothing is owed yet");
    memory.push(&[b'x'; 200]);
    assert!(!memory.is_reading());
    memory.advance(just_before(2 * SECOND));
    assert_eq!(memory.push(b"x"), 0);
    memory.advance(MILLISECOND);
    assert_eq!(memory.push(b"x"), 1);
    memory.advance(SECOND);
    assert_eq!(memory.push(b"p"), 1);
    memory.advance(SECOND);
    assert!(!memory.is_reading(), "the protocol above is heard too");
}

#[test]
fn a_server_has_one_rate_for_all() {
    let ends = Ends::default();
    let clock = Clock::new();
    let write = Rates { read: None, write: rate(100, 100) };
    let mut server = Throttle::all(write).wrap(echoes(&ends));
    let mut join = || Memory::take_seat(server.seat(&someone()).unwrap(), &clock);
    let (mut first, mut second) = (join(), join());
    first.push(&[b'x'; 100]);
    second.push(&[b'x'; 100]);
    assert_eq!((first.sent().len(), second.sent().len()), (100, 0));
    second.advance(SECOND / 2);
    assert_eq!(second.sent().len(), 50);
    first.push(b"x");
    assert_eq!(first.sent().len(), 100, "the second was first");
    second.advance(SECOND);
    first.advance(SECOND);
    assert_eq!(first.sent().len() + second.sent().len(), 201);
}

#[test]
fn producers_feel_a_throttle() {
    let write = Rates { write: rate(1000, 1000), ..Rates::default() };
    let ends = Ends::default();
    let (above, made) = ropewalk_protocol::seat_and_tell(Echo(ends));
    let mut above = Some(above);
    let mut state = Throttle::each(write).begin();
    let layered =
        ropewalk_framing::policy::PolicyState::admit(&mut state, &someone(), &mut || above.take());
    let mut memory = Memory::take_seat(layered.unwrap().into_seat(), &Clock::new());
    let conn = made.now_or_never().and_then(Result::ok).unwrap();
    conn.write(&vec![b'x'; 101_000]);
    assert!(conn.is_writing_paused());
    memory.run();
    assert_eq!(conn.waiting(), 100_000);
    memory.advance(83 * SECOND);
    assert!(conn.is_writing_paused(), "{} wait", conn.waiting());
    memory.advance(SECOND);
    assert!(!conn.is_writing_paused());
    memory.advance(100 * SECOND);
    assert_eq!((conn.waiting(), memory.sent().len()), (0, 101_000));
}

fn at(address: &str) -> Address {
    Address::Ip(SocketAddr::new(address.parse::<IpAddr>().unwrap(), 1))
}

#[test]
fn connections_are_counted_in_all() {
    let ends = Ends::default();
    let mut server = Limits { total: Some(2), ..Limits::default() }.wrap(echoes(&ends));
    let clock = Clock::new();
    let mut first = Memory::take_seat(server.seat(&someone()).unwrap(), &clock);
    let second = server.seat(&someone()).unwrap();
    assert!(server.seat(&someone()).is_none());
    first.lose(Disconnect::Reset);
    let third = server.seat(&someone()).unwrap();
    assert!(server.seat(&someone()).is_none());
    drop((second, third));
    assert!(server.seat(&someone()).is_some(), "one that was never made counts no longer");
}

#[test]
fn connections_are_counted_by_place() {
    let default = Limits { per_peer: Some(1), ..Limits::default() };
    let wide = Limits { v4_prefix: 24, v6_prefix: 0, ..default.clone() };
    for (limits, first, second, is_welcome) in [
        (&default, "192.0.2.1", "192.0.2.1", false),
        (&default, "192.0.2.1", "192.0.2.2", true),
        (&default, "192.0.2.1", "::ffff:192.0.2.1", false),
        (&default, "2001:db8::1", "2001:db8::ffff:0:0:1", false),
        (&default, "2001:db8:0:0::1", "2001:db8:0:1::1", true),
        (&wide, "192.0.2.1", "192.0.2.255", false),
        (&wide, "192.0.2.1", "192.0.3.1", true),
        (&wide, "2001:db8::1", "ff02::1", false),
    ] {
        let ends = Ends::default();
        let mut server = limits.clone().wrap(echoes(&ends));
        let seated = server.seat(&at(first)).expect("there is room for one");
        assert_eq!(server.seat(&at(second)).is_some(), is_welcome, "{first} and {second}");
        drop(seated);
        assert!(server.seat(&at(second)).is_some());
    }
    let mut server = default.wrap(echoes(&Ends::default()));
    let pair = (server.seat(&Address::Unnamed), server.seat(&Address::Unnamed));
    assert!(pair.0.is_some() && pair.1.is_some(), "who has no address has no place");
}

#[test]
fn those_who_are_too_many_hear_why() {
    let ends = Ends::default();
    let limits =
        Limits { total: Some(1), overflow: b"421 later, please\r\n".to_vec(), ..Limits::default() };
    let mut server = limits.wrap(echoes(&ends));
    let clock = Clock::new();
    let mut first = Memory::take_seat(server.seat(&someone()).unwrap(), &clock);
    for _ in 0..3 {
        let mut turned_away = Memory::take_seat(server.seat(&someone()).unwrap(), &clock);
        assert_eq!(turned_away.take_sent(), b"421 later, please\r\n");
        assert_eq!(turned_away.ended(), Some(Disconnect::Closed));
    }
    first.lose(Disconnect::Closed);
    let mut next = Memory::take_seat(server.seat(&someone()).unwrap(), &clock);
    next.push(b"x");
    assert_eq!(next.take_sent(), b"x");
}

#[test]
fn peers_take_what_waits_for_them() {
    let pace = Pace { take_min: Some(10), ..Pace::default() };
    let (mut memory, ends) = under(pace);
    memory.advance(100 * SECOND);
    memory.set_room(0);
    memory.push(&[b'x'; 200]);
    memory.set_room(50);
    memory.advance(just_before(5 * SECOND));
    memory.advance(MILLISECOND);
    assert_eq!(memory.ended(), None, "it was just fast enough");
    memory.set_room(49);
    check_end(&mut memory, &ends, 5 * SECOND);
    assert_eq!(memory.ended(), Some(Disconnect::TimedOut));
}

#[test]
fn peers_that_were_offered_little_are_not_slow() {
    let (mut memory, _) = under(Pace { take_min: Some(10), ..Pace::default() });
    memory.set_room(0);
    memory.push(&[b'x'; 49]);
    memory.advance(100 * SECOND);
    assert_eq!(memory.ended(), None);
    memory.set_room(u64::MAX);
    memory.advance(100 * SECOND);
    assert_eq!(memory.next_call(), None, "nobody is watched who has nothing to take");
}

#[test]
fn peers_send_as_fast_as_they_are_read() {
    let pace = Pace { send_min: Some(10), ..Pace::default() };
    let (mut memory, ends) = under(pace);
    memory.push(&[b'x'; 50]);
    memory.advance(5 * SECOND);
    memory.push(&[b'x'; 49]);
    check_end(&mut memory, &ends, 5 * SECOND);
    let (mut memory, _) = under(pace);
    memory.push(b"p");
    memory.advance(100 * SECOND);
    assert_eq!(memory.ended(), None, "nobody read from it");
}

#[test]
fn policies_are_composed_by_wrapping() {
    let ends = Ends::default();
    let rates = Rates { read: rate(1000, 1000), write: rate(10, 10) };
    let server = Throttle::each(rates).wrap(echoes(&ends));
    let server = Timeouts { idle: Some(20 * SECOND), ..Timeouts::default() }.wrap(server);
    let server = Pace { take_min: Some(1), ..Pace::default() }.wrap(server);
    let server = TrafficLog { shown_max: 16 }.wrap(server);
    let mut server = Limits { per_peer: Some(1), ..Limits::default() }.wrap(server);
    let clock = Clock::new();
    let mut memory = Memory::take_seat(server.seat(&at("192.0.2.1")).unwrap(), &clock);
    assert!(server.seat(&at("192.0.2.1")).is_none());
    memory.push(&[b'x'; 100]);
    assert_eq!(memory.sent().len(), 10);
    memory.advance(9 * SECOND);
    assert_eq!(memory.sent().len(), 100);
    check_end(&mut memory, &ends, 20 * SECOND);
    assert!(server.seat(&at("192.0.2.1")).is_some());
}

#[test]
fn any_cut_gives_the_same_under_all_policies() {
    let said = b"2one 3two 4three.";
    for size in 1..=said.len() {
        let read = Rates { read: rate(5, 1), write: rate(7, 3) };
        let ends = Ends::default();
        let lines = |_: &Address| Some(Verbatim);
        let server = TrafficLog::default().wrap(Throttle::each(read).wrap(lines));
        let mut server = Timeouts::default().wrap(Pace::default().wrap(server));
        let mut memory = Memory::take_seat(server.seat(&someone()).unwrap(), &Clock::new());
        let mut rest = &said[..];
        for _ in 0..1000 {
            rest = &rest[memory.push_in_pieces(rest, size)..];
            memory.advance(SECOND / 4);
        }
        assert_eq!(memory.take_sent(), said, "in pieces of {size}");
        assert_eq!(memory.ended(), Some(Disconnect::Closed));
        assert!(ends.borrow().is_empty());
    }
}

/// Says back what it hears, and closes at a full stop.
struct Verbatim;

impl Protocol for Verbatim {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
        if data.contains(&b'.') {
            conn.close();
        }
    }
}

/// A place that keeps who connects to it.
#[derive(Default)]
struct Place(RefCell<Vec<Box<dyn Seat>>>);

impl ClientEndpoint for &'static Place {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        self.0.borrow_mut().push(seat);
    }
}

#[test]
fn clients_are_kept_under_policies_too() {
    let place: &'static Place = Box::leak(Box::default());
    let endpoint = Limits { total: Some(1), ..Limits::default() }.wrap_client(place);
    let endpoint = Timeouts::default().wrap_client(endpoint);
    let ends = Ends::default();
    let made = connect(&endpoint, Echo(Rc::clone(&ends)));
    let refused = connect(&endpoint, Echo(Rc::clone(&ends)));
    assert_eq!(*ends.borrow(), [Disconnect::Aborted], "one is enough");
    assert!(refused.now_or_never().is_some_and(|made| made.is_err()));
    ends.borrow_mut().clear();
    let mut memory = Memory::take_seat(place.0.take().remove(0), &Clock::new());
    assert!(made.now_or_never().is_some_and(|made| made.is_ok()));
    check_end(&mut memory, &ends, 60 * SECOND);
}

#[test]
fn an_attempt_is_given_up_through_policies() {
    let place: &'static Place = Box::leak(Box::default());
    let ends = Ends::default();
    let made = connect(&Timeouts::default().wrap_client(place), Echo(Rc::clone(&ends)));
    let mut memory = Memory::take_seat(place.0.take().remove(0), &Clock::new());
    drop(made);
    memory.run();
    assert_eq!(memory.ended(), None, "who does not wait for it may still want it");
    let made = connect(&Timeouts::default().wrap_client(place), Echo(Rc::clone(&ends)));
    made.cancel();
    let mut memory = Memory::take_seat(place.0.take().remove(0), &Clock::new());
    memory.run();
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
}
