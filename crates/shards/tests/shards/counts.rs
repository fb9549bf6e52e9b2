//! What is left when all is over.

use std::process::Command;

use ropewalk_reactor::DriverKind;
use ropewalk_shards::Dealing;

use crate::kit::{connect, while_serving};

/// Set in the process of the test that counts.
const ALONE: &str = "ROPEWALK_TEST_ALONE";

/// The test's own thread, and that of the one who runs it.
const THREADS: usize = 2;

/// How many descriptors this process has open, or threads it is.
fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_left_behind() {
    if std::env::var_os(ALONE).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "counts::nothing_is_left_behind", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        return assert!(output.status.success(), "{said}");
    }
    let kinds = [DriverKind::Epoll, DriverKind::IoUring, DriverKind::Poll, DriverKind::Portable];
    for kind in kinds.into_iter().filter(|kind| kind.availability().is_ok()) {
        let run = || {
            while_serving(kind, 3, Dealing::default(), |places| {
                let open: Vec<_> = (0..30).map(|_| connect(places[0])).collect();
                drop(open);
            })
        };
        // What is made once for the process is made in the first.
        run();
        let descriptors = count("fd");
        run();
        run();
        assert_eq!(count("fd"), descriptors, "{kind}");
        // The kernel may take a moment to forget a thread that has been joined.
        let forgotten = (0..1_000_000).any(|_| {
            std::thread::yield_now();
            count("task") == THREADS
        });
        assert!(forgotten, "{} threads are left on {kind}", count("task"));
    }
}
