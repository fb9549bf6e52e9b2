//! How processes end, and in which order that is told (statements 84 and 85).

use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::process::{
    AlreadyExited, Collect, Command, ExitStatus, Grouping, ProcessEnd, RunError, Signal, spawn,
    status_of,
};
use ropewalk_protocol::process::{Process, ProcessProtocol};
use ropewalk_protocol::{Disconnect, call_later};
use ropewalk_reactor::DriverKind;

use super::kit::{Seen, end_of, is_there, sh, start, start_with};
use crate::kit::{come_to_rest, on_each_driver, reactor, turn_until};

on_each_driver! {
    codes_and_signals_are_told_as_they_are,
    the_exit_is_told_once_reaped_and_the_end_once_the_pipes_are_closed,
    output_that_is_left_comes_before_the_end,
    a_process_that_closes_its_pipes_first_is_waited_for,
    signals_arrive_by_name_and_by_number,
    signals_for_the_dead_are_refused,
    a_group_is_ended_as_a_whole,
    an_aborted_process_tells_nothing_but_its_end,
    a_cancelled_start_is_given_up,
    a_protocol_that_panics_loses_its_process,
    handles_that_are_dropped_leave_no_zombie,
    somebody_elses_reaping_is_survived,
    programs_that_take_too_long_are_killed,
    who_cancels_wants_no_program,
}

mod stopped {
    crate::kit::on_each_driver! { alone
        a_reactor_that_stops_tells_and_reaps_later,
        those_to_be_killed_do_not_outlive_their_reactor,
    }

    use super::{
        a_reactor_that_stops_tells_and_reaps_later, those_to_be_killed_do_not_outlive_their_reactor,
    };
}

/// Statement 84.
fn codes_and_signals_are_told_as_they_are(kind: DriverKind) {
    let reactor = reactor(kind);
    let cases = [
        ("exit 0", ExitStatus::Exited(0), "exited with code 0"),
        ("exit 7", ExitStatus::Exited(7), "exited with code 7"),
        ("exit 255", ExitStatus::Exited(255), "exited with code 255"),
        ("kill -TERM $$", killed(Signal::Terminate), "was ended by SIGTERM"),
        ("kill -KILL $$", killed(Signal::Kill), "was ended by SIGKILL"),
        ("kill -40 $$", killed(Signal::Number(40)), "was ended by signal 40"),
    ];
    for (script, status, words) in cases {
        let found = reactor.run_until(status_of(&reactor, &sh(script))).unwrap();
        assert_eq!(found, status);
        assert_eq!(found.to_string(), words);
        assert_eq!(found.is_success(), script == "exit 0");
    }
    let core = sh("ulimit -c unlimited; kill -SEGV $$").current_dir("/");
    let status = reactor.run_until(status_of(&reactor, &core)).unwrap();
    assert_eq!(status.signal(), Some(Signal::SegmentationFault));
}

fn killed(signal: Signal) -> ExitStatus {
    ExitStatus::Signaled { signal, core_dumped: false }
}

/// Statement 84.
fn the_exit_is_told_once_reaped_and_the_end_once_the_pipes_are_closed(kind: DriverKind) {
    let reactor = reactor(kind);
    // Somebody else goes on with the output, and none of them reads.
    let command = sh("exec 0</dev/null; (read line <&3; echo $line) & exit 4")
        .descriptor(3, ropewalk_protocol::process::ChildDescriptor::Input);
    let seen = start(&reactor, &command);
    turn_until(&reactor, || seen.exited.get().is_some());
    assert_eq!(seen.exited.get(), Some(ExitStatus::Exited(4)));
    assert!(!is_there(seen.process().id().unwrap()), "it has been reaped");
    come_to_rest(&reactor);
    assert!(seen.ended.borrow().is_none());
    seen.process().write_to(3, b"late\n");
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(ExitStatus::Exited(4)));
    assert_eq!(seen.text(1), "late\n");
    let events = seen.events();
    assert_eq!(events.iter().filter(|event| *event == "exited").count(), 1);
    assert_eq!(events.last().unwrap(), "ended");
}

fn output_that_is_left_comes_before_the_end(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &sh("head -c 300000 /dev/zero; echo end >&2"));
    let end = end_of(&reactor, &seen);
    assert_eq!(end, ProcessEnd::Exited(ExitStatus::SUCCESS));
    assert_eq!(seen.text(1).len(), 300_000);
    assert_eq!(seen.text(2), "end\n");
}

