//! One of several processes, as it sees itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::rc::Rc;

use ropewalk_protocol::Address;
use ropewalk_reactor::{
    Bind, CannotAdopt, CannotWatch, NotInherited, Reactor, Siblings, inherited, listening_at,
};
use rustix::fd::{AsFd as _, OwnedFd};

/// The variable by which a child knows that it is one: its parent, its number, how many sockets it has.
pub(crate) const VARIABLE: &str = "ROPEWALK_WORKER";
/// A pipe that ends when the parent does.
pub(crate) const LIFELINE: u32 = 3;
/// A pipe into which the child says that it is ready.
pub(crate) const READY: u32 = 4;
/// The first of the sockets.
pub(crate) const SOCKETS: u32 = 5;

/// This process as one of [`Workers`](crate::Workers).
#[derive(Debug)]
pub struct Worker {
    index: usize,
    lifeline: OwnedFd,
    ready: File,
    sockets: Vec<OwnedFd>,
}

/// A process was started as a worker, and not given what a worker is given.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotWorker {
    /// The variable `ROPEWALK_WORKER` says nothing of the kind.
    Variable(String),
    /// A descriptor is missing.
    Descriptor {
        /// Its number.
        number: u32,
        /// Why.
        error: NotInherited,
    },
}

impl fmt::Display for NotWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(value) => {
                write!(f, "{VARIABLE} is PARENT:NUMBER:SOCKETS for workers, and not {value:?}")
            }
            Self::Descriptor { number, .. } => {
                write!(f, "descriptor {number} was not handed on to this worker")
            }
        }
    }
}

impl Error for NotWorker {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Variable(_) => None,
            Self::Descriptor { error, .. } => Some(error),
        }
    }
}

impl Worker {
    /// This process as a worker, if its parent has started it as one. Can be asked once.
    ///
    /// # Errors
    ///
    /// If it was, and lacks what a worker has.
    pub fn from_environment() -> Result<Option<Self>, NotWorker> {
        let Some(value) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let value = value.to_string_lossy().into_owned();
        let numbers: Result<Vec<u32>, _> = value.split(':').map(str::parse).collect();
        let Ok([parent, index, sockets]) = numbers.as_deref() else {
            return Err(NotWorker::Variable(value));
        };
        let own_parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get());
        if own_parent.and_then(|own| u32::try_from(own).ok()) != Some(*parent) {
            // A child of a worker has inherited the variable, and not what belongs to it.
            return Ok(None);
        }
        Self::take(*index as usize, *sockets).map(Some)
    }

    fn take(index: usize, sockets: u32) -> Result<Self, NotWorker> {
        let take = |number: u32| {
            let taken = inherited(number.cast_signed());
            taken.map_err(|error| NotWorker::Descriptor { number, error })
        };
        let (lifeline, ready) = (take(LIFELINE)?, File::from(take(READY)?));
        let sockets = (SOCKETS..SOCKETS.saturating_add(sockets)).map(take);
        Ok(Self { index, lifeline, ready, sockets: sockets.collect::<Result<_, _>>()? })
    }

    /// Its number, from 0 on.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Has `reactor` listen with the sockets of the parent, which has bound them in the same order in
    /// which they are asked for here; and has it stop when the parent is gone.
    ///
    /// # Errors
    ///
    /// If the system will not watch the pipe to the parent.
    pub fn join(self, reactor: &Reactor) -> Result<Ready, CannotWatch> {
        let stopper = reactor.clone();
        let lifeline = reactor.add_reader(&self.lifeline, move |_| stopper.stop())?;
        // What watches has its own descriptor of the pipe.
        let held = RefCell::new(Some((lifeline, self.lifeline)));
        reactor.before_stop(move || {
            held.take();
            ropewalk_deferred::Deferred::succeed(())
        });
        let sockets = RefCell::new(self.sockets.into());
        reactor.set_siblings(Rc::new(Heir { sockets }));
        Ok(Ready { pipe: RefCell::new(Some(self.ready)) })
    }
}

/// Says that a worker is ready; its parent waits for it.
#[derive(Debug)]
pub struct Ready {
    pipe: RefCell<Option<File>>,
}

impl Ready {
    /// Says so, once: everything is bound and served from now on.
    ///
    /// # Errors
    ///
    /// If the parent is gone.
    pub fn tell(&self) -> io::Result<()> {
        match self.pipe.take() {
            Some(mut pipe) => pipe.write_all(b"1"),
            None => Ok(()),
        }
    }
}

/// Listens with what the parent has bound.
struct Heir {
    sockets: RefCell<VecDeque<OwnedFd>>,
}

impl Siblings for Heir {
    fn listen(&self, place: &Address, _: Bind<'_>) -> io::Result<(OwnedFd, Address)> {
        let Some(socket) = self.sockets.borrow_mut().pop_front() else {
            return Err(io::Error::other("the parent of this worker has bound nothing more"));
        };
        let bound = listening_at(socket.as_fd()).map_err(|error| match error {
            CannotAdopt::System(error) => error,
            other => io::Error::other(other),
        })?;
        if !is_meant_by(&bound, place) {
            let other = format!("the parent of this worker has bound {bound} in its place");
            return Err(io::Error::other(other));
        }
        Ok((socket, bound))
    }

    fn deal(&self, _: &Address, socket: OwnedFd, _: usize) -> Option<OwnedFd> {
        Some(socket)
    }

    fn go_on(&self) -> bool {
        true
    }
}

/// Whether a socket is at the place that was asked for, where the system may have chosen the port.
fn is_meant_by(bound: &Address, asked: &Address) -> bool {
    match (bound.ip(), asked.ip()) {
        (Some(bound), Some(asked)) => {
            bound.ip() == asked.ip() && [0, bound.port()].contains(&asked.port())
        }
        (None, None) => bound == asked,
        _ => false,
    }
}
