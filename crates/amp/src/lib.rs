//! AMP, the Asynchronous Messaging Protocol of Twisted: typed calls in both directions over one
//! connection, any number of them at a time, answered in any order.
//!
//! [`command!`] says once what can be asked and what comes back. [`Responders`] answer, a [`Peer`]
//! asks, and [`Amp`] is the protocol, the same for both sides.
//!
//! ```
//! use ropewalk_amp::{Amp, Responders, command, errors};
//! use ropewalk_trial::Wire;
//!
//! command! {
//!     /// Divides one number by another.
//!     pub Divide { numerator: i64, denominator: i64 } -> Quotient { result: f64 } or DivideError;
//! }
//! errors! {
//!     /// Why a division has no result.
//!     pub DivideError { ZeroDivision = "ZERO_DIVISION" }
//! }
//!
//! let server = Amp::new(Responders::new().on(|divide: Divide| match divide.denominator {
//!     0 => Err(DivideError::ZeroDivision("division by zero".to_owned())),
//!     by => Ok(Quotient { result: divide.numerator as f64 / by as f64 }),
//! }));
//! let client = Amp::new(Responders::new());
//! let peer = client.peer();
//!
//! let half = peer.call(&Divide { numerator: 1, denominator: 2 });
//! let none = peer.call(&Divide { numerator: 1, denominator: 0 });
//! let mut wire = Wire::join(client, server);
//! wire.run();
//!
//! assert_eq!(half.now_or_never().unwrap()?, Quotient { result: 0.5 });
//! let failure = none.now_or_never().unwrap().unwrap_err();
//! let error: &DivideError = failure.check().unwrap();
//! assert_eq!(*error, DivideError::ZeroDivision("division by zero".to_owned()));
//! # Ok::<(), ropewalk_deferred::Failure>(())
//! ```
//!
//! On a network, [`serve`] makes what `listen` wants, and [`connect`] gives the [`Peer`].
//!
//! | on the wire | here |
//! |---|---|
//! | boxes: keys up to 255 bytes, values up to 65,535, sorted by key | [`Decoder`], [`BoxWriter`], [`Fields`], [`AmpBox`] |
//! | values: integers, text, dates, lists, rows | [`Value`], [`Field`], [`Record`] |
//! | open files, which go beside the box over Unix sockets | [`Descriptor`] |
//! | `_command` with `_ask` | [`Peer::call`], [`Peer::call_within`], [`Responders::on`] |
//! | `_command` alone | [`Peer::tell`] |
//! | `_answer` | [`Command::Answer`] |
//! | `_error` with a declared `_error_code`; fatal ones | [`errors!`], [`DeclaredError`] |
//! | `_error_code` `UNHANDLED`: nobody responds | [`CallError::Unhandled`]; the connection stays |
//! | `_error_code` `UNKNOWN`: a responder failed unexpectedly, and closes | [`CallError::Unknown`] |
//! | a command that switches protocols | [`Peer::call_and_switch`], [`Responders::on_switch`] |
//! | `StartTLS`: the connection is encrypted from here on | [`Peer::start_tls`], [`Responders::on_start_tls`] |
//! | what may come, and how much of it | [`Limits`], [`BadBox`] |
//!
//! # Differs from Twisted
//!
//! - An argument may have any name, `f` too, but that of one of the protocol's own six keys, which does
//!   not compile.
//! - The same key twice in one box is refused. Numbers are read without white space and underscores.
//! - A failed call that its caller does not handle is logged, as every failure of a deferred is; it
//!   does not close the connection.
//! - Limits on keys and bytes in a box, calls and requests under way, and output that waits are on.
//! - After a fatal error, what follows it in the same segment is not acted on.
//! - While a switch is asked for, answers to the peer's own calls are held, and sent if it is refused;
//!   to cancel the call that asks closes the connection.
//! - An answer to a call that was cancelled or ran out of time is dropped, and anything else that
//!   answers no call closes the connection.
//!
//! - `StartTLS` is responded to only by those who say with what; no certificate is made up. A peer who
//!   refuses it loses the connection: nothing that was to be encrypted goes out in the clear. If both
//!   sides ask for it at once, the connection is closed. The side that listened may ask too; Twisted's
//!   fails then where the handshake comes right behind the answer, which it is free to.
//! - A [`Descriptor`] is an owner, of which a copy is sent: the number of an open file there, which must
//!   stay open until it is sent. Those that no box claims are bounded and closed; there, they stay open.

#![forbid(unsafe_code)]

mod amp;
mod codec;
mod command;
mod error;
mod link;
mod macros;
mod peer;
mod responders;
mod value;

pub use amp::{Amp, serve};
pub use codec::{AmpBox, BadBox, BoxWriter, Decoder, Fields, KEY_MAX, Limits, VALUE_MAX};
pub use command::{Command, DeclaredError, NoErrors};
pub use error::{BadField, BadValue, CallError, RemoteError};
pub use peer::{Peer, connect};
pub use responders::Responders;
pub use value::{
    AmpList, DateTime, Decimal, Descriptor, DescriptorsIn, DescriptorsOut, Field, Integer, Record,
    Value,
};

#[doc(hidden)]
pub use command::for_macros;
