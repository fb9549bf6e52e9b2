//! Processes that are none: the test is the program.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::process::{
    ChildDescriptor, Command, ExitStatus, PipeKind, ProcessCarrier, ProcessEvent, ProcessOrder,
    ProcessProtocol, ProcessSeat, STDERR, STDIN, STDOUT, Signal, SpawnError, SpawnFault, Spawner,
    TerminalSize, seat_process,
};
use ropewalk_protocol::{Chunk, Clock as _, DelayedCall, Disconnect, Outbox};

use crate::Clock;

/// How much of a file is read at a time.
const FILE_STEP: usize = 64 * 1024;

type Script = Rc<dyn Fn(&FakeProcess)>;
type OnInput = Box<dyn FnMut(&FakeProcess, u32, &[u8])>;

/// A place where processes are started that are none: a [`Spawner`] for tests.
///
/// Each process that is asked for becomes a [`FakeProcess`]: either it does as its program's
/// [script](Self::program) says, or the test [takes](Self::take_next) it and plays the program. Nothing happens
/// but on the clock: a process is started, like anything else that is told later, when the clock is moved
/// or advanced by nothing.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::process::{Command, ExitStatus, output_of};
/// use ropewalk_trial::{Clock, FakeProcesses};
///
/// let clock = Clock::new();
/// let processes = FakeProcesses::new(&clock);
/// processes.program("uname", |process| {
///     process.push_out(b"Plan 9\n");
///     process.exit(ExitStatus::SUCCESS);
/// });
/// let output = output_of(&processes, &Command::new("uname").arg("-s"));
/// clock.advance(Duration::ZERO);
/// assert_eq!(output.now_or_never().unwrap()?.stdout, b"Plan 9\n");
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
#[derive(Clone)]
pub struct FakeProcesses(Rc<Place>);

struct Place {
    clock: Clock,
    scripts: RefCell<BTreeMap<OsString, Script>>,
    started: RefCell<VecDeque<FakeProcess>>,
    refusals: RefCell<VecDeque<SpawnFault>>,
    last_id: Cell<u32>,
}

impl FakeProcesses {
    /// A place without programs, on that clock: every process waits to be [taken](Self::take_next).
    pub fn new(clock: &Clock) -> Self {
        Self(Rc::new(Place {
            clock: clock.clone(),
            scripts: RefCell::default(),
            started: RefCell::default(),
            refusals: RefCell::default(),
            last_id: Cell::new(0),
        }))
    }

    /// Has each process of that program do so once it runs.
    pub fn program(&self, name: impl AsRef<OsStr>, script: impl Fn(&FakeProcess) + 'static) {
        self.0.scripts.borrow_mut().insert(name.as_ref().to_owned(), Rc::new(script));
    }

    /// Has the next process not be started, for this reason.
    pub fn refuse_next(&self, fault: SpawnFault) {
        self.0.refusals.borrow_mut().push_back(fault);
    }

    /// The next process of those without a script, in the order in which they were started.
    pub fn take_next(&self) -> Option<FakeProcess> {
        self.0.started.borrow_mut().pop_front()
    }
}

impl Spawner for FakeProcesses {
    fn spawn_seat(&self, command: &Command, seat: Box<dyn ProcessSeat>) {
        let place = &self.0;
        let refusal = place.refusals.borrow_mut().pop_front();
        place.last_id.set(place.last_id.get() + 1);
        let process = FakeProcess::new(command.clone(), &place.clock, place.last_id.get(), seat);
        let script = place.scripts.borrow().get(command.program()).cloned();
        if script.is_none() && refusal.is_none() {
            place.started.borrow_mut().push_back(process.clone());
        }
        place.clock.schedule(
            Duration::ZERO,
            Box::new(move || {
                if let Some(fault) = refusal {
                    let program = process.command().program().to_owned();
                    return process.tell(ProcessEvent::NotStarted(SpawnError { program, fault }));
                }
                process.begin();
                if let Some(script) = script {
                    script(&process);
                }
            }),
        );
    }
}

