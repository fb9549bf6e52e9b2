//! Interfaces whose packets are this process's: TUN and TAP.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_protocol::{
    Address, Clock as _, DatagramEndpoint, DatagramEvent, DatagramSeat, DelayedCall, Disconnect,
    Ending, SendError, Transport,
};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, write};

use super::CannotOpen;
use crate::carrier::Carrier;
use crate::inner::Inner;
use crate::sys::os;
use crate::{Reactor, Watch, WatchEnd};

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
            carried.lose(Disconnect::Closed);
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
        seat: Box<dyn DatagramSeat>,
    ) -> Result<Tunnel, CannotOpen> {
        let is_tap = options.kind == TunnelKind::Frames;
        let opened = os::open_tunnel(&options.name, is_tap).map_err(std::io::Error::from);
        let carried = opened.and_then(|(descriptor, name)| {
            let (line, told) = Carried::new(self, &name);
            let reader = self.add_reader(&descriptor, told).map_err(|refused| refused.error)?;
            line.descriptor.replace(Some(descriptor));
            Ok((line, reader, name))
        });
        match carried {
            Ok((carried, reader, name)) => {
                carried.begin(self, reader, seat);
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
    me: Weak<Carried>,
    inner: Weak<Inner>,
    carrier: Rc<Carrier>,
    address: Address,
    /// Out while the protocol runs.
    seat: RefCell<Option<Box<dyn DatagramSeat>>>,
    descriptor: RefCell<Option<OwnedFd>>,
    reader: RefCell<Option<Watch>>,
    /// While packets wait for room.
    writer: RefCell<Option<Watch>>,
    next_call: RefCell<Option<(Duration, DelayedCall)>>,
    is_woken: Cell<bool>,
    is_reading: Cell<bool>,
    /// Room for one packet.
    buffer: RefCell<Vec<u8>>,
}

impl Carried {
    fn new(
        reactor: &Reactor,
        name: &str,
    ) -> (Rc<Self>, impl FnMut(Result<(), WatchEnd>) + 'static) {
        let carried = Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            inner: Rc::downgrade(reactor.inner()),
            carrier: Rc::clone(&reactor.inner().carrier),
            address: Address::Device(name.to_owned()),
            seat: RefCell::new(None),
            descriptor: RefCell::new(None),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
            next_call: RefCell::new(None),
            is_woken: Cell::new(false),
            is_reading: Cell::new(true),
            buffer: RefCell::new(vec![0; PACKET_MAX]),
        });
        let told = Rc::clone(&carried);
        (carried, move |ready: Result<(), WatchEnd>| told.ready(ready))
    }

    fn begin(self: &Rc<Self>, reactor: &Reactor, reader: Watch, mut seat: Box<dyn DatagramSeat>) {
        // Not before the protocol knows of it.
        reader.pause();
        self.reader.replace(Some(reader));
        seat.attach(Rc::clone(self) as Rc<dyn Transport>, 0);
        self.seat.replace(Some(seat));
        let first = Rc::clone(self);
        let call = move || {
            if let Some(reader) = &*first.reader.borrow() {
                reader.resume();
            }
            first.tell(DatagramEvent::Started { connected: true });
        };
        reactor.schedule(Duration::ZERO, Box::new(call));
    }

    fn ready(&self, ready: Result<(), WatchEnd>) {
        match ready {
            Ok(()) => self.receive(),
            Err(WatchEnd::Stopped) => self.lose(Disconnect::Stopped),
            Err(WatchEnd::Failed(error)) => self.lose(Disconnect::from(&error)),
            Err(WatchEnd::Closed) => self.lose(Disconnect::Reset),
        }
    }

    fn receive(&self) {
        let seat = self.seat.borrow_mut().take();
        let Some(mut seat) = seat else { return };
        let mut buffer = self.buffer.take();
        for _ in 0..PACKETS_PER_TURN_MAX {
            let descriptor = self.descriptor.borrow();
            let Some(open) = &*descriptor else { break };
            let came = read(open, &mut *buffer);
            drop(descriptor);
            match came {
                Ok(count) => seat.handle(DatagramEvent::Received {
                    data: &buffer[..count],
                    from: &self.address,
                    truncated: false,
                }),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(errno) => {
                    self.buffer.replace(buffer);
                    return self.end(seat, Disconnect::from(&errno.into()));
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
        let seat = self.seat.borrow_mut().take();
        let Some(mut seat) = seat else { return };
        seat.handle(event);
        self.settle(seat);
    }

    fn lose(&self, why: Disconnect) {
        let seat = self.seat.borrow_mut().take();
        if let Some(seat) = seat {
            self.end(seat, why);
        }
    }

    /// Carries out what the protocol wishes, and puts its seat back.
    fn settle(&self, mut seat: Box<dyn DatagramSeat>) {
        for _ in 0..ROUNDS_PER_TURN_MAX {
            let wishes = seat.wishes();
            if let Some(Ending::Abort(why)) = wishes.ending {
                return self.end(seat, why);
            }
            let mut is_full = self.writer.borrow().is_some();
            if !is_full {
                match self.send(&mut *seat) {
                    Ok((_, true)) => continue,
                    Ok((full, false)) => is_full = full,
                    Err(errno) => return self.end(seat, Disconnect::from(&errno.into())),
                }
            }
            if !is_full && wishes.ending.is_some() {
                return self.end(seat, Disconnect::Closed);
            }
            if self.is_reading.replace(wishes.reading) != wishes.reading
                && let Some(reader) = &*self.reader.borrow()
            {
                if wishes.reading { reader.resume() } else { reader.pause() }
            }
            self.call_at(wishes.next_call);
            self.seat.replace(Some(seat));
            return;
        }
        // It keeps itself busy; the others come first.
        self.seat.replace(Some(seat));
        self.wake(0);
    }

    /// Sends what waits; answers whether there is no room for more, and whether the protocol was told of
    /// anything.
    fn send(&self, seat: &mut dyn DatagramSeat) -> Result<(bool, bool), Errno> {
        let Some(mut queue) = seat.take_queue() else { return Ok((false, false)) };
        let mut mishaps = Vec::new();
        let mut is_full = false;
        for _ in 0..SENT_PER_TURN_MAX {
            let Some(front) = queue.front() else { break };
            let descriptor = self.descriptor.borrow();
            let Some(open) = &*descriptor else { break };
            let sent = match front.to {
                None => write(open, front.data).map(drop),
                Some(_) => Err(Errno::AFNOSUPPORT),
            };
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
            self.wait_for_room();
        } else if is_left {
            self.wake(0);
        }
        Ok((is_full || is_left, !mishaps.is_empty()))
    }

    fn wait_for_room(&self) {
        let (Some(me), Some(inner)) = (self.me.upgrade(), self.inner.upgrade()) else { return };
        let told = move |ready: Result<(), WatchEnd>| match ready {
            Ok(()) => {
                drop(me.writer.take());
                me.go_on();
            }
            Err(_) => me.lose(Disconnect::Stopped),
        };
        let descriptor = self.descriptor.borrow();
        let Some(open) = &*descriptor else { return };
        match Reactor::of(inner).add_writer(open, told) {
            Ok(writer) => drop(self.writer.replace(Some(writer))),
            Err(_) => self.wake(0),
        }
    }

    /// Sends on, and tells the protocol that the queue has moved.
    fn go_on(&self) {
        let seat = self.seat.borrow_mut().take();
        let Some(mut seat) = seat else { return };
        if self.writer.borrow().is_none()
            && let Err(errno) = self.send(&mut *seat)
        {
            return self.end(seat, Disconnect::from(&errno.into()));
        }
        seat.handle(DatagramEvent::Tick);
        self.settle(seat);
    }

    fn call_at(&self, due: Option<Duration>) {
        let Some(due) = due else { return };
        let mut next = self.next_call.borrow_mut();
        match &*next {
            // Later is found out when that call is made.
            Some((before, _)) if *before <= due => return,
            Some((_, call)) => drop(call.cancel()),
            None => (),
        }
        let (Some(me), Some(inner)) = (self.me.upgrade(), self.inner.upgrade()) else { return };
        let call = Box::new(move || {
            me.next_call.take();
            me.tell(DatagramEvent::Tick);
        });
        let delay = due.saturating_sub(self.carrier.now());
        *next = Some((due, Reactor::of(inner).schedule(delay, call)));
    }

    /// Closes it: all that it held is free before the protocol hears of it.
    fn end(&self, mut seat: Box<dyn DatagramSeat>, why: Disconnect) {
        drop(self.reader.take());
        drop(self.writer.take());
        if let Some((_, call)) = self.next_call.take() {
            call.cancel();
        }
        drop(self.descriptor.take());
        seat.handle(DatagramEvent::Stopped(why));
    }
}

impl Transport for Carried {
    fn now(&self) -> Duration {
        self.carrier.now()
    }

    fn wake(&self, _: usize) {
        if self.is_woken.replace(true) {
            return;
        }
        let (Some(me), Some(inner)) = (self.me.upgrade(), self.inner.upgrade()) else { return };
        let call = move || {
            me.is_woken.set(false);
            me.go_on();
        };
        Reactor::of(inner).schedule(Duration::ZERO, Box::new(call));
    }

    fn local(&self, _: usize) -> Address {
        self.address.clone()
    }

    fn peer(&self, _: usize) -> Address {
        self.address.clone()
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
