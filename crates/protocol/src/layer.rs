//! Transports on top of transports.

use std::cell::{Cell, OnceCell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Failure;

use crate::seat::Pair;
use crate::{
    Address, Arrival, CannotConnect, Conn, ConnCall, Credentials, Descriptor, Disconnect, Ending,
    Event, Outbox, Protocol, ProxyInfo, Seat, Successor, TlsInfo, Transport,
};

/// How often one event's consequences are carried out before the next event is waited for.
const ROUNDS_PER_EVENT_MAX: usize = 8;

/// The key by which a layer knows its only connection.
const KEY: usize = 0;

/// A layer's end of the connection that it stands on.
pub type Below<L> = Conn<Layered<L>>;

/// What stands between a transport and a protocol: a protocol to the one, a transport to the other.
///
/// TLS is one, and so are time-outs and throttles. As every method is written here it passes on what
/// it is told, so a layer says only where it differs. What the protocol above may count on is kept
/// by [`Layered`], which carries the events up and the wishes down.
///
/// ```
/// use ropewalk_protocol::{Above, Below, Layer, Outbox};
///
/// /// Swaps the case of all that comes in.
/// struct Swapped;
///
/// impl Layer for Swapped {
///     fn data_received(&mut self, _: &Below<Self>, above: &mut Above<Self>, data: &[u8]) {
///         let swapped: Vec<u8> = data.iter().map(|byte| byte ^ 0x20).collect();
///         above.data_received(&swapped);
///     }
/// }
/// ```
pub trait Layer: Sized + 'static {
    /// The connection below is up. Whoever has to agree with the peer first calls
    /// [`Above::made`] later.
    fn connection_made(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let _ = below;
        above.made();
    }

    /// Bytes arrived from below.
    fn data_received(&mut self, below: &Below<Self>, above: &mut Above<Self>, data: &[u8]) {
        let _ = below;
        above.data_received(data);
    }

    /// The peer will send no more.
    fn eof_received(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let _ = below;
        above.eof_received();
    }

    /// Whether descriptors go through: only what hands on bytes as they are, and all that
    /// [`output_written`](Self::output_written) gets as it is, may say so.
    const PASSES_DESCRIPTORS: bool = false;

    /// A descriptor came, which [goes through](Self::PASSES_DESCRIPTORS).
    fn descriptor_received(
        &mut self,
        below: &Below<Self>,
        above: &mut Above<Self>,
        descriptor: Descriptor,
    ) {
        let _ = below;
        above.descriptor_received(descriptor);
    }

    /// The protocol above wrote this.
    fn output_written(&mut self, below: &Below<Self>, out: Box<Outbox>) {
        below.write_outbox(out);
    }

    /// How many bytes of output this layer keeps back. Nothing is closed before they are gone.
    fn held(&self) -> u64 {
        0
    }

    /// Whether this layer wants bytes from below; they also stop when the protocol above pauses.
    fn is_reading(&self) -> bool {
        true
    }

    /// Whether this layer wants bytes from below even while the protocol above pauses: to agree with
    /// the peer on something first.
    fn must_read(&self) -> bool {
        false
    }

    /// Output was sent; the protocol above hears of it next.
    fn output_sent(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let _ = (below, above);
    }

    /// The protocol above ended its stream, and everything written was handed down.
    fn close_write(&mut self, below: &Below<Self>) {
        below.close_write();
    }

    /// The protocol above closed, and everything written was handed down.
    fn close(&mut self, below: &Below<Self>) {
        below.close();
    }

    /// The connection is over; answers what the protocol above is to hear.
    fn connection_lost(&mut self, below: &Below<Self>, why: Disconnect) -> Disconnect {
        let _ = below;
        why
    }
}

/// A [`Layer`] and the seat above it: the protocol that its connection below sees.
pub struct Layered<L: Layer> {
    layer: L,
    above: Above<L>,
}

impl<L: Layer> Layered<L> {
    /// Puts `layer` under `seat`, for a connection that is yet to be made.
    pub fn new(layer: L, seat: Box<dyn Seat>) -> Self {
        Self { layer, above: Above::new(seat) }
    }

    /// Puts `layer` under `seat` and seats the two: for endpoints, who connect seats.
    pub fn seat(layer: L, seat: Box<dyn Seat>) -> Box<dyn Seat> {
        Self::new(layer, seat).into_seat()
    }

