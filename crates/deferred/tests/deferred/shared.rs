//! One result for several.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk_deferred::{Cancelled, Deferred, deferred};

use crate::kit::{Log, Odd, failure, value};

#[test]
fn each_waiter_gets_the_value() {
    let (promise, waiting) = deferred();
    let shared = waiting.shared();
    let served = Rc::new(Cell::new(0));
    let waits: Vec<_> = (0..3)
        .map(|n| {
            let served = Rc::clone(&served);
            shared.wait().map(move |text: &str| {
                assert_eq!(served.replace(n + 1), n, "first come, first served");
                text
            })
        })
        .collect();
    promise.succeed("all");
    assert!(waits.into_iter().all(|wait| value(wait) == "all"));
    assert_eq!(value(shared.wait()), "all");
}

#[test]
fn each_waiter_gets_the_failure_and_the_log_gets_it_once() {
    let log = Log::listen();
    let (promise, waiting) = deferred::<()>();
    let shared = waiting.shared();
    let (one, other, third) = (shared.wait(), shared.wait(), shared.wait());
    promise.fail(Odd(1));
    let why = failure(one);
    assert_eq!(why.check::<Odd>(), Some(&Odd(1)));
    assert_eq!(why.to_string(), "1 is odd");
    assert!(why.downcast::<Odd>().is_err(), "it is not this waiter's alone");
    drop((other, third));
    assert_eq!(log.take().len(), 1);

    let shared = Deferred::<()>::fail(Odd(3)).shared();
    assert!(log.take().is_empty());
    drop(shared);
    assert_eq!(log.take().len(), 1, "nobody came for it");
}

#[test]
fn a_waiter_that_leaves_takes_nothing_with_it() {
    let (promise, waiting) = deferred::<u32>();
    let shared = waiting.shared();
    let (one, other) = (shared.wait(), shared.wait());
    one.cancel();
    assert!(failure(one).check::<Cancelled>().is_some());
    assert!(promise.is_wanted());
    promise.succeed(1);
    assert_eq!(value(other), 1);
}

#[test]
fn the_last_waiter_takes_the_operation_with_it() {
    let (promise, waiting) = deferred::<u32>();
    let shared = waiting.shared();
    let (one, other) = (shared.wait(), shared.wait());
    one.cancel();
    other.cancel();
    assert!(!promise.is_cancelled(), "others may come");
    let last = shared.clone().wait();
    drop(shared);
    last.cancel();
    assert!(promise.is_cancelled());
    drop((failure(one), failure(other), failure(last)));
}

#[test]
fn operations_can_be_cancelled_whoever_waits() {
    let (promise, waiting) = deferred::<u32>();
    let shared = waiting.shared();
    let wait = shared.wait();
    shared.cancel();
    assert!(promise.is_cancelled());
    assert!(failure(wait).check::<Cancelled>().is_some());
}

#[test]
fn shielded_operations_go_on() {
    let log = Log::listen();
    let (promise, waiting) = deferred::<u32>();
    let shielded = waiting.shielded();
    shielded.cancel();
    assert!(!promise.is_cancelled());
    assert!(failure(shielded).check::<Cancelled>().is_some());
    promise.fail(Odd(1));
    assert_eq!(log.take().len(), 1, "what the operation says is not lost");

    let (promise, waiting) = deferred();
    let shielded = waiting.shielded();
    promise.succeed(2);
    assert_eq!(value(shielded), 2);
}
