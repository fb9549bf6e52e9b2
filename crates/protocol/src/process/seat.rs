//! A process protocol at its process, as whoever runs the process sees it.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, deferred};

use super::page::Pipe;
use super::{Command, ExitStatus, Process, ProcessEnd, ProcessProtocol, Signal, SpawnError};
use super::{TerminalSize, page::Page};
use crate::calls::Agenda as _;
use crate::flags::Flags;
use crate::page::CALLS_PER_TURN_MAX;
use crate::seat::guard;
use crate::{Disconnect, Outbox};

/// Where processes are started: a reactor, or a test's pretence; [`spawn`] is how it is used.
pub trait Spawner {
    /// Starts `command` for a protocol that is seated. The seat is told how that went in a later turn,
    /// never during this call.
    fn spawn_seat(&self, command: &Command, seat: Box<dyn ProcessSeat>);
}

/// Starts `command` with `protocol`; the deferred gives its handle once it runs.
///
/// Where it cannot be started, the deferred fails with the [`SpawnError`] that the protocol is told too.
/// Cancelling it [gives the process up](Process::abort).
#[track_caller]
pub fn spawn<P: ProcessProtocol>(
    spawner: &(impl Spawner + ?Sized),
    command: &Command,
    protocol: P,
) -> Deferred<Process<P>> {
    let (seat, started) = seat_process_and_tell(protocol);
    spawner.spawn_seat(command, seat);
    started
}

/// What runs a process, as its handle sees it.
pub trait ProcessCarrier {
    /// The time, from the same start as that of all calls of this process.
    fn now(&self) -> Duration;

    /// Asks for [`ProcessEvent::Tick`] soon: something was noted from outside. It may not call the seat
    /// itself.
    fn wake(&self);
}

/// A process protocol at its process: told of events, then asked what it wishes.
///
/// The rules of [`ProcessProtocol`] are kept here, once. Who runs a process
///
/// 1. attaches the seat to itself before anything else, then tells it [`ProcessEvent::Started`], or
///    [`ProcessEvent::NotStarted`] as the first and last;
/// 2. after each event takes the orders and carries them out in their order, and says how much of what is
///    [written](ProcessOrder::Write) is [unsent](Self::sent), then and whenever more is sent;
/// 3. tells [`ProcessEvent::Closed`] of each pipe once, also of those that it was ordered to close, and
///    [`ProcessEvent::Exited`] once;
/// 4. is done when the seat [is over](Self::is_over).
pub trait ProcessSeat {
    /// Names the carrier.
    fn attach(&mut self, carrier: Rc<dyn ProcessCarrier>);

    /// Tells the protocol what happened, then makes the calls that are due.
    fn handle(&mut self, event: ProcessEvent<'_>);

    /// Takes what was ordered.
    fn take_orders(&mut self) -> Vec<ProcessOrder>;

    /// Takes note that of what was written to a pipe so many bytes are still unsent. Nothing is told during
    /// this call.
    fn sent(&mut self, descriptor: u32, left: u64);

    /// When to tell [`ProcessEvent::Tick`], if nothing happens before.
    fn next_call(&self) -> Option<Duration>;

    /// Whether the protocol was told of its end; what comes later is ignored.
    fn is_over(&self) -> bool;
}

/// Which way a pipe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeKind {
    /// The process reads from it.
    Input,
    /// The process writes to it.
    Output,
}

/// What happens to a process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProcessEvent<'a> {
    /// It runs.
    Started {
        /// Its number.
        id: u32,
        /// Its pipes, by the number that each has in the process.
        pipes: &'a [(u32, PipeKind)],
    },
    /// It was not started.
    NotStarted(SpawnError),
    /// It wrote something.
    Output {
        /// To which descriptor.
        descriptor: u32,
        /// What; lent for the length of one call.
        data: &'a [u8],
    },
    /// A pipe is closed.
    Closed {
        /// The descriptor.
        descriptor: u32,
    },
    /// It was reaped.
    Exited(ExitStatus),
    /// Nothing but time passed, or a note was written from outside.
    Tick,
    /// Whoever runs it does so no longer.
    Lost(Disconnect),
}

