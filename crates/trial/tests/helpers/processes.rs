//! Pretended processes, and with them the rules of process protocols (statements 84 and 85 of Twisted's).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, deferred};
use ropewalk_protocol::process::{
    AlreadyExited, ChildDescriptor, Collect, Command, ExitStatus, Process, ProcessEnd,
    ProcessEndpoint, ProcessProtocol, RunError, Signal, SpawnError, SpawnFault, TerminalSize,
    output_of, seat_process_and_tell, spawn, status_of,
};
use ropewalk_protocol::{Address, Conn, Disconnect, Marks, Protocol, connect};
use ropewalk_trial::{Clock, FakeProcess, FakeProcesses};

type Notes = Rc<RefCell<Vec<String>>>;

/// Writes down all that it is told.
struct Scribe(Notes);

impl Scribe {
    fn note(&self, note: impl Into<String>) {
        self.0.borrow_mut().push(note.into());
    }
}

impl ProcessProtocol for Scribe {
    fn started(&mut self, process: &Process<Self>) {
        self.note(format!("started {:?}", process.id().unwrap()));
    }

    fn output_received(&mut self, process: &Process<Self>, descriptor: u32, data: &[u8]) {
        self.note(format!("{descriptor}: {}", String::from_utf8_lossy(data)));
        if data == b"pause\n" {
            process.pause_reading(descriptor);
        }
    }

    fn descriptor_closed(&mut self, _: &Process<Self>, descriptor: u32) {
        self.note(format!("closed {descriptor}"));
    }

    fn input_sent(&mut self, process: &Process<Self>, descriptor: u32) {
        self.note(format!("sent, {} left", process.waiting(descriptor)));
    }

    fn writing_paused(&mut self, _: &Process<Self>, descriptor: u32) {
        self.note(format!("paused {descriptor}"));
    }

    fn writing_resumed(&mut self, _: &Process<Self>, descriptor: u32) {
        self.note(format!("resumed {descriptor}"));
    }

    fn exited(&mut self, _: &Process<Self>, status: ExitStatus) {
        self.note(status.to_string());
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        self.note(format!("ended: {end}"));
    }
}

/// A process, its handle, and the notes on it.
fn scribe(command: Command) -> (FakeProcess, Process<Scribe>, Notes, Clock) {
    let (clock, notes) = (Clock::new(), Notes::default());
    let (seat, started) = seat_process_and_tell(Scribe(Rc::clone(&notes)));
    let fake = FakeProcess::take_seat(seat, command, &clock);
    let process = started.now_or_never().unwrap().unwrap();
    assert_eq!(notes.take(), ["started 1"]);
    (fake, process, notes, clock)
}

fn turn(clock: &Clock) {
    clock.advance(Duration::ZERO);
}

#[test]
fn the_end_comes_after_the_exit_and_every_pipe() {
    let (fake, process, notes, _) = scribe(Command::new("x"));
    fake.push_out(b"hello");
    fake.exit_alone(ExitStatus::Exited(3));
    assert_eq!(process.status(), Some(ExitStatus::Exited(3)));
    assert_eq!(process.signal(Signal::Hangup), Err(AlreadyExited));
    fake.push_err(b"late");
    for descriptor in [1, 0, 2] {
        assert!(!process.is_over());
        fake.close(descriptor);
    }
    assert!(process.is_over() && fake.is_over());
    fake.push_out(b"too late");
    let expected = [
        "1: hello",
        "exited with code 3",
        "2: late",
        "closed 1",
        "closed 0",
        "closed 2",
        "ended: the process exited with code 3",
    ];
    assert_eq!(notes.take(), expected);
}

#[test]
fn pipes_that_are_closed_first_wait_for_the_exit() {
    let (fake, process, notes, clock) = scribe(Command::new("x"));
    process.close_all();
    turn(&clock);
    assert_eq!(notes.take(), ["closed 0", "closed 1", "closed 2"]);
    assert!(fake.is_closed(0) && fake.is_closed(1) && fake.is_closed(2));
    fake.push_out(b"to nobody");
    fake.exit(ExitStatus::SUCCESS);
    assert_eq!(notes.take(), ["exited with code 0", "ended: the process exited with code 0"]);
}

