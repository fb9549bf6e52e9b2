//! A child: its protocol, and what is to be done for it.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_protocol::process::{
    Command, ExitStatus, Grouping, PipeKind, ProcessCarrier, ProcessEvent, ProcessOrder,
    ProcessSeat, STDIN, STDOUT, Signal, SpawnError, TerminalSize,
};
use ropewalk_protocol::{Clock, DelayedCall, Disconnect, Outbox, Transport};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};

use super::pipes::{Flow, Pipe};
use super::plan::{self, Started};
use super::{orphans, pipes};
use crate::inner::Inner;
use crate::reactor::guard;
use crate::sys::{Driver, os};
use crate::under_way::Kind;
use crate::{Reactor, Watch};

/// How often what one event has led to is carried out before the next turn.
const ROUNDS_MAX: usize = 16;
/// How long a stop waits for what was killed.
const DEATH_PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// How long to wait with writing where no descriptor is left to wait with.
const SCARCE_PATIENCE: Duration = Duration::from_millis(10);

/// A process that a reactor looks after, from its start to its end.
pub(super) struct Child {
    inner: Weak<Inner>,
    /// Its number among the reactor's.
    key: u64,
    me: Weak<Child>,
    program: String,
    /// Out while the protocol runs.
    seat: RefCell<Option<Box<dyn ProcessSeat>>>,
    /// How it went, until the protocol is told.
    started: RefCell<Option<Result<Started, SpawnError>>>,
    /// The system's number of a child that has not been reaped.
    id: Cell<Option<u32>>,
    pipes: RefCell<Vec<Pipe>>,
    /// Pipes that are closed, of which the protocol has not been told.
    closed: RefCell<Vec<u32>>,
    exit: RefCell<Option<Watch>>,
    /// A signal tells of its end.
    by_signal: Cell<bool>,
    timer: RefCell<Option<(DelayedCall, Duration)>>,
    leads_group: bool,
    kill_on_drop: bool,
}

/// Hears of the signal that some child has ended, where there is nothing better.
pub(super) struct Watcher {
    _watch: Watch,
    id: signal_hook::SigId,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.id);
    }
}

impl ProcessCarrier for Child {
    fn now(&self) -> Duration {
        self.inner.upgrade().map_or(Duration::ZERO, |inner| inner.carrier.now())
    }

    fn wake(&self) {
        self.tick_by(self.now());
    }
}

impl Child {
    pub(super) fn new(
        inner: &Rc<Inner>,
        key: u64,
        command: &Command,
        mut seat: Box<dyn ProcessSeat>,
        started: Result<Started, SpawnError>,
    ) -> Rc<Self> {
        let id = started.as_ref().ok().map(|started| started.id);
        let child = Rc::new_cyclic(|me| Self {
            inner: Rc::downgrade(inner),
            key,
            me: me.clone(),
            program: command.program().to_string_lossy().into_owned(),
            seat: RefCell::new(None),
            started: RefCell::new(Some(started)),
            id: Cell::new(id),
            pipes: RefCell::default(),
            closed: RefCell::default(),
            exit: RefCell::default(),
            by_signal: Cell::new(false),
            timer: RefCell::default(),
            leads_group: matches!(command.grouping(), Grouping::Own | Grouping::Session),
            kill_on_drop: command.is_killed_on_drop(),
        });
        seat.attach(Rc::clone(&child) as _);
        child.seat.replace(Some(seat));
        child
    }

    /// What it is, for a person.
    pub(super) fn name(&self) -> String {
        match self.id.get() {
            Some(id) => format!("the process {id} ({})", self.program),
            None => format!("a process that has exited ({})", self.program),
        }
    }

