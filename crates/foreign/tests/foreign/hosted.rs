//! What a host is told.

use std::time::Duration;

use ropewalk_foreign::{Hosted, Next};
use ropewalk_protocol::call_later;

use crate::kit::{Count, Echo, listen, reactor};

#[track_caller]
fn check(next: Next, wait: Option<Duration>, wait_ms: Option<u32>) {
    assert_eq!((next.wait(), next.wait_ms()), (wait, wait_ms), "{next:?}");
}

#[test]
fn timers_in_milliseconds_are_never_early() {
    check(Next::AtOnce, Some(Duration::ZERO), Some(0));
    check(Next::Within(Duration::from_nanos(1)), Some(Duration::from_nanos(1)), Some(1));
    check(Next::Within(Duration::from_millis(7)), Some(Duration::from_millis(7)), Some(7));
    check(Next::Within(Duration::from_micros(7_001)), Some(Duration::from_micros(7_001)), Some(8));
    check(Next::Within(Duration::MAX), Some(Duration::MAX), Some(i32::MAX as u32));
    for next in [Next::WhenReadable, Next::Busy, Next::Ended] {
        check(next, None, None);
    }
}

#[test]
fn each_turn_says_what_is_next() {
    let reactor = reactor();
    let hosted = Hosted::new(&reactor);
    let first = hosted.turn().unwrap();
    assert_eq!(first, Next::WhenReadable);
    let (done, counted) = (Count::default(), Count::default());
    let counts = done.clone();
    call_later(&reactor, Duration::from_hours(1), move || counts.add());
    let next = hosted.turn().unwrap();
    assert!(matches!(next, Next::Within(wait) if wait > Duration::from_mins(1)), "{next:?}");
    // A host's loop that runs in a callback.
    let (inner, counts) = (hosted.clone(), counted.clone());
    call_later(&reactor, Duration::ZERO, move || {
        assert_eq!(inner.turn().unwrap(), Next::Busy);
        inner.reactor().stop_now();
        assert_eq!(inner.turn().unwrap(), Next::Busy, "a stop waits for the turn's end");
        counts.add();
    });
    let (_port, _) = listen(&reactor, || Echo);
    assert_eq!(hosted.turn().unwrap(), Next::Ended);
    let census = reactor.census();
    assert_eq!((done.get(), counted.get(), census.calls, census.listeners), (0, 1, 0, 0));
    assert_eq!(hosted.turn().unwrap(), Next::WhenReadable, "it can be hosted anew");
}

#[cfg(unix)]
#[test]
fn what_is_watched_is_ones_own_and_outlives_the_reactor() {
    use std::os::fd::{AsFd, AsRawFd};

    use ropewalk_foreign::Watched;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let reactor = reactor();
    let watched = Watched::new(&reactor).unwrap();
    assert_ne!(watched.as_raw_fd(), reactor.as_fd().as_raw_fd());
    assert_eq!(watched.turn(), Next::WhenReadable);
    // It tells of what the reactor has to do.
    let stopper = reactor.handle();
    stopper.stop().unwrap();
    let mut asked = [PollFd::new(&watched, PollFlags::IN)];
    assert_eq!(poll(&mut asked, Some(&Timespec { tv_sec: 20, tv_nsec: 0 })), Ok(1));
    assert_eq!(watched.turn(), Next::Ended);
    assert!(watched.take_error().is_none());
    let number = watched.as_raw_fd();
    drop(reactor);
    let open = rustix::io::fcntl_getfd(watched.as_fd());
    assert!(open.is_ok(), "descriptor {number} is watched, and open");
}
