//! A protocol's end of its process, and the notes that it takes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_deferred::{Canceller, Deferred, Failure, Promise};

use super::seat::{PipeKind, ProcessCarrier, ProcessOrder};
use super::{AlreadyExited, ExitStatus, STDERR, STDIN, STDOUT, Signal, TerminalSize};
use crate::calls::{Agenda, Calls};
use crate::flags::Flags;
use crate::{ConnCall, Marks, Outbox};

type Turn<P> = Box<dyn FnOnce(&mut P, &Process<P>)>;

/// A protocol's end of its process: a handle to use, clone and keep.
///
/// Nothing happens during a call. Each wish is written down here and carried out, in order, after the
/// protocol has returned; a handle used from elsewhere wakes whoever runs the process within the turn.
///
/// Dropping the handles changes nothing: the process runs on, its protocol is told, and it is reaped when
/// it exits.
pub struct Process<P: 'static> {
    pub(super) page: Rc<Page<P>>,
}

/// What is known of one pipe.
#[expect(clippy::struct_excessive_bools, reason = "each tells whether a word was passed on")]
pub(super) struct Pipe {
    pub(super) kind: PipeKind,
    /// This side wants it closed.
    pub(super) is_closing: bool,
    /// It is closed.
    pub(super) is_closed: bool,
    /// The protocol knows that.
    pub(super) is_told: bool,
    pub(super) is_paused: bool,
    /// What came while reading was paused.
    pub(super) held: Vec<u8>,
    /// Written, and not sent as far as is known.
    waiting: u64,
    marks: Marks,
    pub(super) is_over_high: bool,
    pub(super) is_told_paused: bool,
    /// The protocol wants to hear of the next sending.
    pub(super) is_sent_wanted: bool,
    /// That came about.
    pub(super) is_sent: bool,
}

impl Pipe {
    pub(super) fn new(kind: PipeKind) -> Self {
        Self {
            kind,
            is_closing: false,
            is_closed: false,
            is_told: false,
            is_paused: false,
            held: Vec::new(),
            waiting: 0,
            marks: Marks::default(),
            is_over_high: false,
            is_told_paused: false,
            is_sent_wanted: false,
            is_sent: false,
        }
    }

    fn note_waiting(&mut self, waiting: u64) {
        self.waiting = waiting;
        if waiting > self.marks.high {
            self.is_over_high = true;
        } else if waiting <= self.marks.low {
            self.is_over_high = false;
        }
    }

    /// Whether the protocol is to hear of a mark.
    pub(super) fn is_marked(&self) -> bool {
        let is_open = !self.is_closing && !self.is_closed;
        is_open && self.is_over_high != self.is_told_paused
    }

    /// Whether something is to be told that was held back.
    pub(super) fn is_restless(&self) -> bool {
        let has_news = !self.held.is_empty() || (self.is_closed && !self.is_told);
        has_news && (!self.is_paused || self.is_closing)
    }
}

pub(super) struct Page<P: 'static> {
    pub(super) carrier: RefCell<Option<Rc<dyn ProcessCarrier>>>,
    pub(super) pipes: RefCell<Vec<(u32, Pipe)>>,
    pub(super) orders: RefCell<Vec<ProcessOrder>>,
    calls: RefCell<Calls<Turn<P>>>,
    waits: RefCell<Vec<(u32, Canceller)>>,
    /// Whoever waits for the process to be started.
    pub(super) told: Cell<Option<Promise<Process<P>>>>,
    pub(super) id: Cell<Option<u32>>,
    pub(super) status: Cell<Option<ExitStatus>>,
    last_id: Cell<u32>,
    flags: Cell<Flags>,
}

impl<P> Page<P> {
    fn order(&self, order: ProcessOrder) {
        self.orders.borrow_mut().push(order);
        self.wake();
    }

    pub(super) fn with_pipe<T>(&self, number: u32, look: impl FnOnce(&mut Pipe) -> T) -> Option<T> {
        let mut pipes = self.pipes.borrow_mut();
        pipes.iter_mut().find(|(known, _)| *known == number).map(|(_, pipe)| look(pipe))
    }

