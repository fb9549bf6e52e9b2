//! A wall clock that somebody sets: the reactor goes by another.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use ropewalk_deferred::Failure;
use ropewalk_interop::{Peer, TempDir, tool};
use ropewalk_protocol::{Clock, call_later, sleep};

use crate::scenes::play;
use crate::support::reactor;

/// The library that shows a process another time of day; the loader knows what `$LIB` is here.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";
/// Where that library looks for how far the time of day is off.
const FILE: &str = "FAKETIME_TIMESTAMP_FILE";
/// From the asking to each call.
const STEP: Duration = Duration::from_millis(30);
/// Far above what the steps take, and far below a jump.
const PATIENCE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

#[test]
fn a_wall_clock_that_jumps_moves_no_call() {
    tool("faketime");
    let folder = TempDir::new("clock").expect("a folder");
    let file = folder.write("time", "+0").expect("a file");
    let mut command = Command::new("env");
    command.arg(format!("LD_PRELOAD={LIBRARY}"));
    command.env(FILE, file).env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1");
    play(&mut command, "clock", "127.0.0.1:0");
    let mut clock = Peer::start(&mut command).expect("a process");
    clock.line_after("ended in order").expect("each call at its time");
    assert!(clock.wait().expect("its end").success());
}

/// Has calls made while the time of day goes back and forth by a year.
pub(crate) fn keep_time() {
    let reactor = reactor();
    let (begun, started, wall) = (reactor.now(), Instant::now(), SystemTime::now());
    let log: Rc<RefCell<Vec<u32>>> = Rc::default();
    for number in 0..6 {
        let log = Rc::clone(&log);
        call_later(&reactor, STEP * number, move || {
            assert!(started.elapsed() >= STEP * number, "call {number} is early");
            log.borrow_mut().push(number);
            set(if number % 2 == 0 { "-365d" } else { "+365d" });
            let now = SystemTime::now();
            let has_jumped = match number % 2 {
                0 => now + 300 * DAY < wall,
                _ => now > wall + 300 * DAY,
            };
            assert!(has_jumped, "the clock was not set: {now:?}, {wall:?} before");
        });
    }
    let last = sleep(&reactor, STEP * 7).map(|()| Ok::<_, Failure>(()));
    reactor.run_until(last).expect("time goes on").expect("it does");
    assert_eq!(*log.borrow(), [0, 1, 2, 3, 4, 5]);
    let passed = reactor.now().saturating_sub(begun);
    assert!(passed < PATIENCE, "it went by the wrong clock");
    assert!(started.elapsed() < PATIENCE, "it waited for the wrong clock");
    println!("\nended in order");
}

fn set(offset: &str) {
    fs::write(env::var_os(FILE).expect("a file"), offset).expect("it can be written");
}
