//! From fields to messages (RFC 9113 8).

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::hpack::{Field, Name, Pseudo};
use crate::priority::Priority;

static PRIORITY: HeaderName = HeaderName::from_static("priority");

/// A request without its body.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// What is to be done.
    pub method: Method,
    /// `http` or `https`, or what else the client names; absent for a plain CONNECT.
    pub scheme: Option<Bytes>,
    /// Of which host.
    pub authority: Option<Authority>,
    /// To what; absent for a plain CONNECT. `OPTIONS *` has `*`.
    pub path: Option<PathAndQuery>,
    /// What an extended CONNECT wants to speak (RFC 8441 4).
    pub protocol: Option<Bytes>,
    /// The fields; a `Cookie` that came in crumbs is whole again (RFC 9113 8.2.3).
    pub fields: HeaderMap,
    /// How long the body will be, where it is said.
    pub length: Option<u64>,
}

/// An answer without its body.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// How it went.
    pub status: StatusCode,
    /// The fields.
    pub fields: HeaderMap,
    /// How long the body will be, where it is said.
    pub length: Option<u64>,
}

/// Gathers the fields of one block.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each tells of a field that came, in any order")]
pub(crate) struct Section {
    method: Option<Bytes>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    protocol: Option<Bytes>,
    status: Option<Bytes>,
    fields: HeaderMap,
    crumbs: Vec<Bytes>,
    size: usize,
    fault: Option<Malformed>,
    /// A field has come, so that no control datum may.
    has_fields: bool,
    /// Among the fields is one that says how long the body is, one that names the host, and one that says
    /// how the message is to be preferred.
    has_length: bool,
    has_host: bool,
    has_priority: bool,
}

/// Whether a field belongs to one connection of HTTP/1.1: no message here may have it (RFC 9113 8.2.2).
///
/// ```
/// use http::header;
/// assert!(ropewalk_http2::is_of_connection(&header::TRANSFER_ENCODING));
/// assert!(!ropewalk_http2::is_of_connection(&header::TE));
/// ```
pub fn is_of_connection(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == "keep-alive"
        || *name == "proxy-connection"
}

impl Section {
    /// Takes the next field. Once something is wrong, the rest is not kept.
    pub(crate) fn take(&mut self, field: Field, list_max: usize) {
        self.size += field.size();
        if self.size > list_max {
            self.fault = Some(Malformed::TooLarge { max: list_max });
        }
        if self.fault.is_none() {
            self.fault = self.put(field).err();
        }
    }

    fn put(&mut self, field: Field) -> Result<(), Malformed> {
        let Field { name, value, is_secret } = field;
        match name {
            Name::Pseudo(_) if self.has_fields => Err(Malformed::LatePseudo),
            Name::Pseudo(pseudo) => {
                let place = match pseudo {
                    Pseudo::Method => &mut self.method,
                    Pseudo::Scheme => &mut self.scheme,
                    Pseudo::Authority => &mut self.authority,
                    Pseudo::Path => &mut self.path,
                    Pseudo::Status => &mut self.status,
                    Pseudo::Protocol => &mut self.protocol,
                };
                match place.replace(value) {
                    Some(_) => Err(Malformed::Repeated(pseudo)),
                    None => Ok(()),
                }
            }
            Name::Other(_) => Err(Malformed::BadName),
            Name::Field(name) => {
                self.has_fields = true;
                self.put_field(name, value, is_secret)
            }
        }
    }

