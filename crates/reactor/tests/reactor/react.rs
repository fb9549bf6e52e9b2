//! Programs from their start to their end, and scopes, on a real loop.

use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::{Exit, react, scope, sleep};
use ropewalk_reactor::{Census, Reactor};

use crate::kit::reactor;

#[test]
fn programs_end_with_their_main_function() {
    let reactor = reactor();
    let wait = |reactor: &Reactor| sleep(reactor, Duration::from_millis(1));
    assert_eq!(react(&reactor, wait), Exit::SUCCESS);
    let fail = |reactor: &Reactor| {
        wait(reactor).add_callback(|()| Err::<(), Failure>(Exit::new(3).into()))
    };
    assert_eq!(react(&reactor, fail), Exit::new(3));
    let stopped = |reactor: &Reactor| {
        let (stopper, waits) = (reactor.clone(), sleep(reactor, Duration::from_hours(1)));
        wait(reactor).map(move |()| stopper.stop()).detach();
        waits
    };
    assert_eq!(react(&reactor, stopped), Exit::SUCCESS);
    assert_eq!(reactor.census(), Census::default(), "nothing is left");
}

#[test]
fn scopes_own_tasks_on_a_reactor() {
    let reactor = reactor();
    let sleeper = reactor.clone();
    let sum = scope(reactor.clone(), move |scope| async move {
        let slow = scope.spawn(async move {
            sleep(&sleeper, Duration::from_millis(2)).await?;
            Ok::<_, Failure>(40)
        });
        let fast = scope.spawn(async { Ok::<_, Failure>(2) });
        Ok::<_, Failure>(slow.await? + fast.await?)
    });
    assert_eq!(reactor.run_until(sum).unwrap(), 42);
    assert_eq!(reactor.census().tasks, 0);
}
