//! A protocol's end of its connection.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Failure};

use crate::calls::Agenda as _;
use crate::flags::Flags;
use crate::page::Page;
use crate::seat::{Pair, Successor, Takes};
use crate::{
    Address, CannotConnect, CannotPass, Credentials, DESCRIPTORS_AT_ONCE_MAX, Descriptor,
    Disconnect, FileSlice, Identity, Layer, Layered, Marks, NotEncrypted, Outbox, Protocol,
    ProxyInfo, TlsInfo, Transport,
};

/// A protocol's end of its connection: a handle to use, clone and keep.
///
/// Nothing happens during a call. Each wish is written down here, and the driver carries it out
/// after the protocol has returned; a handle used from elsewhere wakes the driver within the same
/// turn. Once the connection is over, every verb does nothing.
pub struct Conn<P: 'static> {
    pub(crate) page: Rc<Page<P>>,
}

/// One call that a connection will make; see [`Conn::call_later`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnCall(pub(crate) u32);

impl<P> Conn<P> {
    /// Sends a copy of `bytes` after everything written before. Much that is just what was
    /// [received](Protocol::data_received) is shared instead, where the transport can spare its buffer.
    pub fn write(&self, bytes: &[u8]) {
        if let Some(shared) = self.share(bytes) {
            return self.write_bytes(shared);
        }
        self.page.write(|out| out.write(bytes));
    }

    /// Much that is just what was [received](Protocol::data_received), without a copy of it; nothing where the
    /// transport cannot spare its buffer. For who passes it on to another connection at once: as long as it is held,
    /// what comes next is received elsewhere, and there are few such places.
    pub fn share(&self, received: &[u8]) -> Option<Bytes> {
        if received.len() < Outbox::SHARED_MIN { None } else { self.page.share(received) }
    }

    /// Sends shared `bytes`, without copying them where that is worth it.
    pub fn write_bytes(&self, bytes: Bytes) {
        self.page.write(|out| out.write_bytes(bytes));
    }

    /// Sends what `fill` appends to the output: for encoders, who need no buffer of their own.
    ///
    /// ```
    /// # fn example<P>(conn: &ropewalk_protocol::Conn<P>) {
    /// use std::io::Write;
    /// conn.write_with(|out| write!(out, "LENGTH {}\r\n", 17).expect("a Vec takes everything"));
    /// # }
    /// ```
    pub fn write_with(&self, fill: impl FnOnce(&mut Vec<u8>)) {
        self.page.write(|out| out.write_with(fill));
    }

    /// Sends `len` bytes of `file` from `offset` on, by the kernel's own hand where it can.
    ///
    /// A file that turns out shorter ends the connection with
    /// [`Failed`](crate::Disconnect::Failed): the peer was promised more.
    pub fn write_file(&self, file: Arc<File>, offset: u64, len: u64) {
        self.page.write(|out| out.write_file(FileSlice { file, offset, len }));
    }

    /// Passes an open file to the process at the other end, with the first byte that is written after
    /// this: it arrives there before that byte is told of. This side's own is closed once it is sent, or
    /// when the connection ends; who needs it further sends another for the same file
    /// ([`Descriptor::try_clone`]).
    ///
    /// Descriptors go over Unix stream sockets, and through [layers](Layer) that leave bytes as they are.
    /// The other end has to [accept](Self::accept_descriptors) them; to others nothing comes of it.
    ///
    /// ```
    /// # use ropewalk_protocol::{CannotPass, Conn};
    /// # fn example<P>(conn: &Conn<P>, file: std::fs::File) -> Result<(), CannotPass> {
    /// conn.send_descriptor(file)?;
    /// conn.write(b"here is the file\n");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Where none can be passed, or [`DESCRIPTORS_WAITING_MAX`](crate::DESCRIPTORS_WAITING_MAX) are not
    /// sent yet. The descriptor is closed then.
    pub fn send_descriptor(&self, descriptor: impl Into<Descriptor>) -> Result<(), CannotPass> {
        let descriptor = descriptor.into();
        if self.is_open() && !self.passes_descriptors() {
            return Err(CannotPass::Unsupported);
        }
        self.page.pass(descriptor)
    }