    /// Gives the process up: it is killed, and nothing more is told but the end.
    pub(super) fn give_up(&self, why: Flags) {
        if self.is(Flags::ABORTING.or(Flags::OVER)) {
            return;
        }
        self.set(why.or(Flags::ABORTING));
        self.orders.borrow_mut().clear();
        self.order(ProcessOrder::Abort);
    }

    fn write(&self, number: u32, fill: impl FnOnce(&mut Outbox)) {
        let is_open =
            |pipe: &mut Pipe| pipe.kind == PipeKind::Input && !pipe.is_closing && !pipe.is_closed;
        let may_write = self.with_pipe(number, is_open).unwrap_or(false);
        if !may_write || self.is(Flags::ABORTING.or(Flags::OVER)) {
            return;
        }
        let mut output = Box::<Outbox>::default();
        fill(&mut output);
        let length = output.len();
        if length == 0 {
            return;
        }
        let mut orders = self.orders.borrow_mut();
        match orders.last_mut() {
            Some(ProcessOrder::Write { descriptor, output: before }) if *descriptor == number => {
                before.append(&mut output);
            }
            _ => orders.push(ProcessOrder::Write { descriptor: number, output }),
        }
        drop(orders);
        let overflows = self.with_pipe(number, |pipe| {
            pipe.note_waiting(pipe.waiting + length);
            pipe.waiting > pipe.marks.max
        });
        if overflows == Some(true) {
            self.give_up(Flags::OVERFLOWED);
        }
        self.wake();
    }

    /// So much of what the carrier took is unsent.
    pub(super) fn sent(&self, number: u32, left: u64) {
        let noted: u64 = self
            .orders
            .borrow()
            .iter()
            .map(|order| match order {
                ProcessOrder::Write { descriptor, output } if *descriptor == number => output.len(),
                _ => 0,
            })
            .sum();
        self.with_pipe(number, |pipe| {
            pipe.is_sent = pipe.is_sent_wanted;
            pipe.note_waiting(left + noted);
        });
    }

    pub(super) fn next_call(&self) -> Option<Duration> {
        let is_restless = |pipe: &Pipe| pipe.is_restless() || pipe.is_marked() || pipe.is_sent;
        if self.pipes.borrow().iter().any(|(_, pipe)| is_restless(pipe)) {
            return Some(self.now());
        }
        self.calls.borrow().next_due()
    }

    /// Drops all that was to happen.
    pub(super) fn end(&self) {
        self.set(Flags::OVER);
        drop(self.calls.replace(Calls::new()));
        self.orders.borrow_mut().clear();
        for (_, canceller) in self.waits.take() {
            canceller.cancel();
        }
        drop(self.carrier.take());
    }
}

impl<P: 'static> Agenda for Page<P> {
    type Turn = Turn<P>;

    fn noted(&self) -> &Cell<Flags> {
        &self.flags
    }

    fn last_id(&self) -> &Cell<u32> {
        &self.last_id
    }

    fn now(&self) -> Duration {
        self.carrier.borrow().as_ref().map_or(Duration::ZERO, |carrier| carrier.now())
    }

    fn wake_carrier(&self) -> bool {
        let carrier = self.carrier.borrow().clone();
        carrier.map(|carrier| carrier.wake()).is_some()
    }

    fn with_calls<T>(&self, look: impl FnOnce(&mut Calls<Turn<P>>) -> T) -> T {
        look(&mut self.calls.borrow_mut())
    }

    fn add_wait(&self, id: u32, canceller: Canceller) {
        self.waits.borrow_mut().push((id, canceller));
    }

    fn forget_wait(&self, id: u32) {
        self.waits.borrow_mut().retain(|(waiting, _)| *waiting != id);
    }
}

