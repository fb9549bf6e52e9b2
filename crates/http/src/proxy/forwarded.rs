//! The Forwarded field (RFC 7239).

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use crate::codec::{is_token, trimmed};

/// How many hops a Forwarded field may tell of.
pub const FORWARDED_HOPS_MAX: usize = 32;

/// What one proxy has to say of the request that it received (RFC 7239 4).
///
/// ```
/// use ropewalk_http::proxy::{ForwardedHop, ForwardedNode};
///
/// let hops = ForwardedHop::parse(b"for=192.0.2.43;proto=https, for=\"[2001:db8::17]:4711\"")?;
/// assert_eq!(hops[0].proto.as_deref(), Some("https"));
/// let last = ForwardedNode::Ip("2001:db8::17".parse().unwrap(), Some("4711".to_owned()));
/// assert_eq!(hops[1].for_node, Some(last));
/// assert_eq!(hops[1].to_string(), "for=\"[2001:db8::17]:4711\"");
/// # Ok::<(), ropewalk_http::proxy::BadForwarded>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardedHop {
    /// Who made the request (`for`).
    pub for_node: Option<ForwardedNode>,
    /// At which of its sides the proxy received it (`by`).
    pub by_node: Option<ForwardedNode>,
    /// The Host that it had.
    pub host: Option<String>,
    /// The scheme that it came by.
    pub proto: Option<String>,
    /// Other parameters: names in lower case, values without their quotes.
    pub others: Vec<(String, String)>,
}

/// A client or a side of a proxy (RFC 7239 6). A port is digits, or an obfuscated name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardedNode {
    /// An address.
    Ip(IpAddr, Option<String>),
    /// It is not known (RFC 7239 6.2).
    Unknown(Option<String>),
    /// It is not told: a name that begins with an underscore (RFC 7239 6.3).
    Obfuscated(String, Option<String>),
}

/// Why a Forwarded field is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadForwarded {
    /// No `name=value` where one was expected, at this byte.
    Pair(usize),
    /// Neither a token nor a quoted string as a value, at this byte.
    Value(usize),
    /// A parameter twice in one element, at this byte.
    Twice(usize),
    /// No node as the value of `for` or `by`, at this byte.
    Node(usize),
    /// More elements than [`FORWARDED_HOPS_MAX`].
    TooMany,
}

impl fmt::Display for BadForwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pair(at) => write!(f, "expected name=value at byte {at} of Forwarded"),
            Self::Value(at) => {
                write!(f, "expected a token or a quoted string at byte {at} of Forwarded")
            }
            Self::Twice(at) => write!(f, "expected a parameter once, got it again at byte {at}"),
            Self::Node(at) => write!(f, "expected an address or a name at byte {at} of Forwarded"),
            Self::TooMany => write!(f, "expected at most {FORWARDED_HOPS_MAX} hops in Forwarded"),
        }
    }
}

impl Error for BadForwarded {}

impl ForwardedHop {
    /// The hops in a field's value, the one nearest to the client first. Empty elements do not count
    /// (RFC 9110 5.6.1.2).
    ///
    /// # Errors
    ///
    /// If it is no such list.
    pub fn parse(value: &[u8]) -> Result<Vec<Self>, BadForwarded> {
        let mut reader = Reader { value, at: 0 };
        let mut hops = Vec::new();
        loop {
            if let Some(hop) = reader.hop()? {
                if hops.len() == FORWARDED_HOPS_MAX {
                    return Err(BadForwarded::TooMany);
                }
                hops.push(hop);
            }
            match reader.next() {
                Some(b',') => (),
                None => return Ok(hops),
                Some(_) => return Err(BadForwarded::Pair(reader.at - 1)),
            }
        }
    }
}

impl ForwardedNode {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[') {
            let (address, rest) = inside.split_once(']')?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(port_of(port)?),
                None if rest.is_empty() => None,
                None => return None,
            };
            return Some(Self::Ip(IpAddr::V6(address.parse().ok()?), port));
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port_of(port)?)),
            None => (text, None),
        };
        if name.eq_ignore_ascii_case("unknown") {
            return Some(Self::Unknown(port));
        }
        if is_obfuscated(name) {
            return Some(Self::Obfuscated(name.to_owned(), port));
        }
        Some(Self::Ip(IpAddr::V4(name.parse().ok()?), port))
    }
}