/// What a seat wants.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessOrder {
    /// Something for the process to read.
    Write {
        /// On which descriptor.
        descriptor: u32,
        /// What.
        output: Box<Outbox>,
    },
    /// A pipe is to be closed; one that was written to, when that is sent.
    Close {
        /// Which.
        descriptor: u32,
    },
    /// Nothing is to be read from a pipe for now.
    Pause {
        /// Which.
        descriptor: u32,
    },
    /// It is to be read from again.
    Resume {
        /// Which.
        descriptor: u32,
    },
    /// The process is to get a signal.
    Signal {
        /// Which.
        signal: Signal,
        /// Its group as well.
        group: bool,
    },
    /// Its terminal has another size.
    Resize(TerminalSize),
    /// It is to be killed, with its group if it [leads one](super::Grouping::Own), and its pipes closed at
    /// once; [`ProcessEvent::Exited`] is all that is still wanted.
    Abort,
}

/// Seats `protocol` at a process of its own.
pub fn seat_process(protocol: impl ProcessProtocol) -> Box<dyn ProcessSeat> {
    Box::new(Pair { protocol, process: Process::new() })
}

/// Seats `protocol`; the deferred gives its handle once the process runs, or says why it does not.
/// Cancelling it gives the process up.
#[track_caller]
pub fn seat_process_and_tell<P: ProcessProtocol>(
    protocol: P,
) -> (Box<dyn ProcessSeat>, Deferred<Process<P>>) {
    let process = Process::new();
    let (promise, started) = deferred();
    let page = Rc::downgrade(&process.page);
    promise.on_cancel(move || {
        if let Some(page) = page.upgrade() {
            Process { page }.abort();
        }
    });
    process.page.told.set(Some(promise));
    (Box::new(Pair { protocol, process }), started)
}

struct Pair<P: 'static> {
    protocol: P,
    process: Process<P>,
}

impl<P: ProcessProtocol> Pair<P> {
    fn page(&self) -> &Page<P> {
        &self.process.page
    }

    fn tell(&mut self, event: &ProcessEvent<'_>) {
        let Self { protocol, process } = self;
        let page = &process.page;
        let is_given_up = page.is(Flags::ABORTING);
        match *event {
            ProcessEvent::Started { id, pipes } => {
                page.id.set(Some(id));
                page.set(Flags::MADE);
                let pipes = pipes.iter().map(|(number, kind)| (*number, Pipe::new(*kind)));
                page.pipes.replace(pipes.collect());
                if is_given_up {
                    return;
                }
                protocol.started(process);
                if let Some(promise) = page.told.take() {
                    promise.succeed(process.clone());
                }
            }
            ProcessEvent::Exited(status) => {
                page.status.set(Some(status));
                if !is_given_up {
                    protocol.exited(process, status);
                }
            }
            _ if is_given_up => (),
            ProcessEvent::Output { descriptor, data } => {
                let welcome = page.with_pipe(descriptor, |pipe| {
                    if pipe.is_closing || pipe.is_closed {
                        return false;
                    }
                    let welcome = !pipe.is_paused && pipe.held.is_empty();
                    if !welcome {
                        pipe.held.extend_from_slice(data);
                    }
                    welcome
                });
                if welcome == Some(true) {
                    protocol.output_received(process, descriptor, data);
                }
            }
            ProcessEvent::Closed { descriptor } => {
                page.with_pipe(descriptor, |pipe| pipe.is_closed = true);
            }
            ProcessEvent::Tick | ProcessEvent::NotStarted(_) | ProcessEvent::Lost(_) => (),
        }
    }

    /// Delivers what was held back while reading was paused, and tells of pipes that are closed.
    fn deliver(&mut self) {
        while !self.page().is(Flags::ABORTING) {
            let restless = {
                let mut pipes = self.page().pipes.borrow_mut();
                let found = pipes.iter_mut().find(|(_, pipe)| pipe.is_restless());
                found.map(|(number, pipe)| (*number, std::mem::take(&mut pipe.held)))
            };
            let Some((number, held)) = restless else { return };
            if held.is_empty() {
                self.page().with_pipe(number, |pipe| pipe.is_told = true);
                self.protocol.descriptor_closed(&self.process, number);
            } else {
                self.protocol.output_received(&self.process, number, &held);
            }
        }
    }