impl<P> Process<P> {
    pub(super) fn new() -> Self {
        Self {
            page: Rc::new(Page {
                carrier: RefCell::default(),
                pipes: RefCell::default(),
                orders: RefCell::default(),
                calls: RefCell::new(Calls::new()),
                waits: RefCell::default(),
                told: Cell::new(None),
                id: Cell::new(None),
                status: Cell::new(None),
                last_id: Cell::new(0),
                flags: Cell::new(Flags::default()),
            }),
        }
    }

    /// Has the process read a copy of `bytes` on its standard input, after everything before.
    ///
    /// What is written before the process runs, or to a pipe that is closed, is dropped.
    pub fn write(&self, bytes: &[u8]) {
        self.write_to(STDIN, bytes);
    }

    /// The same on the descriptor of that number, if it is an
    /// [`Input`](super::ChildDescriptor::Input).
    pub fn write_to(&self, descriptor: u32, bytes: &[u8]) {
        self.page.write(descriptor, |output| output.write(bytes));
    }

    /// The same with shared bytes, which are not copied where that is worth it.
    pub fn write_bytes_to(&self, descriptor: u32, bytes: Bytes) {
        self.page.write(descriptor, |output| output.write_bytes(bytes));
    }

    /// How many bytes wait to be taken by the process on that descriptor.
    pub fn waiting(&self, descriptor: u32) -> u64 {
        self.page.with_pipe(descriptor, |pipe| pipe.waiting).unwrap_or(0)
    }

    /// Has [`input_sent`](super::ProcessProtocol::input_sent) come once something of what waits on that
    /// descriptor was sent.
    pub fn tell_when_sent(&self, descriptor: u32) {
        self.page.with_pipe(descriptor, |pipe| pipe.is_sent_wanted = true);
    }

    /// Sets how much may wait on that descriptor before its writer is told.
    pub fn set_marks(&self, descriptor: u32, marks: Marks) {
        self.page.with_pipe(descriptor, |pipe| {
            pipe.marks = marks;
            pipe.note_waiting(pipe.waiting);
        });
    }

    /// Closes the pipe of that descriptor: one that is written to after everything written was sent, one
    /// that is read from at once. The descriptors of a terminal are one, and are closed together.
    pub fn close_descriptor(&self, descriptor: u32) {
        let is_news = self.page.with_pipe(descriptor, |pipe| {
            pipe.held.clear();
            !pipe.is_closed && !std::mem::replace(&mut pipe.is_closing, true)
        });
        if is_news == Some(true) && !self.page.is(Flags::ABORTING) {
            self.page.order(ProcessOrder::Close { descriptor });
        }
    }

    /// Closes its standard input, as [`close_descriptor`](Self::close_descriptor) does.
    pub fn close_stdin(&self) {
        self.close_descriptor(STDIN);
    }

    /// Closes its standard output.
    pub fn close_stdout(&self) {
        self.close_descriptor(STDOUT);
    }

    /// Closes its standard error.
    pub fn close_stderr(&self) {
        self.close_descriptor(STDERR);
    }

    /// Closes every pipe. What the process makes of that is its own affair; it is reaped all the same.
    pub fn close_all(&self) {
        let numbers: Vec<u32> =
            self.page.pipes.borrow().iter().map(|(number, _)| *number).collect();
        for number in numbers {
            self.close_descriptor(number);
        }
    }

    /// Stops reading from that descriptor: nothing comes from it until
    /// [`resume_reading`](Self::resume_reading). The process has to wait once its pipe is full.
    pub fn pause_reading(&self, descriptor: u32) {
        self.set_paused(descriptor, true);
    }

    /// Goes on reading.
    pub fn resume_reading(&self, descriptor: u32) {
        self.set_paused(descriptor, false);
    }

