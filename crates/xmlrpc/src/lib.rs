//! [XML-RPC]: calls and answers in XML over HTTP.
//!
//! A [`Methods`] is a resource that answers calls, now or later; a [`Client`] makes them.
//!
//! ```
//! use ropewalk_http::{Agent, Origin, Site};
//! use ropewalk_protocol::{ClientEndpoint, Seat, listen};
//! use ropewalk_trial::{Clock, MemoryNetwork};
//! use ropewalk_xmlrpc::{Client, Fault, Methods, Value};
//!
//! let methods = Methods::new().method("add", |params: Vec<Value>| match params[..] {
//!     [Value::Int(a), Value::Int(b)] => Ok(a + b),
//!     _ => Err(Fault::new(3, "two integers are wanted")),
//! });
//!
//! let clock = Clock::new();
//! let network = MemoryNetwork::new(&clock);
//! let port = listen(&network.endpoint("example.org:80"), Site::new(methods));
//! let dialled = network.clone();
//! let dial = move |_: &Origin, seat: Box<dyn Seat>| {
//!     dialled.endpoint("example.org:80").connect_seat(seat);
//! };
//! let client = Client::new(&Agent::new(dial, clock), "http://example.org/RPC2");
//!
//! let sum = client.call("add", [1.into(), 2.into()]);
//! network.run();
//! assert_eq!(sum.now_or_never().unwrap()?, Value::Int(3));
//! # Ok::<(), ropewalk_deferred::Failure>(())
//! ```
//!
//! | what | here |
//! |---|---|
//! | values: `int`, `i8`, `boolean`, `string`, `double`, `dateTime.iso8601`, `base64`, `array`, `struct`, `nil` | [`Value`], [`DateTime`] |
//! | calls and answers as bytes | [`Call`], [`Answer`], [`Fault`] |
//! | `system.listMethods`, `methodHelp`, `methodSignature` | answered by [`Methods`] of what it knows |
//!
//! | bound | default: [`Limits`] | beyond it |
//! |---|--:|---|
//! | bytes of a message | 1 MiB | 413; [`CallError`] |
//! | arrays and structs within one another | 64 | [`BadMessage::TooDeep`] |
//! | values in a message | 100,000 | [`BadMessage::TooMany`] |
//!
//! There are no entities but the five of XML itself and those that are numbers, and no document type: what
//! declares any is refused.
//!
//! [XML-RPC]: http://xmlrpc.com/spec.md

#![forbid(unsafe_code)]

mod client;
mod decode;
mod encode;
mod error;
mod server;
mod value;

pub use client::Client;
pub use decode::Limits;
pub use error::{BadMessage, CallError, Fault, Unspeakable};
pub use server::{IntoAnswer, Methods};
pub use value::{Answer, BadDateTime, Call, DateTime, Value};
