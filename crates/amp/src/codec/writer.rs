use std::ops::Range;

use super::fields::take_counted;
use super::{KEY_MAX, VALUE_MAX};
use crate::value::DescriptorsOut;
use crate::{BadField, Field};

/// Appends one box to a buffer, sorted by key.
///
/// A box that turns out to be impossible leaves the buffer as it was.
#[derive(Debug)]
pub struct BoxWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    /// Where the key before lies.
    last: Range<usize>,
    is_sorted: bool,
    /// What goes beside the bytes, where anything can.
    beside: Option<&'o mut DescriptorsOut>,
    fault: Option<BadField>,
}

impl<'o> BoxWriter<'o> {
    /// Begins a box at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        Self::beside(out, None)
    }

    /// The same where descriptors may go beside it.
    pub(crate) fn beside(out: &'o mut Vec<u8>, beside: Option<&'o mut DescriptorsOut>) -> Self {
        let start = out.len();
        Self { out, start, last: start..start, is_sorted: true, beside, fault: None }
    }

    /// Adds a typed value; an optional one that is absent adds nothing.
    pub fn field(&mut self, key: &str, value: &impl Field) {
        if !value.is_present() || !self.begin(key.as_bytes()) {
            return;
        }
        let at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        let written = value.write_beside(self.out, self.beside.as_deref_mut());
        let length = self.out.len() - at - 2;
        match (written, u16::try_from(length)) {
            (Ok(()), Ok(length)) => self.out[at..at + 2].copy_from_slice(&length.to_be_bytes()),
            (Ok(()), Err(_)) => self.fail(BadField::value_length(key.as_bytes(), length)),
            (Err(fault), _) => self.fail(BadField::new(key, fault)),
        }
    }

    /// Adds a value as it is.
    pub fn raw(&mut self, key: &[u8], value: &[u8]) {
        if value.len() > VALUE_MAX {
            return self.fail(BadField::value_length(key, value.len()));
        }
        if self.begin(key) {
            self.out.extend_from_slice(&(value.len() as u16).to_be_bytes());
            self.out.extend_from_slice(value);
        }
    }

    /// Writes a key; false if the box is spoiled.
    fn begin(&mut self, key: &[u8]) -> bool {
        if key.is_empty() || key.len() > KEY_MAX {
            self.fail(BadField::key_length(key));
        }
        if self.fault.is_some() {
            return false;
        }
        self.is_sorted &= self.out[self.last.clone()] < *key;
        self.out.extend_from_slice(&(key.len() as u16).to_be_bytes());
        let at = self.out.len();
        self.out.extend_from_slice(key);
        self.last = at..self.out.len();
        true
    }

    fn fail(&mut self, fault: BadField) {
        self.fault.get_or_insert(fault);
    }

    /// Ends the box.
    ///
    /// # Errors
    ///
    /// If something in it cannot be sent; nothing of the box is in the buffer then.
    pub fn finish(mut self) -> Result<(), BadField> {
        if !self.is_sorted && self.fault.is_none() {
            self.sort();
        }
        match self.fault {
            None => {
                self.out.extend_from_slice(&[0, 0]);
                Ok(())
            }
            Some(fault) => {
                self.out.truncate(self.start);
                Err(fault)
            }
        }
    }

    /// Brings what was written into the order of its keys.
    fn sort(&mut self) {
        let written = self.out.split_off(self.start);
        let mut rest = &written[..];
        let mut fields: Vec<(&[u8], &[u8])> = std::iter::from_fn(|| {
            let whole = rest;
            let key = take_counted(&mut rest)?;
            take_counted(&mut rest)?;
            Some((key, &whole[..whole.len() - rest.len()]))
        })
        .collect();
        fields.sort_unstable_by_key(|(key, _)| *key);
        if let Some(pair) = fields.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            self.fault = Some(BadField::twice(pair[0].0));
        }
        self.out.extend(fields.iter().flat_map(|(_, field)| *field));
    }
}