#[test]
fn what_comes_while_reading_is_paused_waits_and_so_does_the_end() {
    let (fake, process, notes, clock) = scribe(Command::new("x"));
    fake.push_out(b"pause\n");
    assert!(!fake.is_reading(1) && fake.is_reading(2));
    fake.push_out(b"held");
    fake.push_err(b"other");
    fake.exit(ExitStatus::SUCCESS);
    let early = ["1: pause\n", "2: other", "exited with code 0", "closed 0", "closed 2"];
    assert_eq!(notes.take(), early);
    process.resume_reading(1);
    turn(&clock);
    let late = ["1: held", "closed 1", "ended: the process exited with code 0"];
    assert_eq!(notes.take(), late);
}

#[test]
fn writers_hear_of_marks_and_of_what_was_sent() {
    let (fake, process, notes, clock) = scribe(Command::new("x"));
    process.set_marks(0, Marks::default().between(10, 20));
    fake.set_room(0, 5);
    process.write(&[b'x'; 30]);
    process.tell_when_sent(0);
    assert_eq!(process.waiting(0), 30);
    turn(&clock);
    assert_eq!(notes.take(), ["paused 0", "sent, 25 left"]);
    assert_eq!(fake.take_written().len(), 5);
    fake.set_room(0, 14);
    assert_eq!(notes.take(), [""; 0]);
    process.tell_when_sent(0);
    fake.set_room(0, 1);
    turn(&clock);
    assert_eq!(notes.take(), ["sent, 10 left", "resumed 0"]);
    process.close_stdin();
    process.write(b"after the end");
    turn(&clock);
    assert!(!fake.is_closed(0), "something waits");
    fake.set_room(0, usize::MAX);
    assert!(fake.is_closed(0));
    assert_eq!(fake.take_written().len(), 25);
}

#[test]
fn input_beyond_the_bound_ends_the_process() {
    for (most, ends) in [(10, false), (9, true)] {
        let (fake, process, notes, clock) = scribe(Command::new("x"));
        process.set_marks(0, Marks::default().at_most(most));
        fake.set_room(0, 0);
        process.write(&[b'x'; 10]);
        turn(&clock);
        assert_eq!(fake.is_over(), ends);
        if ends {
            assert_eq!(fake.signals(), [Signal::Kill]);
            let why = "ended: the process was given up: too much output was waiting to be sent";
            assert_eq!(notes.take(), [why]);
        }
    }
}

#[test]
fn orders_are_carried_out_in_order() {
    let (fake, process, _, clock) = scribe(Command::new("x").terminal(TerminalSize::default()));
    process.write(b"one ");
    process.signal(Signal::Hangup).unwrap();
    process.write(b"two");
    process.signal_group(Signal::User1).unwrap();
    process.resize(TerminalSize { rows: 1, columns: 2 }).unwrap();
    assert!(fake.signals().is_empty(), "nothing happens during a call");
    turn(&clock);
    assert_eq!(fake.take_written(), b"one two");
    assert_eq!(fake.signals(), [Signal::Hangup, Signal::User1]);
    assert_eq!(fake.terminal_size(), TerminalSize { rows: 1, columns: 2 });
    process.kill().unwrap();
    turn(&clock);
    let status = ExitStatus::Signaled { signal: Signal::Kill, core_dumped: false };
    assert_eq!(fake.status(), Some(status));
    assert!(fake.is_over());
}

