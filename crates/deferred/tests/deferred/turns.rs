//! Locks, semaphores and queues.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ropewalk_deferred::{
    Cancelled, Crowded, DeferredLock, DeferredQueue, DeferredSemaphore, Failure, Panicked, Permit,
    deferred,
};

use crate::kit::{Odd, failure, on_a_small_stack, value};

/// Statement 28: first come, first served; a waiter can leave.
#[test]
fn locks_are_taken_in_turn() {
    let lock = DeferredLock::new();
    let turn = value(lock.acquire());
    let seen = Rc::new(RefCell::new(Vec::new()));
    let waits: Vec<_> = (0..4)
        .map(|n| {
            let seen = Rc::clone(&seen);
            lock.acquire().map(move |turn: Permit| {
                seen.borrow_mut().push(n);
                drop(turn);
            })
        })
        .collect();
    waits[1].cancel();
    assert_eq!(lock.waiting(), 3);
    assert!(lock.try_acquire().is_none());
    drop(turn);
    assert_eq!(*seen.borrow(), [0, 2, 3]);
    assert!(!lock.is_locked());
    let mut waits = waits.into_iter();
    value(waits.next().unwrap());
    assert!(failure(waits.next().unwrap()).check::<Cancelled>().is_some());
    waits.for_each(value);
}

/// Statement 28: `run` ends its turn with the deferred, a failure or a panic.
#[test]
fn runs_end_their_turn_however_they_end() {
    let lock = DeferredLock::new();
    let (promise, waiting) = deferred::<u32>();
    let run = lock.run(move || waiting);
    assert!(lock.is_locked());
    promise.succeed(1);
    assert_eq!(value(run), 1);
    assert!(!lock.is_locked());

    let (promise, waiting) = deferred::<u32>();
    let run = lock.run(move || waiting);
    promise.fail(Odd(1));
    drop(failure(run));
    assert!(!lock.is_locked());

    let run = lock.run(|| -> Result<(), Failure> { panic!("inside") });
    assert!(failure(run).check::<Panicked>().is_some());
    assert!(!lock.is_locked());

    let (promise, waiting) = deferred::<u32>();
    let run = lock.run(move || waiting);
    run.cancel();
    assert!(promise.is_cancelled());
    drop(failure(run));
    assert!(!lock.is_locked());
}

/// Statement 29: as many at a time as there are tokens; releasing twice cannot be written.
#[test]
fn semaphores_count() {
    let semaphore = DeferredSemaphore::new(2);
    let (one, other) = (value(semaphore.acquire()), value(semaphore.acquire()));
    let third = semaphore.acquire().try_take().expect_err("there were two");
    assert_eq!((semaphore.free(), semaphore.waiting()), (0, 1));
    drop(one);
    let third = value(third);
    drop((other, third));
    assert_eq!((semaphore.free(), semaphore.waiting()), (2, 0));
}

/// Statement 29.
#[test]
#[should_panic(expected = "a semaphore needs a token")]
fn semaphores_have_a_token() {
    let _ = DeferredSemaphore::new(0);
}

/// Statements 28 to 30: who was dropped without being cancelled gets no turn and no value.
#[test]
fn turns_go_past_those_who_are_gone() {
    let lock = DeferredLock::new();
    let turn = value(lock.acquire());
    drop(lock.acquire());
    let next = lock.acquire();
    drop(turn);
    drop(value(next));
    assert!(!lock.is_locked());

    let queue = DeferredQueue::new(1);
    drop(queue.get());
    queue.put("kept").unwrap();
    assert_eq!(value(queue.get()), "kept");
}

#[test]
fn crowds_are_turned_away() {
    let lock = DeferredLock::with_waiters_max(1);
    let turn = value(lock.acquire());
    let waits = lock.acquire();
    assert!(failure(lock.acquire()).check::<Crowded>().is_some());
    drop(turn);
    drop(value(waits));
}