    /// From now on, takes descriptors that the peer passes, each of which
    /// [`descriptor_received`](Protocol::descriptor_received) is told of. Without this the system closes
    /// them, at no cost to this process. The place for it is
    /// [`connection_made`](Protocol::connection_made): what came before is received without them.
    ///
    /// A receive may bring as many as `at_once`, up to
    /// [`DESCRIPTORS_AT_ONCE_MAX`](crate::DESCRIPTORS_AT_ONCE_MAX). Where more come, or more than this
    /// process may open, some are lost, and the connection ends with
    /// [`DescriptorsLost`](Disconnect::DescriptorsLost). A protocol that takes over has them as well.
    ///
    /// # Errors
    ///
    /// Where none can be passed.
    pub fn accept_descriptors(&self, at_once: usize) -> Result<(), CannotPass> {
        if !self.is_open() {
            return Err(CannotPass::NotOpen);
        }
        if !self.passes_descriptors() {
            return Err(CannotPass::Unsupported);
        }
        self.ask_for_descriptors(at_once.min(DESCRIPTORS_AT_ONCE_MAX));
        Ok(())
    }

    /// Whether descriptors go beside the bytes of this connection.
    pub fn passes_descriptors(&self) -> bool {
        let passes = |transport: &Rc<dyn Transport>, key| transport.passes_descriptors(key);
        self.page.ask_connected(passes).unwrap_or(false)
    }

    /// How many descriptors were written down and are not sent yet.
    pub fn descriptors_waiting(&self) -> usize {
        self.page.descriptors_waiting()
    }

    fn is_open(&self) -> bool {
        self.page.is(Flags::MADE) && !self.page.is_ending() && !self.page.is(Flags::SWITCHED)
    }

    pub(crate) fn ask_for_descriptors(&self, at_once: usize) {
        self.page.ask_connected(|transport, key| transport.accept_descriptors(key, at_once));
        self.page.set(Flags::ACCEPTS);
        self.page.wake();
    }

    /// Writes several parts in one go, some copied and some shared: `fill` adds them to an outbox in which
    /// what was written before may lie still. It is not called where nothing can be written.
    pub fn write_parts(&self, fill: impl FnOnce(&mut Outbox)) {
        self.page.write(fill);
    }

    /// Sends all that `out` holds: for transports in [layers](crate::Layer), which hand on what the
    /// protocol above them wrote. Its [`Marks::max`] has been kept there and is not asked here.
    pub fn write_outbox(&self, out: Box<Outbox>) {
        self.page.write_outbox(out);
    }

    /// Gives an outbox back that a [layer](crate::Layer) was handed and has no more use for: the next
    /// who writes has its memory.
    pub fn give_back(&self, out: Box<Outbox>) {
        self.page.ask_carrier(|transport, _| transport.take_back_outbox(out));
    }

    /// Closes once everything written is sent. What is written after this is dropped, and nothing
    /// more is read.
    pub fn close(&self) {
        if !self.page.is(Flags::CLOSING) {
            self.page.set(Flags::CLOSING);
            self.page.wake();
        }
    }

    /// Closes now and forgets what is unsent; the peer sees a reset where its transport knows one.
    pub fn abort(&self) {
        if !self.page.is(Flags::ABORTING) {
            self.page.set(Flags::ABORTING);
            self.page.wake();
        }
    }

    /// [Aborts](Self::abort), and has [`connection_lost`](Protocol::connection_lost) told this
    /// reason: the first that was given counts.
    pub fn abort_with(&self, why: Disconnect) {
        if !self.page.is(Flags::ABORTING) {
            self.page.with_rare(|rare| rare.reason = Some(why));
            self.abort();
        }
    }

    /// Ends this side's stream once everything written is sent; the peer may go on sending.
    pub fn close_write(&self) {
        if !self.page.is(Flags::WRITE_CLOSED) {
            self.page.set(Flags::WRITE_CLOSED);
            self.page.wake();
        }
    }

    /// Notes that the peer has said, in words of the protocol, that it will send no more, as `close_notify`
    /// does in TLS: closing then spends nothing on what might still come. Bytes that come all the same are
    /// told as before.
    pub fn expect_no_more(&self) {
        self.page.set(Flags::PEER_DONE);
    }

