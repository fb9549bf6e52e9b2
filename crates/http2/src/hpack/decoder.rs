//! From a field block to fields.

use std::error::Error;
use std::fmt;

use bytes::Bytes;

use super::field::{Field, Name};
use super::table::{Dynamic, STATIC};
use super::{TABLE_SIZE, huffman, integer};

/// Reads field blocks, which have to come in the order in which they were sent.
///
/// What it hands out shares the octets of its table, so a short block that names a long entry many
/// times costs no more memory than its fields' handles.
#[derive(Debug)]
pub struct Decoder {
    table: Dynamic,
    /// What this end allows.
    allowed: usize,
    /// The peer has to say, at the head of its next block, that it goes no further than this.
    owed: Option<usize>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Reads blocks of a peer that was told nothing yet of table sizes.
    pub fn new() -> Self {
        Self { table: Dynamic::new(TABLE_SIZE), allowed: TABLE_SIZE, owed: None }
    }

    /// Allows the peer a table of `max` octets.
    ///
    /// To be called when the peer acknowledged the setting: from then on its blocks keep to it.
    pub fn set_table_max(&mut self, max: usize) {
        self.allowed = max;
        if max < self.table.max() {
            self.owed = Some(self.owed.map_or(max, |owed| owed.min(max)));
        }
    }

    /// What is allocated for the table itself, in octets.
    pub(crate) fn memory(&self) -> usize {
        self.table.memory()
    }

    /// What the table takes now, as RFC 7541 4.1 counts.
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Reads a whole block and gives out its fields, in order.
    ///
    /// # Errors
    ///
    /// The block breaks a rule. The tables of the two ends differ from then on, so that the
    /// connection has to end with `COMPRESSION_ERROR` (RFC 9113 4.3).
    pub fn decode(
        &mut self,
        mut block: &[u8],
        mut each: impl FnMut(Field),
    ) -> Result<(), HpackError> {
        let mut room = Vec::new();
        let mut may_resize = true;
        while let Some(&first) = block.first() {
            if first & 0xe0 == 0x20 {
                if !may_resize {
                    return Err(HpackError::SizeUpdateTooLate);
                }
                self.resize(integer::decode(&mut block, 5)?)?;
                continue;
            }
            may_resize = false;
            if let Some(owed) = self.owed {
                return Err(HpackError::SizeUpdateMissing { allowed: owed });
            }
            each(self.field(first, &mut block, &mut room)?);
        }
        Ok(())
    }

    /// RFC 7541 4.2: the smallest size since the last block has to be among the updates.
    fn resize(&mut self, size: usize) -> Result<(), HpackError> {
        if size > self.allowed {
            return Err(HpackError::TableTooLarge { size, allowed: self.allowed });
        }
        if self.owed.is_some_and(|owed| size <= owed) {
            self.owed = None;
        }
        self.table.set_max(size);
        Ok(())
    }

    fn field(
        &mut self,
        first: u8,
        block: &mut &[u8],
        room: &mut Vec<u8>,
    ) -> Result<Field, HpackError> {
        if first & 0x80 != 0 {
            let (name, value) = self.entry(integer::decode(block, 7)?)?;
            return Ok(Field { name, value, is_secret: false });
        }
        let is_indexed = first & 0x40 != 0;
        let index = integer::decode(block, if is_indexed { 6 } else { 4 })?;
        let name = match index {
            0 => Name::new(&string(block, room)?),
            index => self.name(index)?,
        };
        let value = string(block, room)?;
        if is_indexed {
            self.table.insert(name.clone(), value.clone());
        }
        Ok(Field { name, value, is_secret: first & 0xf0 == 0x10 })
    }

    fn entry(&self, index: usize) -> Result<(Name, Bytes), HpackError> {
        match index.checked_sub(1).and_then(|at| STATIC.get(at)) {
            Some((name, value)) => Ok((name.clone(), Bytes::from_static(value.as_bytes()))),
            None => self.table.get(index).cloned().ok_or(HpackError::NoEntry { index }),
        }
    }

    fn name(&self, index: usize) -> Result<Name, HpackError> {
        match STATIC.get(index - 1) {
            Some((name, _)) => Ok(name.clone()),
            None => match self.table.get(index) {
                Some((name, _)) => Ok(name.clone()),
                None => Err(HpackError::NoEntry { index }),
            },
        }
    }
}

/// A string, coded or not (RFC 7541 5.2).
fn string(block: &mut &[u8], room: &mut Vec<u8>) -> Result<Bytes, HpackError> {
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let len = integer::decode(block, 7)?;
    let (text, rest) = block.split_at_checked(len).ok_or(HpackError::Truncated)?;
    *block = rest;
    if !is_coded {
        return Ok(Bytes::copy_from_slice(text));
    }
    huffman::decode(text, room).map_err(|wrong| match wrong {
        huffman::BadCode::End => HpackError::EndOfString,
        huffman::BadCode::Padding => HpackError::BadPadding,
    })
}

/// What is wrong with a field block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HpackError {
    /// It ends within a field.
    Truncated,
    /// An integer is larger than any that can be meant, or longer than it has to be.
    IntegerTooLarge,
    /// It names an entry that neither table has.
    NoEntry {
        /// What it named; 0 is no entry's.
        index: usize,
    },
    /// A coded string has the end-of-string symbol in it.
    EndOfString,
    /// A coded string is filled up with more than 7 bits, or not with ones.
    BadPadding,
    /// The peer wants a larger table than it was allowed.
    TableTooLarge {
        /// What it wants, in octets.
        size: usize,
        /// What it was allowed, in octets.
        allowed: usize,
    },
    /// A size update stands behind a field.
    SizeUpdateTooLate,
    /// The peer acknowledged a smaller table, but did not begin its next block by saying so.
    SizeUpdateMissing {
        /// What it is allowed, in octets.
        allowed: usize,
    },
}

impl fmt::Display for HpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the field block ends within a field"),
            Self::IntegerTooLarge => f.write_str("an integer in the field block is too large"),
            Self::NoEntry { index } => write!(f, "the tables have no entry {index}"),
            Self::EndOfString => {
                f.write_str("a Huffman-coded string holds the end-of-string symbol")
            }
            Self::BadPadding => {
                f.write_str("a Huffman-coded string is not filled up with up to 7 ones")
            }
            Self::TableTooLarge { size, allowed } => {
                write!(f, "a table of {size} octets was asked for, and {allowed} are allowed")
            }
            Self::SizeUpdateTooLate => f.write_str("a table size update stands behind a field"),
            Self::SizeUpdateMissing { allowed } => {
                write!(
                    f,
                    "no table size update came after the table was limited to {allowed} octets"
                )
            }
        }
    }
}

impl Error for HpackError {}
