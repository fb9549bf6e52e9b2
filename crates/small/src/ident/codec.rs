use std::error::Error;
use std::fmt;

/// The longest line of either side, its end not counted, in bytes: what the RFC has readers take.
pub const LINE_MAX: usize = 1000;

/// The longest name of a user, in bytes.
pub const USER_MAX: usize = 512;

/// The connection that a client asks about, by the ports of its two ends. None is 0.
///
/// ```
/// # use ropewalk_small::ident::Query;
/// let query = Query::new(6193, 23)?;
/// assert_eq!(query.encode(), b"6193, 23\r\n");
/// assert_eq!(Query::decode(b" 6193,23 "), Ok(query));
/// # Ok::<(), ropewalk_small::ident::BadQuery>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    near: u16,
    far: u16,
}

impl Query {
    /// The connection between port `near` of the host that is asked and port `far` of the one that asks.
    ///
    /// # Errors
    ///
    /// [`BadQuery::Port`] if one of them is 0.
    pub fn new(near: u16, far: u16) -> Result<Self, BadQuery> {
        if near == 0 || far == 0 { Err(BadQuery::Port) } else { Ok(Self { near, far }) }
    }

    /// The port at the host that is asked.
    pub fn near(self) -> u16 {
        self.near
    }

    /// The port at the host that asks.
    pub fn far(self) -> u16 {
        self.far
    }

    /// The query as it goes over the wire.
    pub fn encode(self) -> Vec<u8> {
        format!("{self}\r\n").into_bytes()
    }

    /// Reads a query from its line, without the line's end.
    ///
    /// # Errors
    ///
    /// If the line is no query.
    pub fn decode(line: &[u8]) -> Result<Self, BadQuery> {
        let (near, far) = pair(line).ok_or(BadQuery::Form)?;
        match (port(near), port(far)) {
            (Some(near), Some(far)) => Self::new(near, far),
            _ => Err(BadQuery::Port),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.near, self.far)
    }
}

/// Whose a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    system: String,
    charset: Option<String>,
    user: Vec<u8>,
}

impl Owner {
    /// A user of a system of this kind: `UNIX`, whose users' names mean something, or `OTHER`.
    ///
    /// # Errors
    ///
    /// If either cannot stand in a reply.
    pub fn new(system: &str, user: impl Into<Vec<u8>>) -> Result<Self, BadReply> {
        let user = user.into();
        if user.len() > USER_MAX {
            return Err(BadReply::LongUser { length: user.len() });
        }
        if user.is_empty() || user.iter().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n')) {
            return Err(BadReply::User);
        }
        Ok(Self { system: token(system)?, charset: None, user })
    }

    /// Says in which character set the user's name is, where that is not US-ASCII.
    ///
    /// # Errors
    ///
    /// [`BadReply::Token`] if it cannot stand in a reply.
    pub fn with_charset(self, charset: &str) -> Result<Self, BadReply> {
        Ok(Self { charset: Some(token(charset)?), ..self })
    }

    /// The kind of system.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The character set of the user's name, if one is named.
    pub fn charset(&self) -> Option<&str> {
        self.charset.as_deref()
    }

    /// The user as the reply has it, white space at both ends included: there it is part of the name.
    pub fn user(&self) -> &[u8] {
        &self.user
    }

    /// The user's name without white space around it, for that is how most servers write it, and fit
    /// to be shown.
    pub fn name(&self) -> String {
        crate::printable(self.user.trim_ascii()).replace('\t', " ")
    }
}

/// Why a server does not tell whose a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A port is none.
    InvalidPort,
    /// There is no such connection, or nobody owns it.
    NoUser,
    /// The owner does not want to be named.
    HiddenUser,
    /// Anything else.
    Unknown,
    /// A word of the server's own, which begins with `X`.
    Other(String),
}

impl Refusal {
    fn decode(word: &str) -> Result<Self, BadReply> {
        Ok(match word {
            "INVALID-PORT" => Self::InvalidPort,
            "NO-USER" => Self::NoUser,
            "HIDDEN-USER" => Self::HiddenUser,
            "UNKNOWN-ERROR" => Self::Unknown,
            other if other.starts_with('X') => Self::Other(token(other)?),
            _ => return Err(BadReply::Form),
        })
    }

    /// The word as it goes over the wire. One of the server's own that cannot be written is unknown.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InvalidPort => "INVALID-PORT",
            Self::NoUser => "NO-USER",
            Self::HiddenUser => "HIDDEN-USER",
            Self::Other(word) if word.starts_with('X') && token(word).is_ok() => word,
            Self::Unknown | Self::Other(_) => "UNKNOWN-ERROR",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidPort => "the server says that a port is none",
            Self::NoUser => "the server knows of no owner",
            Self::HiddenUser => "the owner does not want to be named",
            Self::Unknown => "the server does not say why",
            Self::Other(word) => return write!(f, "the server says {word}"),
        })
    }
}

