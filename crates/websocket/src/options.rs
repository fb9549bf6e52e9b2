//! How connections are set up.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::codec::{Deflate, Spares, Window};
use crate::{Decoder, Encoder, Limits, Role};

/// How long an end waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// For the answer to the opening request, on a client; 10 seconds.
    pub opening: Duration,
    /// For anything at all, before the peer is asked whether it is there; 30 seconds.
    pub ping: Duration,
    /// For an answer to that; 20 seconds.
    pub pong: Duration,
    /// For the peer to close too, once this end has; 5 seconds.
    pub close: Duration,
    /// For a frame that has begun to be whole, and a second more for each KiB that it is long; 60 seconds.
    pub frame: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            opening: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            pong: Duration::from_secs(20),
            close: Duration::from_secs(5),
            frame: Duration::from_mins(1),
        }
    }
}

impl Patience {
    /// The same with another wait for the opening.
    pub fn with_opening(self, opening: Duration) -> Self {
        Self { opening, ..self }
    }

    /// The same with other waits for silent peers; a `ping` of zero never asks.
    pub fn with_pings(self, ping: Duration, pong: Duration) -> Self {
        Self { ping, pong, ..self }
    }

    /// The same with another wait for the peer's close.
    pub fn with_close(self, close: Duration) -> Self {
        Self { close, ..self }
    }

    /// The same with another wait for frames that have begun.
    pub fn with_frame(self, frame: Duration) -> Self {
        Self { frame, ..self }
    }

    /// How long it is until an unfinished frame has to be whole; since when it comes, and how long it is.
    pub(crate) fn left_for(&self, (since, length): (Duration, u64), now: Duration) -> Duration {
        let whole = self.frame.saturating_add(Duration::from_secs(length / 1024));
        since.saturating_add(whole).saturating_sub(now)
    }
}

/// How messages are compressed, if the other end can do it too (permessage-deflate, RFC 7692).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// How hard to try, from 1 to 9; 3.
    pub level: u32,
    /// The shortest message that is compressed, in bytes; 256.
    pub shortest: usize,
    /// Each direction's window as a power of two of bytes, 9 to 15; 15.
    pub window_bits: u8,
    /// Whether messages may repeat what earlier ones said. It compresses better, and each connection
    /// then keeps up to 300 KiB as long as it lasts; off.
    pub keeps_context: bool,
}

impl Default for Compression {
    fn default() -> Self {
        Self { level: 3, shortest: 256, window_bits: 15, keeps_context: false }
    }
}

impl Compression {
    /// Messages may repeat what earlier ones said.
    pub fn with_context(self) -> Self {
        Self { keeps_context: true, ..self }
    }

    pub(crate) fn bits(&self) -> u8 {
        self.window_bits.clamp(9, 15)
    }

    pub(crate) fn deflate(&self, sent: Window, received: Window) -> Deflate {
        Deflate { sent, received, level: self.level, shortest: self.shortest }
    }
}

/// From which pages a browser may connect (RFC 6455 10.2). A client that names no page is no browser
/// and always may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// From pages of the host and port that is connected to.
    #[default]
    Same,
    /// From these, such as `https://example.com`, and from the same.
    Listed(Vec<String>),
    /// From any page: whoever visits it then speaks with this server, with the cookies that he has.
    Any,
}

/// How connections are set up: shared by all that are made with it.
///
/// ```
/// use ropewalk_websocket::{Compression, Limits, Options};
///
/// let options = Options::new()
///     .limits(Limits { message_max: 64 * 1024, ..Limits::default() })
///     .compression(Compression::default())
///     .protocols(["chat.example.v2", "chat.example.v1"]);
/// # let _ = options;
/// ```
#[derive(Clone, Default)]
pub struct Options {
    pub(crate) limits: Limits,
    pub(crate) patience: Patience,
    pub(crate) compression: Option<Compression>,
    pub(crate) protocols: Vec<String>,
    pub(crate) origins: Origins,
    spares: Rc<Spares>,
}

impl Options {
    /// Every limit at its default, no compression, no subprotocol, pages of the same origin.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes no more than `limits` from a peer.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Waits no longer than `patience` for a peer.
    pub fn patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Compresses, where the peer does.
    pub fn compression(self, compression: Compression) -> Self {
        Self { compression: Some(compression), ..self }
    }

    /// Speaks these subprotocols, the best first (RFC 6455 1.9). A server chooses the first of them
    /// that the client offers, and none if it offers none of them.
    pub fn protocols<S: Into<String>>(self, protocols: impl IntoIterator<Item = S>) -> Self {
        Self { protocols: protocols.into_iter().map(Into::into).collect(), ..self }
    }

    /// Which pages may connect to a server.
    pub fn origins(self, origins: Origins) -> Self {
        Self { origins, ..self }
    }

    pub(crate) fn decoder(&self, role: Role, deflate: Option<Deflate>) -> Decoder {
        Decoder::with(role, self.limits, deflate, Rc::clone(&self.spares))
    }

    pub(crate) fn encoder(&self, role: Role, deflate: Option<Deflate>) -> Encoder {
        Encoder::with(role, deflate, Rc::clone(&self.spares))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("limits", &self.limits)
            .field("patience", &self.patience)
            .field("compression", &self.compression)
            .field("protocols", &self.protocols)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
