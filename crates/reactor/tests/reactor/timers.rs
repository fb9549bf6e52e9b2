//! Calls at their time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Clock, DelayedCall, call_later, sleep};
use ropewalk_reactor::Reactor;

use crate::kit::{Count, PATIENCE, is_quiet, reactor, settle, turn_until};

const MS: Duration = Duration::from_millis(1);

type Log = Rc<RefCell<Vec<u32>>>;

fn note(reactor: &Reactor, delay: Duration, log: &Log, number: u32) -> DelayedCall {
    let log = Rc::clone(log);
    call_later(reactor, delay, move || log.borrow_mut().push(number))
}

/// Does `work` inside a turn, where the time stands still.
fn at_one_moment<T: 'static>(reactor: &Reactor, work: impl FnOnce(&Reactor) -> T + 'static) -> T {
    let (inside, done) = (reactor.clone(), Rc::new(RefCell::new(None)));
    let result = Rc::clone(&done);
    call_later(reactor, Duration::ZERO, move || _ = result.replace(Some(work(&inside))));
    reactor.turn(PATIENCE).unwrap();
    done.take().unwrap()
}

#[test]
fn calls_come_in_the_order_of_their_times_and_never_early() {
    let reactor = reactor();
    let log = Log::default();
    let begun = reactor.now();
    let asked = Rc::clone(&log);
    at_one_moment(&reactor, move |reactor| {
        for (number, ms) in [(1, 9), (2, 3), (3, 9), (4, 0), (5, 3), (6, 0)] {
            note(reactor, ms * MS, &asked, number);
        }
    });
    turn_until(&reactor, || log.borrow().len() == 6);
    assert!(reactor.now() >= begun + 9 * MS);
    assert_eq!(*log.borrow(), [4, 6, 2, 5, 1, 3]);
}

#[test]
fn a_turn_has_one_time_and_the_clock_goes_on() {
    let reactor = reactor();
    at_one_moment(&reactor, |reactor| {
        let (coarse, precise) = (reactor.now(), reactor.precise_now());
        assert!(precise >= coarse, "the turn began before");
        let mut later = reactor.precise_now();
        while later <= precise {
            later = reactor.precise_now();
        }
        assert_eq!(reactor.now(), coarse);
    });
    let before = reactor.precise_now();
    assert!(reactor.now() >= before, "between turns the time is read");
}

#[test]
fn equals_keep_their_order() {
    let reactor = reactor();
    let log = Log::default();
    let asked = Rc::clone(&log);
    at_one_moment(&reactor, move |reactor| {
        (0..500).for_each(|number| _ = note(reactor, 2 * MS, &asked, number));
    });
    turn_until(&reactor, || log.borrow().len() == 500);
    assert!(log.borrow().is_sorted());
}

#[test]
fn a_call_asked_for_by_a_call_waits_for_the_next_turn_and_no_longer() {
    fn again(reactor: &Reactor, count: &Count) {
        let (next, counted) = (reactor.clone(), count.clone());
        call_later(reactor, Duration::ZERO, move || {
            counted.add();
            again(&next, &counted);
        });
    }
    let reactor = reactor();
    let count = Count::default();
    again(&reactor, &count);
    for turn in 0..100 {
        assert_eq!(count.get(), turn);
        assert_eq!(reactor.next_deadline(), Some(Duration::ZERO), "there is nothing to wait for");
        reactor.turn(PATIENCE).unwrap();
    }
    reactor.stop();
    reactor.run_without_signals().unwrap();
}

