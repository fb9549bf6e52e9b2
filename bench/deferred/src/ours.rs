//! The shapes, with deferreds.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Waker};

use ropewalk_deferred::{
    Deferred, Failure, Promise, Step, Steps, deferred, deferred_through, steps,
};

pub fn shape(name: &str) -> Option<fn(u64)> {
    Some(match name {
        "fire-0" => |count| fire::<0>(count),
        "fire-1" => |count| fire::<1>(count),
        "fire-10" => |count| fire::<10>(count),
        "returned-10" => returned,
        "await-ready" => await_ready,
        "await-pending" => await_pending,
        "chain-long" => chain_long,
        "nest-long" => nest_long,
        "chain-dropped" => chain_dropped,
        "nest-dropped" => nest_dropped,
        _ => return None,
    })
}

/// The shapes whose links are known in one place.
pub fn shape_of_steps(name: &str) -> Option<fn(u64)> {
    Some(match name {
        "fire-1" => |count| through(count, || steps().map(step)),
        "fire-10" => |count| through(count, ten),
        _ => return None,
    })
}

fn step(n: u64) -> u64 {
    black_box(n + 1)
}

fn ten() -> Steps<u64, u64, impl Step<u64, u64>> {
    let five = steps().map(step).map(step).map(step).map(step).map(step);
    five.map(step).map(step).map(step).map(step).map(step)
}

fn through<F>(count: u64, steps: impl Fn() -> Steps<u64, u64, F>)
where
    F: Step<u64, u64> + 'static,
{
    for n in 0..count {
        let (promise, waiting) = black_box(deferred_through(steps()));
        promise.succeed(n);
        black_box(waiting.now_or_never().is_some());
    }
}

fn fire<const LINKS: usize>(count: u64) {
    for n in 0..count {
        let (promise, mut waiting) = black_box(deferred::<u64>());
        for _ in 0..LINKS {
            waiting = waiting.map(|n| black_box(n + 1));
        }
        promise.succeed(n);
        black_box(waiting.now_or_never().is_some());
    }
}

/// Ten links, each of which gives a deferred that has no result yet.
fn returned(count: u64) {
    for n in 0..count {
        let (promise, mut waiting) = black_box(deferred::<u64>());
        let mut promises: [Option<Promise<u64>>; 10] = [const { None }; 10];
        for place in &mut promises {
            let (promise, inner) = deferred();
            *place = Some(promise);
            waiting = waiting.add_callback(move |_| inner);
        }
        promise.succeed(n);
        for promise in promises.into_iter().flatten() {
            promise.succeed(n);
        }
        black_box(waiting.now_or_never().is_some());
    }
}

fn await_ready(count: u64) {
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..count {
        let waiting = black_box(Deferred::succeed(n));
        let task = pin!(async move { waiting.await.map(|n| n + 1) });
        black_box(task.poll(&mut cx).is_ready());
    }
}

fn await_pending(count: u64) {
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..count {
        let (promise, waiting) = black_box(deferred::<u64>());
        let mut task = pin!(async move { waiting.await.map(|n| n + 1) });
        black_box(task.as_mut().poll(&mut cx).is_ready());
        promise.succeed(n);
        black_box(task.poll(&mut cx).is_ready());
    }
}

fn long_chain(count: u64) -> (Promise<u64>, Deferred<u64>) {
    let (promise, mut waiting) = deferred::<u64>();
    for _ in 0..count {
        waiting = waiting.map(|n| n + 1);
    }
    (promise, waiting)
}

fn chain_long(count: u64) {
    let (promise, waiting) = long_chain(count);
    promise.succeed(0);
    black_box(waiting.now_or_never().is_some());
}

fn chain_dropped(count: u64) {
    let (promise, waiting) = long_chain(count);
    drop(promise);
    drop(waiting.add_errback(|_| Ok::<_, Failure>(0)));
}

/// Each deferred is returned from the next one's callback.
fn long_nest(count: u64) -> (Promise<u64>, Vec<Promise<()>>, Deferred<u64>) {
    let (first, mut waiting) = deferred::<u64>();
    let mut promises = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let inner = waiting;
        let (promise, outer) = deferred::<()>();
        promises.push(promise);
        waiting = outer.add_callback(move |()| inner);
    }
    (first, promises, waiting)
}

fn nest_long(count: u64) {
    let (first, promises, waiting) = long_nest(count);
    for promise in promises.into_iter().rev() {
        promise.succeed(());
    }
    first.succeed(0);
    black_box(waiting.now_or_never().is_some());
}

fn nest_dropped(count: u64) {
    let (first, promises, waiting) = long_nest(count);
    let waiting = waiting.add_errback(|_| Ok::<_, Failure>(0));
    drop(promises);
    drop(first);
    drop(waiting);
}
