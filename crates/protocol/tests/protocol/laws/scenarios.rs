//! One scenario a promise. They are run once for each way of carrying a seat: `super::carry`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_deferred::{Cancelled, Failure, Promise, deferred};
use ropewalk_protocol::{
    Address, Conn, Disconnect, Event, Marks, Protocol, Transport, seat, seat_and_tell, sleep,
};
use ropewalk_trial::{Clock, Memory};

use super::carry;

type Log = Rc<RefCell<Vec<String>>>;
type React = Box<dyn FnMut(&mut Witness, &Conn<Witness>, &str)>;

/// Writes down what it is told, and does what the test wants on top.
struct Witness {
    log: Log,
    react: Option<React>,
}

impl Witness {
    fn new(react: impl FnMut(&mut Self, &Conn<Self>, &str) + 'static) -> (Self, Log) {
        let log = Log::default();
        (Self { log: Rc::clone(&log), react: Some(Box::new(react)) }, log)
    }

    fn note(&mut self, conn: &Conn<Self>, line: impl Into<String>) {
        let line = line.into();
        self.log.borrow_mut().push(line.clone());
        if let Some(mut react) = self.react.take() {
            react(self, conn, &line);
            self.react = Some(react);
        }
    }
}

impl Protocol for Witness {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.note(conn, "made");
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.note(conn, String::from_utf8_lossy(data));
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.note(conn, "eof");
    }

    fn writing_paused(&mut self, conn: &Conn<Self>) {
        self.note(conn, "paused");
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.note(conn, "resumed");
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        self.note(conn, format!("lost: {why:?}"));
    }
}

/// Seats a witness that reacts so.
fn witness(react: impl FnMut(&mut Witness, &Conn<Witness>, &str) + 'static) -> (Memory, Log) {
    let (witness, log) = Witness::new(react);
    (Memory::take_seat(carry(seat(witness)), &Clock::new()), log)
}

