//! Datagrams on their way through a server (RFC 1928, section 7).

use super::Target;
use super::decoder::{Reader, Stop};
use crate::error::BadMessage;

/// A datagram with where it goes to, or comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'d> {
    /// The other end.
    pub target: Target,
    /// What is sent.
    pub data: &'d [u8],
}

impl<'d> Datagram<'d> {
    /// Reads what came in one datagram.
    ///
    /// # Errors
    ///
    /// If it does not begin with a target, or is a part of a larger one: nobody puts those together.
    pub fn read(bytes: &'d [u8]) -> Result<Self, BadMessage> {
        let mut reader = Reader::new(bytes);
        let read = |reader: &mut Reader<'d>| {
            reader.array::<2>()?;
            match reader.byte()? {
                0 => Target::read(reader),
                fragment => Err(BadMessage::Fragment { fragment }.into()),
            }
        };
        match read(&mut reader) {
            Ok(target) => Ok(Self { target, data: reader.rest() }),
            Err(Stop::More) => Err(BadMessage::ShortDatagram),
            Err(Stop::Bad(bad)) => Err(bad),
        }
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, 0, 0]);
        self.target.encode(out);
        out.extend_from_slice(self.data);
    }
}