impl fmt::Debug for FakeProcesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.0.started.borrow().len();
        f.debug_struct("FakeProcesses").field("waiting", &waiting).finish_non_exhaustive()
    }
}

/// A process whose program is the test. Clones are the same process.
///
/// What its protocol writes is taken at once, as far as there is [room](Self::set_room), and remembered;
/// so are signals. [`Signal::Kill`] ends it, as nothing can keep a program from that; any other is for the
/// test to heed.
///
/// ```
/// use ropewalk_protocol::process::{ExitStatus, Process, ProcessProtocol};
/// use ropewalk_trial::{Clock, FakeProcess};
///
/// /// Answers each question of its process with no.
/// struct No;
/// impl ProcessProtocol for No {
///     fn out_received(&mut self, process: &Process<Self>, data: &[u8]) {
///         for _ in data.iter().filter(|byte| **byte == b'?') {
///             process.write(b"no\n");
///         }
///     }
/// }
///
/// let process = FakeProcess::seat(No, &Clock::new());
/// process.push_out(b"Overwrite? ");
/// assert_eq!(process.take_written(), b"no\n");
/// process.exit(ExitStatus::SUCCESS);
/// assert!(process.is_over());
/// ```
#[derive(Clone)]
pub struct FakeProcess(Rc<Inner>);

struct Inner {
    clock: Clock,
    id: u32,
    command: Command,
    /// Out while the protocol runs.
    seat: RefCell<Option<Box<dyn ProcessSeat>>>,
    pipes: RefCell<BTreeMap<u32, Pipe>>,
    written: RefCell<BTreeMap<u32, Vec<u8>>>,
    closed: RefCell<BTreeSet<u32>>,
    signals: RefCell<Vec<Signal>>,
    size: Cell<TerminalSize>,
    status: Cell<Option<ExitStatus>>,
    on_input: RefCell<Option<OnInput>>,
    timer: RefCell<Option<(DelayedCall, Duration)>>,
    has_begun: Cell<bool>,
}

/// A pipe that is open at this end.
struct Pipe {
    kind: PipeKind,
    /// Written by the protocol and not taken, for want of room.
    backlog: Outbox,
    room: usize,
    is_closing: bool,
    is_paused: bool,
    /// What the program wrote while nobody read.
    unread: Vec<u8>,
    /// The program has closed it.
    is_ended: bool,
}

/// What the handle sees. It keeps the process until its end, as a system does.
struct Carrier(FakeProcess);

impl ProcessCarrier for Carrier {
    fn now(&self) -> Duration {
        self.0.0.clock.now()
    }

    fn wake(&self) {
        self.0.tick_by(self.now());
    }
}

impl FakeProcess {
    /// Seats `protocol` at a process with the usual three pipes, and tells it that it runs.
    pub fn seat(protocol: impl ProcessProtocol, clock: &Clock) -> Self {
        Self::take_seat(seat_process(protocol), Command::new("fake"), clock)
    }

    /// The same for a protocol that is seated already, with the descriptors of a command.
    pub fn take_seat(seat: Box<dyn ProcessSeat>, command: Command, clock: &Clock) -> Self {
        let process = Self::new(command, clock, 1, seat);
        process.begin();
        process
    }

    fn new(command: Command, clock: &Clock, id: u32, mut seat: Box<dyn ProcessSeat>) -> Self {
        let size = Cell::new(command.terminal_size());
        let process = Self(Rc::new(Inner {
            clock: clock.clone(),
            id,
            command,
            seat: RefCell::new(None),
            pipes: RefCell::default(),
            written: RefCell::default(),
            closed: RefCell::default(),
            signals: RefCell::default(),
            size,
            status: Cell::new(None),
            on_input: RefCell::default(),
            timer: RefCell::default(),
            has_begun: Cell::new(false),
        }));
        seat.attach(Rc::new(Carrier(process.clone())));
        process.0.seat.replace(Some(seat));
        process
    }

