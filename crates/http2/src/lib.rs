//! HTTP/2 ([RFC 9113]) with [HPACK](hpack) ([RFC 7541]), for both ends, without a socket in sight.
//!
//! A [`Connection`] is told octets and tells [`Event`]s. What requests mean is not known here: that
//! is the room `http`'s, whose sites and agents speak through it.
//!
//! | what | here |
//! |---|---|
//! | RFC 9113 3.4 preface, 6.5 settings | [`Connection::greet`], [`frame::Settings`] |
//! | 4 frames | [`frame`]: [`frame::FrameDecoder`], [`frame::Frame`], [`frame::BadFrame`] |
//! | 4.3 field blocks, RFC 7541 | [`hpack`] |
//! | 5.1 streams | [`Connection::open`], [`Connection::send_head`], [`Connection::data_head`], [`Connection::reset`] |
//! | 5.2, 6.9 flow control | [`Connection::room`], [`Connection::release`] |
//! | 5.4 errors | [`Fatal`], [`ResetBy`] |
//! | 6.8 going away, in two steps | [`Connection::go_away`] |
//! | 8.2 to 8.5 messages | [`RequestHead`], [`ResponseHead`], [`Malformed`], [`is_of_connection`] |
//! | 8.5 CONNECT, RFC 8441 extended CONNECT | [`Connection::open_tunnel`], [`Connection::has_extended_connect`]; [`RequestHead::protocol`] |
//! | what a connection owns at rest | [`Connection::memory`] |
//! | RFC 9218 priorities | [`Priority`], [`Connection::next_sender`], [`Connection::change_priority`] |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | [`Limits::streams_max`], open at a time | 128 | `REFUSED_STREAM` |
//! | streams open, or preferred before they are (RFC 9218 7.1) | [`Limits::streams_max`] | `PROTOCOL_ERROR` |
//! | [`Limits::list_max`], a header section as it is read | 64 KiB | [`Event::TooLarge`] |
//! | [`Limits::block_max`], a field block as it is sent | 64 KiB | `ENHANCE_YOUR_CALM` |
//! | continuations of a block | 16 | `ENHANCE_YOUR_CALM` |
//! | a frame; a table | 16 KiB; 4 KiB | `FRAME_SIZE_ERROR`; `COMPRESSION_ERROR` |
//! | [`Limits::window`], [`Limits::connection_window`], unread bodies | 256 KiB, 1 MiB | `FLOW_CONTROL_ERROR` |
//! | [`Limits::resets`], [`Limits::faults`], [`Limits::pings`] | 256, and 32 a second | `ENHANCE_YOUR_CALM` |
//! | [`Limits::late_sections_max`], of a stream that was reset | 32 | `STREAM_CLOSED` |
//! | the body of a stream that was reset | what was left of its window | `FLOW_CONTROL_ERROR` |
//! | [`Limits::updates`], windows that are opened | 16 a stream and a frame sent; 1,024, and 128 a second | `ENHANCE_YOUR_CALM` |
//! | [`Limits::settings`] | 32, and 1 a second | `ENHANCE_YOUR_CALM` |
//! | [`Limits::empties`], frames that say nothing | 1,024, and 128 a second | `ENHANCE_YOUR_CALM` |
//!
//! [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113
//! [RFC 7541]: https://www.rfc-editor.org/rfc/rfc7541

#![forbid(unsafe_code)]

mod budget;
mod connection;
mod event;
pub mod frame;
pub mod hpack;
mod limits;
mod memory;
mod message;
mod priority;
mod streams;

pub use budget::Allowance;
pub use connection::{Connection, NotOpened};
pub use event::{Event, Fatal, Nuisance, ResetBy, StreamFault};
pub use limits::Limits;
pub use memory::Memory;
pub use message::{Malformed, RequestHead, ResponseHead, is_of_connection};
pub use priority::Priority;