#[test]
fn what_is_given_up_tells_its_end_alone() {
    let (fake, process, notes, clock) = scribe(Command::new("x"));
    process.call_later(Duration::from_secs(1), |_, _| panic!("no call comes any more"));
    process.abort();
    fake.push_out(b"not told");
    turn(&clock);
    let end = "ended: the process was given up: the connection was aborted on this side";
    assert_eq!(notes.take(), [end]);
    clock.advance(Duration::from_secs(2));
    assert!(!process.is_running());

    let (fake, process, notes, _) = scribe(Command::new("x"));
    fake.lose(Disconnect::Stopped);
    assert_eq!(notes.take(), ["ended: the process was given up: the reactor stopped"]);
    assert!(process.is_over());
}

#[test]
fn panics_cost_a_protocol_its_process() {
    struct Bad(Rc<RefCell<Option<ProcessEnd>>>);
    impl ProcessProtocol for Bad {
        fn out_received(&mut self, _: &Process<Self>, _: &[u8]) {
            panic!("on purpose");
        }
        fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
            self.0.replace(Some(end.clone()));
        }
    }
    let end = Rc::new(RefCell::new(None));
    let fake = FakeProcess::seat(Bad(Rc::clone(&end)), &Clock::new());
    fake.push_out(b"x");
    assert_eq!(fake.signals(), [Signal::Kill]);
    let end = end.take().unwrap();
    assert!(matches!(end, ProcessEnd::Abandoned { why: Disconnect::Panicked, .. }), "{end:?}");
}

#[test]
fn calls_and_results_come_home() {
    let (fake, process, notes, clock) = scribe(Command::new("x"));
    process.call_later(Duration::from_secs(3), |scribe, _| scribe.note("three"));
    let later = process.call_later(Duration::from_secs(4), |scribe, _| scribe.note("late"));
    assert!(process.reset_call(later, Duration::from_secs(1)));
    let never = process.call_later(Duration::from_secs(2), |_, _| panic!("it was cancelled"));
    assert!(process.cancel_call(never) && !process.cancel_call(never));
    clock.advance(Duration::from_secs(1));
    assert_eq!(notes.take(), ["late"]);
    clock.advance(Duration::from_secs(2));
    assert_eq!(notes.take(), ["three"]);
    let (promise, answer) = deferred::<u8>();
    process.then(answer, |scribe, process, answer| {
        scribe.note(format!("answer {:?}", answer.ok()));
        process.write(b"and written");
    });
    promise.succeed(7);
    assert!(notes.borrow().is_empty(), "nothing happens from elsewhere");
    turn(&clock);
    assert_eq!(notes.take(), ["answer Some(7)"]);
    assert_eq!(fake.take_written(), b"and written");
    let (promise, unanswered) = deferred::<u8>();
    process.then(unanswered, |_, _, _| panic!("the process is over"));
    fake.exit(ExitStatus::SUCCESS);
    assert!(promise.is_cancelled());
}

#[test]
fn every_descriptor_of_the_map_is_a_pipe_of_its_kind() {
    let command = Command::new("x")
        .without_descriptors()
        .descriptor(3, ChildDescriptor::Input)
        .descriptor(4, ChildDescriptor::Output);
    let (fake, process, notes, clock) = scribe(command);
    process.write_to(3, b"three");
    process.write_to(4, b"no input");
    process.write(b"null");
    turn(&clock);
    assert_eq!(fake.take_written_to(3), b"three");
    assert_eq!((fake.take_written_to(4), fake.take_written()), (vec![], vec![]));
    fake.push(4, b"four");
    fake.push_out(b"null");
    assert_eq!(notes.take(), ["4: four"]);
}

#[test]
fn programs_do_as_their_scripts_say() {
    let clock = Clock::new();
    let processes = FakeProcesses::new(&clock);
    processes.program("rev", |process| {
        process.on_input(|process, _, data| {
            let mut back = data.to_vec();
            back.reverse();
            process.push_out(&back);
            process.exit(ExitStatus::Exited(i32::from(process.command().arguments().len() > 1)));
        });
    });
    let command = Command::new("rev").args(["a", "b"]);
    let output = Collect::new().input("abc").output_of(&processes, &command);
    turn(&clock);
    let output = output.now_or_never().unwrap().unwrap();
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"cba"[..], Some(1)));

    let status = status_of(&processes, &Command::new("other"));
    let other = processes.take_next().unwrap();
    assert_eq!(other.command().program(), "other");
    assert!(processes.take_next().is_none());
    turn(&clock);
    other.exit(ExitStatus::Exited(9));
    assert_eq!(status.now_or_never().unwrap().unwrap(), ExitStatus::Exited(9));
}

