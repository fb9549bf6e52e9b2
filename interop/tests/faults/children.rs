//! Processes where the system has no descriptor that tells of their end.

use std::process::id;
use std::time::Duration;

use ropewalk_interop::PATIENCE;
use ropewalk_protocol::process::{Collect, Command, ExitStatus, Signal, output_of, status_of};
use ropewalk_reactor::{Census, Reactor};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::calls::Traced;
use crate::exchange::pattern;
use crate::support::reactor;

/// How many processes there are at once.
const CROWD: usize = 12;

fn shell(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

/// Starts processes, of which each ends in its way, and sees to it that all are reaped: the scene.
pub(crate) fn look_after() {
    println!("\nprocess {}", id());
    let reactor = reactor();
    let said = pattern(50_000);
    let copied = || Collect::new().input(said.clone()).output_of(&reactor, &shell("cat; exit 3"));
    let copied: Vec<_> = (0..CROWD).map(|_| copied()).collect();
    let short: Vec<_> = (0..CROWD).map(|_| status_of(&reactor, &Command::new("true"))).collect();
    let killed = status_of(&reactor, &shell("kill -TERM $$"));
    for output in copied {
        let output = reactor.run_until(output).expect("its output");
        assert_eq!((output.status, output.stdout == said), (ExitStatus::Exited(3), true));
    }
    for status in short {
        assert_eq!(reactor.run_until(status).expect("its end"), ExitStatus::SUCCESS);
    }
    let status = reactor.run_until(killed).expect("its end");
    assert_eq!(status, ExitStatus::Signaled { signal: Signal::Terminate, core_dumped: false });
    assert_eq!(reactor.census(), Census::default());
    outlive(reactor);
    println!("\nended in order");
}

/// A reactor goes while one of its processes would go on for long.
fn outlive(reactor: Reactor) {
    let status = output_of(&reactor, &Command::new("sleep").arg("1000").kill_on_drop(true));
    reactor.turn(Duration::ZERO).expect("a turn");
    drop(reactor);
    drop(status);
    // It is killed; whoever comes next reaps it.
    let next = crate::support::reactor();
    let began = std::time::Instant::now();
    loop {
        let status = next.run_until(status_of(&next, &Command::new("true")));
        assert_eq!(status.expect("its end"), ExitStatus::SUCCESS);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::All, options) {
            Err(Errno::CHILD) => return,
            left => assert!(began.elapsed() < PATIENCE, "{left:?}"),
        }
    }
}

/// Plays the scene while these calls fail; they are to have been made.
fn try_with(calls: &str, failing: &str) {
    let Some(children) = Traced::playing("children", calls, &[failing.to_owned()]) else { return };
    let log = children.finish();
    assert!(log.contains("(INJECTED)"), "{failing}: no such call was made");
}

#[test]
fn a_signal_tells_of_ends_where_no_descriptor_does() {
    try_with("pidfd_open", "pidfd_open:error=ENOSYS");
    // Out of descriptors for some, and not for others.
    try_with("pidfd_open", "pidfd_open:error=EMFILE:when=1+2");
}

#[test]
fn pipes_that_are_interrupted_lose_nothing() {
    try_with("read,write", "read,write:error=EINTR:when=3+3");
}