    /// Tells the protocol how the start went, and watches from then on.
    pub(super) fn begin(&self, inner: &Rc<Inner>, driver: &mut dyn Driver) {
        let started = match self.started.take() {
            Some(Ok(started)) => started,
            Some(Err(error)) => return self.tell(ProcessEvent::NotStarted(error)),
            None => return,
        };
        if let Err(error) = self.watch_exit(inner, driver, started.id) {
            tracing::error!(
                target: "ropewalk::process",
                "the end of {} cannot be watched: {error}", self.name(),
            );
            self.kill(Signal::Kill, self.leads_group);
        }
        let mut kinds: Vec<(u32, PipeKind)> = Vec::new();
        for (number, kind, end) in started.pipes {
            self.open(inner, driver, Pipe::new(number, kind), end);
            kinds.push((number, kind));
        }
        if let Some(end) = started.terminal {
            self.open(inner, driver, Pipe::terminal(), end);
            kinds.extend([(STDIN, PipeKind::Input), (STDOUT, PipeKind::Output)]);
        }
        self.tell(ProcessEvent::Started { id: started.id, pipes: &kinds });
    }

    fn open(&self, inner: &Rc<Inner>, driver: &mut dyn Driver, mut pipe: Pipe, end: pipes::End) {
        let (me, number) = (self.me.clone(), pipe.number);
        let watch = inner.watch_own(driver, end, move |ready| {
            if let (Ok(()), Some(child)) = (ready, me.upgrade()) {
                child.ready(number);
            }
        });
        match watch {
            Ok(watch) => {
                pipe.watch = Some(watch);
                self.pipes.borrow_mut().push(pipe);
            }
            Err(error) => {
                tracing::error!(
                    target: "ropewalk::process",
                    "descriptor {number} of {} cannot be watched: {error}", self.name(),
                );
                self.note_closed(&pipe);
            }
        }
    }

    /// Sees to it that the child is reaped when it ends.
    fn watch_exit(
        &self,
        inner: &Rc<Inner>,
        driver: &mut dyn Driver,
        id: u32,
    ) -> Result<(), io::Error> {
        if let Ok(descriptor) = os::exit_descriptor(id) {
            let me = self.me.clone();
            let watch = inner.watch_own(driver, descriptor, move |ready| {
                if let (Ok(()), Some(child)) = (ready, me.upgrade()) {
                    child.reap();
                }
            })?;
            self.exit.replace(Some(watch));
            return Ok(());
        }
        self.by_signal.set(true);
        let processes = &inner.processes;
        processes.by_signal.set(processes.by_signal.get() + 1);
        if processes.watcher.borrow().is_none() {
            let (signal, descriptor) = os::tell_of_signal(libc::SIGCHLD)?;
            let own = descriptor.try_clone()?;
            let weak = Rc::downgrade(inner);
            let watch = inner.watch_own(driver, descriptor, move |ready| {
                if let (Ok(()), Some(inner)) = (ready, weak.upgrade()) {
                    os::drain(std::os::fd::AsFd::as_fd(&own));
                    reap_all(&inner);
                }
            });
            match watch {
                Ok(watch) => {
                    processes.watcher.replace(Some(Watcher { _watch: watch, id: signal }));
                }
                Err(error) => {
                    signal_hook::low_level::unregister(signal);
                    return Err(error);
                }
            }
        }
        // It may have ended before anybody watched, which is looked for once it has been told of.
        self.tick_by(self.now());
        Ok(())
    }

    /// A pipe has something, or has come to its end.
    fn ready(&self, number: u32) {
        let Some(inner) = self.inner.upgrade() else { return };
        let flow = match self.pipes.borrow().iter().find(|pipe| pipe.number == number) {
            Some(pipe) if pipe.reads() => None,
            Some(pipe) => Some(pipe.look()),
            None => return,
        };
        if let Some(flow) = flow {
            if flow == Flow::Over {
                self.close(number);
                self.settle();
            }
            return;
        }
        let mut buffer = inner.processes.take_buffer();
        let read = {
            let pipes = self.pipes.borrow();
            let pipe = pipes.iter().find(|pipe| pipe.number == number);
            pipe.and_then(|pipe| pipe.read(&mut buffer))
        };
        match read {
            Some(Ok(0)) => {
                self.close(number);
                self.settle();
            }
            Some(Ok(length)) => {
                let descriptor = if number == pipes::TERMINAL { STDOUT } else { number };
                self.tell(ProcessEvent::Output { descriptor, data: &buffer[..length] });
            }
            Some(Err(Errno::AGAIN | Errno::INTR)) | None => (),
            Some(Err(error)) => {
                // A terminal whose last process is gone says so by an error.
                if number != pipes::TERMINAL || error != Errno::IO {
                    tracing::debug!(
                        target: "ropewalk::process",
                        "descriptor {number} of {} broke off: {error}", self.name(),
                    );
                }
                self.close(number);
                self.settle();
            }
        }
        inner.processes.give_back(buffer);
    }

