//! Connections that lead on: joined to one another, forwarded, or made through somebody who is asked
//! first.
//!
//! ```
//! use ropewalk_deferred::Deferred;
//! use ropewalk_forward::Forward;
//! use ropewalk_protocol::{ClientEndpoint, Port, ServerEndpoint, listen};
//!
//! /// Whoever connects to `near` is talking to `far`.
//! fn forward(
//!     near: &dyn ServerEndpoint,
//!     far: impl ClientEndpoint + 'static,
//! ) -> Deferred<Box<dyn Port>> {
//!     listen(near, Forward::to(far))
//! }
//! ```
//!
//! | to | look at |
//! |---|---|
//! | listen in one place and have all bytes go to another | [`Forward`] |
//! | join two connections that there are | [`relay`], [`Relay`], [`Tally`] |
//! | say where clients are taken, and find the addresses that they may have | [`Destinations`], [`Dialer`], [`locate`] |
//! | agree on something before a protocol's own bytes, as with a proxy | [`Handshake`], [`agree`], [`connect_after`] |
//!
//! Back-pressure goes both ways: from one connection is read what the other takes. An end of stream on one
//! side is one on the other, and the opposite direction goes on.
//!
//! | bound | default | beyond it |
//! |---|---|---|
//! | what waits for one side | its [`Marks`](ropewalk_protocol::Marks), 64 KiB and one read | the other side is not read |
//! | time without a byte in either direction | [`IDLE`], 1 h | both connections are aborted |
//! | the same once one direction has ended | [`HALF_CLOSED`], 5 min | as above |
//! | connections forwarded in all, and from one address | those of [`Limits`](ropewalk_framing::policy::Limits): 10,000, 100 | turned away |
//! | a handshake's time | [`PATIENCE`], 30 s | [`Interrupted::TimedOut`] |

#![forbid(unsafe_code)]

mod destinations;
mod dialer;
mod forward;
mod handshake;
mod relay;

pub use destinations::Destinations;
pub use dialer::{Dialer, NotAdmitted, locate};
pub use forward::{Forward, Forwarded};
pub use handshake::{Agreeing, Handshake, Interrupted, PATIENCE, agree, connect_after};
pub use relay::{HALF_CLOSED, IDLE, Relay, RelayOptions, Tally, relay};
