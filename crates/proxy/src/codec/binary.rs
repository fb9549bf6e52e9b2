//! Version 2: bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use ropewalk_protocol::{Address, ProxyFields};

use super::checksum::crc32c;
use super::fields::{self, CHECKSUM};
use super::{Ends, Header};
use crate::error::{BadHeader, CannotEncode};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Up to and with the length of what follows.
const FIXED: usize = 16;
const V2: u8 = 0x20;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const UDP4: u8 = 0x12;
const TCP6: u8 = 0x21;
const UDP6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;
const PATH_SIZE: usize = 108;
/// The type, the length and the value of a checksum.
const CHECKSUM_SIZE: usize = 7;

/// Whether bytes that begin so may become a header.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let length = bytes.len().min(SIGNATURE.len());
    bytes[..length] == SIGNATURE[..length]
}

pub(super) fn read(bytes: &[u8], length_max: usize) -> Result<Option<(Header, usize)>, BadHeader> {
    let Some(&kind) = bytes.get(SIGNATURE.len()) else { return Ok(None) };
    let (version, command) = (kind >> 4, kind & 0x0f);
    if version != V2 >> 4 {
        return Err(BadHeader::Version { version });
    }
    if command != LOCAL && command != PROXY {
        return Err(BadHeader::Command { command });
    }
    let Some(&family) = bytes.get(SIGNATURE.len() + 1) else { return Ok(None) };
    let wanted = if command == LOCAL { 0 } else { size_of_ends(family)? };
    let Some((fixed, data)) = bytes.split_at_checked(FIXED) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > length_max {
        return Err(BadHeader::Long { length, length_max });
    }
    if length < wanted {
        return Err(BadHeader::Short { length, wanted });
    }
    let Some(data) = data.get(..length) else { return Ok(None) };
    let header = if command == LOCAL {
        // It speaks for the proxy alone; what else it says is to be passed over.
        Header::default()
    } else {
        let (addresses, said) = data.split_at(wanted);
        let ends = ends(family, addresses);
        let (fields, checksum) = fields::read(said)?;
        if let Some(checksum) = checksum {
            check(fixed, addresses, said, checksum)?;
        }
        Header { ends, fields }
    };
    Ok(Some((header, FIXED + length)))
}

pub(super) fn encode(
    header: &Header,
    is_checked: bool,
    out: &mut Vec<u8>,
) -> Result<(), CannotEncode> {
    let start = out.len();
    // Whoever has nothing to tell speaks for himself.
    let is_silent = header.ends.is_none() && header.fields == ProxyFields::default();
    out.extend_from_slice(&SIGNATURE);
    out.push(V2 | if is_silent { LOCAL } else { PROXY });
    out.push(UNSPECIFIED);
    out.extend_from_slice(&[0, 0]);
    if let Some(ends) = &header.ends {
        out[start + 13] = encode_ends(ends, out);
    }
    let is_written = fields::encode(&header.fields, out).and_then(|()| {
        let length = out.len() - start - FIXED + if is_checked { CHECKSUM_SIZE } else { 0 };
        u16::try_from(length).map_err(|_| CannotEncode::LongFields { length })
    });
    let length = is_written.inspect_err(|_| out.truncate(start))?;
    out[start + 14..start + FIXED].copy_from_slice(&length.to_be_bytes());
    if is_checked {
        out.extend_from_slice(&[CHECKSUM, 0, 4, 0, 0, 0, 0]);
        let checksum = crc32c(&[&out[start..]]).to_be_bytes();
        let at = out.len() - checksum.len();
        out[at..].copy_from_slice(&checksum);
    }
    Ok(())
}

/// Two addresses as two of one family.
pub(super) fn one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    let (source, destination) = (plain(source), plain(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        (source, destination)
    } else {
        (mapped(source), mapped(destination))
    }
}

fn size_of_ends(family: u8) -> Result<usize, BadHeader> {
    match family {
        UNSPECIFIED => Ok(0),
        TCP4 | UDP4 => Ok(12),
        TCP6 | UDP6 => Ok(36),
        UNIX_STREAM | UNIX_DATAGRAM => Ok(2 * PATH_SIZE),
        family => Err(BadHeader::Family { family }),
    }
}

/// The ends in as many bytes as they take.
fn ends(family: u8, bytes: &[u8]) -> Option<Ends> {
    let (source, destination) = match family {
        TCP4 | UDP4 => {
            let (source, rest) = bytes.split_first_chunk::<4>()?;
            let (destination, ports) = rest.split_first_chunk::<4>()?;
            let (from, to) = two_ports(ports)?;
            let source = SocketAddr::from((Ipv4Addr::from(*source), from));
            (source.into(), SocketAddr::from((Ipv4Addr::from(*destination), to)).into())
        }
        TCP6 | UDP6 => {
            let (source, rest) = bytes.split_first_chunk::<16>()?;
            let (destination, ports) = rest.split_first_chunk::<16>()?;
            let (from, to) = two_ports(ports)?;
            let source = SocketAddr::from((Ipv6Addr::from(*source), from));
            (source.into(), SocketAddr::from((Ipv6Addr::from(*destination), to)).into())
        }
        UNIX_STREAM | UNIX_DATAGRAM => {
            let (source, destination) = bytes.split_at_checked(PATH_SIZE)?;
            (path(source), path(destination))
        }
        _ => return None,
    };
    Some(Ends { source, destination })
}

fn two_ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *bytes.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// A path up to its first zero. One in no alphabet is shown as well as can be: it names, it opens
/// nothing.
fn path(bytes: &[u8]) -> Address {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    if length == 0 {
        return Address::Unnamed;
    }
    Address::Unix(String::from_utf8_lossy(&bytes[..length]).into_owned().into())
}

/// Appends the ends; answers their family. Paths that have no room are left out.
fn encode_ends(ends: &Ends, out: &mut Vec<u8>) -> u8 {
    if let (Some(source), Some(destination)) = (ends.source.ip(), ends.destination.ip()) {
        let (source, destination) = one_family(source, destination);
        for end in [source, destination] {
            match end.ip() {
                IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
            }
        }
        out.extend_from_slice(&source.port().to_be_bytes());
        out.extend_from_slice(&destination.port().to_be_bytes());
        return if source.is_ipv4() { TCP4 } else { TCP6 };
    }
    match (path_bytes(&ends.source), path_bytes(&ends.destination)) {
        (Some(source), Some(destination)) => {
            out.extend_from_slice(&source);
            out.extend_from_slice(&destination);
            UNIX_STREAM
        }
        _ => UNSPECIFIED,
    }
}

fn path_bytes(address: &Address) -> Option<[u8; PATH_SIZE]> {
    let path = match address {
        Address::Unix(path) => path.as_path(),
        Address::Unnamed => Path::new(""),
        _ => return None,
    };
    let mut bytes = [0; PATH_SIZE];
    let path = path.to_str()?.as_bytes();
    bytes.get_mut(..path.len())?.copy_from_slice(path);
    Some(bytes)
}

/// Checks the checksum, whose value stands at this place among the fields and counts as zeros.
fn check(
    fixed: &[u8],
    addresses: &[u8],
    said: &[u8],
    (place, value): (usize, u32),
) -> Result<(), BadHeader> {
    let (before, after) = said.split_at(place);
    let found = crc32c(&[fixed, addresses, before, &[0; 4], &after[4..]]);
    if found == value { Ok(()) } else { Err(BadHeader::Checksum { said: value, found }) }
}
