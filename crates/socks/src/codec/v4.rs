//! Version 4, with 4a for names.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::decoder::{Message, Reader, Stop};
use super::target::NAME_MAX;
use super::{Command, Target};
use crate::error::{BadMessage, Refusal};

/// The longest name of a user in version 4, in bytes.
pub const USER_MAX: usize = 255;

pub(super) const VERSION: u8 = 4;
/// The version that stands in replies.
const REPLY_VERSION: u8 = 0;
const GRANTED: u8 = 90;
/// An address that no host has: the name follows (4a).
const NAMED: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);

/// A request of version 4 or 4a.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request4 {
    /// What is wanted.
    pub command: Command,
    /// Where: not an IPv6 address.
    pub target: Target,
    /// Who says to ask.
    pub user: Vec<u8>,
}

impl Request4 {
    /// Appends the request's bytes.
    ///
    /// # Errors
    ///
    /// If there can be no such request in this version.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadMessage> {
        if self.command == Command::Associate {
            return Err(BadMessage::Command { command: Command::Associate.to_byte() });
        }
        if self.user.len() > USER_MAX || self.user.contains(&0) {
            return Err(BadMessage::LongUser);
        }
        let address = match self.target {
            // Such an address says that a name follows.
            Target::Ip(SocketAddr::V4(address)) if is_mark(*address.ip()) => {
                return Err(BadMessage::AddressFamily);
            }
            Target::Ip(SocketAddr::V4(address)) => *address.ip(),
            Target::Ip(SocketAddr::V6(_)) => return Err(BadMessage::AddressFamily),
            Target::Name(..) => NAMED,
        };
        out.extend_from_slice(&[VERSION, self.command.to_byte()]);
        out.extend_from_slice(&self.target.port().to_be_bytes());
        out.extend_from_slice(&address.octets());
        out.extend_from_slice(&self.user);
        out.push(0);
        if let Target::Name(name, _) = &self.target {
            out.extend_from_slice(name.as_str().as_bytes());
            out.push(0);
        }
        Ok(())
    }
}

impl Message for Request4 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let version = reader.byte()?;
        if version != VERSION {
            return Err(BadMessage::Version { version }.into());
        }
        let command = match Command::from_byte(reader.byte()?)? {
            Command::Associate => return Err(BadMessage::Command { command: 3 }.into()),
            command => command,
        };
        let port = reader.port()?;
        let address = Ipv4Addr::from(reader.array::<4>()?);
        let user = reader.until_zero(USER_MAX, BadMessage::LongUser)?.to_vec();
        let target = if is_mark(address) {
            let name = reader.until_zero(NAME_MAX, BadMessage::Name)?;
            let target = Target::from_bytes(name, port)?;
            let is_other = |address: SocketAddr| match address {
                SocketAddr::V4(address) => is_mark(*address.ip()),
                SocketAddr::V6(_) => true,
            };
            if matches!(target, Target::Ip(address) if is_other(address)) {
                return Err(BadMessage::AddressFamily.into());
            }
            target
        } else {
            Target::Ip(SocketAddr::from((address, port)))
        };
        Ok(Self { command, target, user })
    }
}

/// Whether an address says that a name follows (4a): no host has it.
fn is_mark(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [0, 0, 0, 1..=255])
}

/// An answer of version 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply4 {
    /// Whether the request is granted, and why not.
    pub outcome: Result<(), Refusal>,
    /// An address that matters to the request; zeros if none does.
    pub address: SocketAddrV4,
}

impl Reply4 {
    /// The request is granted.
    pub fn granted(address: SocketAddrV4) -> Self {
        Self { outcome: Ok(()), address }
    }

    /// The request is refused.
    pub fn refused(why: Refusal) -> Self {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Self { outcome: Err(why), address: nowhere }
    }

    /// Appends the answer's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let code = self.outcome.map_or_else(Refusal::code4, |()| GRANTED);
        out.extend_from_slice(&[REPLY_VERSION, code]);
        out.extend_from_slice(&self.address.port().to_be_bytes());
        out.extend_from_slice(&self.address.ip().octets());
    }
}

impl Message for Reply4 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let version = reader.byte()?;
        if version != REPLY_VERSION {
            return Err(BadMessage::Version { version }.into());
        }
        let outcome = match reader.byte()? {
            GRANTED => Ok(()),
            code => Err(Refusal::from_code4(code)),
        };
        let port = reader.port()?;
        let address = Ipv4Addr::from(reader.array::<4>()?);
        Ok(Self { outcome, address: SocketAddrV4::new(address, port) })
    }
}
