//! Networks: addresses that begin alike.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::Address;

/// The Internet addresses that begin with the same bits: `10.0.0.0/8`, `fd00::/8`, `192.0.2.1`.
///
/// An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is the IPv4 address.
///
/// ```
/// use ropewalk_protocol::Network;
/// let network: Network = "192.168.0.0/16".parse()?;
/// assert!(network.contains("192.168.7.1".parse().unwrap()));
/// assert!(network.contains("::ffff:192.168.7.1".parse().unwrap()));
/// assert!(!network.contains("192.169.0.1".parse().unwrap()));
/// # Ok::<(), ropewalk_protocol::BadNetwork>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first of the addresses.
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The addresses that begin with the first `prefix` bits of `address`.
    ///
    /// # Errors
    ///
    /// If an address has fewer bits, or `address` has more bits set than those.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, BadNetwork> {
        let size = if address.is_ipv4() { 32 } else { 128 };
        if prefix > size {
            return Err(BadNetwork::LongPrefix { prefix: prefix.into(), size });
        }
        let (address, prefix) = match address.to_canonical() {
            mapped @ IpAddr::V4(_) if size == 128 && prefix >= 96 => (mapped, prefix - 96),
            _ => (address, prefix),
        };
        let network = Self { address: first(address, prefix), prefix };
        if network.address == address { Ok(network) } else { Err(BadNetwork::HostBits(network)) }
    }

    /// The network of this address alone.
    pub const fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The first of the addresses.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits the addresses have in common.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && first(address, self.prefix) == self.address
    }

    /// Whether `address` is in one of `networks`. Whoever has no Internet address, on a Unix socket
    /// or in memory, is on this machine: whether that will do is for the one who asks to say.
    pub fn any_contains(networks: &[Self], address: &Address, if_local: bool) -> bool {
        let Some(address) = address.ip() else { return if_local };
        networks.iter().any(|network| network.contains(address.ip()))
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadNetwork::Address)?;
        let Some(prefix) = prefix else { return Ok(Self::of(address)) };
        let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let bits = prefix.parse::<u32>().ok().filter(|_| is_number).ok_or(BadNetwork::Prefix)?;
        let size = if address.is_ipv4() { 32 } else { 128 };
        let prefix =
            u8::try_from(bits).map_err(|_| BadNetwork::LongPrefix { prefix: bits, size })?;
        Self::new(address, prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::of(self.address) {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

/// Why a text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadNetwork {
    /// There is no IP address in front.
    Address,
    /// What stands behind the `/` is no number.
    Prefix,
    /// More bits than an address has.
    LongPrefix {
        /// How many were asked for.
        prefix: u32,
        /// How many there are.
        size: u8,
    },
    /// The address has bits beyond those in common; this is the network that was meant, perhaps.
    HostBits(Network),
}

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("a network begins with an IP address, as in 10.0.0.0/8"),
            Self::Prefix => f.write_str("a number of bits stands behind the /, as in 10.0.0.0/8"),
            Self::LongPrefix { prefix, size } => {
                write!(f, "a prefix of {prefix} bits is too long: such an address has {size}")
            }
            Self::HostBits(meant) => {
                write!(f, "the address has bits beyond the prefix; did you mean {meant}?")
            }
        }
    }
}

impl Error for BadNetwork {}

/// The address with all but its first `prefix` bits cleared.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}
