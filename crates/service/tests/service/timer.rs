//! What is done again and again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_service::{Service as _, TimerService};
use ropewalk_trial::Clock;

use crate::kit::{result, waits};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn it_is_done_at_once_and_then_on_the_grid_until_it_is_stopped() {
    let (clock, count) = (Clock::new(), Rc::new(Cell::new(0)));
    let counter = Rc::clone(&count);
    let timer = TimerService::new(clock.clone(), MINUTE, move |_| counter.set(counter.get() + 1));
    clock.advance(MINUTE);
    assert_eq!(count.get(), 0, "not before it is started");
    for round in 0..2 {
        result(timer.start()).unwrap();
        result(timer.start()).unwrap();
        clock.advance(MINUTE * 3);
        assert_eq!(count.get(), (round + 1) * 4);
        result(timer.stop()).unwrap();
        result(timer.stop()).unwrap();
        clock.advance(MINUTE * 3);
        assert_eq!(count.get(), (round + 1) * 4, "it goes on after the stop");
    }
}

#[test]
fn a_failure_does_not_end_it() {
    let (clock, count) = (Clock::new(), Rc::new(Cell::new(0)));
    let counter = Rc::clone(&count);
    let timer = TimerService::new(clock.clone(), MINUTE, move |_| {
        counter.set(counter.get() + 1);
        Err::<(), _>(Failure::new("not this time"))
    });
    result(timer.start()).unwrap();
    clock.advance(MINUTE);
    assert_eq!(count.get(), 2);
    result(timer.stop()).unwrap();
}

#[test]
fn a_stop_waits_for_what_is_under_way() {
    let clock = Clock::new();
    let waiting = Rc::<RefCell<Option<Promise<()>>>>::default();
    let keeps = Rc::clone(&waiting);
    let timer = TimerService::new(clock.clone(), MINUTE, move |_| -> Deferred<()> {
        let (promise, done) = deferred();
        keeps.replace(Some(promise));
        done
    });
    result(timer.start()).unwrap();
    let stopped = waits(timer.stop());
    waiting.take().unwrap().succeed(());
    result(stopped).unwrap();
    clock.advance(MINUTE * 2);
    assert!(waiting.borrow().is_none(), "it was called after the stop");
}

#[test]
fn what_takes_long_skips_places() {
    let clock = Clock::new();
    let (waiting, places) =
        (Rc::<RefCell<Option<Promise<()>>>>::default(), Rc::<RefCell<Vec<u64>>>::default());
    let (keeps, hears) = (Rc::clone(&waiting), Rc::clone(&places));
    let timer = TimerService::new(clock.clone(), MINUTE, move |count| {
        hears.borrow_mut().push(count);
        let (promise, done) = deferred::<()>();
        keeps.replace(Some(promise));
        done
    });
    result(timer.start()).unwrap();
    clock.advance(Duration::from_secs(150));
    assert_eq!(*places.borrow(), [1], "never twice at once");
    waiting.take().unwrap().succeed(());
    clock.advance(Duration::from_secs(30));
    assert_eq!(*places.borrow(), [1, 3]);
    waiting.take().unwrap().succeed(());
    result(timer.stop()).unwrap();
}
