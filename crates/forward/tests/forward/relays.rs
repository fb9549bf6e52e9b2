//! Two connections that are joined.

use std::time::Duration;

use proptest::prelude::*;
use ropewalk_deferred::Deferred;
use ropewalk_forward::{HALF_CLOSED, IDLE, RelayOptions, Tally, relay};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory};

use crate::kit::MOMENT;

struct Pair {
    near: Memory,
    far: Memory,
    over: Deferred<Tally>,
}

impl Pair {
    fn new() -> Self {
        Self::with(RelayOptions::default())
    }

    fn with(options: RelayOptions) -> Self {
        let clock = Clock::new();
        let (near, far, over) = relay(options);
        Self { near: Memory::seat(near, &clock), far: Memory::seat(far, &clock), over }
    }

    fn advance(&mut self, time: Duration) {
        self.near.advance(time);
        self.far.run();
    }

    fn ended(&self) -> (Option<Disconnect>, Option<Disconnect>) {
        (self.near.ended(), self.far.ended())
    }

    /// Has what one did be noticed by the other.
    fn run(&mut self) {
        for _ in 0..3 {
            self.near.run();
            self.far.run();
        }
    }

    /// What went through, and why it is over.
    fn tally(self) -> (u64, u64, Disconnect) {
        let tally = self.over.now_or_never().expect("it is over").expect("a tally");
        (tally.there, tally.back, tally.why)
    }
}

#[test]
fn bytes_go_both_ways() {
    let mut pair = Pair::new();
    pair.near.push(b"ping");
    assert_eq!(pair.far.take_sent(), b"ping");
    pair.far.push(b"pong!");
    assert_eq!(pair.near.take_sent(), b"pong!");
    assert_eq!(pair.ended(), (None, None));
    pair.near.lose(Disconnect::Reset);
    pair.run();
    assert_eq!(pair.tally(), (4, 5, Disconnect::Reset));
}

#[test]
fn the_first_connection_waits_for_the_second() {
    let clock = Clock::new();
    let (near, far, _) = relay(RelayOptions::default());
    let mut near = Memory::seat(near, &clock);
    assert!(!near.is_reading());
    assert_eq!(near.push(b"early"), 0);
    let mut far = Memory::seat(far, &clock);
    near.run();
    assert_eq!(near.push(b"early"), 5);
    assert_eq!(far.take_sent(), b"early");
}

#[test]
fn a_second_connection_that_comes_after_the_end_is_aborted() {
    let clock = Clock::new();
    let (near, far, _) = relay(RelayOptions::default());
    Memory::seat(near, &clock).lose(Disconnect::Reset);
    assert_eq!(Memory::seat(far, &clock).ended(), Some(Disconnect::Aborted));
}

#[test]
fn a_connection_whose_other_half_will_never_be_is_aborted() {
    let clock = Clock::new();
    let (near, far, _) = relay(RelayOptions::default());
    let mut far = Memory::seat(far, &clock);
    drop(near);
    far.run();
    assert_eq!(far.ended(), Some(Disconnect::Aborted));
    let (near, far, _) = relay(RelayOptions::default());
    drop(near);
    assert_eq!(Memory::seat(far, &clock).ended(), Some(Disconnect::Aborted));
}

#[test]
fn an_end_of_stream_is_passed_on_and_the_other_direction_goes_on() {
    let mut pair = Pair::new();
    pair.near.push(b"question");
    pair.near.eof();
    assert_eq!(pair.far.take_sent(), b"question");
    assert!(pair.far.is_write_closed());
    assert_eq!(pair.ended(), (None, None));
    pair.far.push(b"long ");
    pair.far.push(b"answer");
    pair.far.eof();
    pair.run();
    assert_eq!(pair.near.take_sent(), b"long answer");
    assert_eq!(pair.ended(), (Some(Disconnect::Closed), Some(Disconnect::Closed)));
    assert_eq!(pair.tally(), (8, 11, Disconnect::Closed));
}

#[test]
fn what_is_on_its_way_when_both_have_ended_still_arrives() {
    let mut pair = Pair::new();
    pair.near.set_room(2);
    pair.near.eof();
    pair.far.push(b"answer");
    pair.far.eof();
    pair.run();
    assert_eq!(pair.ended(), (None, Some(Disconnect::Closed)));
    pair.near.set_room(100);
    assert_eq!(pair.near.take_sent(), b"answer");
    assert_eq!(pair.near.ended(), Some(Disconnect::Closed));
}

#[test]
fn a_torn_stream_is_not_taken_for_a_whole_one() {
    for why in [Disconnect::Reset, Disconnect::TimedOut, Disconnect::Stopped] {
        let mut pair = Pair::new();
        pair.near.push(b"half of i");
        pair.near.lose(why);
        pair.run();
        assert_eq!(pair.far.ended(), Some(why));
        assert_eq!(pair.tally(), (9, 0, why));
    }
    let mut pair = Pair::new();
    pair.near.eof();
    pair.far.lose(Disconnect::Closed);
    pair.run();
    assert_eq!(pair.near.ended(), Some(Disconnect::Reset));
}

