//! Bytes into frames: lines, netstrings, length prefixes.
//!
//! A [`Decoder`] is fed slices and answers frames; one that lies whole in a slice is lent from it.
//! [`Framed`] makes a protocol of a decoder and a [`FrameProtocol`], which is told frames.
//!
//! | frames | decoder | encoder | longest, unless set |
//! |---|---|---|--:|
//! | lines | [`LineDecoder`] | [`Ending::encode`] | [`LINE_MAX`], 16 KiB |
//! | netstrings | [`NetstringDecoder`] | [`Netstring::encode`] | [`FRAME_MAX`], 99,999 B |
//! | length prefixes of 8, 16, 32 bits | [`PrefixDecoder`] | [`Prefix::encode`] | [`FRAME_MAX`] |
//! | any that tell their length | [`LengthDecoder`] over your [`Measure`] | yours | [`FRAME_MAX`] |
//!
//! Files are sent by a [`FileSender`], [`PIECE_MAX`] (256 KiB) at a time. Time-outs, throttles, limits
//! and logs for any protocol are in [`policy`].

#![forbid(unsafe_code)]

mod decoder;
mod file;
mod framed;
mod length;
mod line;
mod netstring;
pub mod policy;
mod prefix;

pub use decoder::Decoder;
pub use file::{FileSender, PIECE_MAX};
pub use framed::{Expect, FrameConn, FrameProtocol, Framed};
pub use length::{Extent, FRAME_MAX, LengthDecoder, Measure, TooLong};
pub use line::{BadLine, Delimiter, Ending, LINE_MAX, LineDecoder};
pub use netstring::{BadNetstring, Netstring, NetstringDecoder};
pub use prefix::{Prefix, PrefixDecoder};