    fn put_field(
        &mut self,
        name: HeaderName,
        value: Bytes,
        is_secret: bool,
    ) -> Result<(), Malformed> {
        let is_forbidden = is_of_connection(&name)
            // RFC 9113 8.2.2: "MUST NOT contain any value other than "trailers"."
            || (name == header::TE && !value.eq_ignore_ascii_case(b"trailers"));
        if is_forbidden {
            return Err(Malformed::ConnectionField(name));
        }
        // RFC 9113 8.2.1: "MUST NOT start or end with an ASCII whitespace character".
        let is_trimmed = value.trim_ascii().len() == value.len();
        if name == header::COOKIE {
            self.crumbs.push(value);
            return Ok(());
        }
        match HeaderValue::from_maybe_shared(value) {
            Ok(mut value) if is_trimmed => {
                value.set_sensitive(is_secret);
                self.has_length |= name == header::CONTENT_LENGTH;
                self.has_host |= name == header::HOST;
                self.has_priority |= name == PRIORITY;
                // The map has room for 24,576 of them, and the list's limit is far below.
                match self.fields.try_append(name, value) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(Malformed::TooLarge { max: self.size }),
                }
            }
            _ => Err(Malformed::BadValue(name)),
        }
    }

    fn bake_cookies(&mut self) -> Result<(), Malformed> {
        let crumbs = std::mem::take(&mut self.crumbs);
        let value = match crumbs.len() {
            0 => return Ok(()),
            1 => HeaderValue::from_maybe_shared(crumbs[0].clone()),
            _ => HeaderValue::from_maybe_shared(Bytes::from(crumbs.join(&b"; "[..]))),
        };
        let mut value = value.map_err(|_| Malformed::BadValue(header::COOKIE))?;
        value.set_sensitive(true);
        self.fields.insert(header::COOKIE, value);
        Ok(())
    }

    fn finish(&mut self) -> Result<Option<u64>, Malformed> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        self.bake_cookies()?;
        if self.has_length { length(&self.fields) } else { Ok(None) }
    }

    /// How a request is to be preferred that says so (RFC 9218 5).
    pub(crate) fn priority(&self) -> Option<Priority> {
        let field = self.fields.get(&PRIORITY).filter(|_| self.has_priority)?;
        Some(Priority::parse(field.as_bytes()))
    }

    /// The request that the fields are.
    pub(crate) fn into_request(mut self) -> Result<RequestHead, Malformed> {
        let length = self.finish()?;
        if self.status.is_some() {
            return Err(Malformed::Misplaced(Pseudo::Status));
        }
        let method = self.method.ok_or(Malformed::Missing(Pseudo::Method))?;
        let method =
            Method::from_bytes(&method).map_err(|_| Malformed::BadPseudo(Pseudo::Method))?;
        let is_connect = method == Method::CONNECT;
        if self.protocol.is_some() && !is_connect {
            return Err(Malformed::Misplaced(Pseudo::Protocol));
        }
        let is_plain_connect = is_connect && self.protocol.is_none();
        if is_plain_connect {
            // RFC 9113 8.5: these two are left out, and the authority is what it is about.
            for (pseudo, value) in [(Pseudo::Scheme, &self.scheme), (Pseudo::Path, &self.path)] {
                if value.is_some() {
                    return Err(Malformed::Misplaced(pseudo));
                }
            }
        } else {
            let scheme = self.scheme.as_ref().ok_or(Malformed::Missing(Pseudo::Scheme))?;
            if !is_scheme(scheme) {
                return Err(Malformed::BadPseudo(Pseudo::Scheme));
            }
        }
        let path = match self.path {
            None if is_plain_connect => None,
            None => return Err(Malformed::Missing(Pseudo::Path)),
            Some(path) => Some(path_of(path, &method)?),
        };
        let fields = Some(&self.fields).filter(|_| self.has_host);
        let authority = authority(self.authority, fields)?;
        if is_connect && authority.is_none() {
            return Err(Malformed::Missing(Pseudo::Authority));
        }
        Ok(RequestHead {
            method,
            scheme: self.scheme,
            authority,
            path,
            protocol: self.protocol,
            fields: self.fields,
            length,
        })
    }

    /// The answer that the fields are.
    pub(crate) fn into_response(mut self) -> Result<ResponseHead, Malformed> {
        let length = self.finish()?;
        let strangers = [
            (Pseudo::Method, &self.method),
            (Pseudo::Scheme, &self.scheme),
            (Pseudo::Authority, &self.authority),
            (Pseudo::Path, &self.path),
            (Pseudo::Protocol, &self.protocol),
        ];
        if let Some((pseudo, _)) = strangers.iter().find(|(_, value)| value.is_some()) {
            return Err(Malformed::Misplaced(*pseudo));
        }
        let status = self.status.ok_or(Malformed::Missing(Pseudo::Status))?;
        match StatusCode::from_bytes(&status) {
            // RFC 9113 8.6: there is no switching of protocols here.
            Ok(status) if status != StatusCode::SWITCHING_PROTOCOLS && status.as_u16() < 600 => {
                Ok(ResponseHead { status, fields: self.fields, length })
            }
            _ => Err(Malformed::BadPseudo(Pseudo::Status)),
        }
    }

    /// The trailers that the fields are.
    pub(crate) fn into_trailers(mut self) -> Result<HeaderMap, Malformed> {
        let pseudos = [
            (Pseudo::Method, &self.method),
            (Pseudo::Scheme, &self.scheme),
            (Pseudo::Authority, &self.authority),
            (Pseudo::Path, &self.path),
            (Pseudo::Protocol, &self.protocol),
            (Pseudo::Status, &self.status),
        ];
        // RFC 9113 8.1: "Pseudo-header fields MUST NOT appear in trailers."
        if let Some((pseudo, _)) = pseudos.iter().find(|(_, value)| value.is_some()) {
            return Err(Malformed::Misplaced(*pseudo));
        }
        self.finish()?;
        Ok(self.fields)
    }
}

fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(octet))
}

fn path_of(path: Bytes, method: &Method) -> Result<PathAndQuery, Malformed> {
    let bad = Malformed::BadPseudo(Pseudo::Path);
    let fits = path.starts_with(b"/") || (&path[..] == b"*" && method == Method::OPTIONS);
    // A fragment never leaves a client (RFC 9110 7.1), and whoever passes it on would cut it off.
    if !fits || path.contains(&b'#') {
        return Err(bad);
    }
    PathAndQuery::from_maybe_shared(path).map_err(|_| bad)
}

/// The host that a request is for: `Host` has to say the same where both are there (RFC 9113 8.3.1).
/// `fields` are looked at where it is among them.
fn authority(
    authority: Option<Bytes>,
    fields: Option<&HeaderMap>,
) -> Result<Option<Authority>, Malformed> {
    let bad = Malformed::BadPseudo(Pseudo::Authority);
    let mut hosts = fields.into_iter().flat_map(|fields| fields.get_all(header::HOST));
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Malformed::HostDiffers);
    }
    let Some(authority) = authority else {
        let Some(host) = host.filter(|host| !host.is_empty()) else { return Ok(None) };
        let host = Authority::try_from(host.as_bytes());
        return host.map(Some).map_err(|_| Malformed::BadValue(header::HOST));
    };
    if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(&authority)) {
        return Err(Malformed::HostDiffers);
    }
    // RFC 9113 8.3.1: "MUST NOT include the deprecated userinfo subcomponent".
    if authority.contains(&b'@') {
        return Err(bad);
    }
    Authority::from_maybe_shared(authority).map(Some).map_err(|_| bad)
}

/// What `Content-Length` says; several that say the same are one (RFC 9110 8.6).
fn length(fields: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut length = None;
    for value in fields.get_all(header::CONTENT_LENGTH) {
        let text = value.as_bytes();
        let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
        match number.filter(|_| is_number) {
            Some(number) if length.is_none_or(|length| length == number) => length = Some(number),
            _ => return Err(Malformed::BadValue(header::CONTENT_LENGTH)),
        }
    }
    Ok(length)
}

/// Why a message is none (RFC 9113 8.1.1): its stream ends with `PROTOCOL_ERROR`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Its header section is longer than this end takes.
    TooLarge {
        /// In octets, each field counted with 32 more.
        max: usize,
    },
    /// A control datum stands behind a field.
    LatePseudo,
    /// A control datum came twice.
    Repeated(Pseudo),
    /// A control datum is absent.
    Missing(Pseudo),
    /// A control datum belongs to another kind of message.
    Misplaced(Pseudo),
    /// A control datum says nothing that it could.
    BadPseudo(Pseudo),
    /// A field has no name that fields have, or one with capitals.
    BadName,
    /// A field says something that it cannot.
    BadValue(HeaderName),
    /// A field that belongs to a connection of HTTP/1.1.
    ConnectionField(HeaderName),
    /// `Host` names another host than `:authority`.
    HostDiffers,
    /// The body is longer or shorter than `Content-Length` says.
    WrongLength,
    /// Fields came behind the body, but not as its end.
    UnfinishedTrailers,
    /// An interim answer that ends its stream.
    InterimEnd,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { max } => write!(f, "the header section has more than {max} octets"),
            Self::LatePseudo => f.write_str("a pseudo-header stands behind a field"),
            Self::Repeated(pseudo) => write!(f, "{} came twice", pseudo.as_str()),
            Self::Missing(pseudo) => write!(f, "{} is absent", pseudo.as_str()),
            Self::Misplaced(pseudo) => write!(f, "{} does not belong here", pseudo.as_str()),
            Self::BadPseudo(pseudo) => write!(f, "{} has no meaning", pseudo.as_str()),
            Self::BadName => f.write_str("a field's name is none"),
            Self::BadValue(name) => write!(f, "the value of {name} is none"),
            Self::ConnectionField(name) => write!(f, "{name} has no place in HTTP/2"),
            Self::HostDiffers => f.write_str("host and :authority name different hosts"),
            Self::WrongLength => {
                f.write_str("the body does not have the length that was announced")
            }
            Self::UnfinishedTrailers => {
                f.write_str("fields came behind the body, but not as its end")
            }
            Self::InterimEnd => f.write_str("an interim answer ends its stream"),
        }
    }
}

impl Error for Malformed {}
