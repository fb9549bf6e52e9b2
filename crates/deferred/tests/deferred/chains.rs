//! One deferred and its links.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use ropewalk_deferred::{
    Abandoned, Cancelled, Deferred, Failure, Panicked, Promise, WaitsForItself, deferred,
    from_future, maybe_deferred,
};

use crate::kit::{Log, Odd, failure, half, on_a_small_stack, value};

/// Statement 1.
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

/// Statements 2 and 3.
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

/// Statement 6; the inner deferred is moved, so nobody sees it emptied.
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

/// Statements 12 and 13: without a canceller, what is fired later is swallowed.
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

/// Statement 11.
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

/// Statement 11.
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

/// Statement 13.
#[test]
fn results_that_are_there_cannot_be_cancelled() {
    let done = Deferred::succeed(1);
    done.cancel();
    assert_eq!(value(done), 1);
}

/// Statement 8, made an error: the deferred went into its own callback, so the log tells.
#[test]
fn waiting_for_oneself_is_a_failure() {
    // The deferred itself, and one some links further on.
    for links in 0..4 {
        let log = Log::listen();
        let stash: Rc<RefCell<Option<Deferred<u32>>>> = Rc::default();
        let seen = Rc::new(Cell::new(0));
        let (promise, first) = deferred::<u32>();
        let taken = Rc::clone(&stash);
        let mut itself = first.add_callback(move |_| taken.take().expect("it was stashed"));
        for _ in 0..links {
            let seen = Rc::clone(&seen);
            itself = itself.add_errback(move |why| {
                assert!(why.check::<WaitsForItself>().is_some());
                seen.set(seen.get() + 1);
                Err(why)
            });
        }
        stash.replace(Some(itself));
        promise.succeed(1);
        assert_eq!(seen.get(), links, "what hangs on it fails with it");
        let said = log.take();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("waits for it"), "{said:?}");
    }
}

/// Statement 8: each of two waits for the other.
#[test]
fn waiting_for_each_other_is_a_failure() {
    let log = Log::listen();
    let stash: Rc<RefCell<Option<Deferred<()>>>> = Rc::default();
    let (one, first) = deferred::<()>();
    let (other, second) = deferred::<()>();
    let taken = Rc::clone(&stash);
    let second = second.add_callback(move |()| taken.take().expect("it was stashed"));
    let first = first.add_callback(move |()| second);
    stash.replace(Some(first));
    one.succeed(());
    assert!(log.take().is_empty());
    other.succeed(());
    assert_eq!(log.take().len(), 1);
}

/// Statement 4.
#[test]
fn a_failure_fired_is_a_failure() {
    let (promise, waiting) = deferred::<u32>();
    promise.fire(Err(Odd(1)));
    assert!(failure(waiting).check::<Odd>().is_some());
    let (promise, waiting) = deferred::<u32>();
    promise.fail(Failure::new(Odd(1)));
    assert!(failure(waiting).check::<Odd>().is_some());
}

/// Statement 9: a chain is held up by what a link returns, however many hold it.
#[test]
fn chains_pause_for_each_gate() {
    let (promise, waiting) = deferred();
    let (first, one) = deferred::<()>();
    let (second, other) = deferred::<()>();
    let waiting = waiting
        .add_callback(move |n: u32| one.map(move |()| n))
        .add_callback(move |n| other.map(move |()| n));
    promise.succeed(4);
    second.succeed(());
    let waiting = waiting.try_take().expect_err("one gate is shut");
    first.succeed(());
    assert_eq!(value(waiting), 4);
}

/// Statement 10.
#[test]
fn links_added_by_a_link_run_after_it() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (promise, waiting) = deferred();
    let (inner_promise, inner) = deferred::<()>();
    let (early, late) = (Rc::clone(&seen), Rc::clone(&seen));
    let inner = inner.map(move |()| early.borrow_mut().push("inner"));
    let done = waiting.map(move |()| {
        let more = Rc::clone(&late);
        let inner = inner.map(move |()| more.borrow_mut().push("added"));
        late.borrow_mut().push("before");
        inner_promise.succeed(());
        late.borrow_mut().push("after");
        inner.detach();
    });
    promise.succeed(());
    value(done);
    assert_eq!(*seen.borrow(), ["before", "inner", "added", "after"]);
}

/// Statement 11, bettered: the wait ends, and the canceller's trouble is its failure.
#[test]
fn cancellers_that_panic_fail_the_wait() {
    let (promise, waiting) = deferred::<()>();
    promise.on_cancel(|| panic!("cannot stop"));
    waiting.cancel();
    assert!(!promise.is_wanted());
    let failed = failure(waiting);
    assert_eq!(failed.check::<Panicked>().map(Panicked::message), Some("cannot stop"));
}

