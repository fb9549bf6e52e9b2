//! Several deferreds as one.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_deferred::{
    AllFailed, Cancelled, Deferred, Failure, FirstError, Panicked, Promise, Rest, deferred,
    deferred_list, gather, race,
};

use crate::kit::{Log, Odd, failure, value};

type Pairs<T> = (Vec<Promise<T>>, Vec<Deferred<T>>);

fn several<T>(count: usize) -> Pairs<T> {
    (0..count).map(|_| deferred()).unzip()
}

/// Statement 19.
#[test]
fn lists_keep_the_order_in_which_they_were_given() {
    let (promises, waiting) = several(3);
    let list = deferred_list(waiting);
    let mut promises = promises.into_iter();
    let (first, second, third) =
        (promises.next().unwrap(), promises.next().unwrap(), promises.next().unwrap());
    third.succeed(3);
    second.fail(Odd(2));
    let list = list.try_take().expect_err("one is missing");
    first.succeed(1);
    let list = value(list);
    assert_eq!(list[0].as_ref().unwrap(), &1);
    assert!(list[1].as_ref().unwrap_err().check::<Odd>().is_some());
    assert_eq!(list[2].as_ref().unwrap(), &3);
}

/// Statements 19 and 23: of nothing, each has its result at once.
#[test]
fn groups_of_nothing_are_decided() {
    assert!(value(deferred_list::<()>([])).is_empty());
    assert!(value(gather::<()>([], Rest::Cancel)).is_empty());
    let nobody = failure(race::<()>([])).downcast::<AllFailed>().unwrap();
    assert!(nobody.failures().is_empty());
    assert_eq!(nobody.to_string(), "there was nobody to race");
}

/// Statements 20 and 22: the first failure is the whole's, the others are cancelled or left.
#[test]
fn gathering_ends_with_the_first_failure() {
    for rest in [Rest::Cancel, Rest::Leave] {
        let log = Log::listen();
        let (mut promises, waiting) = several::<u32>(4);
        let all = gather(waiting, rest);
        promises.remove(1).succeed(1);
        promises.remove(1).fail(Odd(5));
        let failed = failure(all);
        assert!(failed.check::<Odd>().is_some(), "the error is found through the group");
        assert_eq!(failed.downcast::<FirstError>().unwrap().index(), 2);
        assert!(promises.iter().all(|promise| promise.is_cancelled() == (rest == Rest::Cancel)));
        promises.remove(0).fail(Odd(7));
        promises.remove(0).succeed(7);
        // One that was left and fails is nobody's; one that was cancelled is not listened to.
        assert_eq!(log.take().len(), usize::from(rest == Rest::Leave));
    }
}

/// Statement 22.
#[test]
fn gathering_gives_the_values_in_order() {
    let (promises, waiting) = several(3);
    let all = gather(waiting, Rest::Cancel);
    for (n, promise) in promises.into_iter().enumerate().rev() {
        promise.succeed(n);
    }
    assert_eq!(value(all), [0, 1, 2]);
}

/// Statement 23: the rest is cancelled by the time that the winner is known.
#[test]
fn races_cancel_who_lost() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (mut promises, waiting) = several(3);
    for (n, promise) in promises.iter().enumerate() {
        let seen = Rc::clone(&seen);
        promise.on_cancel(move || seen.borrow_mut().push(format!("cancelled {n}")));
    }
    let won = Rc::clone(&seen);
    let winner = race(waiting).map(move |(index, text)| {
        won.borrow_mut().push(format!("won {index}"));
        text
    });
    promises.remove(1).succeed("mine");
    assert_eq!(value(winner), "mine");
    assert_eq!(*seen.borrow(), ["cancelled 0", "cancelled 2", "won 1"]);
}

/// Statement 23: also those that come after a winner who had its value from the start.
#[test]
fn races_may_be_won_before_they_start() {
    let (promises, mut waiting) = several(2);
    waiting.insert(1, Deferred::succeed("early"));
    assert_eq!(value(race(waiting)), (1, "early"));
    assert!(promises.iter().all(Promise::is_cancelled));
}

/// Statement 23.
#[test]
fn races_without_a_winner_tell_all() {
    let (promises, waiting) = several::<()>(3);
    let nobody = race(waiting);
    for (n, promise) in (0..3).zip(promises).rev() {
        promise.fail(Odd(n));
    }
    let failures = failure(nobody).downcast::<AllFailed>().unwrap().into_failures();
    let odd: Vec<_> = failures.iter().map(|why| why.check::<Odd>().unwrap().0).collect();
    assert_eq!(odd, [0, 1, 2]);
}

/// Statements 21 and 23: cancelling the whole cancels each; a canceller's panic is its own failure.
#[test]
fn cancelling_a_group_cancels_each() {
    let log = Log::listen();
    let (promises, waiting) = several::<()>(3);
    promises[1].on_cancel(|| panic!("stuck"));
    let list = deferred_list(waiting);
    list.cancel();
    let results = value(list);
    let is_cancelled = |why: &Failure| why.check::<Cancelled>().is_some();
    assert!(is_cancelled(results[0].as_ref().unwrap_err()));
    assert!(results[1].as_ref().unwrap_err().check::<Panicked>().is_some());
    assert!(is_cancelled(results[2].as_ref().unwrap_err()));

    for rest in [Rest::Cancel, Rest::Leave] {
        let (promises, waiting) = several::<()>(3);
        let all = gather(waiting, rest);
        all.cancel();
        assert!(promises.iter().all(Promise::is_cancelled));
        assert!(failure(all).downcast::<Cancelled>().is_ok());
    }
    let (promises, waiting) = several::<()>(3);
    let nobody = race(waiting);
    nobody.cancel();
    assert!(promises.iter().all(Promise::is_cancelled));
    assert!(failure(nobody).downcast::<Cancelled>().is_ok());
    assert!(log.take().is_empty(), "all was heard");
}

/// Statement 22, for two of different types.
#[test]
fn pairs_wait_for_both() {
    let (left, one) = deferred::<u32>();
    let (right, other) = deferred::<&str>();
    let both = one.zip(other);
    right.succeed("two");
    left.succeed(1);
    assert_eq!(value(both), (1, "two"));

    let (left, one) = deferred::<u32>();
    let (right, other) = deferred::<&str>();
    let both = one.zip(other);
    right.fail(Odd(1));
    assert!(left.is_cancelled());
    assert!(failure(both).check::<Odd>().is_some());
}
