//! A program as a place to connect to.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Failure;

use super::log::LogLines;
use super::{
    Command, ExitStatus, Process, ProcessEnd, ProcessProtocol, STDERR, STDIN, STDOUT, SpawnFault,
    Spawner, seat_process,
};
use crate::{
    Address, Chunk, ClientEndpoint, ConnCall, Disconnect, Ending, Event, Outbox, Seat, Successor,
    Transport,
};

/// The key by which a process knows its only connection.
const KEY: usize = 0;
/// How much of a file is read at a time.
const FILE_STEP: usize = 64 * 1024;
/// How long a program may run on after its connection was closed.
const EXIT_PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of what a program writes to its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorOutput {
    /// It is logged, line by line.
    #[default]
    Log,
    /// It is dropped.
    Drop,
    /// It goes where this process's own goes.
    Inherit,
}

/// A program whose standard input and output are a connection: each connection starts one.
///
/// What the protocol writes the program reads; closing the protocol's stream out closes the program's
/// input. When the program closes its output, that is the end of the peer's stream. The connection is lost
/// when all is over: [`Closed`](Disconnect::Closed) where the program ended well, and
/// [`Reset`](Disconnect::Reset) where it did not, with the [`ProcessEnd`] as the
/// [cause](crate::Conn::cause). A program that still runs 10 seconds after its connection was closed
/// is killed; one whose connection is aborted is killed at once.
pub struct ProcessEndpoint<S> {
    spawner: S,
    command: Command,
    errors: ErrorOutput,
}

impl<S: Spawner> ProcessEndpoint<S> {
    /// Starts `command`, whose descriptors 0 and 1 become pipes.
    pub fn new(spawner: S, command: Command) -> Self {
        Self { spawner, command, errors: ErrorOutput::default() }
    }

    /// Does that with what the program writes to its standard error.
    pub fn error_output(self, errors: ErrorOutput) -> Self {
        Self { errors, ..self }
    }
}

impl<S: Spawner> ClientEndpoint for ProcessEndpoint<S> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        use super::ChildDescriptor as Child;
        let errors = match self.errors {
            ErrorOutput::Log => Child::Output,
            ErrorOutput::Drop => Child::Null,
            ErrorOutput::Inherit => Child::Inherit(STDERR),
        };
        let command = self.command.clone();
        let command = command.descriptor(STDIN, Child::Input).descriptor(STDOUT, Child::Output);
        let command = command.descriptor(STDERR, errors);
        let program = self.command.program().to_string_lossy().into_owned();
        self.spawner.spawn_seat(&command, seat_process(Bridge::new(seat, program)));
    }
}

impl<S: fmt::Debug> fmt::Debug for ProcessEndpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessEndpoint")
            .field("spawner", &self.spawner)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// A protocol to the process, a transport to the seat above.
struct Bridge {
    seat: Box<dyn Seat>,
    carrier: Rc<Carrier>,
    program: String,
    lines: LogLines,
    is_reading: bool,
    is_write_closed: bool,
    is_closed: bool,
    /// How much output the seat believes to be unsent.
    left: u64,
}

/// What the protocol above sees of its transport.
struct Carrier {
    process: OnceCell<Process<Bridge>>,
    timer: Cell<Option<(ConnCall, Duration)>>,
    program: String,
    end: RefCell<Option<ProcessEnd>>,
}

impl Bridge {
    fn new(mut seat: Box<dyn Seat>, program: String) -> Self {
        let carrier = Rc::new(Carrier {
            process: OnceCell::new(),
            timer: Cell::new(None),
            program: program.clone(),
            end: RefCell::default(),
        });
        seat.attach(Rc::clone(&carrier) as _, KEY);
        Self {
            seat,
            carrier,
            program,
            lines: LogLines::default(),
            is_reading: true,
            is_write_closed: false,
            is_closed: false,
            left: 0,
        }
    }

    fn handle(&mut self, process: &Process<Self>, event: Event<'_>) {
        let left = process.waiting(STDIN);
        // What was written may be sent before the next event is told, which is to be known then.
        if left != self.left && !matches!(event, Event::Made | Event::Sent { .. }) {
            self.tell(Event::Sent { left });
        }
        self.left = left;
        self.tell(event);
        self.settle(process);
    }

    fn tell(&mut self, event: Event<'_>) {
        self.seat.handle(event);
        let transport: Rc<dyn Transport> = Rc::clone(&self.carrier) as _;
        Successor::seat_all(&mut self.seat, &transport, KEY);
    }

