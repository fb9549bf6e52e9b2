//! This side's ends of a process's pipes.

use std::io::IoSlice;

use ropewalk_protocol::Outbox;
use ropewalk_protocol::process::PipeKind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;

use crate::Watch;

/// One end of a pipe, or of a terminal.
pub(super) type End = OwnedFd;

/// The number under which a terminal is known here, as it is both an input and an output.
pub(super) const TERMINAL: u32 = u32::MAX;

/// How often one pipe is written to in one turn.
const WRITES_PER_TURN_MAX: usize = 4;
/// How much of a file is read at a time to be written.
const FILE_STEP: usize = 64 * 1024;

/// A pipe that is open.
pub(super) struct Pipe {
    pub(super) number: u32,
    kind: Option<PipeKind>,
    /// Of what can be read; of an input, of its end.
    pub(super) watch: Option<Watch>,
    /// Of room to write, while something waits for it.
    pub(super) writer: Option<Watch>,
    /// What the process has not taken yet.
    pub(super) backlog: Box<Outbox>,
    /// It is to be closed when that is gone.
    pub(super) is_closing: bool,
}

/// What came of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// All is written.
    Done,
    /// The rest waits for room, or for the next turn.
    Waits,
    /// Nobody reads any more.
    Over,
}

impl Pipe {
    pub(super) fn new(number: u32, kind: PipeKind) -> Self {
        Self {
            number,
            kind: Some(kind),
            watch: None,
            writer: None,
            backlog: Box::default(),
            is_closing: false,
        }
    }

    pub(super) fn terminal() -> Self {
        Self { kind: None, ..Self::new(TERMINAL, PipeKind::Output) }
    }

    /// Whether something comes from it.
    pub(super) fn reads(&self) -> bool {
        self.kind != Some(PipeKind::Input)
    }

    fn with_end<T>(&self, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.watch.as_ref()?.with_descriptor(ask)
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> Option<Result<usize, Errno>> {
        self.with_end(|end| rustix::io::read(end, buffer))
    }

    /// What an input, which has nothing to be read, was told of for.
    pub(super) fn look(&self) -> Flow {
        let events = self.with_end(|end| {
            let mut polled = [PollFd::from_borrowed_fd(end, PollFlags::OUT)];
            poll(&mut polled, Some(&Timespec::default())).map(|_| polled[0].revents())
        });
        match events {
            Some(Ok(events)) if events.intersects(PollFlags::ERR | PollFlags::HUP) => Flow::Over,
            _ => Flow::Waits,
        }
    }

    /// Writes what the process takes.
    pub(super) fn flush(&mut self) -> Flow {
        for _ in 0..WRITES_PER_TURN_MAX {
            if self.backlog.is_empty() {
                return Flow::Done;
            }
            match self.write_once() {
                Some(Ok(count)) => self.backlog.advance(count as u64),
                Some(Err(Errno::INTR)) => (),
                Some(Err(Errno::AGAIN)) => return Flow::Waits,
                Some(Err(error)) => {
                    if error != Errno::PIPE {
                        tracing::debug!(
                            target: "ropewalk::process",
                            "descriptor {} takes no more: {error}", self.number,
                        );
                    }
                    return Flow::Over;
                }
                None => return Flow::Over,
            }
        }
        if self.backlog.is_empty() { Flow::Done } else { Flow::Waits }
    }

    fn write_once(&self) -> Option<Result<usize, Errno>> {
        if let Some(slice) = self.backlog.front_file() {
            let mut piece = Vec::new();
            if slice.read_into(FILE_STEP, &mut piece).is_err() {
                return Some(Err(Errno::IO));
            }
            return self.with_end(|end| rustix::io::write(end, &piece));
        }
        let mut slices = [IoSlice::new(&[]); 16];
        let count = self.backlog.gather(&mut slices);
        self.with_end(|end| rustix::io::writev(end, &slices[..count]))
    }
}
