//! Version 1: a line of text.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use ropewalk_protocol::ProxyFields;

use super::{Ends, Header};
use crate::error::BadHeader;

/// The longest line of version 1, its end included: what two IPv6 addresses at their longest take.
pub const LINE_MAX: usize = 107;

const START: &[u8] = b"PROXY ";

/// Whether bytes that begin so may become a line.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let length = bytes.len().min(START.len());
    bytes[..length] == START[..length]
}

pub(super) fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, BadHeader> {
    let seen = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if seen.len() == LINE_MAX { Err(BadHeader::LongLine) } else { Ok(None) };
    };
    // A line that ends sooner than its first word is none.
    let words = seen[..end].get(START.len()..).ok_or(BadHeader::Signature)?;
    let words = str::from_utf8(words).map_err(|_| BadHeader::Line)?;
    Ok(Some((Header { ends: ends(words)?, fields: ProxyFields::default() }, end + 2)))
}

pub(super) fn encode(ends: Option<&Ends>, out: &mut Vec<u8>) {
    let ips = ends.and_then(|ends| Some((ends.source.ip()?, ends.destination.ip()?)));
    let Some((source, destination)) = ips else {
        return out.extend_from_slice(b"PROXY UNKNOWN\r\n");
    };
    let family = if source.is_ipv4() { 4 } else { 6 };
    let (from, to) = (source.ip(), destination.ip());
    let (from_port, to_port) = (source.port(), destination.port());
    write!(out, "PROXY TCP{family} {from} {to} {from_port} {to_port}\r\n")
        .expect("a Vec takes everything");
}

/// What stands behind the first word.
fn ends(words: &str) -> Result<Option<Ends>, BadHeader> {
    let mut words = words.split(' ');
    let is_v4 = match words.next() {
        Some("TCP4") => true,
        Some("TCP6") => false,
        // What else stands there is to be passed over.
        Some("UNKNOWN") => return Ok(None),
        _ => return Err(BadHeader::Protocol),
    };
    let (Some(from), Some(to), Some(from_port), Some(to_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BadHeader::Line);
    };
    let (from, to) = (address(from, is_v4)?, address(to, is_v4)?);
    let (from_port, to_port) = (port(from_port)?, port(to_port)?);
    Ok(Some(Ends {
        source: SocketAddr::new(from, from_port).into(),
        destination: SocketAddr::new(to, to_port).into(),
    }))
}

fn address(text: &str, is_v4: bool) -> Result<IpAddr, BadHeader> {
    let address: IpAddr = text.parse().map_err(|_| BadHeader::LineAddress)?;
    if address.is_ipv4() == is_v4 { Ok(address) } else { Err(BadHeader::LineAddress) }
}

/// Digits without a zero in front.
fn port(text: &str) -> Result<u16, BadHeader> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_number && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(BadHeader::LinePort)
}
