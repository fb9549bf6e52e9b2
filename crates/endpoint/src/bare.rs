//! What somebody may have meant who wrote no endpoint.
//!
//! Each function answers strings that may be right; whether one is depends on the schemes at hand,
//! which tell a server from a client, so the caller tries them in turn.

use std::net::Ipv6Addr;
use std::ops::Range;

use crate::description::quote;
use crate::value::{quote_host, quote_path};

/// How many colons of a string are looked at for the start of an address, and for its end.
const STARTS_MAX: usize = 10;

/// A URL's scheme and what stands behind its slashes.
pub(crate) fn url(source: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = source.split_once("://")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(fits))
        .then_some((scheme, rest))
}

pub(crate) fn instead_of_url((scheme, rest): (&str, &str)) -> Vec<String> {
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let with_port = |port| format!("{authority}:{port}");
    match scheme.as_str() {
        "unix" | "file" => vec![format!("unix:{}", quote_path(rest))],
        "ws" | "wss" => instead_of_websocket(&scheme, authority, rest),
        "https" | "tls" | "ssl" => {
            let address = host_and_port(authority).unwrap_or((Some(authority), 443));
            vec![over("tls", address.0, address.1), format!("tls:{}:self-signed", address.1)]
        }
        "http" if host_and_port(authority).is_none() => instead_of_address(&with_port(80)),
        _ => instead_of_address(authority),
    }
}

/// A client in a WebSocket, or a server for them.
fn instead_of_websocket(scheme: &str, authority: &str, rest: &str) -> Vec<String> {
    let usual = if scheme == "wss" { 443 } else { 80 };
    let with_port = format!("{authority}:{usual}");
    let address = if host_and_port(authority).is_some() { authority } else { &with_port };
    let Some((host, port)) = host_and_port(address) else { return Vec::new() };
    let from = rest.find(['/', '?']).unwrap_or(rest.len());
    let path = rest[from..].split('#').next().unwrap_or_default();
    let path = if path.len() < 2 { String::new() } else { format!(":path={}", quote(path)) };
    let client = over(scheme, host, port) + &path;
    let servers = match scheme {
        "wss" => vec![format!("tls:{port}:self-signed")],
        _ => instead_of_address(address),
    };
    let servers = servers.into_iter().map(|server| format!("websocket{path}:{server}"));
    [client].into_iter().chain(servers).collect()
}

/// A path by its looks.
pub(crate) fn is_path(source: &str) -> bool {
    ["/", "./", "../"].iter().any(|front| source.starts_with(front))
}

pub(crate) fn instead_of_path(source: &str) -> Vec<String> {
    vec![format!("unix:{}", quote_path(source))]
}

/// For a port alone, or a host and a port.
pub(crate) fn instead_of_address(source: &str) -> Vec<String> {
    let Some((host, port)) = host_and_port(source) else { return Vec::new() };
    let Some(host) = host else {
        return vec![format!("tcp:{port}"), over("tcp", None, port)];
    };
    let interface = quote_host(if host == "localhost" { "127.0.0.1" } else { host });
    vec![
        over("tcp", Some(host), port),
        format!("tcp:{port}:interface={interface}"),
        format!("tcp6:{port}:interface={interface}"),
        format!("tcp:{port}"),
    ]
}

/// For an IPv6 address without its brackets, with the bytes where it stands.
///
/// A port may follow the address and look like a part of it, so shorter ones are tried too.
pub(crate) fn instead_of_ipv6(source: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    let starts = source.match_indices([':', '=']).map(|(index, _)| index + 1).take(STARTS_MAX);
    starts.flat_map(move |start| {
        let rest = &source[start..];
        let is_address_char = |c: char| c.is_ascii_hexdigit() || ":.".contains(c);
        let run = &rest[..rest.find(|c| !is_address_char(c)).unwrap_or(rest.len())];
        let cuts = run.rmatch_indices(':').map(|(index, _)| index);
        let addresses = [run.len()].into_iter().chain(cuts).take(STARTS_MAX).map(|end| &run[..end]);
        addresses.filter(|address| address.parse::<Ipv6Addr>().is_ok()).map(move |address| {
            let end = start + address.len();
            (start..end, format!("{}[{address}]{}", &source[..start], &source[end..]))
        })
    })
}

/// The host, if one is named, and the port.
fn host_and_port(source: &str) -> Option<(Option<&str>, u16)> {
    let (host, port) = source.rsplit_once(':').unwrap_or(("", source));
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number)?;
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if host.contains(['=', '\\']) || (inner.is_none() && host.contains(':')) {
        return None;
    }
    let host = inner.unwrap_or(host);
    Some(((!matches!(host, "" | "*")).then_some(host), port))
}

fn over(kind: &str, host: Option<&str>, port: u16) -> String {
    format!("{kind}:{}:{port}", quote_host(host.unwrap_or("localhost")))
}