    /// Stops reading: no bytes come until [`resume_reading`](Self::resume_reading), and the peer
    /// feels it once the transport's own buffers are full.
    pub fn pause_reading(&self) {
        if !self.page.is(Flags::READ_PAUSED) {
            self.page.set(Flags::READ_PAUSED);
            self.page.wake();
        }
    }

    /// Goes on reading.
    pub fn resume_reading(&self) {
        if self.page.is(Flags::READ_PAUSED) {
            self.page.clear(Flags::READ_PAUSED);
            self.page.wake();
        }
    }

    /// Whether reading is paused.
    pub fn is_reading_paused(&self) -> bool {
        self.page.is(Flags::READ_PAUSED)
    }

    /// Whether bytes may come: reading is not paused, the end was not asked for, and no other
    /// protocol has taken over. Whoever cuts what it received into several pieces asks this between
    /// them, and [hands back](Self::hand_back) the rest if the answer is no.
    pub fn is_reading(&self) -> bool {
        self.page.may_read()
    }

    /// Hands back bytes that are the last of what came: they come again, once reading goes on, or
    /// go to the protocol that has taken over.
    pub fn hand_back(&self, rest: &[u8]) {
        if rest.is_empty() || self.page.is_ending() {
            return;
        }
        self.page.with_rare(|rare| match &mut rare.successor {
            Some(successor) => successor.rest.extend_from_slice(rest),
            None => rare.held.extend_from_slice(rest),
        });
        self.page.wake();
    }

    /// Whether more output waits than a producer should add to: it went over the high mark and has
    /// not come down to the low one. True as soon as the bytes are written, before
    /// [`writing_paused`](Protocol::writing_paused) says so.
    pub fn is_writing_paused(&self) -> bool {
        self.page.is(Flags::OVER_HIGH)
    }

    /// How many bytes wait to be sent.
    pub fn waiting(&self) -> u64 {
        self.page.waiting()
    }

    /// How many of those bytes the transport has tried to send and could not yet: the peer reads more
    /// slowly than it is written to.
    pub fn backlog(&self) -> u64 {
        self.page.with_driver()
    }

    /// Asks for [`output_sent`](Protocol::output_sent) after the next sending, also when nothing
    /// stays behind.
    pub fn tell_when_sent(&self) {
        if !self.page.is(Flags::SENT_WANTED) {
            self.page.set(Flags::SENT_WANTED);
            self.page.wake();
        }
    }

    /// Sets how much output may wait.
    pub fn set_marks(&self, marks: Marks) {
        self.page.with_rare(|rare| rare.marks = marks);
        let waiting = self.page.waiting();
        if waiting > marks.high {
            self.page.set(Flags::OVER_HIGH);
        } else if waiting <= marks.low {
            self.page.clear(Flags::OVER_HIGH);
        }
        self.page.wake();
    }

    /// How much output may wait.
    pub fn marks(&self) -> Marks {
        self.page.marks()
    }

    /// Whether the protocol asked for the end, or the end has come.
    pub fn is_closing(&self) -> bool {
        self.page.is_ending()
    }

    /// Whether the connection is over.
    pub fn is_over(&self) -> bool {
        self.page.is(Flags::OVER)
    }

    /// The time on the clock that this connection's calls go by.
    pub fn now(&self) -> Duration {
        self.page.now()
    }

    /// This end's address; [`Address::Unnamed`] while there is no connection.
    pub fn local(&self) -> Address {
        self.page.ask_connected(|transport, key| transport.local(key)).unwrap_or(Address::Unnamed)
    }

    /// The other end's address; [`Address::Unnamed`] while there is no connection.
    pub fn peer(&self) -> Address {
        self.page.ask_connected(|transport, key| transport.peer(key)).unwrap_or(Address::Unnamed)
    }

    /// Counts something that happened here, under a name that never changes: whoever carries connections
    /// may show how often it did (a reactor does in its statistics). A name is of small letters and
    /// underscores, such as `tls_handshakes`.
    pub fn count(&self, what: &'static str) {
        self.page.ask_carrier(|transport, _| transport.count(what));
    }

