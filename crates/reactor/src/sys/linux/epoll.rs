//! Linux's `epoll`, level-triggered but for what is told once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{ipproto, sockopt};

use super::timespec;
use crate::sys::readiness::{Interest, Poller, Ready, Token, Trigger};

/// How many events one wait fetches at most.
const EVENTS_MAX: usize = 1024;

pub(crate) struct Epoll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_MAX) })
    }
}

/// What else an edge is to tell of: a peer's end, and urgent bytes, before which a receive stops.
const EDGE: EventFlags = EventFlags::ET.union(EventFlags::RDHUP).union(EventFlags::PRI);

fn flags(interest: Interest, trigger: Trigger) -> EventFlags {
    let mut flags = match trigger {
        Trigger::Level => EventFlags::empty(),
        Trigger::Edge => EDGE,
    };
    flags.set(EventFlags::IN, interest.readable);
    flags.set(EventFlags::OUT, interest.writable);
    flags
}

fn data(token: Token) -> EventData {
    EventData::new_u64(token.to_u64())
}

impl Poller for Epoll {
    fn drains(stream: BorrowedFd<'_>) -> bool {
        // Others end a receive where a message ends, or where descriptors come.
        sockopt::socket_protocol(stream) == Ok(Some(ipproto::TCP))
    }

    fn name(&self) -> &'static str {
        "epoll"
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    fn add(
        &mut self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> Result<(), Errno> {
        epoll::add(&self.epoll, socket, data(token), flags(interest, trigger))
    }

    fn modify(
        &mut self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> Result<(), Errno> {
        epoll::modify(&self.epoll, socket, data(token), flags(interest, trigger))
    }

    fn delete(&mut self, socket: BorrowedFd<'_>, _token: Token) -> Result<(), Errno> {
        epoll::delete(&self.epoll, socket)
    }

    fn forget(&mut self, _socket: BorrowedFd<'_>, _token: Token) {
        // Closing takes the descriptor out of the kernel's set as well.
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        self.events.clear();
        let timeout = timeout.map(timespec);
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()).map(drop)
    }

    fn event(&self, index: usize) -> Option<(Token, Ready)> {
        let Event { flags, data } = *self.events.get(index)?;
        let ready = Ready {
            readable: flags.contains(EventFlags::IN),
            writable: flags.contains(EventFlags::OUT),
            hung_up: flags.contains(EventFlags::HUP),
            failed: flags.contains(EventFlags::ERR),
            has_more: flags.intersects(EventFlags::RDHUP | EventFlags::PRI),
        };
        Some((Token::from_u64(data.u64()), ready))
    }
}
