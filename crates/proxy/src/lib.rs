//! The PROXY protocol of `HAProxy`: a proxy says, ahead of all other bytes, whose connection it passes on.
//!
//! [`Acceptance`] puts it under any factory: the protocol sees the client's address as its peer's, and in
//! [`Conn::identity`](ropewalk_protocol::Conn::identity) what else the proxy said. [`Announcing`] and
//! [`announce`] say it on clients. [`Decoder`] and [`Header`] are for those who have bytes.
//!
//! | in the protocol's text | here |
//! |---|---|
//! | 2.1 human-readable header, version 1 | [`Version::V1`], [`LINE_MAX`] |
//! | 2.2 binary header, version 2 | [`Version::V2`], [`LENGTH_MAX`] |
//! | 2.2 `LOCAL`, `UNSPEC`; 2.1 `UNKNOWN` | [`Header::ends`] is `None`: the connection's own ends count |
//! | 2.2.1 to 2.2.8 types and values | [`ProxyFields`](ropewalk_protocol::ProxyFields) |
//! | 2.2.3 CRC32C | checked where it is there; written by [`Version::V2Checked`] |
//! | 2.2.5 TLS | [`ProxyTls`](ropewalk_protocol::ProxyTls) |
//! | 5 who may say it | [`Acceptance::trusted`] |
//!
//! | bound | default | beyond it |
//! |---|---|---|
//! | a line of version 1 | [`LINE_MAX`], 107 bytes | [`BadHeader::LongLine`] |
//! | a header of version 2 behind its first 16 bytes | [`LENGTH_MAX`], 4 KiB | [`BadHeader::Long`] |
//! | a header's time | [`HEADER_PATIENCE`], 5 s | the connection is aborted |
//! | a unique id | [`UNIQUE_ID_MAX`], 128 bytes | [`BadHeader::FieldValue`], [`CannotEncode::LongUniqueId`] |
//! | who may send one | this machine | the connection is turned away |
//!
//! # Differs from Twisted
//!
//! - A header may come in pieces of any size.
//! - Fields are read, checksums are checked, and both versions can be sent.
//! - Only proxies in trusted networks are believed; unless told otherwise that is this machine.
//! - A header must be there: who does not send one is cut off after five seconds.
//! - Ports with a zero in front, and addresses of another family than the one named, are refused.

#![forbid(unsafe_code)]

mod client;
mod codec;
mod error;
mod server;

pub use client::{Announcing, announce};
pub use codec::{Decoder, Ends, Header, LENGTH_MAX, LINE_MAX, UNIQUE_ID_MAX, Version};
pub use error::{BadHeader, CannotEncode};
pub use server::{Acceptance, Accepting, Awaiting, HEADER_PATIENCE};
