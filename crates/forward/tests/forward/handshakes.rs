//! What is agreed on before a protocol's own bytes.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_forward::{Handshake, Interrupted, agree, connect_after};
use ropewalk_protocol::{Address, Conn, Disconnect, Ending, Event, Protocol, seat};
use ropewalk_trial::{Clock, Memory};

use crate::kit::{Answer, Far, MOMENT};

const PATIENCE: Duration = Duration::from_secs(7);

/// Says `please`, waits for `yes` and a colon, and says `thanks`.
#[derive(Default)]
struct Please(Vec<u8>);

#[derive(Debug, PartialEq)]
enum Impolite {
    No,
    Interrupted(Interrupted),
}

impl fmt::Display for Impolite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Error for Impolite {}

impl From<Interrupted> for Impolite {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl Handshake for Please {
    type Error = Impolite;

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Impolite> {
        out.extend_from_slice(b"please");
        if self.0 == b"mute" { Err(Impolite::No) } else { Ok(()) }
    }

    fn feed(&mut self, data: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Impolite> {
        while let Some((first, rest)) = data.split_first() {
            *data = rest;
            match first {
                b':' if self.0 == b"yes" => {
                    out.extend_from_slice(b"thanks");
                    return Ok(true);
                }
                b':' => return Err(Impolite::No),
                byte => self.0.push(*byte),
            }
        }
        Ok(false)
    }

    fn peer(&self) -> Option<Address> {
        Some(Address::Host("beyond".to_owned(), 7))
    }

    fn disconnect(error: &Impolite) -> Disconnect {
        match error {
            Impolite::No => Disconnect::Failed(io::ErrorKind::PermissionDenied),
            Impolite::Interrupted(interrupted) => interrupted.disconnect(),
        }
    }
}

/// Says whom it talks to, then says back what it hears.
struct Greeter;

impl Protocol for Greeter {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(format!("[{}]", conn.peer()).as_bytes());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

fn start(far: &Far) -> Deferred<Conn<Greeter>> {
    connect_after(far, Please::default(), PATIENCE, Greeter)
}

/// Why there is no connection.
#[track_caller]
fn failed(made: Deferred<Conn<Greeter>>) -> Impolite {
    let failure = made.now_or_never().expect("an answer").expect_err("no connection");
    failure.downcast().expect("the handshake's own error")
}

#[test]
fn a_protocol_begins_once_all_is_agreed() {
    let said = b"yes:yes: indeed";
    for size in 1..=said.len() {
        let far = Far::default();
        let made = start(&far);
        let mut there = far.take();
        assert_eq!(there.take_sent(), b"please");
        there.push_in_pieces(said, size);
        assert_eq!(there.take_sent(), b"thanks[beyond:7]yes: indeed", "pieces of {size}");
        assert!(made.now_or_never().is_some_and(|made| made.is_ok()));
        there.eof();
        assert_eq!(there.ended(), Some(Disconnect::Closed));
    }
}

#[test]
fn a_refusal_is_the_handshakes_own_error() {
    let far = Far::default();
    let made = start(&far);
    let mut there = far.take();
    there.push(b"no:yes:");
    assert_eq!(failed(made), Impolite::No);
    let told = Disconnect::Failed(io::ErrorKind::PermissionDenied);
    assert_eq!(there.ended(), Some(told));
    assert_eq!(there.take_sent(), b"please");
}

#[test]
fn what_cannot_be_asked_is_not_asked() {
    let far = Far::default();
    let made = connect_after(&far, Please(b"mute".to_vec()), PATIENCE, Greeter);
    assert_eq!(failed(made), Impolite::No);
    assert_eq!(far.take().take_sent(), b"");
}

#[test]
fn a_handshake_has_a_time_and_what_follows_has_any() {
    let far = Far::default();
    let made = start(&far);
    let mut there = far.take();
    there.push(b"ye");
    there.advance(PATIENCE.saturating_sub(MOMENT));
    assert_eq!(there.ended(), None);
    there.advance(MOMENT);
    assert_eq!(there.ended(), Some(Disconnect::TimedOut));
    assert_eq!(failed(made), Impolite::Interrupted(Interrupted::TimedOut));

    let made = start(&far);
    let mut there = far.take();
    there.advance(PATIENCE.saturating_sub(MOMENT));
    there.push(b"yes:");
    there.advance(PATIENCE * 10);
    assert_eq!(there.ended(), None);
    assert!(made.now_or_never().is_some_and(|made| made.is_ok()));
}

#[test]
fn interruptions_say_what_they_are() {
    let far = Far::default();
    let made = start(&far);
    far.take().eof();
    assert_eq!(failed(made), Impolite::Interrupted(Interrupted::Ended));

    let made = start(&far);
    far.take().lose(Disconnect::Unreachable);
    let lost = Interrupted::Lost(Disconnect::Unreachable);
    assert_eq!(lost.source().map(ToString::to_string), Some(Disconnect::Unreachable.to_string()));
    assert_eq!(failed(made), Impolite::Interrupted(lost));

    far.0.answer.set(Answer::Refused);
    let lost = Interrupted::Lost(Disconnect::Refused);
    assert_eq!(failed(start(&far)), Impolite::Interrupted(lost));
}

#[test]
fn an_attempt_that_nobody_wants_any_more_is_given_up() {
    let far = Far::answering(Answer::Late);
    let made = start(&far);
    made.cancel();
    let mut waiting = far.0.waiting.borrow_mut().pop().expect("an attempt");
    waiting.handle(Event::Tick);
    assert_eq!(waiting.wishes().ending, Some(Ending::Abort(Disconnect::Aborted)));
    drop(waiting);
    made.on_result(drop);

    let far = Far::default();
    let made = start(&far);
    made.cancel();
    let mut there = far.take();
    there.run();
    assert_eq!(there.ended(), Some(Disconnect::Aborted));
    made.on_result(drop);
}

#[test]
fn a_seat_may_be_put_on_a_handshake_without_waiting_for_it() {
    let clock = Clock::new();
    let mut there = Memory::take_seat(agree(Please::default(), PATIENCE, seat(Greeter)), &clock);
    there.push(b"yes:hello");
    assert_eq!(there.take_sent(), b"pleasethanks[beyond:7]hello");
    let mut there = Memory::take_seat(agree(Please::default(), PATIENCE, seat(Greeter)), &clock);
    there.push(b":");
    assert_eq!(there.ended(), Some(Disconnect::Failed(io::ErrorKind::PermissionDenied)));
}
