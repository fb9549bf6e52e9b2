//! Many connections on one.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Failure;

use crate::{
    Address, Conn, ConnCall, Credentials, Disconnect, Ending, Event, Outbox, Protocol, ProxyInfo,
    Seat, Successor, TlsInfo, Transport,
};

/// How the owner of channels looks after one of them: it is told which.
pub type Tend<P> = fn(&mut P, &Conn<P>, u64);

/// A connection that is one of several on another: a stream of HTTP/2, a channel of SSH.
///
/// Whoever multiplexes is a protocol to what is below, and keeps a channel for each protocol that stands on
/// it. It tells the channel what came, [asks](Self::settle) after that what is wished, and sends
/// [as much as there is room for](Self::take) when its turn is. The laws of connections hold for the protocol
/// above as they do on a socket; its addresses, clock and certificates are those of the connection below.
///
/// | the owner | calls |
/// |---|---|
/// | has agreed on the channel with its peer | [`made`](Self::made) |
/// | got bytes, or their end | [`data_received`](Self::data_received), [`eof_received`](Self::eof_received) |
/// | is asked by [`Tend`] to look after it: something was written from outside, or a call is due | [`tick`](Self::tick) |
/// | has told it anything | [`settle`](Self::settle) |
/// | may send | [`take`](Self::take), then [`tell_sent`](Self::tell_sent) |
/// | could not send all before its turn ends | [`tell_sent`](Self::tell_sent), so that the protocol hears it |
/// | knows that it is over | [`lose`](Self::lose); dropped, it is [`Aborted`](Disconnect::Aborted) |
///
/// ```
/// use ropewalk_protocol::{Channel, Conn, Protocol, seat};
/// use ropewalk_trial::{Clock, Memory};
///
/// /// Shouts back.
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(&data.to_ascii_uppercase());
///     }
/// }
///
/// /// The first byte of each message says which of two channels it is for.
/// struct Two([Option<Channel<Two>>; 2]);
///
/// impl Two {
///     fn tend(&mut self, conn: &Conn<Self>, key: u64) {
///         if let Some(channel) = &mut self.0[key as usize] {
///             channel.tick();
///         }
///         self.send(conn, key);
///     }
///
///     fn send(&mut self, conn: &Conn<Self>, key: u64) {
///         let Some(channel) = &mut self.0[key as usize] else { return };
///         let wishes = channel.settle();
///         if channel.waiting() > 0 {
///             conn.write(&[key as u8]);
///             conn.write_outbox(Box::new(channel.take(u64::MAX)));
///             channel.tell_sent();
///         }
///         if wishes.ending.is_some() {
///             self.0[key as usize] = None;
///         }
///     }
/// }
///
/// impl Protocol for Two {
///     fn connection_made(&mut self, conn: &Conn<Self>) {
///         for (key, place) in self.0.iter_mut().enumerate() {
///             place.insert(Channel::new(conn, key as u64, Self::tend, seat(Echo))).made();
///         }
///     }
///
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         let key = usize::from(data[0]) % 2;
///         if let Some(channel) = &mut self.0[key] {
///             channel.data_received(&data[1..]);
///         }
///         self.send(conn, key as u64);
///     }
/// }
///
/// let mut peer = Memory::seat(Two([None, None]), &Clock::new());
/// peer.push(b"\x01hello");
/// assert_eq!(peer.take_sent(), b"\x01HELLO");
/// ```
pub struct Channel<P: 'static> {
    seat: Box<dyn Seat>,
    carrier: Rc<Carrier<P>>,
    /// What the protocol wrote and nobody has taken.
    waiting: Outbox,
    /// How much of it the protocol knows to be waiting.
    told: u64,
    is_over: bool,
}

/// What a protocol on a [`Channel`] wishes.
#[derive(Clone, Copy, Debug)]
pub struct ChannelWishes {
    /// Bytes are welcome. Those that come nevertheless are kept for it.
    pub reading: bool,
    /// All that was written is taken, and nothing will follow: the stream out is to be ended.
    pub end_of_stream: bool,
    /// The channel is to be ended, now. One that [closes](Ending::Close) has nothing left to send.
    pub ending: Option<Ending>,
}

impl<P: Protocol> Channel<P> {
    /// A channel for `seat` on the connection `below`, whose owner knows it by `key` and looks after it
    /// with `tend` when nothing came.
    pub fn new(below: &Conn<P>, key: u64, tend: Tend<P>, mut seat: Box<dyn Seat>) -> Self {
        let carrier =
            Rc::new(Carrier { below: below.clone(), key, tend, timer: Rc::new(Cell::new(None)) });
        seat.attach(Rc::clone(&carrier) as _, 0);
        Self { seat, carrier, waiting: Outbox::default(), told: 0, is_over: false }
    }

    /// Tells the protocol that its connection is made.
    pub fn made(&mut self) {
        self.handle(Event::Made);
    }

    /// Hands bytes to the protocol; it keeps those that it does not read yet.
    pub fn data_received(&mut self, data: &[u8]) {
        self.handle(Event::Data(data));
    }

    /// Tells the protocol that its peer will send no more.
    pub fn eof_received(&mut self) {
        self.handle(Event::Eof);
    }

    /// Has the protocol's calls made that are due.
    pub fn tick(&mut self) {
        self.handle(Event::Tick);
    }

