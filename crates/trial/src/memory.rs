//! A protocol seated in memory.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, Arrival, Clock as _, Conn, Credentials, Descriptor, Disconnect, Ending, Event,
    FileSlice, Outbox, Protocol, Seat, Successor, TlsInfo, Transport, seat, seat_and_tell,
};

use crate::Clock;

/// A protocol on a connection whose other side is the test.
///
/// It behaves as a socket does: output is taken after each event, endings are carried out, calls are
/// made when [`advance`](Self::advance) reaches them.
pub struct Memory {
    seat: Box<dyn Seat>,
    carrier: Rc<Carrier>,
    /// Taken from the seat, not yet through.
    pending: Outbox,
    /// How much of it the protocol was told to be waiting.
    left: u64,
    sent: Vec<u8>,
    /// How many bytes were ever sent.
    sent_count: u64,
    /// Descriptors that were sent, each with how many bytes were before it.
    passed: Vec<(u64, Descriptor)>,
    /// How many bytes the other side takes before it is full.
    room: u64,
    write_closed: bool,
    ended: Option<Disconnect>,
}

/// What the connection sees of its transport.
struct Carrier {
    clock: Clock,
    woken: Cell<bool>,
    local: Address,
    peer: Address,
    tls: Option<TlsInfo>,
    credentials: Option<Credentials>,
    /// How many descriptors one piece may bring.
    at_once: Cell<usize>,
}

impl Transport for Carrier {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wake(&self, _: usize) {
        self.woken.set(true);
    }

    fn local(&self, _: usize) -> Address {
        self.local.clone()
    }

    fn peer(&self, _: usize) -> Address {
        self.peer.clone()
    }

    fn tls(&self, _: usize) -> Option<TlsInfo> {
        self.tls.clone()
    }

    fn credentials(&self, _: usize) -> Option<Credentials> {
        self.credentials
    }

    fn passes_descriptors(&self, _: usize) -> bool {
        self.tls.is_none() && self.local.ip().is_none()
    }

    fn accept_descriptors(&self, _: usize, at_once: usize) {
        self.at_once.set(at_once);
    }
}

impl Memory {
    /// Seats `protocol` and tells it that its connection is made.
    pub fn seat(protocol: impl Protocol, clock: &Clock) -> Self {
        Self::take_seat(seat(protocol), clock)
    }

    /// Seats `protocol` and gives its handle as well.
    ///
    /// # Panics
    ///
    /// If the protocol panics as soon as its connection is made.
    pub fn seat_with_conn<P: Protocol>(protocol: P, clock: &Clock) -> (Self, Conn<P>) {
        let (seat, made) = seat_and_tell(protocol);
        let memory = Self::take_seat(seat, clock);
        let conn =
            made.now_or_never().and_then(Result::ok).expect("the connection is made at once");
        (memory, conn)
    }

    /// Makes the connection for a protocol that is seated already.
    pub fn take_seat(seat: Box<dyn Seat>, clock: &Clock) -> Self {
        Self::with_tls(seat, clock, None)
    }

    /// The same on a transport that says it is encrypted.
    pub fn with_tls(seat: Box<dyn Seat>, clock: &Clock, tls: Option<TlsInfo>) -> Self {
        let name = |name: &str| Address::Memory(name.to_owned());
        Self::on(seat, clock, [name("local"), name("peer")], tls, None)
    }

    /// The same on a Unix socket, with that process at the other end.
    pub fn with_credentials(seat: Box<dyn Seat>, clock: &Clock, credentials: Credentials) -> Self {
        let ends = [Address::Unix("local".into()), Address::Unnamed];
        Self::on(seat, clock, ends, None, Some(credentials))
    }

    /// The same between two ends of those addresses, its own first.
    pub fn between(seat: Box<dyn Seat>, clock: &Clock, local: Address, peer: Address) -> Self {
        Self::on(seat, clock, [local, peer], None, None)
    }

