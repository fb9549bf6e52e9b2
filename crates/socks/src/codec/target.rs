//! Where a client wants to go.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ropewalk_protocol::Address;

use super::decoder::{Reader, Stop};
use crate::error::BadMessage;

/// The longest name of a host, in bytes.
pub const NAME_MAX: usize = 255;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// A host, by address or by name, and a port of it.
///
/// ```
/// use ropewalk_socks::Target;
/// let target = Target::new("example.org", 80)?;
/// assert_eq!(target.to_string(), "example.org:80");
/// // What is an address is not looked up.
/// assert_eq!(Target::new("::1", 80)?, Target::Ip("[::1]:80".parse().unwrap()));
/// # Ok::<(), ropewalk_socks::BadMessage>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An address.
    Ip(SocketAddr),
    /// A host that the server looks up.
    Name(HostName, u16),
}

/// The name of a host: 1 to 255 bytes of graphic ASCII, and no address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Target {
    /// A host by its name or, if it is one, its address.
    ///
    /// # Errors
    ///
    /// [`BadMessage::Name`] if there can be no such name.
    pub fn new(host: &str, port: u16) -> Result<Self, BadMessage> {
        Self::from_bytes(host.as_bytes(), port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Name(_, port) => *port,
        }
    }

    pub(super) fn from_bytes(host: &[u8], port: u16) -> Result<Self, BadMessage> {
        let is_name = (1..=NAME_MAX).contains(&host.len()) && host.iter().all(u8::is_ascii_graphic);
        let name = str::from_utf8(host).ok().filter(|_| is_name).ok_or(BadMessage::Name)?;
        Ok(match name.parse::<IpAddr>() {
            Ok(address) => Self::Ip(SocketAddr::new(address, port)),
            Err(_) => Self::Name(HostName(name.to_owned()), port),
        })
    }

    /// Reads one as version 5 writes it.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let ip = |address: IpAddr, port| Self::Ip(SocketAddr::new(address, port));
        match reader.byte()? {
            IPV4 => {
                let address = Ipv4Addr::from(reader.array::<4>()?);
                Ok(ip(address.into(), reader.port()?))
            }
            IPV6 => {
                let address = Ipv6Addr::from(reader.array::<16>()?);
                Ok(ip(address.into(), reader.port()?))
            }
            NAME => {
                let name = reader.counted()?;
                let port = reader.port()?;
                Ok(Self::from_bytes(name, port)?)
            }
            kind => Err(BadMessage::AddressType { kind }.into()),
        }
    }

    /// Appends it as version 5 writes it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ip(SocketAddr::V4(address)) => {
                out.push(IPV4);
                out.extend_from_slice(&address.ip().octets());
            }
            Self::Ip(SocketAddr::V6(address)) => {
                out.push(IPV6);
                out.extend_from_slice(&address.ip().octets());
            }
            Self::Name(HostName(name), _) => {
                out.extend_from_slice(&[NAME, name.len() as u8]);
                out.extend_from_slice(name.as_bytes());
            }
        }
        out.extend_from_slice(&self.port().to_be_bytes());
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<&Target> for Address {
    fn from(target: &Target) -> Self {
        match target {
            Target::Ip(address) => Self::Ip(*address),
            Target::Name(name, port) => Self::Host(name.0.clone(), *port),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}