    /// Puts `layer` under the seat of a connection that is up, on `below`.
    pub(crate) fn insert(layer: L, seat: Box<dyn Seat>, below: Below<L>) -> Box<dyn Seat> {
        let mut layered = Self::new(layer, seat);
        layered.above.is_made = true;
        layered.above.stand_on(&below);
        Box::new(Pair::new(layered, below))
    }

    /// The seat of the two.
    pub fn into_seat(self) -> Box<dyn Seat> {
        let conn = Conn::new();
        // An attempt to connect can be given up from above before there is a connection.
        self.above.stand_on(&conn);
        Box::new(Pair::new(self, conn))
    }

    /// Lets `turn` act on the layer, then carries out what the protocol above wished meanwhile: for
    /// [`Conn::then`] on the connection below.
    pub fn with<T>(
        &mut self,
        below: &Below<L>,
        turn: impl FnOnce(&mut L, &Below<L>, &mut Above<L>) -> T,
    ) -> T {
        self.catch_up(below);
        let done = turn(&mut self.layer, below, &mut self.above);
        self.settle(below);
        done
    }

    /// Two events may come before the driver below has looked at what was written after the first:
    /// the protocol above is to know at the second how much is waiting.
    fn catch_up(&mut self, below: &Below<L>) {
        if !self.above.is_closed {
            self.above.tell_sent(self.layer.held() + below.waiting());
        }
    }

    /// Carries out the wishes of the seat above.
    fn settle(&mut self, below: &Below<L>) {
        let Self { layer, above } = self;
        for _ in 0..ROUNDS_PER_EVENT_MAX {
            if above.is_over {
                return;
            }
            let wishes = above.seat.wishes();
            if let Some(Ending::Abort(why)) = wishes.ending {
                return below.abort_with(why);
            }
            if let Some(out) = above.seat.take_output() {
                layer.output_written(below, out);
            }
            let held = layer.held();
            if held > 0 && above.tell_sent(held + below.waiting()) {
                // Told of the marks, its producer may have more or stop.
                continue;
            }
            if (wishes.sent || above.left > 0) && below.waiting() > 0 {
                below.tell_when_sent();
            }
            if held == 0 {
                if wishes.close_write && !std::mem::replace(&mut above.is_write_closed, true) {
                    layer.close_write(below);
                }
                if wishes.ending.is_some() && !std::mem::replace(&mut above.is_closed, true) {
                    layer.close(below);
                }
            }
            if (wishes.reading || layer.must_read()) && layer.is_reading() {
                below.resume_reading();
            } else if !above.is_closed {
                below.pause_reading();
            }
            if let Some(due) = wishes.next_call {
                above.carrier.tick_by(due);
            }
            return;
        }
        above.carrier.wake(KEY);
    }
}

impl<L: Layer> Protocol for Layered<L> {
    fn connection_made(&mut self, below: &Below<L>) {
        self.above.stand_on(below);
        self.with(below, L::connection_made);
    }

    fn data_received(&mut self, below: &Below<L>, data: &[u8]) {
        self.with(below, |layer, below, above| layer.data_received(below, above, data));
    }

    fn descriptor_received(&mut self, below: &Below<L>, descriptor: Descriptor) {
        // What its bytes are, only the layer knows.
        if L::PASSES_DESCRIPTORS {
            self.with(below, |layer, below, above| {
                layer.descriptor_received(below, above, descriptor);
            });
        }
    }

    fn eof_received(&mut self, below: &Below<L>) {
        self.with(below, L::eof_received);
    }

    fn output_sent(&mut self, below: &Below<L>) {
        self.with(below, |layer, below, above| {
            layer.output_sent(below, above);
            let left = layer.held() + below.waiting();
            if above.is_made {
                above.sent(left);
            }
        });
    }

    fn connection_lost(&mut self, below: &Below<L>, why: Disconnect) {
        let why = self.layer.connection_lost(below, why);
        self.above.lose(why);
    }

    fn tell_names(&self, tell: &mut dyn FnMut(&'static str)) {
        tell(std::any::type_name::<L>());
        self.above.seat.tell_names(tell);
    }
}

impl<L: Layer + fmt::Debug> fmt::Debug for Layered<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("layer", &self.layer).finish_non_exhaustive()
    }
}

/// The seat that stands on a [`Layer`], as the layer sees it.
#[expect(clippy::struct_excessive_bools, reason = "each tells whether a word was passed on")]
pub struct Above<L: Layer> {
    seat: Box<dyn Seat>,
    carrier: Rc<Carrier<L>>,
    /// How much output the seat believes to be unsent.
    left: u64,
    is_made: bool,
    is_over: bool,
    is_write_closed: bool,
    is_closed: bool,
}

