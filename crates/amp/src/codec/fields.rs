use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::writer::BoxWriter;
use super::{KEY_MAX, VALUE_MAX};
use crate::value::DescriptorsIn;
use crate::{BadField, Field};

/// The keys and values of one box, where they were received.
///
/// What [`Decoder`](super::Decoder) found is well formed, and no key stands in it twice.
#[derive(Clone, Copy)]
pub struct Fields<'d> {
    /// A box without the empty key at its end.
    bytes: &'d [u8],
    /// What came beside it, where anything can.
    beside: Option<&'d DescriptorsIn>,
}

impl PartialEq for Fields<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Fields<'_> {}

impl<'d> Fields<'d> {
    /// `bytes` must be whole fields, one behind the other.
    pub(super) fn new(bytes: &'d [u8]) -> Self {
        Self { bytes, beside: None }
    }

    /// The same with what came beside it.
    pub(crate) fn beside(self, beside: Option<&'d DescriptorsIn>) -> Self {
        Self { beside, ..self }
    }

    /// The typed value of `key`; `None` in place of an optional one that is absent.
    ///
    /// # Errors
    ///
    /// If it is missing or malformed.
    pub fn field<T: Field>(&self, key: &str) -> Result<T, BadField> {
        let value = T::read_beside(self.value(key.as_bytes()), self.beside);
        value.map_err(|fault| BadField::new(key, fault))
    }

    /// The value of `key`.
    pub fn value(&self, key: &[u8]) -> Option<&'d [u8]> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// All keys and values, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&'d [u8], &'d [u8])> + use<'d> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || Some((take_counted(&mut rest)?, take_counted(&mut rest)?)))
    }

    /// Whether no key stands in it twice.
    pub(super) fn are_distinct(&self) -> bool {
        let mut keys = self.iter().map(|(key, _)| key);
        // What real peers send is sorted, and found to be in order without a list of keys.
        let mut last: &[u8] = b"";
        if keys.all(|key| std::mem::replace(&mut last, key) < key) {
            return true;
        }
        let mut keys: Vec<_> = self.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.windows(2).all(|pair| pair[0] != pair[1])
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.iter(), f)
    }
}

/// Takes a length in two bytes and as many bytes as it says off the front of `rest`.
pub(crate) fn take_counted<'d>(rest: &mut &'d [u8]) -> Option<&'d [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (taken, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    Some(taken)
}

/// A box to keep: what a [`Command`](crate::Command) is made of, for those who look below types.
///
/// ```
/// # use ropewalk_amp::AmpBox;
/// let sum = AmpBox::new().with("total", "94")?;
/// assert_eq!(sum.encode(), b"\0\x05total\0\x0294\0\0");
/// # Ok::<(), ropewalk_amp::BadField>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AmpBox {
    fields: BTreeMap<Bytes, Bytes>,
}

impl AmpBox {
    /// A box without anything in it. On the wire that means the end of a box before its beginning,
    /// which no peer takes.
    pub fn new() -> Self {
        Self::default()
    }

    /// This box with one more key, or with another value for a key that it has.
    ///
    /// # Errors
    ///
    /// If the key is empty, or key or value are longer than a box can hold.
    pub fn with(
        mut self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Self, BadField> {
        let (key, value) = (key.into(), value.into());
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(BadField::key_length(&key));
        }
        if value.len() > VALUE_MAX {
            return Err(BadField::value_length(&key, value.len()));
        }
        self.fields.insert(key, value);
        Ok(self)
    }

    /// The value of `key`.
    pub fn value(&self, key: &[u8]) -> Option<&Bytes> {
        self.fields.get(key)
    }

    /// All keys and values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(key, value)| (&key[..], &value[..]))
    }

    /// The box as it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut writer = BoxWriter::new(&mut wire);
        for (key, value) in self.iter() {
            writer.raw(key, value);
        }
        let written = writer.finish();
        debug_assert!(written.is_ok(), "its fields were checked when they came");
        wire
    }
}

impl From<Fields<'_>> for AmpBox {
    fn from(fields: Fields<'_>) -> Self {
        let copy = |(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        Self { fields: fields.iter().map(copy).collect() }
    }
}

impl fmt::Debug for AmpBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.iter(), f)
    }
}

/// Keys and values as text; what is not text is escaped.
fn show<'d>(
    fields: impl Iterator<Item = (&'d [u8], &'d [u8])>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let escaped = |bytes: &[u8]| bytes.escape_ascii().to_string();
    f.debug_map().entries(fields.map(|(key, value)| (escaped(key), escaped(value)))).finish()
}
