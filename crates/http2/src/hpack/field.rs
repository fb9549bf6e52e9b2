//! A field of a header section.

use bytes::Bytes;
use http::HeaderName;

/// What a field is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// A control datum of the message (RFC 9113 8.3).
    Pseudo(Pseudo),
    /// A field of HTTP.
    Field(HeaderName),
    /// What HTTP has no place for: a pseudo-header that nobody defined, capitals, characters that
    /// names do not have. A message with such a field is malformed (RFC 9113 8.2.1), but the table
    /// that the peers share has to hold it all the same.
    Other(Bytes),
}

/// A control datum of a message, which in HTTP/1.1 stands in the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pseudo {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// `:status`
    Status,
    /// `:protocol`, of an extended CONNECT (RFC 8441 4)
    Protocol,
}

impl Pseudo {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => ":method",
            Self::Scheme => ":scheme",
            Self::Authority => ":authority",
            Self::Path => ":path",
            Self::Status => ":status",
            Self::Protocol => ":protocol",
        }
    }

    /// The first index of the static table that has it.
    pub(super) fn place(self) -> Option<usize> {
        match self {
            Self::Authority => Some(1),
            Self::Method => Some(2),
            Self::Path => Some(4),
            Self::Scheme => Some(6),
            Self::Status => Some(8),
            Self::Protocol => None,
        }
    }
}

impl Name {
    /// The name that these octets are.
    pub fn new(octets: &[u8]) -> Self {
        let pseudo = match octets {
            b":method" => Pseudo::Method,
            b":scheme" => Pseudo::Scheme,
            b":authority" => Pseudo::Authority,
            b":path" => Pseudo::Path,
            b":status" => Pseudo::Status,
            b":protocol" => Pseudo::Protocol,
            _ => {
                return match HeaderName::from_lowercase(octets) {
                    Ok(name) => Self::Field(name),
                    Err(_) => Self::Other(Bytes::copy_from_slice(octets)),
                };
            }
        };
        Self::Pseudo(pseudo)
    }

    /// As it is written.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Pseudo(pseudo) => pseudo.as_str().as_bytes(),
            Self::Field(name) => name.as_str().as_bytes(),
            Self::Other(octets) => octets,
        }
    }
}

impl From<Pseudo> for Name {
    fn from(pseudo: Pseudo) -> Self {
        Self::Pseudo(pseudo)
    }
}

impl From<HeaderName> for Name {
    fn from(name: HeaderName) -> Self {
        Self::Field(name)
    }
}

/// A line of a header section: what it is called, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is called.
    pub name: Name,
    /// What it says, as it came: no character is forbidden yet.
    pub value: Bytes,
    /// Whether the sender asked that no table anywhere may remember it (RFC 7541 7.1.3).
    pub is_secret: bool,
}

impl Field {
    /// What it takes of a table or of a list (RFC 7541 4.1): its octets and 32 more.
    pub fn size(&self) -> usize {
        size(&self.name, &self.value)
    }
}

/// What such a field takes of a table or of a list (RFC 7541 4.1).
pub(super) fn size(name: &Name, value: &[u8]) -> usize {
    name.as_bytes().len() + value.len() + 32
}