#[track_caller]
fn check(log: &Log, expected: &[&str]) {
    assert_eq!(*log.borrow(), expected);
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn connections_begin_and_end_once() {
    let (mut memory, log) = witness(|_, _, _| ());
    memory.push(b"a");
    memory.push(b"b");
    memory.eof();
    memory.lose(Disconnect::Reset);
    memory.lose(Disconnect::Closed);
    memory.push(b"c");
    check(&log, &["made", "a", "b", "eof", "lost: Reset"]);
}

#[test]
fn close_delivers_what_was_written_before_it() {
    let (mut memory, log) = witness(|_, conn, line| {
        if line == "go" {
            conn.write(b"one ");
            conn.write_bytes(Bytes::from(vec![b'x'; 10_000]));
            conn.write(b"two");
            conn.close();
            conn.write(b"never");
        }
    });
    memory.set_room(5);
    memory.push(b"go");
    assert_eq!(memory.ended(), None);
    assert_eq!(memory.push(b"deaf"), 0, "a closing connection does not read");
    memory.set_room(u64::MAX);
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
    let sent = memory.take_sent();
    assert!(sent.starts_with(b"one xxx") && sent.ends_with(b"xxxtwo"), "{} bytes", sent.len());
    assert_eq!(sent.len(), 4 + 10_000 + 3);
    check(&log, &["made", "go", "lost: Closed"]);
}

#[test]
fn abort_delivers_nothing_more() {
    let (mut memory, log) = witness(|_, conn, line| {
        if line == "go" {
            conn.write(b"never");
            conn.abort();
            conn.abort();
        }
    });
    memory.push(b"go");
    assert_eq!(memory.sent(), b"");
    check(&log, &["made", "go", "lost: Aborted"]);
}

#[test]
fn a_closing_connection_does_not_wait_for_ever() {
    let (mut memory, log) = witness(|_, conn, line| {
        if line == "go" {
            conn.write(b"0123456789");
            conn.close();
        }
    });
    memory.set_room(2);
    memory.push(b"go");
    memory.advance(29 * SECOND);
    memory.set_room(2);
    memory.advance(30 * SECOND);
    assert_eq!(memory.ended(), None, "it moved a little, so it may go on");
    memory.advance(SECOND);
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
    assert_eq!(memory.sent(), b"0123");
    check(&log, &["made", "go", "lost: Aborted"]);
}

#[test]
fn nothing_is_heard_while_reading_is_paused() {
    let (mut memory, log) = witness(|_, conn, line| {
        if line == "stop" {
            conn.pause_reading();
            conn.call_later(SECOND, |_, conn| conn.resume_reading());
        }
    });
    memory.push(b"stop");
    assert!(!memory.is_reading());
    assert_eq!(memory.push(b"lost"), 0);
    memory.eof();
    check(&log, &["made", "stop"]);
    memory.advance(SECOND);
    check(&log, &["made", "stop", "eof"]);
}

#[test]
fn producers_hear_of_both_marks() {
    let (mut memory, log) = witness(|_, conn, line| {
        if line == "made" {
            conn.set_marks(Marks::default().between(4, 8));
        }
        if line == "go" {
            assert!(!conn.is_writing_paused());
            conn.write(b"012345678");
            assert!(conn.is_writing_paused());
        }
    });
    memory.set_room(0);
    memory.push(b"go");
    memory.set_room(4);
    check(&log, &["made", "go", "paused"]);
    memory.set_room(1);
    check(&log, &["made", "go", "paused", "resumed"]);
    assert_eq!(memory.sent(), b"01234");
}

#[test]
fn producers_may_rely_on_the_marks_alone() {
    fn produce(conn: &Conn<Witness>) {
        while !conn.is_writing_paused() {
            conn.write(&[b'x'; 1000]);
        }
    }
    let (mut memory, _) = witness(|_, conn, line| match line {
        "go" | "resumed" if conn.waiting() < 1_000_000 => produce(conn),
        _ => (),
    });
    memory.set_room(1_000_000);
    memory.push(b"go");
    assert_eq!(memory.sent().len(), 1_000_000);
}

#[test]
fn output_without_bound_ends_the_connection() {
    let (mut memory, log) = witness(|_, conn, line| {
        if line == "made" {
            conn.set_marks(Marks::default().at_most(100));
        }
        if line == "go" {
            conn.write(&[0; 101]);
        }
    });
    memory.push(b"go");
    check(&log, &["made", "go", "lost: Overflowed"]);
}

#[test]
fn calls_come_at_their_time_and_in_their_order() {
    let (mut memory, log) = witness(|_, conn, line| {
        if line == "made" {
            conn.call_later(2 * SECOND, |this, conn| this.note(conn, "two"));
            conn.call_later(SECOND, |this, conn| this.note(conn, "one a"));
            conn.call_later(SECOND, |this, conn| this.note(conn, "one b"));
            let dropped = conn.call_later(SECOND, |this, conn| this.note(conn, "never"));
            assert!(conn.cancel_call(dropped) && !conn.cancel_call(dropped));
            let moved = conn.call_later(SECOND, |this, conn| this.note(conn, "three"));
            assert!(conn.reset_call(moved, 3 * SECOND));
        }
    });
    memory.advance(SECOND);
    check(&log, &["made", "one a", "one b"]);
    memory.advance(SECOND * 9);
    check(&log, &["made", "one a", "one b", "two", "three"]);
}

#[test]
fn calls_made_by_calls_wait_for_the_next_turn() {
    fn again(this: &mut Witness, conn: &Conn<Witness>) {
        this.note(conn, "again");
        let count = this.log.borrow().len();
        if count < 200 {
            conn.call_later(Duration::ZERO, again);
        }
    }
    let (mut memory, log) = witness(|_, conn, line| {
        if line == "made" {
            conn.call_later(Duration::ZERO, again);
        }
    });
    memory.run();
    assert_eq!(log.borrow().len(), 200);
}

#[test]
fn nothing_comes_after_the_end() {
    let (promise, waiting) = deferred::<()>();
    let kept: Rc<RefCell<Option<Conn<Witness>>>> = Rc::default();
    let (keep, mut waiting) = (Rc::clone(&kept), Some(waiting));
    let (mut memory, log) = witness(move |_, conn, line| {
        if line == "made" {
            keep.replace(Some(conn.clone()));
            conn.call_later(SECOND, |this, conn| this.note(conn, "never"));
            if let Some(waiting) = waiting.take() {
                conn.then(waiting, |this, conn, _| this.note(conn, "never"));
            }
        }
    });
    memory.lose(Disconnect::Reset);
    assert!(promise.is_cancelled(), "what the connection waited for is cancelled with it");
    promise.succeed(());
    let conn = kept.take().unwrap();
    conn.write(b"never");
    conn.call_later(Duration::ZERO, |this, conn| this.note(conn, "never"));
    memory.advance(10 * SECOND);
    assert_eq!(memory.sent(), b"");
    check(&log, &["made", "lost: Reset"]);
}

#[test]
fn results_come_home_through_the_queue() {
    let promises: Rc<RefCell<Vec<Promise<u32>>>> = Rc::default();
    let asked = Rc::clone(&promises);
    let (mut memory, log) = witness(move |_, conn, line| {
        if line == "ask" {
            let (promise, waiting) = deferred();
            asked.borrow_mut().push(promise);
            conn.then(waiting, |this, conn, result: Result<u32, Failure>| {
                this.note(conn, format!("{:?}", result.ok()));
            });
        }
    });
    memory.push(b"ask");
    memory.push(b"ask");
    let [first, second] = <[_; 2]>::try_from(promises.take()).ok().unwrap();
    second.succeed(2);
    drop(first);
    check(&log, &["made", "ask", "ask"]);
    memory.run();
    check(&log, &["made", "ask", "ask", "Some(2)", "None"]);
}

#[test]
fn panics_end_their_connection_alone() {
    for when in ["made", "go", "lost: Panicked"] {
        let (mut memory, log) = witness(move |_, _, line| {
            assert!(line != when, "this panic is part of the test");
            assert!(line != "go", "and so is this one");
        });
        memory.push(b"go");
        assert_eq!(memory.ended(), Some(Disconnect::Panicked));
        assert_eq!(log.borrow().last().unwrap(), "lost: Panicked");
        assert_eq!(log.borrow().iter().filter(|line| line.starts_with("lost")).count(), 1);
    }
}

/// Takes over and says so.
struct Heir(Log, bool);

impl Protocol for Heir {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b" new");
        self.0.borrow_mut().push("heir made".to_owned());
        if self.1 {
            conn.pause_reading();
            conn.call_later(SECOND, |_, conn| conn.resume_reading());
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
        self.0.borrow_mut().push(format!("heir: {}", String::from_utf8_lossy(data)));
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.0.borrow_mut().push(format!("heir lost: {why:?}"));
    }
}