/// Statement 30: both bounds, from both sides.
#[test]
fn queues_are_bounded_both_ways() {
    let queue = DeferredQueue::with_takers_max(2, 1);
    queue.put(1).unwrap();
    queue.put(2).unwrap();
    assert_eq!(queue.put(3).unwrap_err().into_value(), 3);
    assert_eq!((value(queue.get()), value(queue.get())), (1, 2));
    let waits = queue.get();
    assert!(failure(queue.get()).check::<Crowded>().is_some());
    queue.put(4).unwrap();
    assert_eq!(value(waits), 4);
    assert!(queue.is_empty());

    let direct = DeferredQueue::new(0);
    let waits = direct.get();
    direct.put(5).unwrap();
    assert_eq!(value(waits), 5);
    assert!(direct.put(6).is_err());
}

/// Statement 30: first come, first served; a taker can leave.
#[test]
fn takers_are_served_in_turn() {
    let queue = DeferredQueue::new(0);
    let (one, other, third) = (queue.get(), queue.get(), queue.get());
    other.cancel();
    assert_eq!(queue.waiting(), 2);
    queue.put("first").unwrap();
    queue.put("second").unwrap();
    assert!(failure(other).check::<Cancelled>().is_some());
    assert_eq!((value(one), value(third)), ("first", "second"));
}

/// Statement 30: what has come to a taker that is gone is not lost, and keeps its place.
#[test]
fn values_that_nobody_took_go_back() {
    let mut cx = Context::from_waker(Waker::noop());
    let queue = DeferredQueue::new(2);
    let mut tasks: Vec<_> = (0..3).map(|_| Box::pin(queue.get())).collect();
    for task in &mut tasks {
        assert!(task.as_mut().poll(&mut cx).is_pending());
    }
    for value in 1..=5 {
        queue.put(value).unwrap();
    }
    assert_eq!(queue.len(), 2);
    // Those that hold 1 and 3 are dropped between the delivery and their next turn.
    drop(tasks.remove(0));
    drop(tasks.pop());
    let mut second = tasks.remove(0);
    assert!(matches!(second.as_mut().poll(&mut cx), Poll::Ready(Ok(2))));
    drop(second);
    assert_eq!(queue.len(), 4);
    // One that was there at once goes back as well.
    drop(queue.get());
    let rest: Vec<_> = std::iter::from_fn(|| queue.try_get()).collect();
    assert_eq!(rest, [1, 3, 4, 5]);
}

/// Statement 30: or to the next who waits.
#[test]
fn values_that_nobody_took_go_on() {
    let mut cx = Context::from_waker(Waker::noop());
    let queue = DeferredQueue::new(0);
    let mut task = Box::pin(queue.get());
    assert!(task.as_mut().poll(&mut cx).is_pending());
    queue.put("moves on").unwrap();
    let next = queue.get();
    drop(task);
    assert_eq!(value(next), "moves on");
    assert_eq!((queue.len(), queue.waiting()), (0, 0));
}

/// The next turn begins when the one who ended theirs has returned.
#[test]
fn turns_do_not_begin_inside_one_another() {
    let lock = DeferredLock::new();
    let turn = value(lock.acquire());
    let seen = Rc::new(RefCell::new(Vec::new()));
    for n in 0..3 {
        let seen = Rc::clone(&seen);
        let wait = lock.acquire().map(move |turn| {
            drop(turn);
            seen.borrow_mut().push(n);
        });
        wait.detach();
    }
    drop(turn);
    assert_eq!(*seen.borrow(), [0, 1, 2]);
}

/// A turn that ends within its own callback is passed on without going deeper.
#[test]
fn long_queues_need_no_stack() {
    on_a_small_stack(|| {
        let semaphore = DeferredSemaphore::with_waiters_max(1, usize::MAX);
        let turn = value(semaphore.acquire());
        for n in 0..100_000 {
            match n % 2 {
                0 => semaphore.acquire().map(drop).detach(),
                _ => semaphore.acquire().detach(),
            }
        }
        drop(turn);
        assert_eq!((semaphore.free(), semaphore.waiting()), (1, 0));
    });
}