    fn begin(&self) {
        let mut kinds = Vec::new();
        for (number, what) in self.0.command.descriptors() {
            match what {
                ChildDescriptor::Input => kinds.push((*number, PipeKind::Input)),
                ChildDescriptor::Output => kinds.push((*number, PipeKind::Output)),
                _ => (),
            }
        }
        if self.0.command.has_terminal() {
            kinds.extend([(STDIN, PipeKind::Input), (STDOUT, PipeKind::Output)]);
        }
        let pipe = |kind| Pipe {
            kind,
            backlog: Outbox::default(),
            room: usize::MAX,
            is_closing: false,
            is_paused: false,
            unread: Vec::new(),
            is_ended: false,
        };
        let pipes = kinds.iter().map(|(number, kind)| (*number, pipe(*kind)));
        self.0.pipes.replace(pipes.collect());
        self.0.has_begun.set(true);
        self.tell(ProcessEvent::Started { id: self.0.id, pipes: &kinds });
    }

    /// What was asked to be run.
    pub fn command(&self) -> &Command {
        &self.0.command
    }

    /// Has the program write to a descriptor. What nobody reads for now waits.
    pub fn push(&self, descriptor: u32, data: &[u8]) {
        if let Some(pipe) = self.0.pipes.borrow_mut().get_mut(&descriptor)
            && pipe.kind == PipeKind::Output
            && !pipe.is_ended
        {
            pipe.unread.extend_from_slice(data);
        }
        self.deliver(descriptor);
    }

    /// Has it write to its standard output.
    pub fn push_out(&self, data: &[u8]) {
        self.push(STDOUT, data);
    }

    /// Has it write to its standard error.
    pub fn push_err(&self, data: &[u8]) {
        self.push(STDERR, data);
    }

    /// Has it close a descriptor: one that it reads from, or writes to.
    pub fn close(&self, descriptor: u32) {
        if let Some(pipe) = self.0.pipes.borrow_mut().get_mut(&descriptor) {
            pipe.is_ended = true;
        }
        self.deliver(descriptor);
    }

    /// What the protocol has written to its standard input since the last time.
    pub fn take_written(&self) -> Vec<u8> {
        self.take_written_to(STDIN)
    }

    /// The same for any descriptor.
    pub fn take_written_to(&self, descriptor: u32) -> Vec<u8> {
        self.0.written.borrow_mut().remove(&descriptor).unwrap_or_default()
    }

    /// Calls `turn` with what the protocol has written and nobody has taken, and with what it writes from
    /// now on, so that a script can answer; [`take_written`](Self::take_written) gives it all the same.
    pub fn on_input(&self, mut turn: impl FnMut(&Self, u32, &[u8]) + 'static) {
        let before = self.0.written.borrow().clone();
        for (descriptor, data) in before.iter().filter(|(_, data)| !data.is_empty()) {
            turn(self, *descriptor, data);
        }
        self.0.on_input.replace(Some(Box::new(turn)));
    }

    /// Lets the program read no more than `room` bytes from a descriptor; what is written beyond that
    /// waits.
    pub fn set_room(&self, descriptor: u32, room: usize) {
        if let Some(pipe) = self.0.pipes.borrow_mut().get_mut(&descriptor) {
            pipe.room = room;
        }
        if self.flush(descriptor) {
            self.tell(ProcessEvent::Tick);
        }
    }

    /// Whether the protocol has closed a descriptor, or that was closed by anybody.
    pub fn is_closed(&self, descriptor: u32) -> bool {
        self.0.closed.borrow().contains(&descriptor)
    }

    /// Whether the protocol reads from a descriptor.
    pub fn is_reading(&self, descriptor: u32) -> bool {
        self.0.pipes.borrow().get(&descriptor).is_some_and(|pipe| !pipe.is_paused)
    }

