use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use ropewalk_websocket::Request;

use crate::description::{bracketed, quote};
use crate::error::Fault;

/// How many connections may wait to be accepted, where nothing is said.
pub const BACKLOG_DEFAULT: u16 = 1024;
/// The most connections that may wait to be accepted; the system may allow fewer.
pub const BACKLOG_MAX: u16 = u16::MAX;
/// The longest host name, in bytes.
pub const HOST_MAX: usize = 253;
/// How long a connection may take to come about, where nothing is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The longest that a connection may take to come about.
pub const TIMEOUT_MAX: Duration = Duration::from_hours(24);
/// The permissions of a Unix socket, where nothing is said: its owner's alone.
///
/// Twisted's are 666, by which each user of the machine may connect.
pub const UNIX_MODE_DEFAULT: u32 = 0o600;
/// The longest path of a Unix socket, in bytes: what Linux has room for before the final zero.
pub const UNIX_PATH_MAX: usize = 107;

pub(crate) fn port(text: &str) -> Result<u16, Fault> {
    number(text).ok_or(Fault::Port)
}

pub(crate) fn client_port(text: &str) -> Result<u16, Fault> {
    check_client_port(number(text).ok_or(Fault::ClientPort)?)
}

pub(crate) fn check_client_port(port: u16) -> Result<u16, Fault> {
    if port == 0 { Err(Fault::ClientPort) } else { Ok(port) }
}

pub(crate) fn backlog(text: &str) -> Result<u16, Fault> {
    check_backlog(number(text).ok_or(Fault::Backlog)?)
}

pub(crate) fn check_backlog(backlog: u16) -> Result<u16, Fault> {
    if (1..=BACKLOG_MAX).contains(&backlog) { Ok(backlog) } else { Err(Fault::Backlog) }
}

pub(crate) fn ipv4_interface(text: &str) -> Result<Ipv4Addr, Fault> {
    text.parse().map_err(|_| Fault::Ipv4Interface)
}

pub(crate) fn ipv6_interface(text: &str) -> Result<Ipv6Addr, Fault> {
    unbracketed(text).parse().map_err(|_| Fault::Ipv6Interface)
}

pub(crate) fn bind(text: &str) -> Result<IpAddr, Fault> {
    unbracketed(text).parse().map_err(|_| Fault::Bind)
}

pub(crate) fn flag(text: &str) -> Result<bool, Fault> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(Fault::Flag),
    }
}

pub(crate) fn mode(text: &str) -> Result<u32, Fault> {
    let is_octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal);
    check_mode(mode.ok_or(Fault::Mode)?)
}

pub(crate) fn check_mode(mode: u32) -> Result<u32, Fault> {
    if mode <= 0o777 { Ok(mode) } else { Err(Fault::Mode) }
}

/// Whole seconds, or seconds with up to nine digits behind the point.
pub(crate) fn timeout(text: &str) -> Result<Duration, Fault> {
    let read = || {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let nanos = number(&format!("{fraction:0<9}"))?;
        (fraction.len() <= 9 && !fraction.is_empty()).then_some(())?;
        Some(Duration::new(number(whole)?, nanos))
    };
    check_timeout(read().ok_or(Fault::Timeout)?)
}

pub(crate) fn check_timeout(timeout: Duration) -> Result<Duration, Fault> {
    if timeout.is_zero() || timeout > TIMEOUT_MAX { Err(Fault::Timeout) } else { Ok(timeout) }
}

pub(crate) fn path(text: &str) -> Result<String, Fault> {
    match text {
        "" => Err(Fault::EmptyPath),
        _ if text.contains('\0') => Err(Fault::NulInPath),
        _ if text.len() > UNIX_PATH_MAX => Err(Fault::LongPath { length: text.len() }),
        _ => Ok(text.to_owned()),
    }
}

/// A name of the abstract namespace, which is as long as a path may be.
pub(crate) fn abstract_name(text: &str) -> Result<String, Fault> {
    let fits = (1..=UNIX_PATH_MAX).contains(&text.len());
    if fits { Ok(text.to_owned()) } else { Err(Fault::AbstractName { length: text.len() }) }
}

/// A path as HTTP asks for it, with a query or without.
pub(crate) fn web_path(text: &str) -> Result<String, Fault> {
    let fits = text.starts_with('/') && Request::new(&format!("ws://a{text}")).is_ok();
    if fits { Ok(text.to_owned()) } else { Err(Fault::WebSocketPath) }
}