    /// A pipe takes more.
    fn writable(&self, number: u32) {
        self.flush(number);
        self.settle();
    }

    /// Asks the system whether the child has ended, and for its status.
    fn reap(&self) {
        let Some(id) = self.id.get().and_then(|id| Pid::from_raw(id as i32)) else { return };
        let status = match waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => status_of(&status),
            Ok(None) | Err(Errno::INTR) => return,
            // Somebody else has it.
            Err(_) => ExitStatus::Unknown,
        };
        self.id.set(None);
        drop(self.exit.take());
        if self.by_signal.replace(false)
            && let Some(inner) = self.inner.upgrade()
        {
            let processes = &inner.processes;
            processes.by_signal.set(processes.by_signal.get() - 1);
            if processes.by_signal.get() == 0 {
                drop(processes.watcher.take());
            }
        }
        self.tell(ProcessEvent::Exited(status));
    }

    fn tick(&self) {
        // Nothing comes before the protocol knows that its process runs.
        if self.started.borrow().is_some() {
            return;
        }
        if self.by_signal.get() {
            self.reap();
        }
        self.tell(ProcessEvent::Tick);
    }

    /// Tells the protocol, then does what it wishes.
    fn tell(&self, event: ProcessEvent<'_>) {
        let seat = self.seat.take();
        let Some(mut seat) = seat else { return };
        seat.handle(event);
        self.seat.replace(Some(seat));
        self.settle();
    }

    /// Carries out what was ordered, and tells of what came of it.
    fn settle(&self) {
        for _ in 0..ROUNDS_MAX {
            let Some(orders) = self.with_seat(|seat| seat.take_orders()) else { return };
            let is_idle = orders.is_empty();
            for order in orders {
                self.carry_out(order);
            }
            let next = self.closed.borrow_mut().pop();
            match next {
                Some(descriptor) => {
                    self.with_seat(|seat| seat.handle(ProcessEvent::Closed { descriptor }));
                }
                None if is_idle => return self.rest(),
                None => (),
            }
        }
        self.wake();
    }

    /// Nothing is to be done for now.
    fn rest(&self) {
        if self.with_seat(|seat| seat.is_over()) == Some(true) {
            return self.forget();
        }
        if let Some(due) = self.with_seat(|seat| seat.next_call()).flatten() {
            self.tick_by(due);
        }
    }

    fn with_seat<T>(&self, ask: impl FnOnce(&mut Box<dyn ProcessSeat>) -> T) -> Option<T> {
        let seat = self.seat.take();
        let mut seat = seat?;
        let answer = ask(&mut seat);
        self.seat.replace(Some(seat));
        Some(answer)
    }

    fn carry_out(&self, order: ProcessOrder) {
        match order {
            ProcessOrder::Write { descriptor, output } => self.write(descriptor, output),
            ProcessOrder::Close { descriptor } => {
                let number = self.number_of(descriptor);
                let waits = self.with_pipe(number, |pipe| {
                    pipe.is_closing = true;
                    !pipe.backlog.is_empty()
                });
                if waits == Some(false) {
                    self.close(number);
                }
            }
            ProcessOrder::Pause { descriptor } => self.set_paused(descriptor, true),
            ProcessOrder::Resume { descriptor } => self.set_paused(descriptor, false),
            ProcessOrder::Signal { signal, group } => self.kill(signal, group && self.leads_group),
            ProcessOrder::Resize(size) => self.resize(size),
            ProcessOrder::Abort => {
                self.kill(Signal::Kill, self.leads_group);
                drop(self.pipes.take());
                self.closed.borrow_mut().clear();
            }
            _ => (),
        }
    }

    /// Under which number a descriptor is known: the terminal has one for both of its directions.
    fn number_of(&self, descriptor: u32) -> u32 {
        let has_own = self.pipes.borrow().iter().any(|pipe| pipe.number == descriptor);
        if has_own { descriptor } else { pipes::TERMINAL }
    }

    fn with_pipe<T>(&self, number: u32, ask: impl FnOnce(&mut Pipe) -> T) -> Option<T> {
        let mut pipes = self.pipes.borrow_mut();
        pipes.iter_mut().find(|pipe| pipe.number == number).map(ask)
    }

    fn set_paused(&self, descriptor: u32, paused: bool) {
        self.with_pipe(self.number_of(descriptor), |pipe| {
            if pipe.reads()
                && let Some(watch) = &pipe.watch
            {
                if paused { watch.pause() } else { watch.resume() }
            }
        });
    }

    fn write(&self, descriptor: u32, mut output: Box<Outbox>) {
        let number = self.number_of(descriptor);
        let is_idle = self.with_pipe(number, |pipe| {
            let was_empty = pipe.backlog.is_empty();
            pipe.backlog.append(&mut output);
            was_empty
        });
        match is_idle {
            Some(true) => self.flush(number),
            Some(false) => {
                let left = self.with_pipe(number, |pipe| pipe.backlog.len()).unwrap_or(0);
                self.note_sent(number, left);
            }
            None => (),
        }
    }

    /// Writes what the pipe takes.
    fn flush(&self, number: u32) {
        let Some(flow) = self.with_pipe(number, Pipe::flush) else { return };
        let (left, is_closing) = self
            .with_pipe(number, |pipe| (pipe.backlog.len(), pipe.is_closing))
            .unwrap_or_default();
        match flow {
            Flow::Over => return self.close(number),
            Flow::Done if is_closing => return self.close(number),
            Flow::Done => {
                self.with_pipe(number, |pipe| pipe.writer = None);
            }
            Flow::Waits => self.wait_for_room(number),
        }
        self.note_sent(number, left);
    }

    fn note_sent(&self, number: u32, left: u64) {
        let descriptor = if number == pipes::TERMINAL { STDIN } else { number };
        self.with_seat(|seat| seat.sent(descriptor, left));
    }

    fn wait_for_room(&self, number: u32) {
        let is_waiting = self.with_pipe(number, |pipe| pipe.writer.is_some()).unwrap_or(true);
        if is_waiting {
            return;
        }
        let Some(inner) = self.inner.upgrade() else { return };
        let copy = self.with_pipe(number, |pipe| {
            pipe.watch.as_ref()?.with_descriptor(|end| end.try_clone_to_owned())?.ok()
        });
        let Some(copy) = copy.flatten() else {
            // No descriptor is left to wait with: it is tried again a little later.
            return self.tick_by(self.now() + SCARCE_PATIENCE);
        };
        let me = self.me.clone();
        let watch = inner.watch_own_output(copy, move |ready| {
            if let (Ok(()), Some(child)) = (ready, me.upgrade()) {
                child.writable(number);
            }
        });
        self.with_pipe(number, |pipe| pipe.writer = Some(watch));
    }

    /// This side's end of a pipe is closed.
    fn close(&self, number: u32) {
        let pipe = {
            let mut pipes = self.pipes.borrow_mut();
            let place = pipes.iter().position(|pipe| pipe.number == number);
            place.map(|place| pipes.remove(place))
        };
        if let Some(pipe) = pipe {
            self.note_closed(&pipe);
        }
    }

    fn note_closed(&self, pipe: &Pipe) {
        let mut closed = self.closed.borrow_mut();
        if pipe.number == pipes::TERMINAL {
            closed.extend([STDOUT, STDIN]);
        } else {
            closed.push(pipe.number);
        }
    }

    fn resize(&self, size: TerminalSize) {
        let resized = self.with_pipe(pipes::TERMINAL, |pipe| {
            pipe.watch.as_ref()?.with_descriptor(|end| plan::resize(end, size))
        });
        if let Some(Some(Err(error))) = resized {
            tracing::warn!(target: "ropewalk::process", "a terminal keeps its size: {error}");
        }
    }

    /// Sends a signal, unless the child has been reaped.
    fn kill(&self, signal: Signal, group: bool) {
        let Some(id) = self.id.get() else { return };
        if let Err(error) = os::send_signal(id, signal, group) {
            tracing::warn!(target: "ropewalk::process", "{signal} for {}: {error}", self.name());
        }
    }

    /// Sees to it that the protocol is told that time passed, at `due` or before.
    fn tick_by(&self, due: Duration) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut timer = self.timer.borrow_mut();
        if timer.as_ref().is_some_and(|(call, set)| *set <= due && call.is_active()) {
            return;
        }
        if let Some((call, _)) = timer.take() {
            call.cancel();
        }
        let me = self.me.clone();
        let delay = due.saturating_sub(inner.carrier.now());
        let call = Reactor::of(inner).schedule(
            delay,
            Box::new(move || {
                if let Some(child) = me.upgrade() {
                    child.timer.take();
                    child.flush_all();
                    child.tick();
                }
            }),
        );
        *timer = Some((call, due));
    }

    /// Tries again where there was no descriptor to wait with.
    fn flush_all(&self) {
        let waiting: Vec<u32> = {
            let pipes = self.pipes.borrow();
            let waits = |pipe: &&Pipe| !pipe.backlog.is_empty() && pipe.writer.is_none();
            pipes.iter().filter(waits).map(|pipe| pipe.number).collect()
        };
        for number in waiting {
            self.flush(number);
        }
    }

    /// The protocol was told of the end: nothing is left of the process but, perhaps, the process.
    fn forget(&self) {
        drop(self.seat.take());
        drop(self.pipes.take());
        drop(self.exit.take());
        if let Some((call, _)) = self.timer.take() {
            call.cancel();
        }
        if let Some(id) = self.id.take().and_then(|id| Pid::from_raw(id as i32)) {
            orphans::adopt(id);
        }
        if let Some(inner) = self.inner.upgrade() {
            inner.origins.forget(Kind::Process, self.key as usize);
            let child = inner.processes.children.borrow_mut().remove(&self.key);
            drop(child);
        }
    }

    /// Reaps what was killed, which is as good as gone; one whom the system does not let go is left to a
    /// later occasion.
    fn await_death(&self) {
        let Some(id) = self.id.get() else { return };
        // The reactor that watches may be half gone.
        if let Ok(end) = os::exit_descriptor(id) {
            let mut polled = [PollFd::new(&end, PollFlags::IN)];
            // Interrupted or not, what has come of it is asked next.
            let _ = poll(&mut polled, Some(&DEATH_PATIENCE));
        }
        let Some(id) = Pid::from_raw(id as i32) else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if !matches!(waitid(WaitId::Pid(id), options), Ok(None) | Err(Errno::INTR)) {
            self.id.set(None);
        }
    }

    /// The reactor stops.
    pub(super) fn lose(&self, why: Option<Disconnect>) {
        if self.kill_on_drop {
            self.kill(Signal::Kill, self.leads_group);
            self.await_death();
        }
        let seat = self.seat.take();
        if let (Some(mut seat), Some(why)) = (seat, why) {
            match self.started.take() {
                Some(Err(error)) => seat.handle(ProcessEvent::NotStarted(error)),
                _ => seat.handle(ProcessEvent::Lost(why)),
            }
        }
        self.forget();
    }
}

/// Reaps what has ended of those for whom a signal tells.
fn reap_all(inner: &Rc<Inner>) {
    let children: Vec<_> = {
        let children = inner.processes.children.borrow();
        children.values().filter(|child| child.by_signal.get()).cloned().collect()
    };
    for child in children {
        guard("a process's end", || child.reap());
    }
}

fn status_of(status: &WaitIdStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Exited(code),
        (None, Some(signal)) => {
            let signal = os::signal_of(signal);
            ExitStatus::Signaled { signal, core_dumped: status.dumped() }
        }
        (None, None) => ExitStatus::Unknown,
    }
}
