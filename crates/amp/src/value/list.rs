use std::ops::Deref;

use super::{DescriptorsIn, DescriptorsOut, Value};
use crate::codec::{BoxWriter, Decoder, Fields, Limits, take_counted};
use crate::{BadField, BadValue, VALUE_MAX};

impl<T: Value> Value for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        for element in self {
            let at = out.len();
            out.extend_from_slice(&[0, 0]);
            element.encode(out)?;
            let length = out.len() - at - 2;
            let prefix = u16::try_from(length).map_err(|_| BadValue::TooLong { length })?;
            out[at..at + 2].copy_from_slice(&prefix.to_be_bytes());
        }
        Ok(())
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, BadValue> {
        let mut elements = Self::new();
        while !bytes.is_empty() {
            let element = take_counted(&mut bytes).ok_or(BadValue::CutShort)?;
            elements.push(T::decode(element)?);
        }
        Ok(elements)
    }
}

/// Named values that stand in a box together: the fields of a command, or a row of an [`AmpList`].
///
/// [`record!`](crate::record) and [`command!`](crate::command) write these.
pub trait Record: Sized {
    /// Adds each field to a box.
    fn put(&self, writer: &mut BoxWriter<'_>);

    /// Takes each field out of a box. Fields that it does not know are not looked at.
    ///
    /// # Errors
    ///
    /// If one is missing or malformed.
    fn take(fields: Fields<'_>) -> Result<Self, BadField>;
}

/// Nothing: what a command answers that has nothing to say.
impl Record for () {
    fn put(&self, _: &mut BoxWriter<'_>) {}

    fn take(_: Fields<'_>) -> Result<Self, BadField> {
        Ok(())
    }
}

/// Rows of the same named values, all in one value of a box.
///
/// ```
/// use ropewalk_amp::{AmpList, Value, record};
///
/// record! {
///     pub Point { x: i32, y: Option<i32> }
/// }
///
/// let points = AmpList(vec![Point { x: 1, y: None }, Point { x: 2, y: Some(3) }]);
/// let mut wire = Vec::new();
/// points.encode(&mut wire)?;
/// assert_eq!(wire, b"\0\x01x\0\x011\0\0\0\x01x\0\x012\0\x01y\0\x013\0\0");
/// # Ok::<(), ropewalk_amp::BadValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AmpList<R>(pub Vec<R>);

impl<R> Deref for AmpList<R> {
    type Target = Vec<R>;

    fn deref(&self) -> &Vec<R> {
        &self.0
    }
}

impl<R> Default for AmpList<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R> IntoIterator for AmpList<R> {
    type Item = R;
    type IntoIter = std::vec::IntoIter<R>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<R> FromIterator<R> for AmpList<R> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

impl<R: Record> Value for AmpList<R> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        self.encode_beside(out, None)
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        Self::decode_beside(bytes, None)
    }

    fn encode_beside(
        &self,
        out: &mut Vec<u8>,
        mut beside: Option<&mut DescriptorsOut>,
    ) -> Result<(), BadValue> {
        for row in &self.0 {
            let mut writer = BoxWriter::beside(out, beside.as_deref_mut());
            row.put(&mut writer);
            writer.finish().map_err(|fault| BadValue::Row(Box::new(fault)))?;
        }
        Ok(())
    }

    fn decode_beside(mut bytes: &[u8], beside: Option<&DescriptorsIn>) -> Result<Self, BadValue> {
        // All rows together are no longer than one value, which bounds them well enough.
        let limits = Limits { keys_max: VALUE_MAX, box_max: VALUE_MAX, ..Limits::default() };
        let mut rows = Vec::new();
        let mut decoder = Decoder::default();
        while !bytes.is_empty() {
            let row = decoder.feed(&mut bytes, &limits).map_err(BadValue::BadBox)?;
            let row = row.ok_or(BadValue::CutShort)?.beside(beside);
            rows.push(R::take(row).map_err(|fault| BadValue::Row(Box::new(fault)))?);
        }
        Ok(Self(rows))
    }
}
