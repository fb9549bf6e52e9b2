//! Interfaces that are shown all descriptors anew with each wait, and look at each of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::timespec;
use crate::sys::Sockets;
use crate::sys::readiness::{Interest, Poller, Ready, Table, Token, Trigger};

/// A system call that looks at many descriptors at once.
pub(crate) trait Scan {
    /// The name by which it is chosen.
    const NAME: &'static str;

    /// Whether it tells of hang-ups and failures also where nothing is asked.
    const TELLS_FAILURES: bool;

    /// Waits until one of `watched` is ready; adds to `events` which they are.
    fn scan(
        &mut self,
        watched: &[Watched<'_>],
        timeout: Option<&Timespec>,
        events: &mut Vec<(Token, Ready)>,
    ) -> Result<(), Errno>;
}

/// A descriptor, and what is asked about it.
pub(crate) struct Watched<'a> {
    pub(crate) socket: BorrowedFd<'a>,
    pub(crate) token: Token,
    pub(crate) interest: Interest,
}

/// A [`Poller`] over such a call.
pub(crate) struct Scanner<S> {
    scan: S,
    sockets: Sockets,
    table: Table,
    events: Vec<(Token, Ready)>,
    /// There is no descriptor that would tell of all the others; for those who need one, `epoll` is
    /// told what is watched, and asked nothing.
    mirror: OwnedFd,
    mirrored: bool,
}

impl<S: Scan> Scanner<S> {
    pub(crate) fn new(scan: S, sockets: Sockets) -> io::Result<Self> {
        let mirror = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self {
            scan,
            sockets,
            table: Table::default(),
            events: Vec::new(),
            mirror,
            mirrored: false,
        })
    }
}

fn mirrored(token: Token, interest: Interest) -> (EventData, EventFlags) {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, interest.readable);
    flags.set(EventFlags::OUT, interest.writable);
    (EventData::new_u64(token.to_u64()), flags)
}

impl<S: Scan> Scanner<S> {
    /// Has the mirror tell of what a scan will, and of no more: `epoll` tells of hang-ups always, and
    /// whoever watches it would be woken for nothing.
    fn mirror(
        &self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Option<Interest>,
    ) -> Result<(), Errno> {
        if !self.mirrored {
            return Ok(());
        }
        let is_told = |interest: &Interest| S::TELLS_FAILURES || *interest != Interest::default();
        let former =
            self.table.get(token.key as usize).map(|(_, interest)| interest).filter(is_told);
        match (former, interest.filter(is_told)) {
            (None, None) => Ok(()),
            (Some(_), None) => epoll::delete(&self.mirror, socket),
            (former, Some(interest)) => {
                let (data, flags) = mirrored(token, interest);
                match former {
                    None => epoll::add(&self.mirror, socket, data, flags),
                    Some(_) => epoll::modify(&self.mirror, socket, data, flags),
                }
            }
        }
    }
}

impl<S: Scan> Poller for Scanner<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.mirror.as_fd()
    }

    fn expose(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.mirrored, true) {
            return Ok(());
        }
        let table = std::mem::take(&mut self.table);
        let mirror = |(token, interest): (Token, Interest)| {
            let add = |socket: BorrowedFd<'_>| self.mirror(socket, token, Some(interest));
            self.sockets.with(token.key as usize, add).unwrap_or(Ok(()))
        };
        let mirrored = table.iter().try_for_each(mirror);
        self.table = table;
        Ok(mirrored?)
    }

    fn add(
        &mut self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        _trigger: Trigger,
    ) -> Result<(), Errno> {
        self.mirror(socket, token, Some(interest))?;
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
        self.mirror(socket, token, Some(interest))?;
        self.table.set(token, Some(interest));
        Ok(())
    }

    fn delete(&mut self, socket: BorrowedFd<'_>, token: Token) -> Result<(), Errno> {
        let mirrored = self.mirror(socket, token, None);
        self.table.set(token, None);
        mirrored
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        self.events.clear();
        let timeout = timeout.map(timespec);
        let (scan, table, events) = (&mut self.scan, &self.table, &mut self.events);
        let sockets = self.sockets.descriptors.borrow();
        let watched: Vec<Watched<'_>> = table
            .iter()
            .filter_map(|(token, interest)| {
                let socket = sockets.get(token.key as usize)?.as_ref()?.as_fd();
                Some(Watched { socket, token, interest })
            })
            .collect();
        scan.scan(&watched, timeout.as_ref(), events)
    }

    fn event(&self, index: usize) -> Option<(Token, Ready)> {
        self.events.get(index).copied()
    }
}