/// Statement 11: a result that the canceller gave stands, even if the canceller then panics.
#[test]
fn cancellers_that_fire_and_panic_are_logged() {
    let log = Log::listen();
    let (promise, waiting) = deferred();
    let stash = Rc::new(RefCell::new(None::<Promise<u32>>));
    let taken = Rc::clone(&stash);
    promise.on_cancel(move || {
        taken.take().expect("it was stashed").succeed(1);
        panic!("too late");
    });
    stash.replace(Some(promise));
    waiting.cancel();
    assert_eq!(value(waiting), 1);
    assert!(log.take()[0].contains("too late"));
}

/// Statement 15: at once, on drop, with both places.
#[test]
fn unhandled_failures_are_logged_once() {
    let log = Log::listen();
    let (promise, waiting) = deferred::<u32>();
    let waiting = waiting.map(|n| n + 1).map(|n| n + 1);
    promise.fail(Odd(3));
    assert!(log.take().is_empty(), "it may still be handled");
    drop(waiting);
    let said = log.take();
    assert_eq!(said.len(), 1, "{said:?}");
    let (created, failed) = (line!() - 6, line!() - 5);
    assert!(
        said[0].contains(&format!("created=crates/deferred/tests/deferred/chains.rs:{created}:")),
        "{said:?}"
    );
    assert!(
        said[0].contains(&format!("failed=crates/deferred/tests/deferred/chains.rs:{failed}:")),
        "{said:?}"
    );

    let (promise, waiting) = deferred::<u32>();
    waiting.detach();
    promise.fail(Odd(3));
    assert_eq!(log.take().len(), 1, "nobody can come any more");

    Deferred::<()>::fail(Odd(5)).detach();
    assert_eq!(log.take().len(), 1);

    let (promise, waiting) = deferred::<u32>();
    waiting.add_errback(|_| Ok::<_, Failure>(0)).detach();
    promise.fail(Odd(3));
    assert!(log.take().is_empty(), "it was handled");
}

/// Statement 17: who awaits the failure has it.
#[test]
fn awaited_failures_are_handled() {
    let log = Log::listen();
    let (promise, waiting) = deferred::<u32>();
    let mut task = pin!(async move { waiting.await.unwrap_err().downcast::<Odd>().unwrap() });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(task.as_mut().poll(&mut cx).is_pending());
    promise.fail(Odd(7));
    assert_eq!(task.as_mut().poll(&mut cx), std::task::Poll::Ready(Odd(7)));
    assert!(log.take().is_empty());
}

/// Statement 18.
#[test]
fn whatever_a_function_gives_is_a_deferred() {
    assert_eq!(value(maybe_deferred(|| half(8))), 4);
    assert!(failure(maybe_deferred(|| half(7))).check::<Odd>().is_some());
    let (promise, waiting) = deferred();
    let same = maybe_deferred(|| waiting);
    promise.succeed(3);
    assert_eq!(value(same), 3);
    let failed = failure(maybe_deferred(|| -> Result<(), Odd> { panic!("no") }));
    assert!(failed.check::<Panicked>().is_some());
}

/// Statement 26: the link that hears of the cancelling may clean up, wait, and succeed after all; a
/// further cancelling reaches what it waits for.
#[test]
fn cancelled_chains_may_clean_up() {
    for cancel_again in [false, true] {
        let (_promise, waiting) = deferred::<&str>();
        let (closed, closing) = deferred::<()>();
        let waiting = waiting.add_errback(move |why| {
            assert!(why.check::<Cancelled>().is_some());
            closing.map(|()| "closed")
        });
        waiting.cancel();
        let waiting = waiting.try_take().expect_err("it cleans up");
        if cancel_again {
            waiting.cancel();
            assert!(failure(waiting).check::<Cancelled>().is_some());
        } else {
            closed.succeed(());
            assert_eq!(value(waiting), "closed");
        }
    }
}

/// Statement 16: a future that is dropped cancels what it awaited, and nobody is told.
#[test]
fn dropped_futures_cancel_quietly() {
    let log = Log::listen();
    let (promise, waiting) = deferred::<u32>();
    let (answer, driver) = from_future(waiting);
    let mut driver = Box::pin(driver);
    assert!(driver.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(driver);
    assert!(promise.is_cancelled());
    assert!(failure(answer).check::<Abandoned>().is_some());
    assert!(log.take().is_empty());
}

/// Statement 7.
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

/// Statement 7.
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

/// Statements 7 and 10.
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

/// Statements 16, 24 and 25.
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

/// Statement 16.
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
    assert!(told.contains("chains.rs"), "{told}");
    let why = why.trap::<Abandoned>().expect_err("it is no such thing");
    assert!(why.trap::<Odd>().is_ok());
    let plain: Box<dyn std::error::Error + Send + Sync> = Failure::new(Odd(5)).into();
    assert_eq!(plain.to_string(), "5 is odd");
}
