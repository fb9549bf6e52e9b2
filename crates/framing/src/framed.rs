//! Protocols that are told frames.

use std::fmt;
use std::ops::{Deref, DerefMut};

use ropewalk_protocol::{Conn, Disconnect, Protocol};

use crate::Decoder;

/// The connection of a [`FrameProtocol`]. What it is asked to call later gets a `&mut Framed<P>`,
/// which may be used as the `P` that it holds.
pub type FrameConn<P> = Conn<Framed<P>>;

/// A protocol that is told lines, netstrings or other frames, rather than bytes cut anywhere.
///
/// [`Framed::new`] makes a [`Protocol`] of it, which keeps the same promises; while reading is
/// paused, or after the connection was closed or handed on, no frame comes either.
///
/// ```
/// use ropewalk_framing::{BadLine, Ending, Expect, FrameConn, FrameProtocol, Framed, LineDecoder};
/// use ropewalk_trial::{Clock, Memory};
///
/// /// Counts what comes after `DATA <length>`.
/// #[derive(Default)]
/// struct Tally {
///     missing: u64,
/// }
///
/// impl FrameProtocol for Tally {
///     type Decoder = LineDecoder;
///
///     fn frame_received(&mut self, conn: &FrameConn<Self>, line: &[u8]) {
///         let length = line.strip_prefix(b"DATA ").and_then(|text| str::from_utf8(text).ok());
///         match length.and_then(|length| length.parse().ok()) {
///             Some(length) => self.missing = length,
///             None => conn.write(b"what?\r\n"),
///         }
///     }
///
///     fn expects(&self) -> Expect {
///         if self.missing > 0 { Expect::Bytes(self.missing) } else { Expect::Frame }
///     }
///
///     fn bytes_received(&mut self, conn: &FrameConn<Self>, data: &[u8]) {
///         self.missing -= data.len() as u64;
///         if self.missing == 0 {
///             conn.write(b"thanks\r\n");
///         }
///     }
///
///     fn frame_refused(&mut self, conn: &FrameConn<Self>, why: BadLine) {
///         conn.write(format!("{why}\r\n").as_bytes());
///         conn.close();
///     }
/// }
///
/// let tally = Framed::new(Tally::default(), LineDecoder::new(Ending::CrLf));
/// let mut memory = Memory::seat(tally, &Clock::new());
/// memory.push(b"DATA 4\r\n\r\n\r\nwhy\r\n\n");
/// assert_eq!(
///     memory.take_sent(),
///     b"thanks\r\nwhat?\r\na line feed has no carriage return before it\r\n"
/// );
/// ```
pub trait FrameProtocol: Sized + 'static {
    /// What cuts the bytes.
    type Decoder: Decoder;

    /// The connection is up: the place for a greeting.
    fn connection_made(&mut self, conn: &FrameConn<Self>) {
        let _ = conn;
    }

    /// A whole frame arrived.
    fn frame_received(&mut self, conn: &FrameConn<Self>, frame: &[u8]);

    /// What comes next. Asked before each call, so the answer is part of the protocol's state and
    /// nothing has to be switched.
    fn expects(&self) -> Expect {
        Expect::Frame
    }

    /// Bytes arrived while [`Expect::Bytes`] were expected, and no more than that.
    fn bytes_received(&mut self, conn: &FrameConn<Self>, data: &[u8]) {
        let _ = (conn, data);
    }

    /// What arrived is no frame, or is a longer one than is allowed. Closes, unless told otherwise;
    /// some decoders can go on.
    fn frame_refused(&mut self, conn: &FrameConn<Self>, why: <Self::Decoder as Decoder>::Error) {
        tracing::debug!(target: "ropewalk::framing", peer = %conn.peer(), "refused: {why}");
        conn.close();
    }

    /// The peer will send no more, but may still listen. Closes, unless told otherwise.
    fn eof_received(&mut self, conn: &FrameConn<Self>) {
        conn.close();
    }

    /// More output waits than [`Marks::high`](ropewalk_protocol::Marks).
    fn writing_paused(&mut self, conn: &FrameConn<Self>) {
        let _ = conn;
    }

    /// Output has drained to [`Marks::low`](ropewalk_protocol::Marks).
    fn writing_resumed(&mut self, conn: &FrameConn<Self>) {
        let _ = conn;
    }

    /// The connection is over, or was never made.
    fn connection_lost(&mut self, conn: &FrameConn<Self>, why: Disconnect) {
        let _ = (conn, why);
    }
}

/// What a [`FrameProtocol`] is to be told next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A frame.
    Frame,
    /// Bytes as they come, so many at most in one call.
    Bytes(u64),
}

/// A [`FrameProtocol`] and its decoder: a [`Protocol`].
pub struct Framed<P: FrameProtocol> {
    protocol: P,
    decoder: P::Decoder,
}

impl<P: FrameProtocol> Framed<P> {
    /// Has `decoder` cut what `protocol` is told.
    pub fn new(protocol: P, decoder: P::Decoder) -> Self {
        Self { protocol, decoder }
    }

    /// The decoder, to set other limits, or to take out what it keeps of an unfinished frame.
    pub fn decoder(&mut self) -> &mut P::Decoder {
        &mut self.decoder
    }

    fn deliver(&mut self, conn: &FrameConn<P>, mut data: &[u8]) {
        while !data.is_empty() {
            if !conn.is_reading() {
                return conn.hand_back(data);
            }
            match self.protocol.expects() {
                Expect::Frame | Expect::Bytes(0) => match self.decoder.feed(&mut data) {
                    Ok(Some(frame)) => self.protocol.frame_received(conn, frame),
                    Ok(None) => (),
                    Err(why) => self.protocol.frame_refused(conn, why),
                },
                Expect::Bytes(count) => {
                    let rest = self.decoder.take_rest();
                    if !rest.is_empty() {
                        // Since they were kept as the beginning of a frame, plans have changed.
                        return self.deliver(conn, &[&rest, data].concat());
                    }
                    let (bytes, after) = data.split_at(data.len().min(as_size(count)));
                    data = after;
                    self.protocol.bytes_received(conn, bytes);
                }
            }
        }
    }
}

fn as_size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl<P: FrameProtocol> Protocol for Framed<P> {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.protocol.connection_made(conn);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.deliver(conn, data);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.protocol.eof_received(conn);
    }

    fn writing_paused(&mut self, conn: &Conn<Self>) {
        self.protocol.writing_paused(conn);
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.protocol.writing_resumed(conn);
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        self.protocol.connection_lost(conn, why);
    }
}

impl<P: FrameProtocol> Deref for Framed<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.protocol
    }
}

impl<P: FrameProtocol> DerefMut for Framed<P> {
    fn deref_mut(&mut self) -> &mut P {
        &mut self.protocol
    }
}

impl<P: FrameProtocol + fmt::Debug> fmt::Debug for Framed<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}