    /// Tells those who asked that something was sent.
    fn tell_sent(&mut self) {
        while !self.page().is(Flags::ABORTING) {
            let sent = {
                let mut pipes = self.page().pipes.borrow_mut();
                let found = pipes.iter_mut().find(|(_, pipe)| pipe.is_sent);
                found.map(|(number, pipe)| {
                    (pipe.is_sent, pipe.is_sent_wanted) = (false, false);
                    *number
                })
            };
            let Some(number) = sent else { return };
            self.protocol.input_sent(&self.process, number);
        }
    }

    fn tell_marks(&mut self) {
        while !self.page().is(Flags::ABORTING) {
            let changed = {
                let mut pipes = self.page().pipes.borrow_mut();
                let found = pipes.iter_mut().find(|(_, pipe)| pipe.is_marked());
                found.map(|(number, pipe)| {
                    pipe.is_told_paused = pipe.is_over_high;
                    (*number, pipe.is_over_high)
                })
            };
            match changed {
                Some((number, true)) => self.protocol.writing_paused(&self.process, number),
                Some((number, false)) => self.protocol.writing_resumed(&self.process, number),
                None => return,
            }
        }
    }

    fn make_calls(&mut self) {
        let newest = self.page().last_id().get();
        for _ in 0..CALLS_PER_TURN_MAX {
            if self.page().is(Flags::ABORTING) {
                return;
            }
            let Some(call) = self.page().take_due(newest) else { return };
            call.make(|turn| turn(&mut self.protocol, &self.process));
        }
    }

    /// Ends it all if nothing is left to come.
    fn end_if_done(&mut self) {
        let page = self.page();
        let Some(status) = page.status.get() else { return };
        if page.is(Flags::ABORTING) {
            let why = self.why_given_up();
            self.end(ProcessEnd::Abandoned { why, status: Some(status) });
        } else if page.pipes.borrow().iter().all(|(_, pipe)| pipe.is_told) {
            self.end(ProcessEnd::Exited(status));
        }
    }

    fn why_given_up(&self) -> Disconnect {
        let page = self.page();
        if page.is(Flags::PANICKED) {
            Disconnect::Panicked
        } else if page.is(Flags::OVERFLOWED) {
            Disconnect::Overflowed
        } else {
            Disconnect::Aborted
        }
    }

    fn end(&mut self, end: ProcessEnd) {
        let Self { protocol, process } = self;
        let told = process.page.told.take();
        process.page.end();
        guard(|| protocol.ended(process, &end));
        if let Some(promise) = told {
            match end {
                ProcessEnd::NotStarted(error) => promise.fail(error),
                end => promise.fail(end),
            }
        }
    }
}

impl<P: ProcessProtocol> ProcessSeat for Pair<P> {
    fn attach(&mut self, carrier: Rc<dyn ProcessCarrier>) {
        self.page().carrier.replace(Some(carrier));
    }

    fn handle(&mut self, event: ProcessEvent<'_>) {
        if self.page().is(Flags::OVER) {
            return;
        }
        match event {
            ProcessEvent::NotStarted(error) => return self.end(ProcessEnd::NotStarted(error)),
            ProcessEvent::Lost(why) => {
                let given_up = self.page().is(Flags::ABORTING).then(|| self.why_given_up());
                let (why, status) = (given_up.unwrap_or(why), self.page().status.get());
                return self.end(ProcessEnd::Abandoned { why, status });
            }
            _ => (),
        }
        self.page().enter();
        let survived = guard(|| {
            self.tell(&event);
            self.deliver();
            self.tell_sent();
            self.tell_marks();
            self.make_calls();
            // One of the calls may have resumed reading.
            self.deliver();
            self.tell_marks();
        });
        if !survived {
            self.page().give_up(Flags::PANICKED);
        }
        self.page().clear(Flags::IN_CALL);
        self.end_if_done();
    }

    fn take_orders(&mut self) -> Vec<ProcessOrder> {
        self.page().orders.take()
    }

    fn sent(&mut self, descriptor: u32, left: u64) {
        self.page().sent(descriptor, left);
    }

    fn next_call(&self) -> Option<Duration> {
        let page = self.page();
        if page.is(Flags::ABORTING.or(Flags::OVER)) { None } else { page.next_call() }
    }

    fn is_over(&self) -> bool {
        self.page().is(Flags::OVER)
    }
}

impl fmt::Debug for dyn ProcessSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSeat").field("over", &self.is_over()).finish_non_exhaustive()
    }
}
