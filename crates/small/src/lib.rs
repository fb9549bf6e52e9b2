//! Small protocols, clients and servers: Finger, Ident, and the family of RFC 862 to 868.
//!
//! Each is a module with the same two ends. `serve` makes what
//! [`listen`](ropewalk_protocol::listen) wants; `ask`, or another verb where that reads better,
//! connects to an endpoint and gives the answer as a [`Deferred`](ropewalk_deferred::Deferred).
//!
//! | RFC | module | a server | a client gets |
//! |--:|---|---|---|
//! | 862 | [`echo`] | says back what it hears | how long that took |
//! | 863 | [`discard`] | says nothing | that all was taken |
//! | 864 | [`chargen`] | says the same characters for ever | as many as it wants |
//! | 865 | [`qotd`] | says a quote | the quote |
//! | 866 | [`users`] | says who is there | their names |
//! | 867 | [`daytime`] | says the time, for people | a line |
//! | 868 | [`time`](mod@time) | says the time, for machines | a [`Stamp`](time::Stamp) |
//! | 1288 | [`finger`] | answers about users from a [`Directory`](finger::Directory) | text |
//! | 1413 | [`ident`] | tells whose a connection is, from [`Owners`](ident::Owners) | an [`Owner`](ident::Owner) |
//!
//! Those of RFC 862 to 868 are there over [`datagrams`] too.
//!
//! ```
//! use ropewalk_small::finger;
//! use ropewalk_deferred::Deferred;
//! use ropewalk_protocol::ClientEndpoint;
//!
//! fn who(host: &dyn ClientEndpoint) -> Deferred<String> {
//!     finger::ask(host, &finger::Query::everyone())
//! }
//! ```
//!
//! What is bounded, for every protocol unless a line says which:
//!
//! | what | bound | beyond it |
//! |---|--:|---|
//! | a server's connections, in all and from one place | 10,000; 100 | turned away |
//! | a connection on which nothing moves | [`IDLE`], 120 s | ended |
//! | an answer that a client keeps | [`ANSWER_MAX`], 64 KiB | [`AskError::Long`] |
//! | a client's wait for its whole answer | [`PATIENCE`], 60 s | [`AskError::Late`] |
//! | what an echo server holds for a peer that does not read | the high mark, 64 KiB | it stops reading |
//! | characters that one connection is sent | [`chargen::PIECE`] each [`chargen::PACE`] | – |
//! | a quote that a server says | [`qotd::QUOTE_MAX`], 512 B | cut |
//! | an answer over datagrams | [`datagrams::DATAGRAM_MAX`], 512 B; an echo as long as what it answers | cut |
//! | answers that wait to be sent | a port's queue, 1 MiB | dropped |
//! | a client's wait for a datagram | [`datagrams::ATTEMPTS`], 3, each [`datagrams::RETRY`], 2 s | [`AskError::Late`] |
//! | a query to a finger server | [`finger::QUERY_MAX`], 512 B | told so |
//! | a client's time for its finger query | [`finger::QUERY_PATIENCE`], 30 s | ended |
//! | a directory's time for an answer | [`finger::LOOK_UP_PATIENCE`], 60 s | told so |
//! | a plan, and users in a list | [`finger::PLAN_MAX`], 16 KiB; [`finger::PLANS_MAX`], 1,000 | cut |
//! | a line of Ident | [`ident::LINE_MAX`], 1,000 B | ended |
//! | a user's name in Ident | [`ident::USER_MAX`], 512 B | [`BadReply`](ident::BadReply) |
//! | an Ident client's wait | [`ident::ANSWER_PATIENCE`], 30 s | [`AskError::Late`] |
//! | what owners take to find one | [`ident::LOOK_UP_PATIENCE`], 30 s | `UNKNOWN-ERROR` |

#![forbid(unsafe_code)]

mod ask;
pub mod chargen;
pub mod datagrams;
pub mod daytime;
pub mod discard;
pub mod echo;
mod error;
pub mod finger;
pub mod ident;
pub mod qotd;
mod say;
mod text;
pub mod time;
pub mod users;

pub use ask::{ANSWER_MAX, PATIENCE};
pub use error::AskError;
pub use say::IDLE;
pub use text::printable;
