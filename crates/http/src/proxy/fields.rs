//! Which fields go through a proxy, and which it adds.

use std::net::IpAddr;
use std::rc::Rc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue, MAX_FORWARDS,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, Version};
use memchr::memchr;
use ropewalk_protocol::{Address, Network};

use super::{ForwardedHop, ForwardedNode, ProxyError, VIA_HOPS_MAX, ViaHop};
use crate::codec::{RawFields, members, trimmed};

pub(super) static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Which fields an upstream is told of the client by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientFields {
    /// `Forwarded` (RFC 7239), and `X-Forwarded-For`, `-Proto` and `-Host`, which more servers know.
    #[default]
    Both,
    /// `Forwarded` alone.
    Forwarded,
    /// `X-Forwarded-For`, `-Proto` and `-Host` alone.
    XForwarded,
    /// None.
    Nothing,
}

/// Takes out what is for one connection alone (RFC 9110 7.6.1), and where a body ends, which each
/// connection says in its own way.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let own = [&CONNECTION, &KEEP_ALIVE, &PROXY_CONNECTION, &TE, &TRANSFER_ENCODING, &UPGRADE];
    let own = [&PROXY_AUTHENTICATE, &PROXY_AUTHORIZATION].into_iter().chain(own);
    // Most messages have none of them.
    if !headers.keys().any(|name| own.clone().any(|own| name == own)) {
        return;
    }
    let options: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect();
    for name in options {
        headers.remove(name);
    }
    for name in own {
        headers.remove(name);
    }
}

/// The same for a request, of which a proxy says Host and what it expects itself, too.
pub(super) fn strip_request(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    for name in [CONTENT_LENGTH, EXPECT, HOST] {
        headers.remove(name);
    }
}

/// Whether the client takes fields behind a body (RFC 9110 10.1.4).
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter();
    let mut codings = values.flat_map(|value| members(value.as_bytes()));
    codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// What the client would go on in, if it is one protocol alone and the connection's own wish
/// (RFC 9110 7.8).
pub(super) fn asked_upgrade(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let values = headers.get_all(CONNECTION).iter();
    let mut options = values.flat_map(|value| members(value.as_bytes()));
    // In HTTP/2 these fields are there only where a stream was asked for (RFC 8441).
    let may_ask = version == Version::HTTP_11 || version == Version::HTTP_2;
    if !may_ask || !options.any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
        return None;
    }
    let mut values = headers.get_all(UPGRADE).iter();
    let value = values.next()?;
    (values.next().is_none() && !value.as_bytes().contains(&b',')).then(|| value.clone())
}

/// Counts those whom a message came by.
///
/// # Errors
///
/// If there are more than there may be, or it cannot be told.
pub(super) fn check_via(headers: &HeaderMap) -> Result<(), ProxyError> {
    let mut hops = 0;
    for value in headers.get_all(VIA) {
        hops += ViaHop::parse(value.as_bytes()).map_err(|_| ProxyError::Loop)?.len();
        if hops >= VIA_HOPS_MAX {
            return Err(ProxyError::Loop);
        }
    }
    Ok(())
}

/// A request's fields that go through as they came, and the Host that was asked for.
pub(super) struct Plain {
    /// Whole lines.
    pub(super) lines: Vec<u8>,
    pub(super) host: Option<String>,
}

impl Plain {
    /// What goes through of these fields, if nothing among them asks for more than to be passed on.
    pub(super) fn of(fields: &RawFields) -> Option<Self> {
        let mut plain = Self { lines: Vec::with_capacity(fields.length()), host: None };
        for line in fields.each() {
            let colon = memchr(b':', line)?;
            let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
            match part_of(name) {
                Part::Anybodys => plain.lines.extend_from_slice(line),
                // What else it may name is another field, which would have to be looked for.
                Part::Connection if value.eq_ignore_ascii_case(b"keep-alive") => (),
                Part::Connection if value.eq_ignore_ascii_case(b"close") => (),
                Part::Host if plain.host.is_none() => {
                    plain.host = Some(str::from_utf8(value).ok()?.to_owned());
                }
                Part::Connection | Part::Host | Part::Proxys => return None,
            }
        }
        Some(plain)
    }
}

/// Whom a field is for.
enum Part {
    Anybodys,
    Connection,
    Host,
    /// A proxy does something about it.
    Proxys,
}

fn part_of(name: &[u8]) -> Part {
    // By length, as most names are told apart by that alone.
    let proxys: &[&[u8]] = match name.len() {
        2 => &[b"te"],
        3 => &[b"via"],
        4 if name.eq_ignore_ascii_case(b"host") => return Part::Host,
        6 => &[b"expect"],
        7 => &[b"upgrade"],
        9 => &[b"forwarded"],
        10 if name.eq_ignore_ascii_case(b"connection") => return Part::Connection,
        10 => &[b"keep-alive"],
        12 => &[b"max-forwards"],
        14 => &[b"content-length"],
        15 => &[b"x-forwarded-for"],
        16 => &[b"x-forwarded-host", b"proxy-connection"],
        17 => &[b"x-forwarded-proto", b"transfer-encoding"],
        18 => &[b"proxy-authenticate"],
        19 => &[b"proxy-authorization"],
        _ => &[],
    };
    if proxys.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        Part::Proxys
    } else {
        Part::Anybodys
    }
}