fn a_process_that_closes_its_pipes_first_is_waited_for(kind: DriverKind) {
    let reactor = reactor(kind);
    let command = sh("exec 0<&- 1>&- 2>&-; read line <&3; exit 5")
        .descriptor(3, ropewalk_protocol::process::ChildDescriptor::Input);
    let seen = start(&reactor, &command);
    // Statement 86: also the end of what nobody writes to is noticed.
    turn_until(&reactor, || seen.events().len() == 4);
    assert_eq!(seen.exited.get(), None);
    seen.process().write_to(3, b"\n");
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(ExitStatus::Exited(5)));
}

/// Statement 85.
fn signals_arrive_by_name_and_by_number(kind: DriverKind) {
    let reactor = reactor(kind);
    let script = "trap 'echo hup' HUP; trap 'echo int' INT; trap 'echo usr1' USR1; \
        trap 'echo winch' WINCH; echo ready; while :; do read line; done";
    let seen = start(&reactor, &sh(script).kill_on_drop(true));
    turn_until(&reactor, || seen.text(1) == "ready\n");
    let process = seen.process();
    let mut expected = "ready\n".to_owned();
    for (signal, word) in [
        ("HUP".parse().unwrap(), "hup"),
        (Signal::Interrupt, "int"),
        ("sigusr1".parse().unwrap(), "usr1"),
        ("28".parse().unwrap(), "winch"),
    ] {
        process.signal(signal).unwrap();
        // A shell looks at its traps once it is awake.
        process.write(b"\n");
        expected = format!("{expected}{word}\n");
        turn_until(&reactor, || seen.text(1) == expected);
    }
    process.signal(Signal::Stop).unwrap();
    process.signal(Signal::Continue).unwrap();
    process.signal(Signal::Terminate).unwrap();
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(killed(Signal::Terminate)));
    assert!("SIGNONE".parse::<Signal>().is_err());
}

/// Statement 85.
fn signals_for_the_dead_are_refused(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &sh("exit 0"));
    end_of(&reactor, &seen);
    let process = seen.process();
    assert_eq!(process.signal(Signal::Terminate), Err(AlreadyExited));
    assert_eq!(process.kill(), Err(AlreadyExited));
    assert_eq!(
        process.resize(ropewalk_protocol::process::TerminalSize::default()),
        Err(AlreadyExited)
    );
    assert!(!process.is_running());
}

fn a_group_is_ended_as_a_whole(kind: DriverKind) {
    let reactor = reactor(kind);
    // The child's child holds the pipes, so that the end tells that both are gone.
    let command = sh("sleep 1000 & sleep 1000 & echo up; wait").process_group(Grouping::Own);
    let seen = start(&reactor, &command);
    turn_until(&reactor, || seen.text(1) == "up\n");
    seen.process().signal_group(Signal::Kill).unwrap();
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(killed(Signal::Kill)));
}

fn an_aborted_process_tells_nothing_but_its_end(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &sh("trap '' TERM; echo up; cat"));
    turn_until(&reactor, || seen.text(1) == "up\n");
    let id = seen.process().id().unwrap();
    seen.process().write(b"not read any more");
    seen.process().abort();
    seen.process().abort();
    let status = Some(killed(Signal::Kill));
    let expected = ProcessEnd::Abandoned { why: Disconnect::Aborted, status };
    assert_eq!(end_of(&reactor, &seen), expected);
    assert_eq!(seen.events(), ["started", "ended"]);
    assert!(!is_there(id));
}

/// Notes down its beginning and its end.
struct Brief(Rc<Seen>);

impl ProcessProtocol for Brief {
    fn started(&mut self, _: &Process<Self>) {
        self.0.events.borrow_mut().push("started".to_owned());
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        self.0.ended.replace(Some(end.clone()));
    }
}

fn a_cancelled_start_is_given_up(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let started = spawn(&reactor, &sh("cat"), Brief(Rc::clone(&seen)));
    started.cancel();
    assert!(reactor.run_until(started).is_err());
    let end = end_of(&reactor, &seen);
    assert!(matches!(end, ProcessEnd::Abandoned { why: Disconnect::Aborted, .. }), "{end:?}");
    assert!(seen.events().is_empty());
}