    /// The signals that it was sent, in order.
    pub fn signals(&self) -> Vec<Signal> {
        self.0.signals.borrow().clone()
    }

    /// How large its terminal is by now.
    pub fn terminal_size(&self) -> TerminalSize {
        self.0.size.get()
    }

    /// Has the program exit, which closes what it has open.
    pub fn exit(&self, status: ExitStatus) {
        self.exit_alone(status);
        let open: Vec<u32> = self.0.pipes.borrow().keys().copied().collect();
        for descriptor in open {
            self.close(descriptor);
        }
    }

    /// Has it exit while somebody else, whom it has started, keeps its descriptors open.
    pub fn exit_alone(&self, status: ExitStatus) {
        if self.0.status.replace(Some(status)).is_none() {
            self.tell(ProcessEvent::Exited(status));
        }
    }

    /// Ends it as a reactor does that stops.
    pub fn lose(&self, why: Disconnect) {
        self.tell(ProcessEvent::Lost(why));
    }

    /// How it has exited, if it has: by the test, or by [`Signal::Kill`].
    pub fn status(&self) -> Option<ExitStatus> {
        self.0.status.get()
    }

    /// Whether the protocol was told of the end.
    pub fn is_over(&self) -> bool {
        self.0.seat.borrow().as_ref().is_none_or(|seat| seat.is_over())
    }

    /// Hands on what the program wrote, and the end behind it.
    fn deliver(&self, descriptor: u32) {
        let (data, is_over) = {
            let mut pipes = self.0.pipes.borrow_mut();
            let Some(pipe) = pipes.get_mut(&descriptor) else { return };
            if pipe.is_paused {
                return;
            }
            (std::mem::take(&mut pipe.unread), pipe.is_ended)
        };
        if !data.is_empty() {
            self.tell(ProcessEvent::Output { descriptor, data: &data });
        }
        if is_over {
            // Reading may have been paused by what came last.
            let is_paused =
                self.0.pipes.borrow().get(&descriptor).is_some_and(|pipe| pipe.is_paused);
            if !is_paused {
                self.end_pipe(descriptor);
            }
        }
    }

    fn end_pipe(&self, descriptor: u32) {
        if self.0.pipes.borrow_mut().remove(&descriptor).is_some() {
            self.0.closed.borrow_mut().insert(descriptor);
            self.tell(ProcessEvent::Closed { descriptor });
        }
    }

    /// Tells the protocol, then does what it wishes.
    fn tell(&self, event: ProcessEvent<'_>) {
        let seat = self.0.seat.take();
        let Some(mut seat) = seat else { return };
        seat.handle(event);
        self.0.seat.replace(Some(seat));
        self.settle();
    }

    fn with_seat<T>(&self, ask: impl FnOnce(&mut Box<dyn ProcessSeat>) -> T) -> Option<T> {
        let seat = self.0.seat.take();
        let mut seat = seat?;
        let answer = ask(&mut seat);
        self.0.seat.replace(Some(seat));
        Some(answer)
    }

    fn settle(&self) {
        loop {
            let Some(orders) = self.with_seat(|seat| seat.take_orders()) else { return };
            if orders.is_empty() {
                break;
            }
            for order in orders {
                self.carry_out(order);
            }
        }
        if let Some(due) = self.with_seat(|seat| seat.next_call()).flatten() {
            self.tick_by(due);
        }
    }