impl<L: Layer> Above<L> {
    fn new(mut seat: Box<dyn Seat>) -> Self {
        let carrier = Rc::new(Carrier {
            below: OnceCell::new(),
            timer: Cell::new(None),
            names: RefCell::default(),
        });
        seat.attach(Rc::clone(&carrier) as _, KEY);
        Self {
            seat,
            carrier,
            left: 0,
            is_made: false,
            is_over: false,
            is_write_closed: false,
            is_closed: false,
        }
    }

    /// Tells the protocol that its connection is made. One that was at work before the layer came
    /// is not told again, and has its calls made that are due.
    pub fn made(&mut self) {
        let was_made = std::mem::replace(&mut self.is_made, true);
        self.handle(if was_made { Event::Tick } else { Event::Made });
    }

    /// Whether the protocol has been told so.
    pub fn is_made(&self) -> bool {
        self.is_made
    }

    /// Hands bytes to the protocol; it keeps those that it does not read yet.
    pub fn data_received(&mut self, data: &[u8]) {
        debug_assert!(self.is_made, "bytes come after the connection is made");
        self.handle(Event::Data(data));
    }

    /// Hands a descriptor to the protocol, which keeps one that it does not read yet.
    pub fn descriptor_received(&mut self, descriptor: Descriptor) {
        debug_assert!(self.is_made, "descriptors come after the connection is made");
        self.handle(Event::Descriptor(&Arrival::new(descriptor)));
    }

    /// Tells the protocol that its peer will send no more.
    pub fn eof_received(&mut self) {
        debug_assert!(self.is_made, "a stream ends after the connection is made");
        self.handle(Event::Eof);
    }

    /// Whether the protocol reads.
    pub fn is_reading(&self) -> bool {
        !self.is_over && self.seat.wishes().reading
    }

    /// Has the protocol see this end's address so, rather than as it is below.
    pub fn set_local(&mut self, local: Address) {
        self.carrier.names.borrow_mut().get_or_insert_default().local = Some(local);
    }

    /// Has the protocol see its peer's address so, rather than as it is below.
    pub fn set_peer(&mut self, peer: Address) {
        self.carrier.names.borrow_mut().get_or_insert_default().peer = Some(peer);
    }

    /// Has the protocol see what a trusted proxy said of its peer.
    pub fn set_proxy(&mut self, proxy: Rc<ProxyInfo>) {
        self.carrier.names.borrow_mut().get_or_insert_default().proxy = Some(proxy);
    }

    /// Has the protocol see what was agreed on by this layer, rather than below.
    pub fn set_tls(&mut self, tls: Rc<TlsInfo>) {
        self.carrier.names.borrow_mut().get_or_insert_default().tls = Some(tls);
    }

    /// Lets the protocol ask for `cause` once it has lost the connection; the first one counts.
    pub fn set_cause(&mut self, cause: impl Error + Clone + Send + Sync + 'static) {
        let mut names = self.carrier.names.borrow_mut();
        let told = || Box::new(move || Failure::new(cause.clone())) as Box<Cause>;
        names.get_or_insert_default().cause.get_or_insert_with(told);
    }

    /// Calls `turn` after `delay`, if the connection lives so long: the layer's own timer.
    pub fn call_later(
        &self,
        delay: Duration,
        turn: impl FnOnce(&mut L, &Below<L>, &mut Self) + 'static,
    ) -> Option<ConnCall> {
        let below = self.carrier.below.get()?;
        Some(below.call_later(delay, move |this, below| this.with(below, turn)))
    }

    fn stand_on(&self, below: &Below<L>) {
        // A layer stands on one connection from its beginning to its end.
        let _ = self.carrier.below.set(below.clone());
    }

    fn handle(&mut self, event: Event<'_>) {
        if self.is_over {
            return;
        }
        self.seat.handle(event);
        let transport: Rc<dyn Transport> = Rc::clone(&self.carrier) as _;
        Successor::seat_all(&mut self.seat, &transport, KEY);
    }

    fn sent(&mut self, left: u64) {
        self.left = left;
        self.handle(Event::Sent { left });
    }

    /// Tells the seat how much is unsent, unless it knows.
    fn tell_sent(&mut self, left: u64) -> bool {
        let is_news = left != self.left && self.is_made;
        if is_news {
            self.sent(left);
        }
        is_news
    }