#[test]
fn starts_fail_as_they_are_told_to() {
    let clock = Clock::new();
    let processes = FakeProcesses::new(&clock);
    let notes = Notes::default();
    processes.refuse_next(SpawnFault::NotExecutable);
    let started = spawn(&processes, &Command::new("x"), Scribe(Rc::clone(&notes)));
    assert!(notes.borrow().is_empty(), "nobody is told during the call");
    turn(&clock);
    let failure = started.now_or_never().unwrap().unwrap_err();
    assert_eq!(failure.check::<SpawnError>().unwrap().fault, SpawnFault::NotExecutable);
    let notes = notes.take();
    assert!(notes.len() == 1 && notes[0].starts_with("ended: cannot start \"x\""), "{notes:?}");
}

fn failure_of<T: 'static>(deferred: Deferred<T>) -> RunError {
    let failure = deferred.now_or_never().unwrap().err().unwrap();
    *failure.check::<RunError>().unwrap()
}

#[test]
fn collecting_is_bounded_in_time_and_size() {
    let clock = Clock::new();
    let processes = FakeProcesses::new(&clock);
    let start = |collect: Collect| {
        let output = collect.output_of(&processes, &Command::new("x"));
        turn(&clock);
        (output, processes.take_next().unwrap())
    };
    let (output, process) = start(Collect::new());
    clock.advance(Duration::from_millis(59_999));
    assert!(process.signals().is_empty());
    clock.advance(Duration::from_millis(1));
    assert_eq!(process.signals(), [Signal::Kill]);
    assert_eq!(failure_of(output), RunError::TimedOut(Duration::from_mins(1)));

    let (output, process) = start(Collect::new().at_most(3));
    process.push_out(b"abc");
    process.push_err(b"abc");
    process.push(2, b"d");
    assert_eq!(failure_of(output), RunError::TooLong { descriptor: 2, most: 3 });

    let (output, process) = start(Collect::new().without_timeout());
    clock.advance(Duration::from_hours(9));
    output.cancel();
    assert!(output.now_or_never().unwrap().is_err());
    turn(&clock);
    assert_eq!(process.signals(), [Signal::Kill]);

    let output = output_of(&processes, &Command::new("x"));
    turn(&clock);
    processes.take_next().unwrap().lose(Disconnect::Stopped);
    assert_eq!(failure_of(output), RunError::Abandoned(Disconnect::Stopped));
}

/// What a protocol at a program was told.
#[derive(Default)]
struct Told {
    data: Vec<u8>,
    peer: Option<Address>,
    eof: bool,
    lost: Option<(Disconnect, Option<String>)>,
}

struct Speaker {
    told: Rc<RefCell<Told>>,
    stays: bool,
}

impl Protocol for Speaker {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.told.borrow_mut().peer = Some(conn.peer());
        conn.write(b"hello");
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.told.borrow_mut().data.extend_from_slice(data);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.told.borrow_mut().eof = true;
        if !self.stays {
            conn.close();
        }
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let cause = conn.cause().map(|cause| cause.to_string());
        assert!(self.told.borrow_mut().lost.replace((why, cause)).is_none(), "lost twice");
    }
}

/// A protocol at a program that is an endpoint.
fn speaker(stays: bool) -> (FakeProcess, Conn<Speaker>, Rc<RefCell<Told>>, Clock) {
    let clock = Clock::new();
    let processes = FakeProcesses::new(&clock);
    let told = Rc::default();
    let endpoint = ProcessEndpoint::new(processes.clone(), Command::new("cat"));
    let conn = connect(&endpoint, Speaker { told: Rc::clone(&told), stays });
    turn(&clock);
    let fake = processes.take_next().unwrap();
    assert_eq!(fake.take_written(), b"hello");
    (fake, conn.now_or_never().unwrap().unwrap(), told, clock)
}