/// A token (RFC 9110 5.6.2).
pub(crate) fn token(text: &str) -> Result<String, Fault> {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let fits = !text.is_empty() && text.chars().all(is_token_char);
    if fits { Ok(text.to_owned()) } else { Err(Fault::Subprotocol) }
}

/// A name as `FileDescriptorName=` takes it.
pub(crate) fn systemd_name(text: &str) -> Result<String, Fault> {
    let is_name_char = |c: char| c.is_ascii_graphic() && c != ':';
    let fits = (1..=255).contains(&text.len()) && text.chars().all(is_name_char);
    if fits { Ok(text.to_owned()) } else { Err(Fault::SystemdName) }
}

/// A name, an IPv4 address, or an IPv6 address with brackets or without, zone included. A name of
/// other letters than ASCII's is what a resolver knows it by (IDNA, UTS 46).
pub(crate) fn host(text: &str) -> Result<String, Fault> {
    let converted = if text.is_ascii() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(idna::domain_to_ascii(text).map_err(|_| Fault::Host)?)
    };
    let host = unbracketed(&converted);
    let is_name_char = |c: char| !c.is_control() && !c.is_whitespace() && !r"/\@[]=%".contains(c);
    let fits = match host.split_once('%') {
        _ if host.is_empty() || host.len() > HOST_MAX => false,
        None if host.contains(':') => host.parse::<Ipv6Addr>().is_ok(),
        None => host.chars().all(is_name_char),
        Some((address, zone)) => {
            let is_zone_char = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            let has_zone = !zone.is_empty() && zone.chars().all(is_zone_char);
            has_zone && address.parse::<Ipv6Addr>().is_ok()
        }
    };
    if fits { Ok(host.to_owned()) } else { Err(Fault::Host) }
}

/// The address that a host is, if it is none that must be looked up.
pub(crate) fn address(host: &str) -> Option<IpAddr> {
    host.split('%').next()?.parse().ok()
}

/// A host or an address as it stands in a description.
pub(crate) fn quote_host(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { quote(host) }
}

/// A path as it stands in a description: named if by its place it would make a URL.
pub(crate) fn quote_path(path: &str) -> String {
    let name = if path.starts_with("//") { "path=" } else { "" };
    format!("{name}{}", quote(path))
}

/// The path of a file that is read.
pub(crate) fn file(text: &str) -> Result<String, Fault> {
    match text {
        "" => Err(Fault::EmptyPath),
        _ if text.contains('\0') => Err(Fault::NulInPath),
        _ => Ok(text.to_owned()),
    }
}

/// One of two words; whether it is the second.
pub(crate) fn word(text: &str, first: &'static str, second: &'static str) -> Result<bool, Fault> {
    if text == first {
        Ok(false)
    } else if text == second {
        Ok(true)
    } else {
        Err(Fault::Word { first, second })
    }
}

/// Application protocols, with commas between them.
pub(crate) fn alpn(text: &str) -> Result<Vec<String>, Fault> {
    check_alpn(list(text))
}

pub(crate) fn check_alpn(protocols: Vec<String>) -> Result<Vec<String>, Fault> {
    let fits = |protocol: &String| (1..=255).contains(&protocol.len()) && !protocol.contains(',');
    if protocols.iter().all(fits) { Ok(protocols) } else { Err(Fault::Alpn) }
}

/// Host names and addresses, with commas between them.
pub(crate) fn names(text: &str) -> Result<Vec<String>, Fault> {
    list(text).iter().map(|name| host(name)).collect()
}

/// The SHA-256 of keys, with commas between them.
pub(crate) fn pins(text: &str) -> Result<Vec<String>, Fault> {
    text.split(',').map(check_pin).collect()
}

pub(crate) fn check_pin(pin: &str) -> Result<String, Fault> {
    let pin = pin.to_ascii_lowercase();
    let is_pin = pin.len() == 64 && pin.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_pin { Ok(pin) } else { Err(Fault::Pin) }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(ToOwned::to_owned).collect()
}

/// An argument that is a list, as it stands in a description.
pub(crate) fn write_list(f: &mut fmt::Formatter<'_>, name: &str, words: &[String]) -> fmt::Result {
    write!(f, ":{name}={}", quote(&words.join(",")))
}

/// A time-out as it stands in a description.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0.as_secs(), self.0.subsec_nanos());
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn unbracketed(text: &str) -> &str {
    match bracketed(text) {
        Some(length) if length == text.len() && text.contains(':') => &text[1..length - 1],
        _ => text,
    }
}

/// A number of digits alone: no sign, no space.
pub(crate) fn number<N: FromStr>(text: &str) -> Option<N> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