    fn on(
        mut seat: Box<dyn Seat>,
        clock: &Clock,
        [local, peer]: [Address; 2],
        tls: Option<TlsInfo>,
        credentials: Option<Credentials>,
    ) -> Self {
        let (clock, woken) = (clock.clone(), Cell::new(false));
        let carrier =
            Rc::new(Carrier { clock, woken, local, peer, tls, credentials, at_once: Cell::new(0) });
        seat.attach(Rc::clone(&carrier) as _, 0);
        let mut memory = Self {
            seat,
            carrier,
            pending: Outbox::default(),
            left: 0,
            sent: Vec::new(),
            sent_count: 0,
            passed: Vec::new(),
            room: u64::MAX,
            write_closed: false,
            ended: None,
        };
        memory.handle(Event::Made);
        memory
    }

    /// Sends `bytes` to the protocol in one piece, as far as it reads; answers how many it took.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.run();
        if bytes.is_empty() || !self.is_reading() {
            return 0;
        }
        self.handle(Event::Data(bytes));
        bytes.len()
    }

    /// The same with descriptors, which the first byte goes with, on anything but the Internet and TLS.
    /// A protocol that does not accept any gets the bytes alone; for one that gets more than it accepts
    /// the connection ends. They are closed where no byte is taken.
    pub fn push_passing(
        &mut self,
        descriptors: impl IntoIterator<Item = Descriptor>,
        bytes: &[u8],
    ) -> usize {
        self.run();
        if bytes.is_empty() || !self.is_reading() {
            return 0;
        }
        let descriptors: Vec<_> = descriptors.into_iter().collect();
        let at_once = self.carrier.at_once.get();
        if at_once > 0 && descriptors.len() > at_once {
            self.end(Disconnect::DescriptorsLost);
            return 0;
        }
        for descriptor in descriptors.into_iter().take(at_once) {
            self.handle(Event::Descriptor(&Arrival::new(descriptor)));
        }
        self.handle(Event::Data(bytes));
        bytes.len()
    }

    /// Sends `bytes` in pieces of `size`; answers how many it took before it stopped reading.
    ///
    /// # Panics
    ///
    /// If `size` is zero.
    pub fn push_in_pieces(&mut self, bytes: &[u8], size: usize) -> usize {
        let mut taken = 0;
        for piece in bytes.chunks(size) {
            match self.push(piece) {
                0 => break,
                count => taken += count,
            }
        }
        taken
    }

    /// Tells the protocol that the other side will send no more.
    pub fn eof(&mut self) {
        self.run();
        if self.ended.is_none() {
            self.handle(Event::Eof);
        }
    }

    /// Ends the connection as if the network did.
    pub fn lose(&mut self, why: Disconnect) {
        self.run();
        self.end(why);
    }

    /// Lets the other side take only `bytes` more; what is written beyond that waits.
    pub fn set_room(&mut self, bytes: u64) {
        self.room = bytes;
        if self.ended.is_none() {
            self.settle();
        }
    }

    /// Carries out what was written down since the last event.
    pub fn run(&mut self) {
        while self.carrier.woken.replace(false)
            || (self.ended.is_none() && self.next_call().is_some_and(|due| due <= self.now()))
        {
            self.handle(Event::Tick);
        }
    }

    /// Lets `time` pass on this connection's clock, making each call at its moment.
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

    /// What the protocol has sent and nobody took yet.
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// Takes what the protocol has sent.
    pub fn take_sent(&mut self) -> Vec<u8> {
        self.run();
        std::mem::take(&mut self.sent)
    }

    /// Takes the descriptors that the protocol has sent, each with how many bytes it had sent before.
    pub fn take_descriptors(&mut self) -> Vec<(u64, Descriptor)> {
        self.run();
        std::mem::take(&mut self.passed)
    }

    /// How many bytes the protocol has written that the other side has not taken.
    pub fn waiting(&self) -> u64 {
        self.pending.len()
    }

    /// Whether the protocol has ended its stream.
    pub fn is_write_closed(&self) -> bool {
        self.write_closed
    }

    /// Whether the protocol reads.
    pub fn is_reading(&self) -> bool {
        self.ended.is_none() && self.seat.wishes().reading
    }

    /// How the connection ended, if it has.
    pub fn ended(&self) -> Option<Disconnect> {
        self.ended
    }

    /// The time on this connection's clock.
    pub fn now(&self) -> Duration {
        self.carrier.clock.now()
    }

    /// When the connection wants to be called next.
    pub fn next_call(&self) -> Option<Duration> {
        if self.ended.is_some() { None } else { self.seat.wishes().next_call }
    }

    /// When anything is due next, on the connection or its clock.
    fn next_due(&self) -> Option<Duration> {
        self.next_call().into_iter().chain(self.carrier.clock.next_call()).min()
    }

    fn handle(&mut self, event: Event<'_>) {
        if self.ended.is_none() {
            self.seat.handle(event);
            self.settle();
        }
    }

    /// Carries out the seat's wishes.
    fn settle(&mut self) {
        loop {
            let transport: Rc<dyn Transport> = Rc::clone(&self.carrier) as _;
            Successor::seat_all(&mut self.seat, &transport, 0);
            let wishes = self.seat.wishes();
            if let Some(Ending::Abort(why)) = wishes.ending {
                return self.end(why);
            }
            if let Some(mut out) = self.seat.take_output() {
                self.pending.append(&mut out);
            }
            let moved = self.send();
            let left = self.pending.len();
            if left == 0 {
                // As carriers do: what is empty has no memory of its own.
                self.pending = Outbox::default();
                self.write_closed |= wishes.close_write;
                if wishes.ending == Some(Ending::Close) {
                    return self.end(Disconnect::Closed);
                }
            }
            if left == 0 && !wishes.sent && self.left == 0 {
                return;
            }
            self.left = left;
            self.seat.handle(Event::Sent { left });
            let wishes = self.seat.wishes();
            let is_aborting = matches!(wishes.ending, Some(Ending::Abort(_)));
            if !moved && !wishes.output && !wishes.succession && !is_aborting {
                return;
            }
        }
    }

    fn send(&mut self) -> bool {
        let before = self.pending.len();
        while self.room > 0 && !self.pending.is_empty() {
            let passed = self.pending.take_front_descriptors();
            self.passed.extend(passed.into_iter().map(|descriptor| (self.sent_count, descriptor)));
            let count = if let Some(slice) = self.pending.front_file() {
                let slice = FileSlice { len: slice.len.min(self.room), ..slice.clone() };
                match read_slice(&slice) {
                    Ok(bytes) => {
                        self.sent.extend_from_slice(&bytes);
                        slice.len
                    }
                    Err(error) => {
                        self.pending.clear();
                        self.end(Disconnect::Failed(error.kind()));
                        return false;
                    }
                }
            } else {
                let front = self.pending.front();
                let count = (front.len() as u64).min(self.room);
                self.sent.extend_from_slice(&front[..count as usize]);
                count
            };
            self.pending.advance(count);
            self.sent_count += count;
            if self.room != u64::MAX {
                self.room -= count;
            }
        }
        self.pending.len() != before
    }

    fn end(&mut self, why: Disconnect) {
        if self.ended.is_none() {
            self.ended = Some(why);
            if why != Disconnect::Closed {
                // What is left will not be sent, and with it go descriptors.
                self.pending.clear();
            }
            self.seat.handle(Event::Lost(why));
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.end(Disconnect::Stopped);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("sent", &self.sent.escape_ascii().to_string())
            .field("waiting", &self.pending.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Reads a part of a file whole.
pub(crate) fn read_slice(slice: &FileSlice) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    slice.read_into(usize::MAX, &mut bytes)?;
    Ok(bytes)
}