impl Error for Refusal {}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The connection; a query that is none is answered as if it had been about ports 0.
    pub ports: (u16, u16),
    /// Whose it is.
    pub owner: Result<Owner, Refusal>,
}

impl Reply {
    /// The reply as it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let (near, far) = self.ports;
        let mut line = format!("{near}, {far} : ").into_bytes();
        match &self.owner {
            Err(refusal) => {
                let error = format!("ERROR : {}", refusal.as_str());
                line.extend_from_slice(error.as_bytes());
            }
            Ok(owner) => {
                line.extend_from_slice(format!("USERID : {}", owner.system).as_bytes());
                if let Some(charset) = &owner.charset {
                    line.extend_from_slice(format!(" , {charset}").as_bytes());
                }
                line.extend_from_slice(b" :");
                line.extend_from_slice(&owner.user);
            }
        }
        line.extend_from_slice(b"\r\n");
        line
    }

    /// Reads a reply from its line, without the line's end.
    ///
    /// # Errors
    ///
    /// If the line is no reply.
    pub fn decode(line: &[u8]) -> Result<Self, BadReply> {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let mut field = || fields.next().ok_or(BadReply::Form);
        let (ports, kind, rest) = (field()?, field()?, field()?);
        let (near, far) = pair(ports).ok_or(BadReply::Form)?;
        let ports = (port(near).ok_or(BadReply::Form)?, port(far).ok_or(BadReply::Form)?);
        let owner = match kind.trim_ascii() {
            b"ERROR" => Err(Refusal::decode(text(rest.trim_ascii())?)?),
            b"USERID" => {
                let at = rest.iter().position(|byte| *byte == b':').ok_or(BadReply::Form)?;
                let (system, user) = (&rest[..at], &rest[at + 1..]);
                let (system, charset) = match text(system)?.split_once(',') {
                    Some((system, charset)) => (system, Some(charset.trim_ascii())),
                    None => (text(system)?, None),
                };
                let owner = Owner::new(system.trim_ascii(), user)?;
                Ok(charset.map_or(Ok(owner.clone()), |charset| owner.with_charset(charset))?)
            }
            _ => return Err(BadReply::Form),
        };
        Ok(Self { ports, owner })
    }
}

/// Why a line is no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadQuery {
    /// It is not two numbers with a comma between them.
    Form,
    /// One of them is no port from 1 to 65,535.
    Port,
}

impl fmt::Display for BadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "the query is not two ports with a comma between them",
            Self::Port => "a port in the query is not a number from 1 to 65535",
        })
    }
}

impl Error for BadQuery {}

/// Why a line is no reply, or nothing that could stand in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadReply {
    /// It has not the parts of a reply.
    Form,
    /// It is longer than [`LINE_MAX`].
    Long,
    /// It is about another connection than was asked about.
    OtherPorts,
    /// A kind of system, a character set or a server's own word is none.
    Token,
    /// A user's name is empty, or holds the end of a line or a zero byte.
    User,
    /// A user's name is longer than [`USER_MAX`].
    LongUser {
        /// Its length in bytes.
        length: usize,
    },
}

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "the line is no reply",
            Self::Long => return write!(f, "the reply is longer than {LINE_MAX} bytes"),
            Self::OtherPorts => "the reply is about another connection",
            Self::Token => "a word of the reply cannot be one",
            Self::User => "the user's name cannot be one",
            Self::LongUser { length } => {
                return write!(
                    f,
                    "the user's name has {length} bytes, where {USER_MAX} are allowed"
                );
            }
        })
    }
}

impl Error for BadReply {}

/// Both sides of the comma.
fn pair(bytes: &[u8]) -> Option<(&str, &str)> {
    let (near, far) = str::from_utf8(bytes).ok()?.split_once(',')?;
    Some((near.trim_ascii(), far.trim_ascii()))
}

/// A port, or 0.
fn port(text: &str) -> Option<u16> {
    // A sign is none of a port's.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn text(bytes: &[u8]) -> Result<&str, BadReply> {
    str::from_utf8(bytes).map_err(|_| BadReply::Token)
}

/// A word of a reply: graphic ASCII but for what parts words, at most 64 of them.
fn token(word: &str) -> Result<String, BadReply> {
    const TOKEN_MAX: usize = 64;
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, ':' | ',');
    if word.is_empty() || word.len() > TOKEN_MAX || !word.chars().all(fits) {
        return Err(BadReply::Token);
    }
    Ok(word.to_owned())
}

/// The ports of a query that has a wrong one, the wrong one as 0.
pub(super) fn port_zero(line: &[u8]) -> (u16, u16) {
    let (near, far) = pair(line).unwrap_or_default();
    (port(near).unwrap_or(0), port(far).unwrap_or(0))
}