/// What a proxy says of itself among those whom a message came by.
pub(super) struct Via {
    /// By the version in which the message came: HTTP/1.0, and HTTP/1.1.
    values: [Option<HeaderValue>; 2],
}

impl Via {
    /// That of the proxy called so; nothing if that is no name.
    pub(super) fn new(name: &str) -> Self {
        let value = |version| HeaderValue::try_from(format!("{version} {name}")).ok();
        Self { values: [value("1.0"), value("1.1")] }
    }

    /// What it says of a message in this version.
    pub(super) fn value(&self, version: Version) -> Option<&HeaderValue> {
        let [old, new] = &self.values;
        if version == Version::HTTP_10 { old.as_ref() } else { new.as_ref() }
    }

    /// Adds this proxy; `version` is that in which the message came here.
    pub(super) fn add(&self, headers: &mut HeaderMap, version: Version) {
        if let Some(value) = self.value(version) {
            headers.append(VIA, value.clone());
        }
    }
}

/// Counts Max-Forwards down (RFC 9110 7.6.2); true where the request ends here.
pub(super) fn ends_here(headers: &mut HeaderMap) -> bool {
    let Some(value) = headers.get(MAX_FORWARDS) else { return false };
    let count = value.to_str().ok().and_then(|digits| digits.parse::<u32>().ok());
    match count {
        Some(0) => true,
        Some(count) => {
            headers.insert(MAX_FORWARDS, HeaderValue::from(count - 1));
            false
        }
        // RFC 9110 7.6.2 has it ignored where it is no number.
        None => false,
    }
}

/// Whom a request came from, by its own connection.
pub(super) struct Client<'c> {
    pub(super) address: &'c Address,
    pub(super) is_encrypted: bool,
    /// The host that it asked for.
    pub(super) host: Option<&'c str>,
}

/// What an upstream was last told of a client: the next request is often the same one's.
#[derive(Default)]
pub(super) struct Told {
    address: Option<IpAddr>,
    is_encrypted: bool,
    host: Option<String>,
    /// Whole lines.
    lines: Rc<[u8]>,
}

impl Client<'_> {
    /// The lines that tell the upstream who the client is; what is added to the client's own is among
    /// `headers` instead.
    pub(super) fn lines(
        &self,
        headers: &mut HeaderMap,
        fields: ClientFields,
        trusted: &[Network],
        last: &mut Told,
    ) -> Rc<[u8]> {
        let own = [&FOR, &PROTO, &FORWARDED_HOST, &FORWARDED];
        if headers.keys().any(|name| own.contains(&name)) {
            self.tell(headers, fields, trusted);
            return Rc::default();
        }
        let address = self.address.ip().map(|address| address.ip());
        let is_same = last.address == address
            && last.is_encrypted == self.is_encrypted
            && last.host.as_deref() == self.host;
        // The fields are those of one proxy, so they are the same, too.
        if !is_same || last.lines.is_empty() {
            let mut told = HeaderMap::new();
            self.tell(&mut told, fields, trusted);
            let mut lines = Vec::new();
            for (name, value) in &told {
                for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                    lines.extend_from_slice(part);
                }
            }
            let host = self.host.map(str::to_owned);
            let (is_encrypted, lines) = (self.is_encrypted, lines.into());
            *last = Told { address, is_encrypted, host, lines };
        }
        Rc::clone(&last.lines)
    }

    /// Tells the upstream who the client is. What the client itself says counts only where it is one
    /// of those that are trusted.
    pub(super) fn tell(&self, headers: &mut HeaderMap, fields: ClientFields, trusted: &[Network]) {
        if !Network::any_contains(trusted, self.address, false) {
            for name in [&FOR, &PROTO, &FORWARDED_HOST, &FORWARDED] {
                headers.remove(name);
            }
        }
        let proto = if self.is_encrypted { "https" } else { "http" };
        let ip = self.address.ip().map(|address| address.ip().to_canonical());
        if matches!(fields, ClientFields::Both | ClientFields::XForwarded) {
            if let Some(ip) = ip {
                append_member(headers, &FOR, &ip.to_string());
            }
            if !headers.contains_key(&PROTO) {
                headers.insert(&PROTO, HeaderValue::from_static(proto));
            }
            if let Some(host) = self.host.and_then(|host| HeaderValue::from_str(host).ok())
                && !headers.contains_key(&FORWARDED_HOST)
            {
                headers.insert(&FORWARDED_HOST, host);
            }
        }
        if matches!(fields, ClientFields::Both | ClientFields::Forwarded) {
            let for_node = match ip {
                Some(ip) => ForwardedNode::Ip(ip, None),
                None => ForwardedNode::Unknown(None),
            };
            let hop = ForwardedHop {
                for_node: Some(for_node),
                host: self.host.map(str::to_owned),
                proto: Some(proto.to_owned()),
                ..ForwardedHop::default()
            };
            let is_good = |value: &HeaderValue| ForwardedHop::parse(value.as_bytes()).is_ok();
            if !headers.get_all(FORWARDED).iter().all(is_good) {
                headers.remove(FORWARDED);
            }
            append_member(headers, &FORWARDED, &hop.to_string());
        }
    }
}

/// Adds a member to a list, in one line.
fn append_member(headers: &mut HeaderMap, name: &HeaderName, member: &str) {
    let mut list = Vec::new();
    for value in headers.get_all(name) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(member.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(name, value);
    }
}