#[test]
fn calls_are_cancelled_and_moved() {
    let reactor = reactor();
    let log = Log::default();
    let asked = Rc::clone(&log);
    let moved = at_one_moment(&reactor, move |reactor| {
        let cancelled = note(reactor, MS, &asked, 1);
        let moved = note(reactor, MS, &asked, 2);
        let early = note(reactor, PATIENCE, &asked, 3);
        let last = note(reactor, 5 * MS, &asked, 4);
        assert!(cancelled.is_active());
        assert_eq!(cancelled.deadline(), Some(reactor.now() + MS));
        assert!(cancelled.cancel());
        assert!(!cancelled.cancel() && !cancelled.is_active() && !cancelled.reset(MS));
        assert!(moved.reset(9 * MS) && early.reset(MS));
        assert!(moved.deadline() > last.deadline() && early.deadline() < last.deadline());
        moved
    });
    let copy = moved.clone();
    drop(moved);
    turn_until(&reactor, || log.borrow().len() == 3);
    assert_eq!(*log.borrow(), [3, 4, 2]);
    assert!(!copy.cancel() && !copy.reset(MS) && copy.deadline().is_none());
    assert_eq!(reactor.census().calls, 0);
    assert_eq!(reactor.next_deadline(), None);
}

/// Handles tell their call from the later ones that use its place.
#[test]
fn a_handle_does_not_reach_a_call_that_took_its_place() {
    let reactor = reactor();
    let log = Log::default();
    let old = note(&reactor, Duration::ZERO, &log, 1);
    settle(&reactor);
    let new = note(&reactor, PATIENCE, &log, 2);
    assert!(!old.cancel() && !old.reset(Duration::ZERO));
    assert!(new.is_active());
}

#[test]
fn calls_that_are_due_together_can_cancel_and_move_one_another() {
    let reactor = reactor();
    let log = Log::default();
    let others: Rc<RefCell<Vec<DelayedCall>>> = Rc::default();
    let (asked, victims) = (Rc::clone(&log), Rc::clone(&others));
    at_one_moment(&reactor, move |reactor| {
        let later = reactor.clone();
        let (first, chosen) = (Rc::clone(&asked), Rc::clone(&victims));
        call_later(reactor, MS, move || {
            assert!(chosen.borrow()[0].cancel());
            assert!(chosen.borrow()[1].reset(3 * MS));
            // This one takes the place that has become free, and must not be called in its stead.
            note(&later, 2 * MS, &first, 4);
        });
        for number in 1..=3 {
            victims.borrow_mut().push(note(reactor, MS, &asked, number));
        }
    });
    turn_until(&reactor, || log.borrow().len() == 3);
    assert_eq!(*log.borrow(), [3, 4, 2]);
    assert_eq!(reactor.census().calls, 0);
    assert!(is_quiet(&reactor));
}

#[test]
fn a_panicking_call_harms_nobody() {
    let reactor = reactor();
    let log = Log::default();
    note(&reactor, Duration::ZERO, &log, 1);
    call_later(&reactor, Duration::ZERO, || panic!("this panic is part of the test"));
    note(&reactor, Duration::ZERO, &log, 2);
    turn_until(&reactor, || log.borrow().len() == 2);
    assert_eq!(*log.borrow(), [1, 2]);
}

#[test]
fn a_million_calls_are_made_each_once_and_in_order() {
    const CALLS: u32 = 1_000_000;
    let reactor = reactor();
    let log: Rc<RefCell<Vec<(Duration, u32)>>> = Rc::default();
    let mut expected = Vec::new();
    let asked = Rc::clone(&log);
    for number in 0..CALLS {
        let delay = Duration::from_micros(u64::from(number.wrapping_mul(2_654_435_761) % 50_000));
        expected.push((delay, number));
    }
    let all = expected.clone();
    at_one_moment(&reactor, move |reactor| {
        for (delay, number) in all {
            let log = Rc::clone(&asked);
            call_later(reactor, delay, move || log.borrow_mut().push((delay, number)));
        }
    });
    turn_until(&reactor, || log.borrow().len() == CALLS as usize);
    expected.sort_unstable();
    assert!(*log.borrow() == expected);
    assert_eq!(reactor.census().calls, 0);
}

#[test]
fn a_cancelled_sleep_leaves_no_timer() {
    let reactor = reactor();
    let waiting = sleep(&reactor, PATIENCE);
    assert_eq!(reactor.census().calls, 1);
    waiting.cancel();
    assert!(waiting.now_or_never().unwrap().is_err());
    assert_eq!(reactor.census().calls, 0);
    reactor.run_until(sleep(&reactor, MS)).unwrap();
}
