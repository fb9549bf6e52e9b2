use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Uri};

use super::error::{BadRequest, Excerpt};

/// A request target, in the form that goes with its method (RFC 9112 3.2).
pub(super) fn target(method: &Method, text: &[u8]) -> Result<Uri, BadRequest> {
    let bad = || BadRequest::BadTarget(Excerpt::of(text));
    if *method == Method::CONNECT {
        let wrong = || BadRequest::BadConnectTarget(Excerpt::of(text));
        if !matches!(port_of(text), Ok(Some(1..))) {
            return Err(wrong());
        }
        let authority =
            Authority::from_maybe_shared(Bytes::copy_from_slice(text)).map_err(|_| wrong())?;
        return Ok(Uri::from(authority));
    }
    match text {
        b"/" => Ok(Uri::default()),
        b"*" if *method == Method::OPTIONS => Ok(Uri::from(PathAndQuery::from_static("*"))),
        b"*" => Err(BadRequest::AsteriskTarget),
        [b'/', ..] => {
            if !text.iter().copied().all(is_visible) {
                return Err(bad());
            }
            let path =
                PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(text)).map_err(|_| bad())?;
            Ok(Uri::from(path))
        }
        _ => absolute(text),
    }
}

fn absolute(text: &[u8]) -> Result<Uri, BadRequest> {
    let bad = || BadRequest::BadTarget(Excerpt::of(text));
    let Some(colon) = text.windows(3).position(|three| three == b"://") else {
        let is_authority = port_of(text).is_ok();
        let wrong = if is_authority { BadRequest::AuthorityTarget } else { BadRequest::BadTarget };
        return Err(wrong(Excerpt::of(text)));
    };
    let rest = &text[colon + 3..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    // RFC 9110 4.2.4: a user before the host is an error. No host has an @.
    if !is_scheme(&text[..colon])
        || port_of(&rest[..end]).is_err()
        || !text.iter().copied().all(is_visible)
    {
        return Err(bad());
    }
    Uri::from_maybe_shared(Bytes::copy_from_slice(text)).map_err(|_| bad())
}

/// RFC 3986 3.1.
fn is_scheme(text: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(fits)
}

/// What user agents send in targets, some of it without need: no fragment, no quotes, no brackets
/// of markup, nothing beyond ASCII.
fn is_visible(byte: u8) -> bool {
    VISIBLE[usize::from(byte)]
}

/// How many bytes at the front may stand in a target.
pub(super) fn visible_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !is_visible(byte)).unwrap_or(bytes.len())
}

/// Looked up rather than compared: each byte of a target comes by here.
static VISIBLE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(byte as u8, b'!' | b'$'..=b';' | b'=' | b'?'..=b'~');
        byte += 1;
    }
    table
};

/// What should be `host [":" port]` is not.
pub(super) struct NoHost;

/// The port in `host [":" port]`, if it has one (RFC 3986 3.2.2).
pub(super) fn port_of(text: &[u8]) -> Result<Option<u16>, NoHost> {
    let (is_host, rest) = if let [b'[', inside @ ..] = text {
        let end = inside.iter().position(|&byte| byte == b']').ok_or(NoHost)?;
        (is_address(&inside[..end]), &inside[end + 1..])
    } else {
        // RFC 3986 3.2.2 allows an empty one, but a scheme that is served here does not
        // (RFC 9110 4.2.1).
        let rest = after_name(text);
        (rest.len() < text.len(), rest)
    };
    match rest {
        _ if !is_host => Err(NoHost),
        [] | [b':'] => Ok(None),
        [b':', digits @ ..] if digits.len() <= 5 => {
            let add = |port: u32, digit: &u8| {
                digit.is_ascii_digit().then(|| port * 10 + u32::from(digit - b'0'))
            };
            let port = digits.iter().try_fold(0, add).ok_or(NoHost)?;
            u16::try_from(port).map(Some).map_err(|_| NoHost)
        }
        _ => Err(NoHost),
    }
}

/// What follows a registered name (RFC 3986 3.2.2).
fn after_name(text: &[u8]) -> &[u8] {
    let mut rest = text;
    loop {
        let plain = rest.iter().position(|&byte| !NAME_BYTES[usize::from(byte)]);
        rest = &rest[plain.unwrap_or(rest.len())..];
        match rest {
            [b'%', a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                rest = after;
            }
            _ => return rest,
        }
    }
}

/// Looked up rather than compared: each request has a host, and each byte of it comes by here.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = is_name_byte(byte as u8);
        byte += 1;
    }
    table
};

/// RFC 3986 2.2 and 2.3: unreserved, and what delimits nothing in a name.
const fn is_name_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
        | b'!' | b'$' | b'&'..=b',' | b';' | b'=')
}

/// An address between brackets (RFC 3986 3.2.2): of version six, or of one to come.
fn is_address(address: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(address) else { return false };
    if let Some(future) = text.strip_prefix(['v', 'V']) {
        let Some((version, rest)) = future.split_once('.') else { return false };
        return !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !rest.is_empty()
            && rest.bytes().all(|byte| byte == b':' || is_name_byte(byte));
    }
    text.parse::<std::net::Ipv6Addr>().is_ok()
}