fn a_protocol_that_panics_loses_its_process(kind: DriverKind) {
    let reactor = reactor(kind);
    let id = Rc::new(std::cell::Cell::new(0));
    let told = Rc::clone(&id);
    let seen = start_with(&reactor, &sh("cat"), move |process| {
        told.set(process.id().unwrap());
        panic!("on purpose");
    });
    let status = Some(killed(Signal::Kill));
    let expected = ProcessEnd::Abandoned { why: Disconnect::Panicked, status };
    assert_eq!(end_of(&reactor, &seen), expected);
    assert!(!is_there(id.get()));
    // Others are not concerned.
    assert!(reactor.run_until(status_of(&reactor, &sh("true"))).unwrap().is_success());
}

fn handles_that_are_dropped_leave_no_zombie(kind: DriverKind) {
    struct Nobody;
    impl ProcessProtocol for Nobody {}
    let reactor = reactor(kind);
    let started = reactor.run_until(spawn(&reactor, &sh("exit 1"), Nobody)).unwrap();
    let id = started.id().unwrap();
    drop(started);
    turn_until(&reactor, || reactor.census().processes == 0);
    assert!(!is_there(id));
}

fn somebody_elses_reaping_is_survived(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &sh("read line; exit 3"));
    turn_until(&reactor, || !seen.events().is_empty());
    let id = rustix::process::Pid::from_raw(seen.process().id().unwrap() as i32);
    rustix::process::kill_process(id.unwrap(), rustix::process::Signal::KILL).unwrap();
    rustix::process::waitpid(id, rustix::process::WaitOptions::empty()).unwrap();
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(ExitStatus::Unknown));
}

fn programs_that_take_too_long_are_killed(kind: DriverKind) {
    let reactor = reactor(kind);
    let time = Duration::from_millis(30);
    let collect = Collect::new().timeout(time);
    let command = sh("cat & wait").process_group(Grouping::Own);
    let command = command.descriptor(0, ropewalk_protocol::process::ChildDescriptor::Null);
    let late = sh("cat </dev/zero >/dev/null & wait").process_group(Grouping::Own);
    let failure = reactor.run_until(collect.output_of(&reactor, &late)).unwrap_err();
    assert_eq!(failure.check::<RunError>(), Some(&RunError::TimedOut(time)));
    assert_eq!(reactor.census().processes, 0);
    assert!(reactor.run_until(status_of(&reactor, &command)).unwrap().is_success());
}

fn who_cancels_wants_no_program(kind: DriverKind) {
    let reactor = reactor(kind);
    for started in [false, true] {
        let output = Collect::new().without_timeout().output_of(&reactor, &sh("sleep 1000"));
        if started {
            come_to_rest(&reactor);
        }
        assert_eq!(reactor.census().processes, 1);
        output.cancel();
        assert!(reactor.run_until(output).is_err());
        turn_until(&reactor, || reactor.census().processes == 0);
    }
}

fn a_reactor_that_stops_tells_and_reaps_later(kind: DriverKind) {
    let reactor = reactor(kind);
    let running = start(&reactor, &sh("echo up; read line; exit 0"));
    turn_until(&reactor, || running.text(1) == "up\n");
    let id = running.process().id().unwrap();
    let unborn = start(&reactor, &Command::new("no-such-program"));
    let stopper = reactor.clone();
    call_later(&reactor, Duration::ZERO, move || stopper.stop());
    reactor.run_without_signals().unwrap();
    let expected = ProcessEnd::Abandoned { why: Disconnect::Stopped, status: None };
    assert_eq!(*running.ended.borrow(), Some(expected));
    assert!(matches!(*unborn.ended.borrow(), Some(ProcessEnd::NotStarted(_))));
    assert_eq!(reactor.census().processes, 0);
    // It ends as its input does, and is reaped when there is an occasion.
    while state_of(id) != Some('Z') && is_there(id) {
        std::thread::yield_now();
    }
    reactor.run_until(status_of(&reactor, &sh("true"))).unwrap();
    assert!(!is_there(id));
}

fn state_of(id: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

fn those_to_be_killed_do_not_outlive_their_reactor(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &sh("trap '' TERM; sleep 1000").kill_on_drop(true));
    turn_until(&reactor, || !seen.events().is_empty());
    let id = seen.process().id().unwrap();
    drop(reactor);
    assert!(!is_there(id));
    let end = seen.ended.borrow().clone();
    assert!(matches!(end, Some(ProcessEnd::Abandoned { why: Disconnect::Stopped, .. })), "{end:?}");
}
