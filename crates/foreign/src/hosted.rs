//! A reactor as its host sees it.

use std::fmt;
use std::time::Duration;

use ropewalk_reactor::{Reactor, ReactorError};

/// A reactor that another loop runs.
///
/// On Unix it lends its descriptor (`AsFd`), which the host watches for input, level-triggered. Whenever it
/// is readable, and once [`Next`] says so, the host calls [`turn`](Self::turn).
#[derive(Clone)]
pub struct Hosted {
    reactor: Reactor,
}

/// What a host is to do after a turn, beside watching the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to do than one turn may: turn again as soon as the host has looked after its own.
    AtOnce,
    /// Turn at the latest after this long, counted from now.
    Within(Duration),
    /// Nothing but the descriptor matters.
    WhenReadable,
    /// Nothing: this was asked for inside a turn, by a loop that runs in a callback. The turn around
    /// it goes on afterwards, and its own host hears what is next. Who watches the descriptor in that
    /// inner loop would be told of it without end.
    Busy,
    /// Let go of it: the reactor was stopped, and all that it carried has ended.
    Ended,
}

impl Hosted {
    /// Has `reactor` run by whoever calls [`turn`](Self::turn). To be hosted costs a reactor one system
    /// call more for what is asked of it between two turns.
    pub fn new(reactor: &Reactor) -> Self {
        Self { reactor: reactor.clone() }
    }

    /// The reactor.
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Does what there is to do, without waiting, and says what is next. A reactor that was
    /// [stopped](Reactor::stop) is taken apart here, once all that was to happen before has happened; it
    /// can be hosted anew.
    ///
    /// # Errors
    ///
    /// If the system refuses what the reactor cannot do without; to go on is of no use then.
    pub fn turn(&self) -> Result<Next, ReactorError> {
        if !self.reactor.is_stopped() {
            match self.reactor.turn(Duration::ZERO) {
                Ok(()) => (),
                Err(ReactorError::AlreadyRunning) => return Ok(Next::Busy),
                Err(error) => return Err(error),
            }
        }
        if self.reactor.is_stopped() {
            return match self.reactor.run_without_signals() {
                Ok(_) => Ok(Next::Ended),
                Err(ReactorError::AlreadyRunning) => Ok(Next::Busy),
                Err(error) => Err(error),
            };
        }
        Ok(match self.reactor.next_deadline() {
            Some(Duration::ZERO) => Next::AtOnce,
            Some(wait) => Next::Within(wait),
            None => Next::WhenReadable,
        })
    }
}

impl Next {
    /// How long the host may wait for the descriptor; `None` is for ever.
    pub fn wait(self) -> Option<Duration> {
        match self {
            Self::AtOnce => Some(Duration::ZERO),
            Self::Within(wait) => Some(wait),
            Self::WhenReadable | Self::Busy | Self::Ended => None,
        }
    }

    /// The same in whole milliseconds, for hosts whose timers have no others: rounded up, so that none
    /// comes before its time and finds nothing to do, and at most 2³¹ − 1, which is 24 days.
    pub fn wait_ms(self) -> Option<u32> {
        let milliseconds = |wait: Duration| {
            let rounded = wait.as_nanos().div_ceil(1_000_000);
            u32::try_from(rounded).unwrap_or(u32::MAX).min(i32::MAX as u32)
        };
        self.wait().map(milliseconds)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Hosted {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.reactor.as_fd()
    }
}

#[cfg(unix)]
impl Hosted {
    /// Whether there is something to do now, by a look at the descriptor: for hosts that are told
    /// only when it becomes readable, and not while it stays so. Such a host turns until this says no.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn is_readable(&self) -> Result<bool, ReactorError> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use rustix::io::Errno;

        loop {
            let mut asked = [PollFd::new(&self.reactor, PollFlags::IN)];
            match poll(&mut asked, Some(&Timespec::default())) {
                Ok(found) => return Ok(found > 0),
                Err(Errno::INTR) => (),
                Err(error) => {
                    let doing = "looking at the reactor's descriptor";
                    return Err(ReactorError::System { doing, error: error.into() });
                }
            }
        }
    }
}

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosted").field("driver", &self.reactor.driver()).finish_non_exhaustive()
    }
}