    /// What was agreed on with the peer; `None` on a transport that does not encrypt.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.page.ask_connected(|transport, key| transport.tls(key)).flatten()
    }

    /// What was agreed on with the peer, for code that is not to go on in the clear.
    ///
    /// # Errors
    ///
    /// [`NotEncrypted`] on a transport that does not encrypt.
    pub fn require_tls(&self) -> Result<TlsInfo, NotEncrypted> {
        self.tls().ok_or(NotEncrypted)
    }

    /// What the transport knows of the connection's end beyond its [`Disconnect`]: for
    /// [`connection_lost`](Protocol::connection_lost). TLS tells here what it expected.
    pub fn cause(&self) -> Option<Failure> {
        self.page.ask_carrier(|transport, key| transport.cause(key)).flatten()
    }

    /// The process at the other end, where the system vouches for it: on a Unix socket.
    pub fn credentials(&self) -> Option<Credentials> {
        self.page.ask_connected(|transport, key| transport.credentials(key)).flatten()
    }

    /// What a trusted proxy in between said of the peer.
    pub fn proxy(&self) -> Option<Rc<ProxyInfo>> {
        self.page.ask_connected(|transport, key| transport.proxy(key)).flatten()
    }

    /// Who is at the other end: all of the above in one value.
    pub fn identity(&self) -> Identity {
        Identity {
            address: self.peer(),
            proxy: self.proxy(),
            credentials: self.credentials(),
            tls: self.tls(),
        }
    }

    /// Why no connection was made, with each address that was tried; for
    /// [`connection_lost`](Protocol::connection_lost), and `None` at any other time.
    pub fn cannot_connect(&self) -> Option<CannotConnect> {
        self.page.ask_carrier(|transport, key| transport.cannot_connect(key)).flatten()
    }

    /// Calls `turn` after `delay`, if the connection lives so long; no earlier than the next turn.
    pub fn call_later(
        &self,
        delay: Duration,
        turn: impl FnOnce(&mut P, &Self) + 'static,
    ) -> ConnCall {
        self.page.call_later(delay, Box::new(turn))
    }

    /// Forgets a call; false if it was made or forgotten already.
    pub fn cancel_call(&self, call: ConnCall) -> bool {
        self.page.cancel_call(call)
    }

    /// Moves a call to `delay` from now; false if it was made or forgotten already.
    ///
    /// Moving it later costs next to nothing, so a time-out may be moved with every message.
    pub fn reset_call(&self, call: ConnCall, delay: Duration) -> bool {
        self.page.reset_call(call, delay)
    }

    /// How long it is until a call is due; `None` if it was made or forgotten already.
    pub fn time_left(&self, call: ConnCall) -> Option<Duration> {
        self.page.time_left(call)
    }

    /// Brings a result home: calls `turn` with it, if the connection lives so long.
    ///
    /// The call comes through the connection's queue, never out of the firing itself. When the
    /// connection ends first, the deferred is cancelled.
    pub fn then<T: 'static>(
        &self,
        deferred: Deferred<T>,
        turn: impl FnOnce(&mut P, &Self, Result<T, Failure>) + 'static,
    ) {
        self.page
            .bring_home(deferred, |result| Box::new(move |this, conn| turn(this, conn, result)));
    }

    /// Puts `layer` between this protocol and its transport: for STARTTLS, compression and the like.
    ///
    /// What was written before goes out as it is, what is written after goes through the layer.
    /// `rest` is what came behind the bytes that made the protocol ask for this; the layer gets it
    /// first, and everything that the peer sends from now on. Handle, calls and results of the
    /// protocol stay what they were, and it is not told of a connection made.
    ///
    /// False, and nothing is done, if the connection is not made yet, is ending on either side, or
    /// is being handed over already.
    pub fn insert_layer<L: Layer>(&self, layer: L, rest: &[u8]) -> bool {
        const NO: Flags = Flags::SWITCHED.or(Flags::LAYERING).or(Flags::WRITE_CLOSED);
        let page = &self.page;
        if page.is_ending() || page.is(NO) || !page.is(Flags::MADE) {
            return false;
        }
        let below = Conn::new();
        below.page.set_out(page.take_out());
        below.page.set_with_driver(page.with_driver());
        page.set_with_driver(0);
        let mut rest = rest.to_vec();
        page.peek_rare(|rare| rest.append(&mut rare.held));
        let descriptors = page.take_arrived();
        page.hand_passing_to(&below.page);
        let eof = page.is(Flags::EOF);
        page.clear(Flags::EOF_HELD);
        let takes = Takes::Under(Box::new(move |seat| Layered::insert(layer, seat, below)));
        page.with_rare(|rare| rare.successor = Some(Successor { takes, rest, descriptors, eof }));
        page.set(Flags::LAYERING);
        page.wake();
        true
    }

    /// Whether bytes that came are held back here, because reading is paused or they were
    /// [handed back](Self::hand_back).
    pub fn is_holding(&self) -> bool {
        self.page.has_held()
    }

    pub(crate) fn new() -> Self {
        Self { page: Rc::new(Page::new()) }
    }
}