#[test]
fn protocols_are_switched_in_place() {
    for paused in [false, true] {
        let (mut memory, log) = witness(move |this, conn, line| {
            if line == "switch" {
                conn.call_later(SECOND, |this, conn| this.note(conn, "never"));
                conn.write(b"old");
                conn.switch_protocol(Heir(Rc::clone(&this.log), paused), b" rest");
                conn.write(b"never");
            }
        });
        memory.push(b"switch");
        assert_eq!(memory.push(b" more") == 0, paused);
        memory.advance(2 * SECOND);
        memory.lose(Disconnect::Reset);
        let mut expected = vec!["made", "switch", "lost: Switched", "heir made", "heir:  rest"];
        expected.extend((!paused).then_some("heir:  more"));
        expected.push("heir lost: Reset");
        check(&log, &expected);
        let sent: &[u8] = if paused { b"old new rest" } else { b"old new rest more" };
        assert_eq!(memory.sent(), sent);
    }
}

#[test]
fn verbs_of_a_handle_whose_protocol_was_switched_do_nothing() {
    type Verb = fn(&Conn<Witness>);
    let verbs: [(bool, Verb); 6] = [
        (false, Conn::abort),
        (false, |conn| conn.abort_with(Disconnect::Refused)),
        (true, Conn::close),
        (true, Conn::close_write),
        (true, Conn::pause_reading),
        (true, |conn| conn.write(b"never")),
    ];
    for (in_the_call, verb) in verbs {
        let kept = Rc::new(RefCell::new(None));
        let keeps = Rc::clone(&kept);
        let (mut memory, log) = witness(move |this, conn, line| {
            if line == "switch" {
                keeps.replace(Some(conn.clone()));
                conn.switch_protocol(Heir(Rc::clone(&this.log), false), b"");
                if in_the_call {
                    verb(conn);
                }
            }
        });
        memory.push(b"switch");
        verb(kept.borrow().as_ref().unwrap());
        memory.advance(SECOND);
        assert_eq!(memory.push(b" more"), 5);
        memory.lose(Disconnect::Reset);
        let expected =
            ["made", "switch", "lost: Switched", "heir made", "heir:  more", "heir lost: Reset"];
        check(&log, &expected);
        assert_eq!(memory.sent(), b" new more");
    }
}

#[test]
fn a_connection_whose_end_was_asked_for_is_not_handed_over() {
    let ends: [fn(&Conn<Witness>); 2] = [Conn::abort, Conn::close];
    for end in ends {
        let (mut memory, log) = witness(move |this, conn, line| {
            if line == "switch" {
                end(conn);
                let heir = conn.switch_protocol(Heir(Rc::clone(&this.log), false), b"");
                heir.write(b"never");
                heir.abort();
            }
        });
        memory.push(b"switch");
        let log = log.borrow();
        assert!(log.len() == 3 && log[2].starts_with("lost: "), "{log:?}");
        assert_eq!(memory.sent(), b"");
    }
}

