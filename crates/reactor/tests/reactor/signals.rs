//! SIGINT and SIGTERM, each in a process that may die of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use ropewalk_deferred::deferred;
use ropewalk_protocol::call_later;
use ropewalk_reactor::Exit;
use rustix::process::{Pid, Signal, kill_process};

use crate::kit::{SCENE, SCENE_ARGUMENTS, child, reactor};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Starts a child and answers it with its lines, once it has said that it is ready.
fn start(test: &str) -> (Child, impl Iterator<Item = String>) {
    let mut child = child(test);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = lines.filter_map(|line| Some(line.split_once("child: ")?.1.to_owned()));
    assert_eq!(said.next().as_deref(), Some("ready"), "{test}");
    (child, said)
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "child: {word}").unwrap();
    out.flush().unwrap();
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn status(mut child: Child) -> ExitStatus {
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success() || status.signal().is_some(), "{errors}");
    status
}

#[test]
fn a_signal_stops_the_run_in_order() {
    for (signal, number) in [(Signal::INT, SIGINT), (Signal::TERM, SIGTERM)] {
        let (child, mut said) = start("signals::waits_for_a_signal");
        send(&child, signal);
        assert_eq!(said.next(), Some("before the stop".to_owned()));
        assert_eq!(said.next(), Some(format!("{:?}", Exit::Signal(number))));
        assert!(status(child).success());
    }
}

/// A scene: it needs a process of its own.
pub(crate) fn waits_for_a_signal() {
    let reactor = reactor();
    reactor.before_stop(|| {
        say("before the stop");
        ropewalk_deferred::Deferred::succeed(())
    });
    call_later(&reactor, Duration::ZERO, || say("ready"));
    say(&format!("{:?}", reactor.run().unwrap()));
}

#[test]
fn a_second_signal_does_not_wait() {
    let (child, mut said) = start("signals::never_gets_done");
    send(&child, Signal::TERM);
    assert_eq!(said.next().as_deref(), Some("before the stop"));
    send(&child, Signal::INT);
    assert_eq!(said.next(), Some(format!("{:?}", Exit::Signal(SIGINT))));
    assert!(status(child).success());
}

/// A scene: it needs a process of its own.
pub(crate) fn never_gets_done() {
    let reactor = reactor();
    let (_promise, never) = deferred::<()>();
    reactor.before_stop(|| {
        say("before the stop");
        never
    });
    call_later(&reactor, Duration::ZERO, || say("ready"));
    say(&format!("{:?}", reactor.run().unwrap()));
}

/// After a run, and in one that leaves signals to others, a signal does what it always did.
#[test]
fn signals_are_given_back() {
    for (test, signal, number) in [
        ("signals::ran_before", Signal::INT, SIGINT),
        ("signals::ran_before", Signal::TERM, SIGTERM),
        ("signals::runs_without_signals", Signal::TERM, SIGTERM),
    ] {
        let (child, _said) = start(test);
        send(&child, signal);
        assert_eq!(status(child).signal(), Some(number), "{test}");
    }
}

/// A scene: it needs a process of its own.
pub(crate) fn ran_before() {
    for _ in 0..2 {
        let reactor = reactor();
        reactor.stop();
        reactor.run().unwrap();
    }
    say("ready");
    // The other side never writes, and hangs up if it gives up.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A scene: it needs a process of its own.
pub(crate) fn runs_without_signals() {
    let reactor = reactor();
    call_later(&reactor, Duration::ZERO, || say("ready"));
    reactor.run_without_signals().unwrap();
}

#[test]
fn a_signal_reaches_each_reactor_that_runs() {
    let (child, mut said) = start("signals::two_run");
    send(&child, Signal::INT);
    assert_eq!(said.next().as_deref(), Some("both stopped"));
    assert!(status(child).success());
}

/// A scene: it needs a process of its own.
pub(crate) fn two_run() {
    let (ready, told) = std::sync::mpsc::channel();
    let runs = [(); 2].map(|()| {
        let ready = ready.clone();
        let run = std::thread::Builder::new().spawn(move || {
            let reactor = reactor();
            call_later(&reactor, Duration::ZERO, move || ready.send(()).unwrap());
            reactor.run().unwrap()
        });
        run.unwrap()
    });
    (0..2).for_each(|_| told.recv().unwrap());
    say("ready");
    for run in runs {
        assert_eq!(run.join().unwrap(), Exit::Signal(SIGINT));
    }
    say("both stopped");
}

/// As for a job in a shell's background, which its shell has ignore SIGINT.
#[test]
fn what_was_ignored_from_the_start_stays_so() {
    for (trap, expected) in [("trap '' INT; ", "ignored"), ("", "not ignored")] {
        let program = std::env::current_exe().unwrap();
        let arguments = SCENE_ARGUMENTS.join(" ");
        let command = format!("{trap}exec '{}' {arguments}", program.display());
        let name = "signals::looks_whether_it_ignores";
        let output = Command::new("sh").args(["-c", &command]).env(SCENE, name).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("child: {expected}\n")), "{text}");
    }
}

/// A scene: it needs a process of its own.
pub(crate) fn looks_whether_it_ignores() {
    let reactor = reactor();
    let stopper = reactor.clone();
    call_later(&reactor, Duration::ZERO, move || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
        say(if mask >> (SIGINT - 1) & 1 == 1 { "ignored" } else { "not ignored" });
        stopper.stop();
    });
    reactor.run().unwrap();
}
