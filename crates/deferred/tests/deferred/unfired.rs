//! What has no result yet, and where it was made.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{
    Deferred, DeferredQueue, Unfired, deferred, deferred_through, follow_unfired, steps, unfired,
    unfollow_unfired,
};

/// A clock that stands where it is put.
fn follow() -> Rc<Cell<u64>> {
    let time = Rc::new(Cell::new(0));
    let shown = Rc::clone(&time);
    follow_unfired(move || Duration::from_secs(shown.get()));
    time
}

#[track_caller]
fn listed() -> Vec<Unfired> {
    unfired().expect("somebody asked for a list")
}

fn is_here(one: &Unfired, line: u32) -> bool {
    one.made_at.file() == file!() && one.made_at.line() == line
}

#[test]
fn nothing_is_listed_unless_asked_for() {
    let (before, waiting) = deferred::<()>();
    assert!(unfired().is_none());
    follow();
    assert!(listed().is_empty(), "what came before is not known");
    let (promise, other) = deferred::<()>();
    assert_eq!(listed().len(), 1);
    unfollow_unfired();
    assert!(unfired().is_none());
    let (unseen, third) = deferred::<()>();
    follow();
    assert_eq!(listed().len(), 1, "the one that was listed before");
    for promise in [before, promise, unseen] {
        promise.succeed(());
    }
    assert!(listed().is_empty());
    for waiting in [waiting, other, third] {
        assert!(waiting.now_or_never().is_some());
    }
}

#[test]
fn one_is_told_of_by_its_place_its_age_and_who_listens() {
    let time = follow();
    let (promise, waiting) = deferred::<u32>();
    let made = line!() - 1;
    time.set(7);
    assert!(is_here(&listed()[0], made));
    assert!(listed()[0].heard_at.is_none());
    assert_eq!(listed()[0].age, Duration::from_secs(7));
    let waiting = waiting.map(|n| n + 1).map(|n| n + 1);
    let heard = listed()[0].heard_at.expect("two links");
    assert_eq!((heard.file(), heard.line()), (file!(), line!() - 2));
    let told = listed()[0].to_string();
    let wanted = format!(
        "a deferred without a result for 7s, listened to at {heard}, made at {}",
        listed()[0].made_at
    );
    assert_eq!(told, wanted);
    promise.succeed(1);
    assert!(listed().is_empty(), "it has its result, though nobody has taken it");
    assert_eq!(waiting.now_or_never().unwrap().unwrap(), 3);
}

#[test]
fn who_waits_is_found_beyond_a_deferred_that_a_link_gave() {
    follow();
    let (inner_promise, inner) = deferred::<u32>();
    let made = line!() - 1;
    let outer = Deferred::succeed(()).add_callback(move |()| inner);
    let (first, waiting) = deferred::<()>();
    let chained = waiting.add_callback(move |()| outer);
    let heard = line!() - 1;
    first.succeed(());
    let all = listed();
    assert_eq!(all.len(), 1);
    assert!(is_here(&all[0], made));
    assert_eq!(all[0].heard_at.unwrap().line(), heard);
    inner_promise.succeed(5);
    assert_eq!(chained.now_or_never().unwrap().unwrap(), 5);
}

#[test]
fn whatever_ends_a_wait_takes_it_off_the_list() {
    follow();
    let (dropped, answer) = deferred::<()>();
    drop(dropped);
    assert!(answer.now_or_never().unwrap().is_err());
    let (kept, answer) = deferred::<()>();
    answer.cancel();
    assert!(answer.now_or_never().unwrap().is_err());
    let (through, answer) = deferred_through(steps::<u32>().map(|n| n * 2));
    through.succeed(4);
    assert_eq!(answer.now_or_never().unwrap().unwrap(), 8);
    assert!(listed().is_empty(), "{:?}", listed());
    drop(kept);
    let queue = DeferredQueue::new(1);
    let taker = queue.get();
    assert!(is_here(&listed()[0], line!() - 1));
    queue.put(3).unwrap();
    assert!(listed().is_empty());
    assert_eq!(taker.now_or_never().unwrap().unwrap(), 3);
}

#[test]
fn the_oldest_is_first_and_places_are_used_again() {
    let time = follow();
    let mut all: Vec<_> = (0..5).map(|_| deferred::<u64>()).collect();
    for round in 1..100 {
        time.set(round);
        // From the middle, so that the free places are not in order.
        let (promise, answer) = all.remove(round as usize % 5);
        promise.succeed(round);
        drop(answer);
        all.push(deferred());
        let ages: Vec<_> = listed().iter().map(|one| one.age).collect();
        assert_eq!(ages.len(), 5);
        assert!(ages.is_sorted_by(|one, next| one >= next), "{ages:?}");
    }
    drop(all);
    assert!(listed().is_empty());
}

#[test]
fn a_promise_that_nobody_can_fire_any_more_stays_listed() {
    follow();
    let (promise, answer) = deferred::<()>();
    std::mem::forget(promise);
    drop(answer);
    assert_eq!(listed().len(), 1);
}