    fn carry_out(&self, order: ProcessOrder) {
        match order {
            ProcessOrder::Write { descriptor, mut output } => {
                if let Some(pipe) = self.0.pipes.borrow_mut().get_mut(&descriptor) {
                    pipe.backlog.append(&mut output);
                }
                self.flush(descriptor);
            }
            ProcessOrder::Close { descriptor } => {
                let is_sent = self.0.pipes.borrow_mut().get_mut(&descriptor).map(|pipe| {
                    pipe.is_closing = true;
                    pipe.backlog.is_empty()
                });
                if is_sent == Some(true) {
                    self.end_pipe(descriptor);
                }
            }
            ProcessOrder::Pause { descriptor } => self.set_paused(descriptor, true),
            ProcessOrder::Resume { descriptor } => {
                self.set_paused(descriptor, false);
                self.deliver(descriptor);
            }
            ProcessOrder::Signal { signal, .. } => self.signal(signal),
            ProcessOrder::Resize(size) => self.0.size.set(size),
            ProcessOrder::Abort => {
                let pipes = self.0.pipes.take();
                self.0.closed.borrow_mut().extend(pipes.into_keys());
                self.signal(Signal::Kill);
            }
            _ => (),
        }
    }

    fn signal(&self, signal: Signal) {
        if self.0.status.get().is_some() {
            return;
        }
        self.0.signals.borrow_mut().push(signal);
        if signal == Signal::Kill {
            self.exit(ExitStatus::Signaled { signal, core_dumped: false });
        }
    }

    fn set_paused(&self, descriptor: u32, paused: bool) {
        if let Some(pipe) = self.0.pipes.borrow_mut().get_mut(&descriptor) {
            pipe.is_paused = paused;
        }
    }

    /// Has the program take what there is room for; whether it took anything.
    fn flush(&self, descriptor: u32) -> bool {
        let (taken, left, is_done) = {
            let mut pipes = self.0.pipes.borrow_mut();
            let Some(pipe) = pipes.get_mut(&descriptor) else { return false };
            let mut taken = Vec::new();
            let mut piece = pipe.backlog.split_to(pipe.room as u64);
            for chunk in piece.drain() {
                match chunk {
                    Chunk::Bytes(bytes) => taken.extend_from_slice(&bytes),
                    Chunk::File(mut slice) => {
                        let mut part = Vec::new();
                        while slice.len > 0 && slice.read_into(FILE_STEP, &mut part).is_ok() {
                            taken.extend_from_slice(&part);
                            slice.offset += part.len() as u64;
                            slice.len -= part.len() as u64;
                        }
                    }
                    _ => (),
                }
            }
            pipe.room -= taken.len().min(pipe.room);
            (taken, pipe.backlog.len(), pipe.is_closing && pipe.backlog.is_empty())
        };
        self.0.written.borrow_mut().entry(descriptor).or_default().extend_from_slice(&taken);
        self.with_seat(|seat| seat.sent(descriptor, left));
        if is_done {
            self.end_pipe(descriptor);
        }
        let on_input = self.0.on_input.take();
        if let Some(mut turn) = on_input {
            if !taken.is_empty() {
                turn(self, descriptor, &taken);
            }
            let mut place = self.0.on_input.borrow_mut();
            place.get_or_insert(turn);
        }
        !taken.is_empty()
    }

    /// Sees to it that the protocol is told that time passed, at `due` or before.
    fn tick_by(&self, due: Duration) {
        let mut timer = self.0.timer.borrow_mut();
        if timer.as_ref().is_some_and(|(call, set)| *set <= due && call.is_active()) {
            return;
        }
        if let Some((call, _)) = timer.take() {
            call.cancel();
        }
        let weak = Rc::downgrade(&self.0);
        let call = self.0.clock.schedule(
            due.saturating_sub(self.0.clock.now()),
            Box::new(move || {
                if let Some(inner) = weak.upgrade() {
                    inner.timer.take();
                    if inner.has_begun.get() {
                        Self(inner).tell(ProcessEvent::Tick);
                    }
                }
            }),
        );
        *timer = Some((call, due));
    }
}

impl fmt::Debug for FakeProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeProcess")
            .field("command", &self.0.command)
            .field("status", &self.0.status.get())
            .finish_non_exhaustive()
    }
}
