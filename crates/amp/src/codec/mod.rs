//! Boxes: keys and values on the wire, without any connection or meaning.

mod decoder;
mod fields;
mod writer;

pub use decoder::{BadBox, Decoder, Limits};
pub(crate) use fields::take_counted;
pub use fields::{AmpBox, Fields};
pub use writer::BoxWriter;

/// The longest key, in bytes: its length has two bytes on the wire and the first is always zero.
pub const KEY_MAX: usize = 255;

/// The longest value, in bytes.
pub const VALUE_MAX: usize = 65_535;