    fn lose(&mut self, why: Disconnect) {
        self.handle(Event::Lost(why));
        self.is_over = true;
    }
}

impl<L: Layer> fmt::Debug for Above<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Above")
            .field("made", &self.is_made)
            .field("over", &self.is_over)
            .finish_non_exhaustive()
    }
}

/// What the protocol above sees of its transport.
struct Carrier<L: Layer> {
    below: OnceCell<Below<L>>,
    /// The call below that makes the calls above, and when it is due. There is one at a time, so
    /// that calls made by calls wait for the next turn.
    timer: Cell<Option<(ConnCall, Duration)>>,
    names: RefCell<Option<Box<Names>>>,
}

/// What the layer says of itself, where that differs from what is below.
#[derive(Default)]
struct Names {
    local: Option<Address>,
    peer: Option<Address>,
    tls: Option<Rc<TlsInfo>>,
    cause: Option<Box<Cause>>,
    proxy: Option<Rc<ProxyInfo>>,
}

/// Makes a failure of what is known of the connection's end.
type Cause = dyn Fn() -> Failure;

impl<L: Layer> Carrier<L> {
    /// Sees to it that the seat is told that time passed, at `due` or before.
    fn tick_by(&self, due: Duration) {
        let Some(below) = self.below.get() else { return };
        let delay = due.saturating_sub(below.now());
        let call = match self.timer.get() {
            // Later is found out when the timer comes due.
            Some((_, timer_due)) if timer_due <= due => return,
            Some((call, _)) if below.reset_call(call, delay) => call,
            _ => below.call_later(delay, |this, below| {
                this.above.carrier.timer.set(None);
                this.with(below, |_, _, above| above.handle(Event::Tick));
            }),
        };
        self.timer.set(Some((call, due)));
    }

    fn named<T>(&self, look: impl FnOnce(&Names) -> Option<T>) -> Option<T> {
        self.names.borrow().as_deref().and_then(look)
    }
}

impl<L: Layer> Transport for Carrier<L> {
    fn now(&self) -> Duration {
        self.below.get().map_or(Duration::ZERO, Conn::now)
    }

    fn wake(&self, _: usize) {
        self.tick_by(self.now());
    }

    fn local(&self, _: usize) -> Address {
        let named = self.named(|names| names.local.clone());
        named.or_else(|| self.below.get().map(Conn::local)).unwrap_or(Address::Unnamed)
    }

    fn peer(&self, _: usize) -> Address {
        let named = self.named(|names| names.peer.clone());
        named.or_else(|| self.below.get().map(Conn::peer)).unwrap_or(Address::Unnamed)
    }

    fn tls(&self, _: usize) -> Option<TlsInfo> {
        let named = self.named(|names| names.tls.clone());
        named.map(|tls| (*tls).clone()).or_else(|| self.below.get()?.tls())
    }

    fn cause(&self, _: usize) -> Option<Failure> {
        let own = self.named(|names| names.cause.as_ref().map(|cause| cause()));
        own.or_else(|| self.below.get()?.cause())
    }

    fn credentials(&self, _: usize) -> Option<Credentials> {
        self.below.get()?.credentials()
    }

    fn proxy(&self, _: usize) -> Option<Rc<ProxyInfo>> {
        self.named(|names| names.proxy.clone()).or_else(|| self.below.get()?.proxy())
    }

    fn passes_descriptors(&self, _: usize) -> bool {
        L::PASSES_DESCRIPTORS && self.below.get().is_some_and(Conn::passes_descriptors)
    }

    fn accept_descriptors(&self, _: usize, at_once: usize) {
        if let Some(below) = self.below.get() {
            below.ask_for_descriptors(at_once);
        }
    }

    fn cannot_connect(&self, _: usize) -> Option<CannotConnect> {
        self.below.get()?.cannot_connect()
    }

    fn count(&self, what: &'static str) {
        if let Some(below) = self.below.get() {
            below.count(what);
        }
    }

    fn lend_outbox(&self) -> Box<Outbox> {
        let below = self.below.get();
        let lent = below.and_then(|below| below.page.ask_carrier(|below, _| below.lend_outbox()));
        lent.unwrap_or_default()
    }

    fn take_back_outbox(&self, outbox: Box<Outbox>) {
        if let Some(below) = self.below.get() {
            below.give_back(outbox);
        }
    }
}
