//! A million of everything, on a stack of a quarter of a mebibyte.

use ropewalk_deferred::{
    Abandoned, Cancelled, Deferred, Promise, Rest, deferred, deferred_list, gather,
};

use crate::kit::{failure, on_a_small_stack, value};

const MANY: u64 = 1_000_000;

#[test]
fn long_chains_may_be_let_go_at_either_end() {
    on_a_small_stack(|| {
        let chain = || {
            let (promise, mut waiting) = deferred::<u64>();
            for _ in 0..MANY {
                waiting = waiting.map(|n| n + 1);
            }
            (promise, waiting.add_errback(|_| Ok::<_, Abandoned>(0)))
        };
        let (promise, waiting) = chain();
        drop(waiting);
        promise.succeed(0);
        let (promise, waiting) = chain();
        drop(waiting);
        drop(promise);
        let (promise, waiting) = chain();
        drop(promise);
        assert_eq!(value(waiting), 0);
        let (_promise, waiting) = chain();
        waiting.cancel();
        assert_eq!(value(waiting), 0);
    });
}

#[test]
fn deep_nests_may_be_fired_from_within_or_without() {
    on_a_small_stack(|| {
        for from_within in [true, false] {
            let mut promises = Vec::new();
            let (first, mut waiting) = deferred::<u64>();
            for _ in 0..MANY {
                let inner = waiting;
                let (promise, outer) = deferred::<()>();
                promises.push(promise);
                waiting = outer.add_callback(move |()| inner);
            }
            if from_within {
                first.succeed(7);
                for promise in promises {
                    promise.succeed(());
                }
            } else {
                for promise in promises.into_iter().rev() {
                    promise.succeed(());
                }
                first.succeed(7);
            }
            assert_eq!(value(waiting), 7);
        }
    });
}

#[test]
fn deep_nests_may_be_let_go_half_way() {
    on_a_small_stack(|| {
        for cancel in [true, false] {
            let mut promises = Vec::new();
            let (first, mut waiting) = deferred::<u64>();
            for _ in 0..MANY {
                let inner = waiting;
                let (promise, outer) = deferred::<()>();
                promises.push(promise);
                waiting = outer.add_callback(move |()| inner);
            }
            for promise in promises.into_iter().rev() {
                promise.succeed(());
            }
            if cancel {
                waiting.cancel();
                assert!(first.is_cancelled());
                drop(failure(waiting));
            } else {
                drop(first);
                assert!(failure(waiting).check::<Abandoned>().is_some());
            }
        }
    });
}

#[test]
fn wide_groups_need_no_stack() {
    on_a_small_stack(|| {
        let (promises, waiting): (Vec<_>, Vec<_>) = (0..MANY / 10).map(|_| deferred()).unzip();
        let list = deferred_list(waiting);
        for (n, promise) in promises.into_iter().enumerate() {
            promise.succeed(n);
        }
        assert_eq!(value(list).len() as u64, MANY / 10);

        let (promise, waiting) = deferred::<()>();
        let shared = waiting.shared();
        let waits: Vec<Deferred<()>> = (0..MANY / 10).map(|_| shared.wait()).collect();
        promise.succeed(());
        waits.into_iter().for_each(value);
    });
}

/// Each waits for the one before it, which is cancelled with its last waiter.
#[test]
fn shared_results_in_a_row_may_be_cancelled() {
    on_a_small_stack(|| {
        let (promise, mut waiting) = deferred::<u64>();
        for _ in 0..MANY {
            waiting = waiting.shared().wait();
        }
        waiting.cancel();
        assert!(failure(waiting).check::<Cancelled>().is_some());
        assert!(promise.is_cancelled());
    });
}

/// Each is cancelled by the canceller of the one before it.
#[test]
fn cancellers_that_cancel_need_no_stack() {
    on_a_small_stack(|| {
        let (first, mut waiting) = deferred::<u64>();
        let mut promises = vec![first];
        for _ in 0..MANY {
            let (promise, next) = deferred::<u64>();
            let canceller = waiting.canceller();
            waiting.detach();
            promise.on_cancel(move || canceller.cancel());
            promises.push(promise);
            waiting = next;
        }
        waiting.cancel();
        assert!(promises.iter().all(Promise::is_cancelled));
        drop(failure(waiting));
    });
}

#[test]
fn groups_of_shared_results_may_be_cancelled() {
    on_a_small_stack(|| {
        let (promises, waiting): (Vec<_>, Vec<_>) =
            (0..MANY / 10).map(|_| deferred::<u64>()).unzip();
        let group = gather(waiting.into_iter().map(|one| one.shared().wait()), Rest::Cancel);
        group.cancel();
        assert!(promises.iter().all(Promise::is_cancelled));
        drop(failure(group));
    });
}