    /// Carries out the wishes of the seat above.
    fn settle(&mut self, process: &Process<Self>) {
        let wishes = self.seat.wishes();
        if let Some(Ending::Abort(_)) = wishes.ending {
            return process.abort();
        }
        if let Some(output) = self.seat.take_output()
            && let Err(error) = pass_on(process, *output)
        {
            tracing::error!(
                target: "ropewalk::process", program = %self.program,
                "a file cannot be passed on: {error}",
            );
            return process.abort();
        }
        if (wishes.sent || self.left > 0) && process.waiting(STDIN) > 0 {
            process.tell_when_sent(STDIN);
        }
        if (wishes.close_write || wishes.ending.is_some())
            && !std::mem::replace(&mut self.is_write_closed, true)
        {
            process.close_stdin();
        }
        if wishes.ending.is_some() && !std::mem::replace(&mut self.is_closed, true) {
            process.call_later(EXIT_PATIENCE, |_, process| process.abort());
        }
        // What comes after the end is dropped, so that the program gets through what it was sent.
        let reading = wishes.reading || self.is_closed;
        if std::mem::replace(&mut self.is_reading, reading) != reading {
            if reading {
                process.resume_reading(STDOUT);
            } else {
                process.pause_reading(STDOUT);
            }
        }
        if let Some(due) = wishes.next_call {
            self.carrier.tick_by(due);
        }
    }
}

/// Has the process read what the protocol wrote.
fn pass_on(process: &Process<Bridge>, mut output: Outbox) -> io::Result<()> {
    for chunk in output.drain() {
        match chunk {
            Chunk::Bytes(bytes) => process.write_bytes_to(STDIN, bytes),
            Chunk::File(mut slice) => {
                let mut piece = Vec::new();
                while slice.len > 0 {
                    slice.read_into(FILE_STEP, &mut piece)?;
                    slice.offset += piece.len() as u64;
                    slice.len -= piece.len() as u64;
                    process.write(&piece);
                }
            }
            // Its sender was told that this transport passes none.
            Chunk::Descriptor(_) => (),
        }
    }
    Ok(())
}

impl ProcessProtocol for Bridge {
    fn started(&mut self, process: &Process<Self>) {
        let _ = self.carrier.process.set(process.clone());
        self.handle(process, Event::Made);
    }

    fn out_received(&mut self, process: &Process<Self>, data: &[u8]) {
        self.handle(process, Event::Data(data));
    }

    fn err_received(&mut self, _: &Process<Self>, data: &[u8]) {
        let Self { lines, program, .. } = self;
        lines.feed(data, |line| log(program, line));
    }

    fn descriptor_closed(&mut self, process: &Process<Self>, descriptor: u32) {
        match descriptor {
            STDOUT => self.handle(process, Event::Eof),
            STDERR => {
                let Self { lines, program, .. } = self;
                lines.flush(|line| log(program, line));
            }
            _ => (),
        }
    }

    fn input_sent(&mut self, process: &Process<Self>, descriptor: u32) {
        if descriptor == STDIN {
            self.handle(process, Event::Sent { left: process.waiting(STDIN) });
        }
    }

    fn exited(&mut self, process: &Process<Self>, _: ExitStatus) {
        // What is left of its children may hold the pipe to complain into for ever.
        if self.is_closed {
            process.close_all();
        }
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        let why = match end {
            ProcessEnd::Exited(status) if status.is_success() => Disconnect::Closed,
            ProcessEnd::Exited(_) => Disconnect::Reset,
            ProcessEnd::NotStarted(error) => match error.fault {
                SpawnFault::NotFound => Disconnect::Failed(io::ErrorKind::NotFound),
                SpawnFault::NotExecutable => Disconnect::Failed(io::ErrorKind::PermissionDenied),
                SpawnFault::Exhausted(kind) => Disconnect::Failed(kind),
                _ => Disconnect::Failed(io::ErrorKind::Other),
            },
            ProcessEnd::Abandoned { why: Disconnect::Aborted, .. } => {
                match self.seat.wishes().ending {
                    Some(Ending::Abort(why)) => why,
                    _ => Disconnect::Aborted,
                }
            }
            ProcessEnd::Abandoned { why, .. } => *why,
        };
        if why != Disconnect::Closed {
            self.carrier.end.replace(Some(end.clone()));
        }
        self.seat.handle(Event::Lost(why));
    }
}

fn log(program: &str, line: &str) {
    tracing::warn!(target: "ropewalk::process", program, "{line}");
}

impl Carrier {
    /// Sees to it that the seat is told that time passed, at `due` or before.
    fn tick_by(&self, due: Duration) {
        let Some(process) = self.process.get() else { return };
        let delay = due.saturating_sub(process.now());
        let call = match self.timer.get() {
            Some((_, timer_due)) if timer_due <= due => return,
            Some((call, _)) if process.reset_call(call, delay) => call,
            _ => process.call_later(delay, |this, process| {
                this.carrier.timer.set(None);
                this.handle(process, Event::Tick);
            }),
        };
        self.timer.set(Some((call, due)));
    }
}

impl Transport for Carrier {
    fn now(&self) -> Duration {
        self.process.get().map_or(Duration::ZERO, Process::now)
    }

    fn wake(&self, _: usize) {
        self.tick_by(self.now());
    }

    fn local(&self, _: usize) -> Address {
        Address::Unnamed
    }

    fn peer(&self, _: usize) -> Address {
        Address::Process(self.program.clone())
    }

    fn cause(&self, _: usize) -> Option<Failure> {
        self.end.borrow().clone().map(|end| match end {
            ProcessEnd::NotStarted(error) => Failure::new(error),
            end => Failure::new(end),
        })
    }
}
