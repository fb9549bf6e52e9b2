//! Interfaces whose packets are this process's: TUN and TAP.

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_protocol::{
    Address, DatagramEndpoint, DatagramEvent, DatagramSeat, Disconnect, Ending, SendError,
    Transport,
};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write};

use super::CannotOpen;
use super::stand::{Carries, Stand};
use crate::Reactor;
use crate::sys::os;

/// How often a tunnel's wishes are carried out in one turn; the rest waits for the next.
const ROUNDS_PER_TURN_MAX: usize = 8;
/// How many packets are received in one turn.
const PACKETS_PER_TURN_MAX: usize = 32;
/// How many packets are sent in one turn.
const SENT_PER_TURN_MAX: usize = 256;
/// The longest packet there is, in bytes.
const PACKET_MAX: usize = 65_535 + 18;

/// What the packets of a tunnel are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelKind {
    /// IP packets (TUN).
    #[default]
    Packets,
    /// Ethernet frames (TAP).
    Frames,
}

/// Which tunnel is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelOptions {
    kind: TunnelKind,
    name: String,
}

impl TunnelOptions {
    /// IP packets, unless set.
    pub fn kind(self, kind: TunnelKind) -> Self {
        Self { kind, ..self }
    }

    /// The interface's name, of at most 15 bytes; the system finds one unless set. One that is there already
    /// must be this user's.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }
}

/// A tunnel that is open, or was: its interface goes with it, unless that is persistent.
#[derive(Clone)]
pub struct Tunnel {
    name: String,
    carried: Weak<Carried>,
}

impl Tunnel {
    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Closes it.
    pub fn close(&self) {
        if let Some(carried) = self.carried.upgrade() {
            carried.stand.lose(Disconnect::Closed);
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Reactor {
    /// Opens an interface whose packets this process has: what the system sends there is received here, and
    /// what is written here the system receives from there.
    ///
    /// Packets are written without an address; those that come are from [`Address::Device`]. The seat is told
    /// in a turn to come. The interface has neither address nor route and is down until somebody sees to that
    /// (`ip link set NAME up`); what is written before is [`SendError::Failed`].
    ///
    /// # Errors
    ///
    /// If this process may not, or the name is none or somebody else's; [`CannotOpen::advice`] says what it
    /// takes. The protocol is told so as well.
    pub fn open_tunnel(
        &self,
        options: &TunnelOptions,
        mut seat: Box<dyn DatagramSeat>,
    ) -> Result<Tunnel, CannotOpen> {
        let is_tap = options.kind == TunnelKind::Frames;
        let opened = os::open_tunnel(&options.name, is_tap).map_err(std::io::Error::from);
        let carried = opened.and_then(|(descriptor, name)| {
            let carried = Carried::new(self, &name);
            carried.stand.watch(self, descriptor)?;
            Ok((carried, name))
        });
        match carried {
            Ok((carried, name)) => {
                seat.attach(Rc::clone(&carried) as Rc<dyn Transport>, 0);
                carried.stand.start(self, seat);
                Ok(Tunnel { name, carried: Rc::downgrade(&carried) })
            }
            Err(error) => {
                self.refuse_port(seat, Disconnect::from(&error));
                Err(CannotOpen { device: format!("tun:{}", options.name), error })
            }
        }
    }
}

/// A tunnel with its seat.
struct Carried {
    stand: Stand<Carried, dyn DatagramSeat>,
    /// Room for one packet.
    buffer: RefCell<Vec<u8>>,
}

impl Carried {
    fn new(reactor: &Reactor, name: &str) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            stand: Stand::new(me, reactor, Address::Device(name.to_owned())),
            buffer: RefCell::new(vec![0; PACKET_MAX]),
        })
    }

    fn receive(&self) {
        let Some(mut seat) = self.stand.take_seat() else { return };
        let mut buffer = self.buffer.take();
        for _ in 0..PACKETS_PER_TURN_MAX {
            let came = self.stand.with(|descriptor| read(descriptor, &mut *buffer));
            match came.unwrap_or(Err(Errno::AGAIN)) {
                Ok(count) => seat.handle(DatagramEvent::Received {
                    data: &buffer[..count],
                    from: &self.stand.address,
                    truncated: false,
                }),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(errno) => {
                    self.buffer.replace(buffer);
                    return self.stand.end(seat, Disconnect::from(&errno.into()));
                }
            }
            let wishes = seat.wishes();
            if !wishes.reading || wishes.ending.is_some() {
                break;
            }
        }
        self.buffer.replace(buffer);
        self.settle(seat);
    }

    fn tell(&self, event: DatagramEvent<'_>) {
        if let Some(mut seat) = self.stand.take_seat() {
            seat.handle(event);
            self.settle(seat);
        }
    }

