//! Interfaces that are shown all descriptors anew with each wait, and look at each of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::Sockets;
use super::readiness::{Interest, Poller, Ready, Token, timespec};

/// A system call that looks at many descriptors at once.
pub(crate) trait Scan {
    /// The name by which it is chosen.
    const NAME: &'static str;

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
    /// What is watched, by key.
    table: Vec<Option<(Token, Interest)>>,
    events: Vec<(Token, Ready)>,
    /// There is no descriptor that would tell of all the others; for those who need one, `epoll` is
    /// told what is watched, and asked nothing.
    mirror: OwnedFd,
    mirrored: bool,
}

impl<S: Scan> Scanner<S> {
    pub(crate) fn new(scan: S, sockets: Sockets) -> io::Result<Self> {
        let mirror = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { scan, sockets, table: Vec::new(), events: Vec::new(), mirror, mirrored: false })
    }
}

fn mirrored(token: Token, interest: Interest) -> (EventData, EventFlags) {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, interest.readable);
    flags.set(EventFlags::OUT, interest.writable);
    (EventData::new_u64(token.to_u64()), flags)
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
        for &(token, interest) in self.table.iter().flatten() {
            let (data, flags) = mirrored(token, interest);
            let add = |socket: BorrowedFd<'_>| epoll::add(&self.mirror, socket, data, flags);
            self.sockets.with(token.key as usize, add).unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> Result<(), Errno> {
        if self.mirrored {
            let (data, flags) = mirrored(token, interest);
            epoll::add(&self.mirror, socket, data, flags)?;
        }
        let key = token.key as usize;
        if self.table.len() <= key {
            self.table.resize(key + 1, None);
        }
        self.table[key] = Some((token, interest));
        Ok(())
    }

    fn modify(
        &mut self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> Result<(), Errno> {
        if self.mirrored {
            let (data, flags) = mirrored(token, interest);
            epoll::modify(&self.mirror, socket, data, flags)?;
        }
        self.table[token.key as usize] = Some((token, interest));
        Ok(())
    }

    fn delete(&mut self, socket: BorrowedFd<'_>, token: Token) -> Result<(), Errno> {
        self.table[token.key as usize] = None;
        if self.mirrored { epoll::delete(&self.mirror, socket) } else { Ok(()) }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        self.events.clear();
        let timeout = timeout.map(timespec);
        let (scan, table, events) = (&mut self.scan, &self.table, &mut self.events);
        self.sockets.with_all(|sockets| {
            let watched: Vec<Watched<'_>> = table
                .iter()
                .flatten()
                .filter_map(|&(token, interest)| {
                    let socket = sockets.get(token.key as usize)?.as_ref()?.as_fd();
                    Some(Watched { socket, token, interest })
                })
                .collect();
            scan.scan(&watched, timeout.as_ref(), events)
        })
    }

    fn event(&self, index: usize) -> Option<(Token, Ready)> {
        self.events.get(index).copied()
    }
}