impl<P: Protocol> Conn<P> {
    /// Hands the connection to `next`, which gets `rest` as its first bytes.
    ///
    /// For STARTTLS, WebSocket, CONNECT and the like. Output that was written stays in order; calls
    /// and results on their way to the old protocol are dropped, and it ends with
    /// [`Disconnect::Switched`](crate::Disconnect::Switched). The answer is the new protocol's
    /// handle, good for use once its [`connection_made`](Protocol::connection_made) was called,
    /// right after this call's protocol returns.
    ///
    /// From here on the connection is the new protocol's: verbs of this handle and its clones do
    /// nothing, but for two before the protocol has returned. [`hand_back`](Self::hand_back) adds to
    /// what the new one gets, and [`abort`](Self::abort) ends the connection before it has changed
    /// hands, of which the new one is told alone. Once something has asked for the end, nothing is
    /// handed over; `next` is dropped then, and its handle does nothing.
    pub fn switch_protocol<Q: Protocol>(&self, next: Q, rest: &[u8]) -> Conn<Q> {
        let conn = Conn::new();
        if self.page.is_ending() || self.page.is(Flags::SWITCHED.or(Flags::LAYERING)) {
            return conn;
        }
        conn.page.set_out(self.page.take_out());
        conn.page.set_with_driver(self.page.with_driver());
        if self.page.is(Flags::WRITE_CLOSED) {
            conn.page.set(Flags::WRITE_CLOSED);
        }
        let mut rest = rest.to_vec();
        let eof = self.page.is(Flags::EOF);
        self.page.peek_rare(|rare| rest.append(&mut rare.held));
        let descriptors = self.page.take_arrived();
        self.page.hand_passing_to(&conn.page);
        let seat = Box::new(Pair::new(next, conn.clone()));
        self.page.with_rare(|rare| {
            rare.successor = Some(Successor { takes: Takes::Over(seat), rest, descriptors, eof });
        });
        self.page.set(Flags::SWITCHED);
        self.page.wake();
        conn
    }

    /// Keeps `value` until the connection is over, or another protocol has it: whatever has to last so long
    /// and is dropped then. Where it is over already, that is now.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use ropewalk_protocol::Conn;
    /// use ropewalk_trial::{Clock, Memory, Witness};
    ///
    /// let (witness, _) = Witness::new(|_, _| ());
    /// let (mut memory, conn) = Memory::seat_with_conn(witness, &Clock::new());
    /// let lamp = Rc::new("on");
    /// conn.keep(Rc::clone(&lamp));
    /// assert_eq!(Rc::strong_count(&lamp), 2);
    /// memory.eof();
    /// conn.abort();
    /// memory.run();
    /// assert_eq!(Rc::strong_count(&lamp), 1);
    /// ```
    pub fn keep(&self, value: impl Any) {
        if !self.page.is(Flags::OVER) {
            self.page.with_rare(|rare| rare.kept.push(Box::new(value)));
        }
    }
}

impl<P> Clone for Conn<P> {
    fn clone(&self) -> Self {
        Self { page: Rc::clone(&self.page) }
    }
}

impl<P> fmt::Debug for Conn<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("waiting", &self.waiting())
            .field("closing", &self.is_closing())
            .field("over", &self.is_over())
            .finish_non_exhaustive()
    }
}
