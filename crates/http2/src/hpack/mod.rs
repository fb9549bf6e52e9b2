//! HPACK ([RFC 7541]): header sections made short.
//!
//! ```
//! use ropewalk_http2::hpack::{Decoder, Encoder, Pseudo};
//!
//! let mut block = Vec::new();
//! let mut encoder = Encoder::new();
//! let mut section = encoder.section(&mut block);
//! section.pseudo(Pseudo::Status, b"200");
//! section.field(&http::header::SERVER, &http::HeaderValue::from_static("ropewalk"));
//! assert_eq!(block.len(), 9); // 31 octets of text
//!
//! let mut fields = Vec::new();
//! Decoder::new().decode(&block, |field| fields.push(field)).unwrap();
//! assert_eq!(fields[0].value, "200");
//! assert_eq!(fields[1].value, "ropewalk");
//! ```
//!
//! | what | here |
//! |---|---|
//! | RFC 7541 2.3 tables, 4 their sizes | [`TABLE_SIZE`], [`Decoder::set_table_max`], [`Encoder::set_table_max`] |
//! | 3 decoding, 6 representations | [`Decoder`], [`HpackError`] |
//! | 5.2 Huffman's code | both ways, where it is shorter |
//! | 7.1 what must not be guessed | [`Section::field`]: secrets are sent so that no table holds them |
//!
//! [RFC 7541]: https://www.rfc-editor.org/rfc/rfc7541

mod decoder;
mod encoder;
mod field;
mod huffman;
mod integer;
mod table;

pub use decoder::{Decoder, HpackError};
pub use encoder::{Encoder, Section};
pub use field::{Field, Name, Pseudo};

/// The size of a dynamic table, in octets, until something else is agreed on (RFC 9113 6.5.2).
pub const TABLE_SIZE: usize = 4096;
