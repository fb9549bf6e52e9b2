//! Whatever the system has, by way of the `polling` crate: `epoll`, `kqueue`, event ports, or
//! completion ports made to tell of readiness.

use rustix::fd::BorrowedFd;
use std::num::NonZeroUsize;
use std::time::Duration;

use polling::{Event, Events, PollMode};
use rustix::io::Errno;

use super::Sockets;
use super::os::{self, BorrowedHost};
use super::readiness::{Interest, Poller, Ready, Table, Token, Trigger};

/// How many events one wait fetches at most.
const EVENTS_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

pub(crate) struct Portable {
    poller: polling::Poller,
    fetched: Events,
    events: Vec<(Token, Ready)>,
    table: Table,
    mode: PollMode,
    sockets: Sockets,
}

impl Portable {
    pub(crate) fn new(sockets: Sockets) -> std::io::Result<Self> {
        let poller = polling::Poller::new()?;
        let mode = if poller.supports_level() { PollMode::Level } else { PollMode::Oneshot };
        Ok(Self {
            poller,
            fetched: Events::with_capacity(EVENTS_MAX),
            events: Vec::with_capacity(EVENTS_MAX.get()),
            table: Table::default(),
            mode,
            sockets,
        })
    }

    /// Has the system tell again of what it told of, where it does so once only.
    fn ask_again(&mut self) -> Result<(), Errno> {
        for (token, _) in self.events.drain(..) {
            let Some((present, interest)) = self.table.get(token.key as usize) else {
                continue;
            };
            let event = event(present, interest);
            let ask = |socket: BorrowedFd<'_>| {
                self.poller.modify_with_mode(socket, event, PollMode::Oneshot)
            };
            let asked = self.sockets.with(token.key as usize, ask).unwrap_or(Ok(()));
            asked.map_err(|error| errno(&error))?;
        }
        Ok(())
    }
}

fn event(token: Token, interest: Interest) -> Event {
    Event::new(token.key as usize, interest.readable, interest.writable)
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(os::FILE_ERROR)
}

impl Poller for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn descriptor(&self) -> BorrowedHost<'_> {
        os::host_of(&self.poller)
    }

    fn add(
        &mut self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        _trigger: Trigger,
    ) -> Result<(), Errno> {
        let event = event(token, interest);
        // SAFETY: the descriptor must be taken out of the poller before it is closed. The readiness
        // driver keeps it open in its sockets, and calls `delete` or `forget` with it, which takes
        // it out, before it drops it; a driver that is dropped drops this poller first, or with it.
        #[expect(unsafe_code, reason = "the crate cannot see how long a descriptor stays open")]
        let added = unsafe { self.poller.add_with_mode(&socket, event, self.mode) };
        added.map_err(|error| errno(&error))?;
        self.table.set(token, Some(interest));
        Ok(())
    }

    fn modify(
        &mut self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        _trigger: Trigger,
    ) -> Result<(), Errno> {
        let event = event(token, interest);
        let modified = self.poller.modify_with_mode(socket, event, self.mode);
        modified.map_err(|error| errno(&error))?;
        self.table.set(token, Some(interest));
        Ok(())
    }

    fn delete(&mut self, socket: BorrowedFd<'_>, token: Token) -> Result<(), Errno> {
        self.table.set(token, None);
        self.poller.delete(socket).map_err(|error| errno(&error))
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        if self.mode == PollMode::Oneshot {
            self.ask_again()?;
        }
        self.fetched.clear();
        self.events.clear();
        self.poller.wait(&mut self.fetched, timeout).map_err(|error| errno(&error))?;
        for event in self.fetched.iter() {
            let Some((token, _)) = self.table.get(event.key) else { continue };
            let ready = Ready {
                readable: event.readable,
                writable: event.writable,
                hung_up: event.is_interrupt(),
                failed: event.is_err().unwrap_or(false),
                has_more: false,
            };
            self.events.push((token, ready));
        }
        Ok(())
    }

    fn event(&self, index: usize) -> Option<(Token, Ready)> {
        self.events.get(index).copied()
    }
}
