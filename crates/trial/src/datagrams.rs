//! A datagram protocol seated in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, Clock as _, DatagramEvent, DatagramPort, DatagramProtocol, DatagramSeat, Disconnect,
    Ending, Interface, Membership, MulticastChange, MulticastError, MulticastSettings, SendError,
    Transport, seat_datagrams, seat_datagrams_and_tell,
};

use crate::Clock;

/// A datagram protocol on a port whose other side is the test.
///
/// It behaves as a socket does: what was sent is taken after each event, endings are carried out,
/// calls are made when [`advance`](Self::advance) reaches them.
///
/// ```
/// use ropewalk_protocol::{Address, DatagramPort, DatagramProtocol};
/// use ropewalk_trial::{Clock, MemoryDatagrams};
///
/// struct Echo;
/// impl DatagramProtocol for Echo {
///     fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
///         let _ = port.send_to(data, from);
///     }
/// }
///
/// let somebody = Address::Memory("somebody".to_owned());
/// let mut echo = MemoryDatagrams::seat(Echo, &Clock::new());
/// echo.push(b"hello", &somebody);
/// assert_eq!(echo.take_sent(), [(b"hello".to_vec(), somebody)]);
/// ```
pub struct MemoryDatagrams {
    seat: Box<dyn DatagramSeat>,
    carrier: Rc<Carrier>,
    sent: Vec<(Vec<u8>, Address)>,
    /// How many datagrams the network takes before it is full.
    room: usize,
    failures: VecDeque<SendError>,
    ended: Option<Disconnect>,
}

/// What the port sees of its transport.
struct Carrier {
    clock: Clock,
    woken: Cell<bool>,
    peer: Option<Address>,
    groups: RefCell<Vec<Membership>>,
    settings: Cell<MulticastSettings>,
}

impl Transport for Carrier {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wake(&self, _: usize) {
        self.woken.set(true);
    }

    fn local(&self, _: usize) -> Address {
        Address::Memory("local".to_owned())
    }

    fn peer(&self, _: usize) -> Address {
        self.peer.clone().unwrap_or(Address::Unnamed)
    }

    fn change_multicast(&self, _: usize, change: &MulticastChange) -> Result<(), MulticastError> {
        let mut groups = self.groups.borrow_mut();
        let settings = self.settings.get();
        match *change {
            MulticastChange::Join(membership) => {
                check_group(membership.group)?;
                if groups.contains(&membership) {
                    return Err(MulticastError::AlreadyJoined);
                }
                groups.push(membership);
            }
            MulticastChange::Leave(membership) => {
                check_group(membership.group)?;
                let place = groups.iter().position(|joined| *joined == membership);
                groups.remove(place.ok_or(MulticastError::NotJoined)?);
            }
            MulticastChange::Hops(hops) => {
                self.settings.set(MulticastSettings { hops, ..settings });
            }
            MulticastChange::Loopback(loopback) => {
                self.settings.set(MulticastSettings { loopback, ..settings });
            }
            MulticastChange::Interface(interface) => {
                self.settings.set(MulticastSettings { interface, ..settings });
            }
            _ => return Err(MulticastError::Unsupported),
        }
        Ok(())
    }

    fn multicast_settings(&self, _: usize) -> Result<MulticastSettings, MulticastError> {
        Ok(self.settings.get())
    }
}

fn check_group(group: IpAddr) -> Result<(), MulticastError> {
    if group.is_multicast() { Ok(()) } else { Err(MulticastError::NotAGroup(group)) }
}

impl MemoryDatagrams {
    /// Seats `protocol` and tells it that its port is open.
    pub fn seat(protocol: impl DatagramProtocol, clock: &Clock) -> Self {
        Self::take_seat(seat_datagrams(protocol), None, clock)
    }

    /// The same with a port that is connected to `peer`.
    pub fn seat_connected(protocol: impl DatagramProtocol, peer: Address, clock: &Clock) -> Self {
        Self::take_seat(seat_datagrams(protocol), Some(peer), clock)
    }

    /// Seats `protocol` and gives its handle as well.
    ///
    /// # Panics
    ///
    /// If the protocol panics as soon as its port is open.
    pub fn seat_with_port<P: DatagramProtocol>(
        protocol: P,
        clock: &Clock,
    ) -> (Self, DatagramPort<P>) {
        let (seat, opened) = seat_datagrams_and_tell(protocol);
        let memory = Self::take_seat(seat, None, clock);
        let port = opened.now_or_never().and_then(Result::ok).expect("the port opens at once");
        (memory, port)
    }

    /// Opens the port for a protocol that is seated already, connected to `peer` if there is one.
    pub fn take_seat(
        mut seat: Box<dyn DatagramSeat>,
        peer: Option<Address>,
        clock: &Clock,
    ) -> Self {
        let connected = peer.is_some();
        let carrier = Rc::new(Carrier {
            clock: clock.clone(),
            woken: Cell::new(false),
            peer,
            groups: RefCell::default(),
            settings: Cell::new(MulticastSettings {
                hops: 1,
                loopback: true,
                interface: Interface::Any,
            }),
        });
        seat.attach(Rc::clone(&carrier) as _, 0);
        let mut memory = Self {
            seat,
            carrier,
            sent: Vec::new(),
            room: usize::MAX,
            failures: VecDeque::new(),
            ended: None,
        };
        memory.handle(DatagramEvent::Started { connected });
        memory
    }

    /// Sends a datagram to the protocol; whether it reads. One that it does not read is lost, as is
    /// one to a connected port from anybody but its peer.
    pub fn push(&mut self, data: &[u8], from: &Address) -> bool {
        self.receive(data, from, false)
    }