#[test]
fn from_one_side_is_read_what_the_other_takes() {
    let mut pair = Pair::new();
    pair.far.set_room(0);
    let piece = [7; 16 * 1024];
    let mut pushed = 0;
    while pair.near.push(&piece) > 0 {
        pushed += piece.len();
    }
    // The high mark, and the piece that went over it.
    assert_eq!(pushed, 64 * 1024 + piece.len());
    pair.advance(Duration::from_secs(5));
    assert!(!pair.near.is_reading());
    // The other direction is free.
    assert_eq!(pair.far.push(b"hello"), 5);

    pair.far.set_room(48 * 1024);
    pair.run();
    assert!(!pair.near.is_reading(), "not yet down to the low mark");
    pair.far.set_room(u64::MAX);
    pair.run();
    assert!(pair.near.is_reading());
    assert_eq!(pair.far.take_sent().len(), pushed);
}

#[test]
fn idle_connections_end() {
    let mut pair = Pair::new();
    pair.advance(IDLE.saturating_sub(MOMENT));
    pair.far.push(b"still here");
    pair.advance(IDLE.saturating_sub(MOMENT));
    assert_eq!(pair.ended(), (None, None));
    pair.advance(MOMENT);
    pair.run();
    let late = Some(Disconnect::TimedOut);
    assert_eq!(pair.ended(), (late, late));

    let mut pair = Pair::with(RelayOptions { idle: None, ..RelayOptions::default() });
    pair.advance(IDLE * 100);
    assert_eq!(pair.ended(), (None, None));
}

#[test]
fn half_closed_connections_end_sooner() {
    for idle in [Some(IDLE), None] {
        let mut pair = Pair::with(RelayOptions { idle, ..RelayOptions::default() });
        pair.near.eof();
        pair.advance(HALF_CLOSED.saturating_sub(MOMENT));
        pair.far.push(b"more");
        pair.advance(HALF_CLOSED.saturating_sub(MOMENT));
        assert_eq!(pair.ended(), (None, None));
        pair.advance(MOMENT);
        pair.run();
        let late = Some(Disconnect::TimedOut);
        assert_eq!(pair.ended(), (late, late));
    }
    let mut pair = Pair::with(RelayOptions { idle: None, half_closed: None });
    pair.near.eof();
    pair.advance(IDLE * 100);
    assert_eq!(pair.ended(), (None, None));
}

#[test]
fn a_slow_reader_is_not_an_idle_one() {
    let mut pair = Pair::new();
    pair.far.set_room(0);
    pair.near.push(b"slowly");
    for _ in 0..6 {
        pair.advance(IDLE.saturating_sub(MOMENT));
        pair.far.set_room(1);
        pair.run();
    }
    assert_eq!(pair.far.take_sent(), b"slowly");
    assert_eq!(pair.ended(), (None, None));
}

#[derive(Clone, Debug)]
enum Step {
    Push { near: bool, size: usize },
    Room { near: bool, bytes: u64 },
    Eof { near: bool },
    Pass(u64),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 1_usize..50_000).prop_map(|(near, size)| Step::Push { near, size }),
        3 => (any::<bool>(), 0_u64..60_000).prop_map(|(near, bytes)| Step::Room { near, bytes }),
        1 => any::<bool>().prop_map(|near| Step::Eof { near }),
        1 => (0_u64..60).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_all_arrives_in_order_and_little_waits(
        steps in prop::collection::vec(a_step(), 1..40),
    ) {
        let mut pair = Pair::new();
        pair.near.set_room(0);
        pair.far.set_room(0);
        let (mut pushed, mut arrived) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut has_ended = [false; 2];
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push { near, size } if !has_ended[usize::from(near)] => {
                    let bytes = vec![index as u8; size];
                    let memory = if near { &mut pair.near } else { &mut pair.far };
                    let taken = memory.push(&bytes);
                    pushed[usize::from(near)].extend_from_slice(&bytes[..taken]);
                }
                Step::Push { .. } => (),
                Step::Room { near, bytes } => {
                    let memory = if near { &mut pair.near } else { &mut pair.far };
                    memory.set_room(bytes);
                }
                Step::Eof { near } => {
                    has_ended[usize::from(near)] = true;
                    if near { pair.near.eof() } else { pair.far.eof() }
                }
                Step::Pass(seconds) => pair.advance(Duration::from_secs(seconds % 2)),
            }
            pair.run();
            arrived[1].extend(pair.far.take_sent());
            arrived[0].extend(pair.near.take_sent());
            for side in 0..2 {
                prop_assert!(pushed[side].starts_with(&arrived[side]));
                prop_assert!(pushed[side].len() - arrived[side].len() <= 64 * 1024 + 50_000);
            }
        }
        for _ in 0..4 {
            pair.near.set_room(u64::MAX);
            pair.far.set_room(u64::MAX);
            pair.run();
        }
        arrived[1].extend(pair.far.take_sent());
        arrived[0].extend(pair.near.take_sent());
        prop_assert_eq!(pushed, arrived);
        prop_assert_eq!(pair.far.is_write_closed() || pair.far.ended().is_some(), has_ended[1]);
        prop_assert_eq!(pair.near.is_write_closed() || pair.near.ended().is_some(), has_ended[0]);
    }
}
