//! Finger: ask a host about its users ([RFC 1288]).
//!
//! A [`Query`] is one line; the answer is text up to the end of the connection. [`ask`] is the client,
//! [`serve`] answers from any [`Directory`], of which [`Plans`] is one: a folder with a file a user.
//!
//! | RFC 1288 | here |
//! |---|---|
//! | 2.3 query | [`Query`] |
//! | 2.5.1 a host asks another | [`Directory::forward`], refused unless a directory does it |
//! | 2.5.4 the switch `/W` | [`Query::verbose`] |
//! | 3.2 security | [`QUERY_MAX`], [`QUERY_PATIENCE`], [`LOOK_UP_PATIENCE`] |
//! | 3.3 what is sent and shown | [`printable`](crate::printable) |
//!
//! ```
//! use ropewalk_deferred::Deferred;
//! use ropewalk_protocol::{Address, Factory};
//! use ropewalk_small::finger::{self, Directory, Query};
//! use ropewalk_trial::{Clock, Memory};
//!
//! struct Everybody;
//!
//! impl Directory for Everybody {
//!     fn look_up(&self, query: &Query) -> Deferred<String> {
//!         Deferred::succeed(format!("{} is in", query.user_name().unwrap_or("everybody")))
//!     }
//! }
//!
//! let server = finger::serve(Everybody).build(&Address::Unnamed).unwrap();
//! let mut memory = Memory::seat(server, &Clock::new());
//! memory.push(b"alice\r\n");
//! assert_eq!(memory.take_sent(), b"alice is in\r\n");
//! ```
//!
//! [RFC 1288]: https://www.rfc-editor.org/rfc/rfc1288

mod client;
mod codec;
mod plans;
mod server;

pub use client::ask;
pub use codec::{BadQuery, QUERY_MAX, Query};
pub use plans::{PLAN_MAX, PLANS_MAX, Plans};
pub use server::{Directory, LOOK_UP_PATIENCE, QUERY_PATIENCE, serve};