    fn set_paused(&self, descriptor: u32, paused: bool) {
        let changed = self
            .page
            .with_pipe(descriptor, |pipe| std::mem::replace(&mut pipe.is_paused, paused) != paused);
        if changed == Some(true) && !self.page.is(Flags::ABORTING) {
            self.page.order(if paused {
                ProcessOrder::Pause { descriptor }
            } else {
                ProcessOrder::Resume { descriptor }
            });
        }
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    ///
    /// If it does not run: so no signal ever hits another process that has the number by now.
    pub fn signal(&self, signal: Signal) -> Result<(), AlreadyExited> {
        self.send_signal(signal, false)
    }

    /// Sends a signal to the process and to all that it has started and that belong to its group. It has
    /// to [lead one](super::Grouping::Own); otherwise the process alone is meant.
    ///
    /// # Errors
    ///
    /// As [`signal`](Self::signal).
    pub fn signal_group(&self, signal: Signal) -> Result<(), AlreadyExited> {
        self.send_signal(signal, true)
    }

    fn send_signal(&self, signal: Signal, group: bool) -> Result<(), AlreadyExited> {
        if !self.is_running() {
            return Err(AlreadyExited);
        }
        self.page.order(ProcessOrder::Signal { signal, group });
        Ok(())
    }

    /// Ends the process without a word, by [`Signal::Kill`].
    ///
    /// # Errors
    ///
    /// As [`signal`](Self::signal).
    pub fn kill(&self) -> Result<(), AlreadyExited> {
        self.signal(Signal::Kill)
    }

    /// Gives the process up: kills it and the group that it leads, closes every pipe, and has nothing told any more but the
    /// [end](super::ProcessEnd::Abandoned), once it has been reaped.
    pub fn abort(&self) {
        self.page.give_up(Flags::default());
    }

    /// Gives its terminal another size, of which it is told by [`Signal::WindowChange`].
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn resize(&self, size: TerminalSize) -> Result<(), AlreadyExited> {
        if !self.is_running() {
            return Err(AlreadyExited);
        }
        self.page.order(ProcessOrder::Resize(size));
        Ok(())
    }

    /// The number by which the system knows the process, once it runs; another may have it after it
    /// has exited.
    pub fn id(&self) -> Option<u32> {
        self.page.id.get()
    }

    /// How it exited, once it has.
    pub fn status(&self) -> Option<ExitStatus> {
        self.page.status.get()
    }

    /// Whether it has been started and is not known to have exited.
    pub fn is_running(&self) -> bool {
        let is_up = self.page.is(Flags::MADE) && !self.page.is(Flags::ABORTING.or(Flags::OVER));
        is_up && self.status().is_none()
    }

    /// Whether it is all over.
    pub fn is_over(&self) -> bool {
        self.page.is(Flags::OVER)
    }

    /// The time on the clock that this process's calls go by.
    pub fn now(&self) -> Duration {
        self.page.now()
    }

    /// Calls `turn` after `delay`, unless it is all over before; no earlier than the next turn.
    pub fn call_later(
        &self,
        delay: Duration,
        turn: impl FnOnce(&mut P, &Self) + 'static,
    ) -> ConnCall {
        self.page.call_later(delay, Box::new(turn))
    }

    /// Forgets a call; false if it was made or forgotten already.
    pub fn cancel_call(&self, call: ConnCall) -> bool {
        self.page.cancel_call(call)
    }

    /// Moves a call to `delay` from now; false if it was made or forgotten already.
    pub fn reset_call(&self, call: ConnCall, delay: Duration) -> bool {
        self.page.reset_call(call, delay)
    }

    /// Brings a result home: calls `turn` with it, unless it is all over before, when the deferred is
    /// cancelled.
    pub fn then<T: 'static>(
        &self,
        deferred: Deferred<T>,
        turn: impl FnOnce(&mut P, &Self, Result<T, Failure>) + 'static,
    ) {
        self.page.bring_home(deferred, |result| {
            Box::new(move |this, process| turn(this, process, result))
        });
    }
}

impl<P> Clone for Process<P> {
    fn clone(&self) -> Self {
        Self { page: Rc::clone(&self.page) }
    }
}

impl<P> fmt::Debug for Process<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id())
            .field("status", &self.status())
            .field("over", &self.is_over())
            .finish_non_exhaustive()
    }
}