fn port_of(text: &str) -> Option<String> {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number || is_obfuscated(text)).then(|| text.to_owned())
}

fn is_obfuscated(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(fits))
}

impl fmt::Display for ForwardedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self {
            Self::Ip(IpAddr::V4(ip), port) => write!(f, "{ip}").map(|()| port),
            Self::Ip(IpAddr::V6(ip), port) => write!(f, "[{ip}]").map(|()| port),
            Self::Unknown(port) => f.write_str("unknown").map(|()| port),
            Self::Obfuscated(name, port) => f.write_str(name).map(|()| port),
        }?;
        match port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ForwardedHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = |node: &Option<ForwardedNode>| node.as_ref().map(ToString::to_string);
        let known = [
            ("for", node(&self.for_node)),
            ("by", node(&self.by_node)),
            ("host", self.host.clone()),
            ("proto", self.proto.clone()),
        ];
        let others = self.others.iter().map(|(name, value)| (name.as_str(), Some(value.clone())));
        let pairs = known.into_iter().chain(others);
        let mut between = "";
        for (name, value) in pairs.filter_map(|(name, value)| Some((name, value?))) {
            write!(f, "{between}{name}=")?;
            between = ";";
            if is_token(value.as_bytes()) {
                f.write_str(&value)?;
            } else {
                f.write_str("\"")?;
                for c in value.chars() {
                    if matches!(c, '"' | '\\') {
                        f.write_str("\\")?;
                    }
                    write!(f, "{c}")?;
                }
                f.write_str("\"")?;
            }
        }
        Ok(())
    }
}

struct Reader<'v> {
    value: &'v [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// One element, up to a comma or the end; none where there is nothing in it.
    fn hop(&mut self) -> Result<Option<ForwardedHop>, BadForwarded> {
        let (mut hop, mut is_empty) = (ForwardedHop::default(), true);
        loop {
            self.skip_blanks();
            if !matches!(self.peek(), None | Some(b',' | b';')) {
                self.pair(&mut hop)?;
                is_empty = false;
                self.skip_blanks();
            }
            if self.peek() != Some(b';') {
                return Ok((!is_empty).then_some(hop));
            }
            self.at += 1;
        }
    }

    fn pair(&mut self, hop: &mut ForwardedHop) -> Result<(), BadForwarded> {
        let start = self.at;
        let length = self.value[start..].iter().position(|&byte| byte == b'=');
        let name = length.map(|length| &self.value[start..start + length]);
        let name = name.filter(|name| is_token(name)).ok_or(BadForwarded::Pair(start))?;
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        self.at += name.len() + 1;
        let value_at = self.at;
        let value = self.value()?;
        let node = || ForwardedNode::parse(&value).ok_or(BadForwarded::Node(value_at));
        let before = match name.as_str() {
            "for" => hop.for_node.replace(node()?).is_some(),
            "by" => hop.by_node.replace(node()?).is_some(),
            "host" => hop.host.replace(value).is_some(),
            "proto" => hop.proto.replace(value).is_some(),
            _ => {
                let is_known = hop.others.iter().any(|(known, _)| *known == name);
                hop.others.push((name, value));
                is_known
            }
        };
        // RFC 7239 4: each parameter at most once.
        if before { Err(BadForwarded::Twice(start)) } else { Ok(()) }
    }

    fn value(&mut self) -> Result<String, BadForwarded> {
        let start = self.at;
        let bad = BadForwarded::Value(start);
        if self.peek() != Some(b'"') {
            let ends = |byte: &u8| matches!(byte, b',' | b';');
            let length = self.value[start..].iter().position(ends);
            let token = &self.value[start..length.map_or(self.value.len(), |at| start + at)];
            self.at += token.len();
            let token = trimmed(token);
            return if is_token(token) {
                Ok(String::from_utf8_lossy(token).into_owned())
            } else {
                Err(bad)
            };
        }
        self.at += 1;
        let mut text = String::new();
        loop {
            let byte = match self.next().ok_or(bad)? {
                b'"' => return Ok(text),
                b'\\' => self.next().ok_or(bad)?,
                byte => byte,
            };
            // RFC 9110 5.6.4, of which nothing beyond ASCII is used here.
            if !matches!(byte, b'\t' | b' '..=b'~') {
                return Err(bad);
            }
            text.push(char::from(byte));
        }
    }
}