    /// Sends it the beginning of a datagram that is too long for the port.
    pub fn push_truncated(&mut self, data: &[u8], from: &Address) -> bool {
        self.receive(data, from, true)
    }

    fn receive(&mut self, data: &[u8], from: &Address, truncated: bool) -> bool {
        self.run();
        let is_heard = self.carrier.peer.as_ref().is_none_or(|peer| peer == from);
        let reads = is_heard && self.is_reading();
        if reads {
            self.handle(DatagramEvent::Received { data, from, truncated });
        }
        reads
    }

    /// Sends it several datagrams in one turn, in which it may stop reading: what it sends is taken
    /// after the last.
    pub fn push_together(&mut self, datagrams: &[(&[u8], &Address)]) {
        self.run();
        for &(data, from) in datagrams {
            if self.ended.is_none() {
                self.seat.handle(DatagramEvent::Received { data, from, truncated: false });
            }
        }
        if self.ended.is_none() {
            self.settle();
        }
    }

    /// Tells the protocol that nobody receives at its peer.
    pub fn refuse(&mut self) {
        self.run();
        self.handle(DatagramEvent::Refused);
    }

    /// Has the next datagram that is sent fail so.
    pub fn fail_next(&mut self, why: SendError) {
        self.failures.push_back(why);
    }

    /// Lets the network take only `count` datagrams more; what is sent beyond that waits.
    pub fn set_room(&mut self, count: usize) {
        self.room = count;
        if self.ended.is_none() {
            self.settle();
            self.run();
        }
    }

    /// Closes the port as if the system did.
    pub fn stop(&mut self, why: Disconnect) {
        self.run();
        self.end(why);
    }

    /// Carries out what was written down since the last event.
    pub fn run(&mut self) {
        while self.carrier.woken.replace(false)
            || self.next_call().is_some_and(|due| due <= self.now())
        {
            self.handle(DatagramEvent::Tick);
        }
    }

    /// Lets `time` pass on this port's clock, making each call at its moment.
    pub fn advance(&mut self, time: Duration) {
        let until = self.now() + time;
        self.run();
        while let Some(due) = self.next_due().filter(|due| *due <= until) {
            self.carrier.clock.advance(due.saturating_sub(self.now()));
            self.run();
        }
        self.carrier.clock.advance(until.saturating_sub(self.now()));
        self.run();
    }

    /// Takes what the protocol has sent, and where to; what it sent to its peer names the peer.
    pub fn take_sent(&mut self) -> Vec<(Vec<u8>, Address)> {
        self.run();
        std::mem::take(&mut self.sent)
    }

    /// The groups that the port is in.
    pub fn groups(&self) -> Vec<Membership> {
        self.carrier.groups.borrow().clone()
    }

    /// Whether the protocol reads.
    pub fn is_reading(&self) -> bool {
        self.ended.is_none() && self.seat.wishes().reading
    }

    /// How the port ended, if it has.
    pub fn ended(&self) -> Option<Disconnect> {
        self.ended
    }

    /// The time on this port's clock.
    pub fn now(&self) -> Duration {
        self.carrier.clock.now()
    }

    /// When the port wants to be called next.
    pub fn next_call(&self) -> Option<Duration> {
        if self.ended.is_some() { None } else { self.seat.wishes().next_call }
    }

    /// When anything is due next, on the port or its clock.
    fn next_due(&self) -> Option<Duration> {
        self.next_call().into_iter().chain(self.carrier.clock.next_call()).min()
    }

    fn handle(&mut self, event: DatagramEvent<'_>) {
        if self.ended.is_none() {
            self.seat.handle(event);
            self.settle();
        }
    }

    /// Sends what is to be sent, and carries out the seat's other wishes.
    fn settle(&mut self) {
        loop {
            let ending = self.seat.wishes().ending;
            if let Some(Ending::Abort(why)) = ending {
                return self.end(why);
            }
            let (waits, failures) = self.send();
            for (to, why) in &failures {
                self.seat.handle(DatagramEvent::Unsent { to: to.as_ref(), why: *why });
            }
            if !failures.is_empty() {
                continue;
            }
            if ending == Some(Ending::Close) && !waits {
                self.end(Disconnect::Closed);
            }
            return;
        }
    }

    /// Sends what there is room for; answers whether some is left, and what failed.
    fn send(&mut self) -> (bool, Vec<(Option<Address>, SendError)>) {
        let mut failures = Vec::new();
        let Some(mut queue) = self.seat.take_queue() else { return (false, failures) };
        while let Some(outgoing) = queue.front().filter(|_| self.room > 0) {
            if let Some(why) = self.failures.pop_front() {
                failures.push((outgoing.to.cloned(), why));
            } else {
                let to = outgoing.to.or(self.carrier.peer.as_ref()).cloned();
                self.sent.push((outgoing.data.to_vec(), to.unwrap_or(Address::Unnamed)));
                self.room = if self.room == usize::MAX { self.room } else { self.room - 1 };
            }
            queue.advance(1);
        }
        let waits = !queue.is_empty();
        self.seat.give_back(queue);
        (waits, failures)
    }

    fn end(&mut self, why: Disconnect) {
        if self.ended.is_none() {
            self.ended = Some(why);
            self.seat.handle(DatagramEvent::Stopped(why));
        }
    }
}

impl Drop for MemoryDatagrams {
    fn drop(&mut self) {
        self.end(Disconnect::Stopped);
    }
}

impl fmt::Debug for MemoryDatagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDatagrams")
            .field("sent", &self.sent.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
