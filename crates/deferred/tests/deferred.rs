//! Deferreds, through their public interface.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::thread;

use ropewalk_deferred::{
    Abandoned, Cancelled, Deferred, Failure, Panicked, Promise, WaitsForItself, deferred,
    from_future,
};

#[derive(Debug, PartialEq)]
struct Odd(u32);

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is odd", self.0)
    }
}

impl std::error::Error for Odd {}

fn half(n: u32) -> Result<u32, Odd> {
    if n.is_multiple_of(2) { Ok(n / 2) } else { Err(Odd(n)) }
}

/// Runs `body` where the stack is a quarter of a mebibyte.
fn on_a_small_stack(body: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(256 * 1024).spawn(body).unwrap().join().unwrap();
}

#[track_caller]
fn value<T>(deferred: Deferred<T>) -> T {
    deferred.now_or_never().expect("no result yet").expect("a failure")
}

#[track_caller]
fn failure<T: std::fmt::Debug>(deferred: Deferred<T>) -> Failure {
    deferred.now_or_never().expect("no result yet").expect_err("a value")
}

#[test]
fn links_run_in_order_whether_added_before_or_after_the_firing() {
    for early in [true, false] {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (promise, mut waiting) = deferred();
        let mut promise = Some(promise);
        if !early {
            promise.take().unwrap().succeed(0);
        }
        for n in 0..5 {
            let seen = Rc::clone(&seen);
            waiting = waiting.map(move |sum: u32| {
                seen.borrow_mut().push(n);
                sum + n
            });
        }
        if let Some(promise) = promise {
            assert!(seen.borrow().is_empty());
            promise.succeed(0);
        }
        assert_eq!(*seen.borrow(), [0, 1, 2, 3, 4]);
        assert_eq!(value(waiting), 10);
    }
}

#[test]
fn results_choose_the_side() {
    assert_eq!(value(Deferred::succeed(8).add_callback(half).add_callback(half)), 2);
    let failed = failure(Deferred::succeed(6).add_callback(half).add_callback(half));
    assert_eq!(failed.check::<Odd>(), Some(&Odd(3)));
    let rescued = Deferred::succeed(3)
        .add_callback(half)
        .map(|_| unreachable!("a failure passes callbacks by"))
        .add_errback(|why| why.downcast::<Odd>().map(|odd| odd.0 * 100));
    assert_eq!(value(rescued), 300);
    let kept = Deferred::succeed(4)
        .add_errback(|_| -> Result<u32, Failure> { unreachable!("a value passes errbacks by") });
    assert_eq!(value(kept), 4);
    let either =
        |n| Deferred::succeed(n).add_callback(half).add_callbacks(half, |_| Ok::<_, Failure>(7));
    assert_eq!((value(either(8)), value(either(3))), (2, 7));
    let both = Deferred::<()>::fail(Odd(1)).add_both(|result| Ok::<_, Failure>(result.is_err()));
    assert!(value(both));
}

#[test]
fn a_returned_deferred_is_waited_for() {
    let (inner_promise, inner) = deferred::<u32>();
    let (promise, outer) = deferred::<u32>();
    let waiting = outer.add_callback(move |n| inner.map(move |m| n + m));
    promise.succeed(1);
    let waiting = waiting.try_take().expect_err("the inner one has no result yet");
    inner_promise.succeed(2);
    assert_eq!(value(waiting), 3);
}

#[test]
fn promises_dropped_unfired_fail() {
    let (promise, waiting) = deferred::<()>();
    drop(promise);
    assert!(failure(waiting).check::<Abandoned>().is_some());
}

#[test]
fn panics_are_failures() {
    let failed = failure(Deferred::succeed(1).map(|_| -> u32 { panic!("no {}", "way") }));
    assert_eq!(failed.check::<Panicked>().map(Panicked::message), Some("no way"));
}

#[test]
fn cancelling_reaches_the_innermost_wait() {
    let stopped = Rc::new(Cell::new(0));
    let (inner_promise, inner) = deferred::<u32>();
    let seen = Rc::clone(&stopped);
    inner_promise.on_cancel(move || seen.set(seen.get() + 1));
    let waiting = Deferred::succeed(0).add_callback(move |_| inner).map(|n| n + 1);
    waiting.cancel();
    waiting.cancel();
    assert_eq!(stopped.get(), 1);
    assert!(inner_promise.is_cancelled());
    inner_promise.succeed(5);
    assert!(failure(waiting).check::<Cancelled>().is_some());
}

#[test]
fn cancellers_may_give_a_result() {
    let (promise, waiting) = deferred();
    let stash = Rc::new(RefCell::new(None));
    let taken = Rc::clone(&stash);
    promise.on_cancel(move || {
        if let Some(promise) = taken.take() {
            Promise::succeed(promise, "partial");
        }
    });
    stash.replace(Some(promise));
    waiting.cancel();
    assert_eq!(value(waiting), "partial");
}

#[test]
fn cancellers_that_drop_the_promise_cancel() {
    let (promise, waiting) = deferred::<()>();
    let stash = Rc::new(RefCell::new(None));
    let taken = Rc::clone(&stash);
    promise.on_cancel(move || drop(taken.take()));
    stash.replace(Some(promise));
    waiting.canceller().cancel();
    assert!(failure(waiting).check::<Cancelled>().is_some());
}

