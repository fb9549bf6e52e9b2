//! Steps that are put together before they are added.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_deferred::{
    Abandoned, Cancelled, Context, Deferred, Failure, Panicked, Promise, deferred,
    deferred_through, steps,
};

use crate::kit::{Log, Odd, failure, half, on_a_small_stack, value};

#[test]
fn steps_are_taken_in_order_with_values_and_failures_passing_by() {
    let made = || {
        steps::<u32>()
            .map(|n| n + 2)
            .and_then(half)
            .and_then(half)
            .or_else(|failure| failure.downcast::<Odd>().map(|odd| odd.0 * 100))
            .map(|n| n + 1)
    };
    for (given, expected) in [(10, 4), (8, 501), (7, 901)] {
        assert_eq!(value(Deferred::succeed(given).through(made())), expected);
        let (promise, waiting) = deferred();
        let waiting = waiting.through(made());
        promise.succeed(given);
        assert_eq!(value(waiting), expected);
        let (promise, waiting) = deferred_through(made());
        promise.succeed(given);
        assert_eq!(value(waiting), expected);
    }
}

#[test]
fn links_run_behind_the_steps() {
    let (promise, waiting) = deferred_through(steps().map(|n: u32| n + 1));
    let (inner_promise, inner) = deferred::<u32>();
    let waiting = waiting.add_callback(move |n| inner.map(move |m| (n, m))).map(|(n, m)| n * m);
    promise.succeed(4);
    inner_promise.succeed(3);
    assert_eq!(value(waiting), 15);
}

#[test]
fn a_step_that_panics_fails_all() {
    let (promise, waiting) = deferred_through(steps().map(|n: u32| 10 / n).or_else(never));
    promise.succeed(0);
    assert!(failure(waiting).check::<Panicked>().is_some());
}

fn never(_: Failure) -> Result<u32, Odd> {
    panic!("the steps before it are part of the same link");
}

#[test]
fn steps_hear_of_dropped_and_cancelled_promises() {
    let recovering = || {
        steps::<u32>().or_else(|failure| match failure.check::<Cancelled>() {
            Some(_) => Ok(1),
            None => failure.downcast::<Abandoned>().map(|_| 2),
        })
    };
    let (promise, waiting) = deferred_through(recovering());
    drop(promise);
    assert_eq!(value(waiting), 2);

    let (promise, waiting) = deferred_through(recovering());
    waiting.cancel();
    assert!(promise.is_cancelled());
    promise.succeed(7);
    assert_eq!(value(waiting), 1);

    let (promise, waiting) = deferred_through(recovering().map(|n| n + 1));
    let promise = Rc::new(RefCell::new(Some(promise)));
    let own = Rc::clone(&promise);
    let canceller = move || {
        let promise: Option<Promise<u32>> = own.take();
        promise.expect("it is there").succeed(40);
    };
    promise.borrow().as_ref().expect("it is there").on_cancel(canceller);
    waiting.cancel();
    assert_eq!(value(waiting), 41);
}

#[test]
fn a_failure_behind_the_steps_is_logged_once() {
    let log = Log::listen();
    let (promise, waiting) = deferred_through(steps::<u32>().and_then(half));
    assert!(promise.is_wanted());
    drop(waiting);
    assert!(!promise.is_wanted());
    promise.succeed(3);
    assert_eq!(log.take().len(), 1);
}

#[test]
fn steps_are_taken_in_the_context_in_which_they_were_added() {
    struct Name(&'static str);
    let name = |()| Context::current().get::<Name>().map(|name| name.0);
    let context = || Context::current().with(Name("here"));
    let (promise, waiting) = context().run(|| deferred_through(steps().map(name)));
    promise.succeed(());
    assert_eq!(value(waiting), Some("here"));
    let (promise, waiting) = context().run(|| deferred_through(steps::<()>().map(|()| ())));
    let waiting = waiting.map(name);
    promise.succeed(());
    assert_eq!(value(waiting), None);
}

/// Each promise is fired by the step of the one before it.
#[test]
fn steps_that_fire_promises_need_no_stack() {
    on_a_small_stack(|| {
        let (last, end) = deferred::<u32>();
        let mut next = last;
        for _ in 0..100_000 {
            let fire = move |n: u32| next.succeed(n + 1);
            let (promise, waiting) = deferred_through(steps().map(fire));
            waiting.detach();
            next = promise;
        }
        next.succeed(0);
        assert_eq!(value(end), 100_000);
    });
}
