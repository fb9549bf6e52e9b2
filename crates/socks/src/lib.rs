//! SOCKS, versions 4, 4a and 5: connections that a proxy makes for its client ([RFC 1928]).
//!
//! [`Service`] is the server. It knows no network: what it needs it asks of an [`Outlet`]. [`Proxy`] is the
//! client: an endpoint through a proxy, over any endpoint that leads to one.
//!
//! | RFC 1928 | here |
//! |---|---|
//! | 3 methods | [`Greeting5`], [`Choice5`]: none, and user name with password |
//! | 4 requests, 6 replies | [`Request5`], [`Reply5`], [`Refusal`] |
//! | 4 `CONNECT` | [`Proxy::connect`], [`Proxy::to`] |
//! | 4 `BIND` | [`Proxy::bind`] |
//! | 5 addressing | [`Target`] |
//! | 4 `UDP ASSOCIATE`, 7 datagrams | [`Proxy::associate`], [`Association`], [`Datagram`] |
//!
//! | elsewhere | here |
//! |---|---|
//! | RFC 1929 user names and passwords | [`Login`], [`Users`] |
//! | versions 4 and 4a, as OpenSSH and curl speak them | [`Version::V4`], [`Request4`], [`Reply4`] |
//!
//! | bound | default | beyond it |
//! |---|---|---|
//! | a message | [`MESSAGE_MAX`], 520 bytes; a name [`NAME_MAX`], a user [`USER_MAX`], a login [`LOGIN_MAX`], 255 each | [`BadMessage`], and the connection's end |
//! | a client's time to say what it wants | [`HANDSHAKE_PATIENCE`], 10 s | aborted |
//! | the time for a connection to the target | [`CONNECT_PATIENCE`], 30 s | [`Refusal::TooLate`] |
//! | the time for the target to connect | [`BIND_PATIENCE`], 2 min | [`Refusal::TooLate`] |
//! | joined connections | those of [`forward`](ropewalk_forward): an hour without a byte | aborted |
//! | datagrams that wait for names to be looked up | [`LOOKUPS_MAX`], 16, and [`LOOKUP_BYTES_MAX`], 64 KiB | dropped |
//! | hosts that may answer a client's datagrams | [`HOSTS_MAX`], 1,024 | the oldest is forgotten |
//! | datagrams that come in parts, from another than the client, or to where it may not go | | dropped |
//! | an association's idle time | an hour, as of joined connections | aborted |
//! | clients in all, and from one address | those of [`Limits`](ropewalk_framing::policy::Limits): 10,000, 100 | turned away |
//! | destinations | the public Internet: [`Destinations::public`] | [`Refusal::NotAllowed`] |
//! | a client's whole handshake with a proxy | [`PATIENCE`](ropewalk_forward::PATIENCE), 30 s | [`Interrupted::TimedOut`](ropewalk_forward::Interrupted) |
//!
//! # Differs from Twisted
//!
//! Twisted has a server for versions 4 and 4a. This one has version 5 and a client besides, limits and
//! time-outs, and rules about where clients are taken, by which a proxy that is open to strangers does not
//! lead them inside.
//!
//! [RFC 1928]: https://www.rfc-editor.org/rfc/rfc1928

#![forbid(unsafe_code)]

mod client;
mod codec;
mod error;
mod server;

pub use ropewalk_forward::Destinations;

pub use client::{Association, Bound, Proxy, Through};
pub use codec::{
    Choice5, Command, Datagram, Decoder, Greeting5, HostName, LOGIN_MAX, Login, LoginReply5,
    MESSAGE_MAX, METHOD_LOGIN, METHOD_NONE, Message, NAME_MAX, Opening, Reader, Reply4, Reply5,
    Request4, Request5, Stop, Target, USER_MAX, Version,
};
pub use error::{BadMessage, ProxyError, Refusal};
pub use server::{
    BIND_PATIENCE, CONNECT_PATIENCE, GOODBYE_PATIENCE, HANDSHAKE_PATIENCE, HOSTS_MAX,
    LOOKUP_BYTES_MAX, LOOKUPS_MAX, Outlet, Server, Service, Silent, Users, Waits,
};