#[test]
fn what_is_handed_back_comes_again() {
    let (mut memory, log) = witness(|this, conn, line| match line {
        "one two" => {
            conn.pause_reading();
            conn.hand_back(b"two");
            conn.call_later(SECOND, |_, conn| conn.resume_reading());
        }
        "two switch" => {
            conn.switch_protocol(Heir(Rc::clone(&this.log), false), b"a");
            assert!(!conn.is_reading());
            conn.hand_back(b"b");
        }
        "two" => conn.hand_back(b"two switch"),
        _ => (),
    });
    memory.push(b"one two");
    memory.eof();
    check(&log, &["made", "one two"]);
    memory.advance(SECOND);
    drop(memory);
    let begun = ["made", "one two", "two", "two switch", "lost: Switched", "heir made", "heir: ab"];
    assert_eq!(log.borrow()[..7], begun);
}

/// Answers each piece, and counts what it hears of that.
struct Counter(Rc<RefCell<Vec<u64>>>);

impl Protocol for Counter {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
        if data == b"ask" {
            conn.tell_when_sent();
        }
    }

    fn output_sent(&mut self, conn: &Conn<Self>) {
        self.0.borrow_mut().push(conn.waiting());
    }
}

#[test]
fn who_asks_hears_of_the_next_sending() {
    let heard = Rc::<RefCell<Vec<u64>>>::default();
    let counter = Counter(Rc::clone(&heard));
    let mut memory = Memory::take_seat(carry(seat(counter)), &Clock::new());
    memory.push(b"not");
    assert_eq!(*heard.borrow(), []);
    memory.push(b"ask");
    memory.push(b"not");
    assert_eq!(*heard.borrow(), [0]);
    memory.set_room(1);
    memory.push(b"not");
    memory.set_room(2);
    heard.borrow_mut().dedup();
    assert_eq!(*heard.borrow(), [0, 2, 0], "what stays behind is always heard of");
}

/// A driver that is slow to look after its seat.
struct Slow;

impl Transport for Slow {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wake(&self, _: usize) {}

    fn local(&self, _: usize) -> Address {
        Address::Unnamed
    }

    fn peer(&self, _: usize) -> Address {
        Address::Unnamed
    }
}

#[test]
fn what_lies_here_comes_before_what_is_new() {
    let (witness, log) = Witness::new(|_, conn, line| {
        if line == "stop" {
            conn.pause_reading();
            conn.hand_back(b"old");
        }
    });
    let (seat, made) = seat_and_tell(witness);
    let mut seat = carry(seat);
    seat.attach(Rc::new(Slow), 0);
    seat.handle(Event::Made);
    let conn = made.now_or_never().and_then(Result::ok).expect("the connection is made");
    seat.handle(Event::Data(b"stop"));
    seat.handle(Event::Data(b" new"));
    conn.resume_reading();
    seat.handle(Event::Data(b"est"));
    seat.handle(Event::Eof);
    seat.handle(Event::Tick);
    assert_eq!(log.borrow()[..2], ["made", "stop"]);
    assert_eq!(log.borrow()[2..].concat(), "old newesteof");
    seat.handle(Event::Lost(Disconnect::Closed));
}

#[test]
fn half_closed_streams_go_on_the_other_way() {
    let (mut memory, log) = witness(|_, conn, line| {
        if line == "bye" {
            conn.write(b"last");
            conn.close_write();
            conn.write(b"never");
        }
    });
    memory.push(b"bye");
    assert!(memory.is_write_closed());
    assert_eq!(memory.take_sent(), b"last");
    memory.push(b"still here");
    check(&log, &["made", "bye", "still here"]);
    assert_eq!(memory.ended(), None);
}

#[test]
fn plain_transports_have_no_tls() {
    let (seat, made) = seat_and_tell(Witness::new(|_, _, _| ()).0);
    let memory = Memory::take_seat(carry(seat), &Clock::new());
    let conn = made.now_or_never().and_then(Result::ok).expect("the connection is made at once");
    assert_eq!(conn.tls(), None);
    assert_eq!(conn.peer().to_string(), "memory:peer");
    drop(memory);
    assert!(conn.is_over());
}

#[test]
fn sleeps_end_and_can_be_cancelled() {
    let clock = Clock::new();
    let slept = sleep(&clock, SECOND);
    let stopped = sleep(&clock, SECOND);
    stopped.cancel();
    assert_eq!(clock.pending(), 1);
    clock.advance(SECOND);
    slept.now_or_never().expect("a second has passed").expect("it succeeds");
    let why = stopped.now_or_never().expect("it was cancelled").expect_err("it fails");
    assert!(why.check::<Cancelled>().is_some());
}
