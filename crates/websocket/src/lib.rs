//! WebSocket ([RFC 6455]), with compression ([RFC 7692]), for both ends.
//!
//! A [`WebSocketProtocol`] is told whole messages and answers on its [`WebSocket`]. A server opens them
//! at a [`WebSocketResource`] of a site, a client with [`connect`], or over an agent's connections with [`open`]. Below that, a [`Decoder`] and an
//! [`Encoder`] know nothing of connections.
//!
//! | what | here |
//! |---|---|
//! | RFC 6455 4 opening | [`WebSocketResource`], [`accept`], [`Refusal`]; [`connect`], [`Request`], [`NotOpened`] |
//! | RFC 8441 on streams of HTTP/2 | the same resources; [`open`], for clients |
//! | RFC 6455 5 frames | [`FrameHead`], [`Decoder`], [`Encoder`], [`BadFrame`] |
//! | RFC 6455 7 closing | [`CloseCode`], [`WebSocket::close`], [`Closed`] |
//! | RFC 6455 10.2 origins | [`Origins`] |
//! | RFC 7692 compression | [`Compression`] |
//! | any protocol inside | [`StreamClient`], [`StreamServer`], [`StreamResource`], [`Stream`] |
//! | the same to many | [`Prepared`], [`Group`], [`Slow`] |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | [`Limits::message_max`], a message once it is expanded | 16 MiB | closed with 1009 |
//! | [`Limits::frames_max`], frames of one message | 16,384 | closed with 1008 |
//! | [`CONTROL_MAX`], a ping, a pong, a close | 125 B | closed with 1002 |
//! | the answer to a client's opening request | 16 KiB, 100 fields; the agent's, with [`open`] | [`NotOpened::TooLong`] |
//! | [`Patience::opening`], that answer; with [`open`] all before it, too | 10 s | [`NotOpened::TimedOut`] |
//! | [`Patience::ping`], silence before a ping; [`Patience::pong`], after it | 30 s; 20 s | aborted |
//! | [`Patience::close`], the peer's close after this end's | 5 s | aborted |
//! | [`Patience::frame`], a frame that has begun | 60 s, and 1 s for each KiB of it | closed with 1008 |
//! | pongs to a peer that is [slow](WebSocket::is_slow) | none | the ping goes unanswered |
//!
//! [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455
//! [RFC 7692]: https://www.rfc-editor.org/rfc/rfc7692

#![forbid(unsafe_code)]

mod codec;
mod group;
mod handshake;
mod options;
mod resource;
mod session;
mod stream;

pub use codec::{
    BadFrame, CONTROL_MAX, CloseCode, Decoder, Encoder, FrameHead, Limits, Message, NoRandom,
    OpCode, Received, Role,
};
pub use group::{Group, Prepared, Sent, Slow};
pub use handshake::client::{BadRequest, NotOpened, Opening, Request, connect, open};
pub use handshake::{Refusal, accept};
pub use options::{Compression, Options, Origins, Patience};
pub use resource::WebSocketResource;
pub use session::{Closed, Session, WebSocket, WebSocketProtocol};
pub use stream::{Stream, StreamClient, StreamError, StreamResource, StreamServer};
