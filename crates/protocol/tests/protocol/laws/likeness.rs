//! A layer that passes everything on cannot be told from none, whatever happens.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Conn, Disconnect, Marks, Protocol, Seat, seat_and_tell};
use ropewalk_trial::{Clock, Memory};

use super::under_glass;

/// Numbers that look random and are the same for the same seed.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % sides
    }
}

type Log = Rc<RefCell<String>>;

/// Does something at random whenever it is told anything, and writes down both.
struct Fickle {
    dice: Dice,
    log: Log,
}

impl Fickle {
    fn act(&mut self, conn: &Conn<Self>, told: &str) {
        let deed = self.dice.roll(24);
        writeln!(self.log.borrow_mut(), "{told}, {} waiting: {deed}", conn.waiting()).unwrap();
        match deed {
            0..6 => conn.write(&vec![b'a' + deed as u8; self.dice.roll(40) as usize]),
            6 => conn.pause_reading(),
            7..9 => conn.resume_reading(),
            9 => conn.set_marks(Marks::default().between(3, 20).at_most(300)),
            10..14 => {
                // Of calls that are due at once, a layer may make one generation more in a turn.
                let delay = Duration::from_millis((1 + self.dice.roll(3)) * 10);
                conn.call_later(delay, |this, conn| this.act(conn, "called"));
            }
            14 if self.dice.roll(4) == 0 => conn.close(),
            15 if self.dice.roll(8) == 0 => conn.abort(),
            16 if self.dice.roll(4) == 0 => conn.close_write(),
            17 if self.dice.roll(3) == 0 => {
                let dice = Dice(self.dice.roll(1 << 30));
                conn.switch_protocol(Self { dice, log: Rc::clone(&self.log) }, b"rest");
            }
            18 if self.dice.roll(30) == 0 => panic!("this panic is part of the test"),
            19 => conn.write_bytes(vec![b'B'; 5000].into()),
            _ => (),
        }
    }
}

impl Protocol for Fickle {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.act(conn, "made");
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.act(conn, &format!("data {data:?}"));
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.act(conn, "eof");
    }

    fn writing_paused(&mut self, conn: &Conn<Self>) {
        self.act(conn, "paused");
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.act(conn, "resumed");
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        self.act(conn, &format!("lost: {why:?}"));
    }
}

/// All that can be seen of a life with these dice.
fn live(seed: u64, carry: fn(Box<dyn Seat>) -> Box<dyn Seat>) -> String {
    let log = Log::default();
    let fickle = Fickle { dice: Dice(seed), log: Rc::clone(&log) };
    let (above, made) = seat_and_tell(fickle);
    let mut memory = Memory::take_seat(carry(above), &Clock::new());
    let conn = made.now_or_never().and_then(Result::ok);
    let mut dice = Dice(!seed);
    let mut is_ended = false;
    for _ in 0..60 {
        match dice.roll(12) {
            0..4 => {
                let bytes: Vec<u8> = (0..dice.roll(5) as u8).collect();
                memory.push(&bytes);
            }
            4..7 => memory.set_room(dice.roll(60)),
            7 => memory.set_room(u64::MAX),
            8..10 => memory.advance(Duration::from_millis(dice.roll(25))),
            10 if dice.roll(6) == 0 && !std::mem::replace(&mut is_ended, true) => memory.eof(),
            11 if dice.roll(20) == 0 => memory.lose(Disconnect::Reset),
            _ => {
                if let Some(conn) = &conn {
                    conn.write(b"from elsewhere");
                    conn.call_later(Duration::ZERO, |this, conn| this.act(conn, "woken"));
                }
                memory.run();
            }
        }
        let seen = (
            memory.is_reading(),
            memory.is_write_closed(),
            memory.ended(),
            memory.take_sent().escape_ascii().to_string(),
        );
        writeln!(log.borrow_mut(), "seen: {seen:?}").unwrap();
    }
    drop(memory);
    log.take()
}

#[test]
fn a_layer_that_changes_nothing_cannot_be_seen() {
    for seed in 0..2000 {
        let bare = live(seed, |seat| seat);
        let one = live(seed, under_glass);
        let two = live(seed, |seat| under_glass(under_glass(seat)));
        for layered in [one, two] {
            let alike = bare.lines().zip(layered.lines()).take_while(|(a, b)| a == b).count();
            let around = |log: &str| {
                log.lines().skip(alike.saturating_sub(8)).take(12).collect::<Vec<_>>().join("\n")
            };
            assert!(
                bare == layered,
                "seed {seed}, bare:\n{}\n\nlayered:\n{}",
                around(&bare),
                around(&layered)
            );
        }
    }
}