#[test]
fn results_that_are_there_cannot_be_cancelled() {
    let done = Deferred::succeed(1);
    done.cancel();
    assert_eq!(value(done), 1);
}

#[test]
fn waiting_for_oneself_is_a_failure() {
    let stash: Rc<RefCell<Option<Deferred<u32>>>> = Rc::default();
    let (promise, first) = deferred::<u32>();
    let taken = Rc::clone(&stash);
    let (sender, outcome) = deferred();
    let itself = first.add_callback(move |_| taken.take().expect("it was stashed"));
    stash.replace(Some(itself));
    promise.succeed(1);
    // The deferred went into its own callback, so only the log can tell; the rest goes on.
    sender.succeed(());
    value(outcome);
    assert!(WaitsForItself.to_string().contains("waits for it"));
}

#[test]
fn a_million_links_need_no_stack() {
    on_a_small_stack(|| {
        let (promise, mut waiting) = deferred::<u64>();
        for _ in 0..1_000_000 {
            waiting = waiting.map(|n| n + 1);
        }
        promise.succeed(0);
        assert_eq!(value(waiting), 1_000_000);

        let (promise, mut waiting) = deferred::<u64>();
        for _ in 0..1_000_000 {
            waiting = waiting.map(|n| n + 1);
        }
        drop(promise);
        assert!(failure(waiting).check::<Abandoned>().is_some());
    });
}

#[test]
fn a_million_nested_deferreds_need_no_stack() {
    on_a_small_stack(|| {
        let mut promises = Vec::new();
        let (first, mut waiting) = deferred::<u64>();
        for _ in 0..1_000_000 {
            let inner = waiting;
            let (promise, outer) = deferred::<()>();
            promises.push(promise);
            waiting = outer.add_callback(move |()| inner.map(|n| n + 1));
        }
        for promise in promises.into_iter().rev() {
            promise.succeed(());
        }
        first.succeed(0);
        assert_eq!(value(waiting), 1_000_000);
    });
}

#[test]
fn a_million_nested_deferreds_can_be_dropped() {
    on_a_small_stack(|| {
        let (first, mut waiting) = deferred::<()>();
        let mut held = first;
        for _ in 0..1_000_000 {
            let (inner, before) = (waiting, held);
            let (promise, outer) = deferred::<()>();
            held = promise;
            waiting = outer.add_callback(move |()| {
                before.succeed(());
                inner
            });
        }
        drop(held);
        waiting.add_errback(|_| ()).detach();
    });
}

#[test]
fn a_tail_loop_stays_small() {
    fn count(n: u32, promises: Rc<RefCell<Vec<Promise<()>>>>) -> Deferred<u32> {
        let (promise, waiting) = deferred();
        promises.borrow_mut().push(promise);
        waiting.add_callback(
            move |()| {
                if n == 0 { Deferred::succeed(7) } else { count(n - 1, promises) }
            },
        )
    }
    on_a_small_stack(|| {
        let promises = Rc::default();
        let looping = count(200_000, Rc::clone(&promises));
        loop {
            let next = promises.borrow_mut().pop();
            let Some(promise) = next else { break };
            promise.succeed(());
        }
        assert_eq!(value(looping), 7);
    });
}

#[test]
fn recursion_through_ready_deferreds_needs_no_stack() {
    fn count(n: u32) -> Deferred<u32> {
        if n == 0 {
            return Deferred::succeed(3);
        }
        Deferred::succeed(()).add_callback(move |()| count(n - 1))
    }
    on_a_small_stack(|| assert_eq!(value(count(1_000_000)), 3));
}

#[test]
fn deferreds_are_awaited_and_futures_deferred() {
    let (promise, waiting) = deferred::<u32>();
    let (answer, driver) = from_future(async move { Ok::<_, Failure>(waiting.await? + 1) });
    let mut driver = pin!(driver);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(driver.as_mut().poll(&mut cx).is_pending());
    promise.succeed(41);
    assert!(driver.as_mut().poll(&mut cx).is_ready());
    assert_eq!(value(answer), 42);
}

#[test]
fn cancelling_crosses_between_deferreds_and_futures() {
    let stopped = Rc::new(Cell::new(false));
    let (promise, waiting) = deferred::<u32>();
    let seen = Rc::clone(&stopped);
    promise.on_cancel(move || seen.set(true));
    let (answer, driver) = from_future(waiting);
    let mut driver = Box::pin(driver);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(driver.as_mut().poll(&mut cx).is_pending());
    answer.cancel();
    assert!(driver.as_mut().poll(&mut cx).is_ready());
    assert!(stopped.get(), "the deferred that the future awaited is cancelled too");
    assert!(failure(answer).check::<Cancelled>().is_some());
}

#[test]
fn failures_tell_all_they_know() {
    let why = Failure::new(Odd(3)).context("halving").context("reading the table");
    assert_eq!(why.to_string(), "reading the table");
    let told = format!("{why:?}");
    assert!(told.starts_with("reading the table\n  caused by: halving\n  caused by: 3 is odd\n"));
    assert!(told.contains("deferred.rs"), "{told}");
    let why = why.trap::<Abandoned>().expect_err("it is no such thing");
    assert!(why.trap::<Odd>().is_ok());
    let plain: Box<dyn std::error::Error + Send + Sync> = Failure::new(Odd(5)).into();
    assert_eq!(plain.to_string(), "5 is odd");
}