    /// Tells the protocol how much of what it wrote is left, where that is news or it wants to hear so.
    pub fn tell_sent(&mut self) {
        if !self.is_over && (self.waiting.len() != self.told || self.seat.wishes().sent) {
            self.sent();
        }
    }

    fn sent(&mut self) {
        self.told = self.waiting.len();
        self.seat.handle(Event::Sent { left: self.told });
        self.catch_up();
    }

    /// Looks at what the protocol wishes, and lays out what it wrote.
    pub fn settle(&mut self) -> ChannelWishes {
        if self.is_over {
            return ChannelWishes { reading: false, end_of_stream: false, ending: None };
        }
        if let Some(mut out) = self.seat.take_output() {
            self.waiting.append(&mut out);
            self.carrier.take_back_outbox(out);
        }
        let wishes = self.seat.wishes();
        if let Some(due) = wishes.next_call {
            self.carrier.tick_by(due);
        }
        let is_all_taken = self.waiting.is_empty();
        let ending = wishes.ending.filter(|ending| is_all_taken || *ending != Ending::Close);
        ChannelWishes {
            reading: wishes.reading,
            end_of_stream: is_all_taken && (wishes.close_write || ending == Some(Ending::Close)),
            ending,
        }
    }

    /// How many bytes wait to be sent, as of the last look.
    pub fn waiting(&self) -> u64 {
        self.waiting.len()
    }

    /// Whether the protocol does not know yet how many bytes wait.
    pub fn is_news(&self) -> bool {
        self.waiting.len() != self.told
    }

    /// Takes the next bytes, at most so many, to be sent now. The protocol hears of it by
    /// [`tell_sent`](Self::tell_sent).
    pub fn take(&mut self, most: u64) -> Outbox {
        let part = self.waiting.split_to(most);
        if self.waiting.is_empty() {
            // Who has nothing to send owns no memory for it.
            self.waiting = Outbox::default();
        }
        part
    }

    /// Tells the protocol that it is over, once; what waits is dropped.
    pub fn lose(&mut self, why: Disconnect) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.waiting = Outbox::default();
            self.carrier.stop();
            self.seat.handle(Event::Lost(why));
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        if self.is_over {
            return;
        }
        // Two events may come before anything is sent: at the second it is to know what waits.
        if self.is_news() {
            self.sent();
        }
        self.seat.handle(event);
        self.catch_up();
    }

    fn catch_up(&mut self) {
        let transport: Rc<dyn Transport> = Rc::clone(&self.carrier) as _;
        Successor::seat_all(&mut self.seat, &transport, 0);
    }
}

impl<P: 'static> Drop for Channel<P> {
    fn drop(&mut self) {
        if !self.is_over {
            self.carrier.stop();
            self.seat.handle(Event::Lost(Disconnect::Aborted));
        }
    }
}

impl<P> fmt::Debug for Channel<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("key", &self.carrier.key)
            .field("waiting", &self.waiting.len())
            .field("over", &self.is_over)
            .finish_non_exhaustive()
    }
}

/// What the protocol above sees of its transport.
struct Carrier<P: 'static> {
    below: Conn<P>,
    key: u64,
    tend: Tend<P>,
    /// The call below that makes the calls above, and when it is due. There is one at a time.
    timer: Rc<Cell<Option<(ConnCall, Duration)>>>,
}

impl<P> Carrier<P> {
    /// Sees to it that the channel is looked after at `due` or before.
    fn tick_by(&self, due: Duration) {
        let delay = due.saturating_sub(self.below.now());
        let call = match self.timer.get() {
            // Later is found out when the timer comes due.
            Some((_, timer_due)) if timer_due <= due => return,
            Some((call, _)) if self.below.reset_call(call, delay) => call,
            _ => {
                let (tend, key, timer) = (self.tend, self.key, Rc::clone(&self.timer));
                self.below.call_later(delay, move |this, below| {
                    timer.set(None);
                    tend(this, below, key);
                })
            }
        };
        self.timer.set(Some((call, due)));
    }

    fn stop(&self) {
        if let Some((call, _)) = self.timer.take() {
            self.below.cancel_call(call);
        }
    }
}

impl<P> Transport for Carrier<P> {
    fn now(&self) -> Duration {
        self.below.now()
    }

    fn wake(&self, _: usize) {
        self.tick_by(self.now());
    }

    fn local(&self, _: usize) -> Address {
        self.below.local()
    }

    fn peer(&self, _: usize) -> Address {
        self.below.peer()
    }

    fn tls(&self, _: usize) -> Option<TlsInfo> {
        self.below.tls()
    }

    fn cause(&self, _: usize) -> Option<Failure> {
        self.below.cause()
    }

    fn credentials(&self, _: usize) -> Option<Credentials> {
        self.below.credentials()
    }

    fn proxy(&self, _: usize) -> Option<Rc<ProxyInfo>> {
        self.below.proxy()
    }

    fn lend_outbox(&self) -> Box<Outbox> {
        let lent = self.below.page.ask_carrier(|below, _| below.lend_outbox());
        lent.unwrap_or_default()
    }

    fn take_back_outbox(&self, outbox: Box<Outbox>) {
        self.below.give_back(outbox);
    }
}