#[test]
fn a_program_is_a_peer() {
    let (fake, conn, told, clock) = speaker(false);
    assert_eq!(told.borrow().peer, Some(Address::Process("cat".to_owned())));
    fake.push_out(b"answer");
    fake.push_err(b"logged, and nobody's data\n");
    assert_eq!(told.borrow().data, b"answer");
    conn.write(b"more");
    turn(&clock);
    assert_eq!(fake.take_written(), b"more");
    fake.close(1);
    assert!(told.borrow().eof);
    assert!(fake.is_closed(0), "the protocol has closed");
    assert!(told.borrow().lost.is_none());
    fake.exit(ExitStatus::SUCCESS);
    assert_eq!(told.borrow().lost, Some((Disconnect::Closed, None)));
}

#[test]
fn either_stream_ends_by_itself() {
    let (fake, conn, told, clock) = speaker(true);
    conn.close_write();
    turn(&clock);
    assert!(fake.is_closed(0) && !fake.is_closed(1));
    fake.push_out(b"still heard");
    assert_eq!(told.borrow().data, b"still heard");
    fake.exit(ExitStatus::Exited(2));
    let lost = told.borrow().lost.clone().unwrap();
    let cause = "the process exited with code 2".to_owned();
    assert_eq!(lost, (Disconnect::Reset, Some(cause)));
}

#[test]
fn a_program_that_does_not_go_is_ended() {
    let (fake, conn, told, clock) = speaker(false);
    conn.close();
    turn(&clock);
    assert!(fake.is_closed(0));
    clock.advance(Duration::from_millis(9_999));
    assert!(fake.signals().is_empty());
    clock.advance(Duration::from_millis(1));
    assert_eq!(fake.signals(), [Signal::Kill]);
    assert_eq!(told.borrow().lost.as_ref().unwrap().0, Disconnect::Aborted);

    let (fake, conn, told, clock) = speaker(false);
    conn.abort();
    turn(&clock);
    assert_eq!(fake.signals(), [Signal::Kill]);
    assert_eq!(told.borrow().lost.as_ref().unwrap().0, Disconnect::Aborted);
}

#[test]
fn back_pressure_goes_through_a_program_both_ways() {
    let (fake, conn, told, clock) = speaker(false);
    conn.pause_reading();
    turn(&clock);
    assert!(!fake.is_reading(1));
    fake.push_out(b"later");
    assert!(told.borrow().data.is_empty());
    conn.resume_reading();
    turn(&clock);
    turn(&clock);
    assert_eq!(told.borrow().data, b"later");
    fake.set_room(0, 10);
    conn.write(&vec![b'x'; 100_000]);
    turn(&clock);
    turn(&clock);
    assert_eq!(conn.waiting(), 99_990);
    fake.set_room(0, usize::MAX);
    turn(&clock);
    assert_eq!(conn.waiting(), 0);
    assert_eq!(fake.take_written().len(), 100_000);
}

#[test]
fn a_program_that_is_not_there_is_no_connection() {
    let clock = Clock::new();
    let processes = FakeProcesses::new(&clock);
    processes.refuse_next(SpawnFault::NotFound);
    let told = Rc::<RefCell<Told>>::default();
    let endpoint = ProcessEndpoint::new(processes, Command::new("nothing"));
    let conn = connect(&endpoint, Speaker { told: Rc::clone(&told), stays: false });
    turn(&clock);
    let failure = conn.now_or_never().unwrap().unwrap_err();
    assert!(failure.check::<SpawnError>().is_some(), "{failure:?}");
    let lost = told.borrow().lost.clone().unwrap();
    assert_eq!(lost.0, Disconnect::Failed(std::io::ErrorKind::NotFound));
    assert!(lost.1.unwrap().contains("install it"));
}