    /// Carries out what the protocol wishes, and puts its seat back.
    fn settle(&self, mut seat: Box<dyn DatagramSeat>) {
        for _ in 0..ROUNDS_PER_TURN_MAX {
            let wishes = seat.wishes();
            if let Some(Ending::Abort(why)) = wishes.ending {
                return self.stand.end(seat, why);
            }
            let mut is_full = self.stand.is_waiting();
            if !is_full {
                match self.send(&mut *seat) {
                    Ok((_, true)) => continue,
                    Ok((full, false)) => is_full = full,
                    Err(errno) => return self.stand.end(seat, Disconnect::from(&errno.into())),
                }
            }
            if !is_full && wishes.ending.is_some() {
                return self.stand.end(seat, Disconnect::Closed);
            }
            return self.stand.rest(seat, wishes.reading, wishes.next_call);
        }
        self.stand.put_off(seat);
    }

    /// Sends what waits; answers whether there is no room for more, and whether the protocol was told of
    /// anything.
    fn send(&self, seat: &mut dyn DatagramSeat) -> Result<(bool, bool), Errno> {
        let Some(mut queue) = seat.take_queue() else { return Ok((false, false)) };
        let mut mishaps = Vec::new();
        let mut is_full = false;
        for _ in 0..SENT_PER_TURN_MAX {
            let Some(front) = queue.front() else { break };
            let write = |open: BorrowedFd<'_>| match front.to {
                None => write(open, front.data).map(drop),
                Some(_) => Err(Errno::AFNOSUPPORT),
            };
            let Some(sent) = self.stand.with(write) else { break };
            match sent {
                Ok(()) => queue.advance(1),
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => {
                    is_full = true;
                    break;
                }
                Err(errno @ (Errno::BADF | Errno::BADFD | Errno::NODEV)) => {
                    seat.give_back(queue);
                    return Err(errno);
                }
                // Of an interface that is down, or a packet that is none.
                Err(errno) => {
                    let to = front.to.cloned();
                    mishaps.push((to, crate::sys::send_error(errno)));
                    queue.advance(1);
                }
            }
        }
        let is_left = !queue.is_empty();
        seat.give_back(queue);
        for (to, why) in &mishaps {
            let why: SendError = *why;
            seat.handle(DatagramEvent::Unsent { to: to.as_ref(), why });
        }
        if is_full {
            self.stand.wait_for_room();
        } else if is_left {
            self.stand.wake();
        }
        Ok((is_full || is_left, !mishaps.is_empty()))
    }

    /// Sends on, and tells the protocol that the queue has moved.
    fn go_on(&self) {
        let Some(mut seat) = self.stand.take_seat() else { return };
        if !self.stand.is_waiting()
            && let Err(errno) = self.send(&mut *seat)
        {
            return self.stand.end(seat, Disconnect::from(&errno.into()));
        }
        seat.handle(DatagramEvent::Tick);
        self.settle(seat);
    }
}

impl Carries for Carried {
    type Seat = dyn DatagramSeat;

    fn stand(&self) -> &Stand<Self, dyn DatagramSeat> {
        &self.stand
    }

    fn begin(&self) {
        self.tell(DatagramEvent::Started { connected: true });
    }

    fn readable(&self) {
        self.receive();
    }

    fn has_room(&self) {
        self.stand.stop_waiting();
        self.go_on();
    }

    fn tick(&self) {
        self.tell(DatagramEvent::Tick);
    }

    fn look(&self) {
        self.go_on();
    }

    fn ended(&self, mut seat: Box<dyn DatagramSeat>, descriptor: Option<OwnedFd>, why: Disconnect) {
        drop(descriptor);
        seat.handle(DatagramEvent::Stopped(why));
    }
}

impl Transport for Carried {
    fn now(&self) -> Duration {
        self.stand.carrier.now()
    }

    fn wake(&self, _: usize) {
        self.stand.wake();
    }

    fn local(&self, _: usize) -> Address {
        self.stand.address.clone()
    }

    fn peer(&self, _: usize) -> Address {
        self.stand.address.clone()
    }
}

/// A tunnel as a place for datagrams.
#[derive(Clone)]
pub struct TunnelEndpoint {
    reactor: Reactor,
    options: TunnelOptions,
}

impl TunnelEndpoint {
    /// The tunnel that `options` describe.
    pub fn new(reactor: &Reactor, options: TunnelOptions) -> Self {
        Self { reactor: reactor.clone(), options }
    }
}

impl DatagramEndpoint for TunnelEndpoint {
    /// A peer is not asked for: packets say where they go.
    fn open_seat(&self, _: Option<&Address>, seat: Box<dyn DatagramSeat>) {
        if let Err(error) = self.reactor.open_tunnel(&self.options, seat) {
            // The seat is told of the failure too.
            tracing::error!(target: "ropewalk::reactor", "{error:#}");
        }
    }
}

impl fmt::Debug for TunnelEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelEndpoint").field("options", &self.options).finish_non_exhaustive()
    }
}
