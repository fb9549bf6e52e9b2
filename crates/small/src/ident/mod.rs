//! Ident: ask a host whose a connection is ([RFC 1413]).
//!
//! A client is the far end of a connection and asks the host at the near end, by both ports; the
//! answer names the connection's owner there, or refuses to. [`ask`] is the client, [`serve`] answers
//! from any [`Owners`], of which [`ProcOwners`] is one: what Linux knows of its connections.
//!
//! | RFC 1413 | here |
//! |---|---|
//! | 3 restrictions: only the hosts of the connection itself | [`Asked`] has their addresses |
//! | 4 query | [`Query`] |
//! | 5 response | [`Reply`], [`Owner`], [`Refusal`] |
//! | 6 formal syntax; notes on white space | [`Query::decode`], [`Reply::decode`] |
//!
//! What such an answer is worth is for the asked host's administrator to say: it proves nothing.
//!
//! ```
//! use ropewalk_deferred::Deferred;
//! use ropewalk_protocol::{Address, Factory};
//! use ropewalk_small::ident::{self, Asked, Owner, Owners, Refusal};
//! use ropewalk_trial::{Clock, Memory};
//!
//! struct Alice;
//!
//! impl Owners for Alice {
//!     fn look_up(&self, _: &Asked) -> Deferred<Result<Owner, Refusal>> {
//!         Deferred::succeed(Ok(Owner::new("UNIX", "alice").unwrap()))
//!     }
//! }
//!
//! let server = ident::serve(Alice).build(&Address::Unnamed).unwrap();
//! let mut memory = Memory::seat(server, &Clock::new());
//! memory.push(b"6193, 23\r\n");
//! assert_eq!(memory.take_sent(), b"6193, 23 : USERID : UNIX :alice\r\n");
//! ```
//!
//! [RFC 1413]: https://www.rfc-editor.org/rfc/rfc1413

mod client;
mod codec;
mod owners;
mod server;

pub use client::{ANSWER_PATIENCE, IdentError, ask};
pub use codec::{BadQuery, BadReply, LINE_MAX, Owner, Query, Refusal, Reply, USER_MAX};
pub use owners::{ProcOwners, TABLE_MAX};
pub use server::{Asked, LOOK_UP_PATIENCE, Owners, serve};
