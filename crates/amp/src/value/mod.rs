//! What may stand in a box, and its text on the wire.

mod datetime;
mod decimal;
mod descriptor;
mod integer;
mod list;
mod number;

use std::path::PathBuf;

use bytes::Bytes;

use crate::BadValue;

pub use datetime::DateTime;
pub use decimal::Decimal;
pub use descriptor::{Descriptor, DescriptorsIn, DescriptorsOut};
pub use integer::Integer;
pub use list::{AmpList, Record};

/// A type of which a value can stand in a box.
///
/// | in Twisted | here | on the wire |
/// |---|---|---|
/// | `Integer` | `i8` to `i128`, `u16` to `u128`, [`Integer`] for any size | decimal digits |
/// | `String` | [`Bytes`], `Vec<u8>` | as it is |
/// | `Unicode` | `String` | UTF-8 |
/// | `Float` | `f64` | as Python's `repr` has it: `1e+16` |
/// | `Boolean` | `bool` | `True`, `False` |
/// | `Decimal` | [`Decimal`] | as Python's `str` has it: `1E+2`, `NaN` |
/// | `DateTime` | [`DateTime`] | `2024-01-02T03:04:05.000006-00:00` |
/// | `Path` | `PathBuf` | UTF-8 |
/// | `ListOf(T())` | `Vec<T>` | each with its length in two bytes before it |
/// | `AmpList([…])` | [`AmpList`] of a [`Record`] | boxes |
/// | `Descriptor` | [`Descriptor`], which is a [`Field`] | how many were sent before it; the descriptor goes beside |
/// | `optional=True` | `Option<T>` | nothing at all where it is `None` |
/// | a type of your own | this trait | as you like |
///
/// `u8` alone is none: `Vec<u8>` is bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a box",
    note = "bytes are `Bytes` or `Vec<u8>`; rows of named values are an `AmpList` of a `record!`"
)]
pub trait Value: Sized {
    /// Appends the value to `out` as it goes over the wire.
    ///
    /// # Errors
    ///
    /// If this value has no form there.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue>;

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// If `bytes` are not its form.
    fn decode(bytes: &[u8]) -> Result<Self, BadValue>;

    /// The same as [`encode`](Self::encode) for a value with [descriptors](Descriptor) in it.
    ///
    /// # Errors
    ///
    /// The same, or that they cannot be passed.
    fn encode_beside(
        &self,
        out: &mut Vec<u8>,
        beside: Option<&mut DescriptorsOut>,
    ) -> Result<(), BadValue> {
        let _ = beside;
        self.encode(out)
    }

    /// The same as [`decode`](Self::decode) for a value with [descriptors](Descriptor) in it.
    ///
    /// # Errors
    ///
    /// The same, or that they did not come.
    fn decode_beside(bytes: &[u8], beside: Option<&DescriptorsIn>) -> Result<Self, BadValue> {
        let _ = beside;
        Self::decode(bytes)
    }
}

/// A field of a command or a record: a [`Value`], or an `Option` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a command",
    note = "see `Value` for the types that can"
)]
pub trait Field: Sized {
    /// Whether there is anything to send.
    fn is_present(&self) -> bool;

    /// Appends the value, if there is one.
    ///
    /// # Errors
    ///
    /// If this value has no form on the wire.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), BadValue>;

    /// Reads the value, or makes do without one.
    ///
    /// # Errors
    ///
    /// If it is missing or malformed.
    fn read(bytes: Option<&[u8]>) -> Result<Self, BadValue>;

    /// The same as [`write`](Self::write) where [descriptors](Descriptor) may go beside.
    ///
    /// # Errors
    ///
    /// The same, or that they cannot be passed.
    fn write_beside(
        &self,
        out: &mut Vec<u8>,
        beside: Option<&mut DescriptorsOut>,
    ) -> Result<(), BadValue> {
        let _ = beside;
        self.write(out)
    }

    /// The same as [`read`](Self::read) where [descriptors](Descriptor) may have come beside.
    ///
    /// # Errors
    ///
    /// The same, or that they did not come.
    fn read_beside(bytes: Option<&[u8]>, beside: Option<&DescriptorsIn>) -> Result<Self, BadValue> {
        let _ = beside;
        Self::read(bytes)
    }
}

impl<T: Value> Field for T {
    fn is_present(&self) -> bool {
        true
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        self.encode(out)
    }

    fn read(bytes: Option<&[u8]>) -> Result<Self, BadValue> {
        Self::decode(bytes.ok_or(BadValue::Missing)?)
    }

    fn write_beside(
        &self,
        out: &mut Vec<u8>,
        beside: Option<&mut DescriptorsOut>,
    ) -> Result<(), BadValue> {
        self.encode_beside(out, beside)
    }

    fn read_beside(bytes: Option<&[u8]>, beside: Option<&DescriptorsIn>) -> Result<Self, BadValue> {
        Self::decode_beside(bytes.ok_or(BadValue::Missing)?, beside)
    }
}

impl<T: Value> Field for Option<T> {
    fn is_present(&self) -> bool {
        self.is_some()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        self.as_ref().map_or(Ok(()), |value| value.encode(out))
    }

    fn read(bytes: Option<&[u8]>) -> Result<Self, BadValue> {
        bytes.map(T::decode).transpose()
    }

    fn write_beside(
        &self,
        out: &mut Vec<u8>,
        beside: Option<&mut DescriptorsOut>,
    ) -> Result<(), BadValue> {
        self.as_ref().map_or(Ok(()), |value| value.encode_beside(out, beside))
    }

    fn read_beside(bytes: Option<&[u8]>, beside: Option<&DescriptorsIn>) -> Result<Self, BadValue> {
        bytes.map(|bytes| T::decode_beside(bytes, beside)).transpose()
    }
}

impl Value for Bytes {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        Ok(Self::copy_from_slice(bytes))
    }
}

impl Value for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        Ok(bytes.to_vec())
    }
}

impl Value for String {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        text(bytes).map(ToOwned::to_owned)
    }
}

impl Value for PathBuf {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        out.extend_from_slice(self.to_str().ok_or(BadValue::NotText)?.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        text(bytes).map(Self::from)
    }
}

impl Value for bool {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        out.extend_from_slice(if *self { b"True" } else { b"False" });
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        match bytes {
            b"True" => Ok(true),
            b"False" => Ok(false),
            _ => Err(BadValue::NotBoolean),
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, BadValue> {
    str::from_utf8(bytes).map_err(|_| BadValue::NotText)
}
