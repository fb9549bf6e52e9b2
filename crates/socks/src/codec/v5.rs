//! Version 5 (RFC 1928), with user names and passwords (RFC 1929).

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::decoder::{Message, Reader, Stop};
use super::{Command, Target};
use crate::error::{BadMessage, Refusal};

/// The longest user name and the longest password, in bytes.
pub const LOGIN_MAX: usize = 255;

/// To identify oneself by nothing.
pub const METHOD_NONE: u8 = 0;
/// To identify oneself by a user name and a password.
pub const METHOD_LOGIN: u8 = 2;
/// No method at all is acceptable.
const METHOD_UNACCEPTABLE: u8 = 0xff;

pub(super) const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;

/// The methods by which a client can identify itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting5 {
    methods: Vec<u8>,
}

impl Greeting5 {
    /// A greeting with these methods, in any order.
    pub fn new(methods: &[u8]) -> Self {
        Self { methods: methods[..methods.len().min(LOGIN_MAX)].to_vec() }
    }

    /// Whether `method` is among them.
    pub fn offers(&self, method: u8) -> bool {
        self.methods.contains(&method)
    }

    /// Appends the greeting's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.methods.len() as u8]);
        out.extend_from_slice(&self.methods);
    }
}

impl Message for Greeting5 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        version(reader)?;
        Ok(Self { methods: reader.counted()?.to_vec() })
    }
}

/// The method that a server chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice5(
    /// The method; `None` if none is acceptable.
    pub Option<u8>,
);

impl Choice5 {
    /// Appends the choice's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.0.unwrap_or(METHOD_UNACCEPTABLE)]);
    }
}

impl Message for Choice5 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        version(reader)?;
        Ok(Self(Some(reader.byte()?).filter(|method| *method != METHOD_UNACCEPTABLE)))
    }
}

/// A user name and a password, up to 255 bytes each. Not printed with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Login {
    /// A user name and its password.
    ///
    /// # Errors
    ///
    /// [`BadMessage::LongLogin`] if one is longer than [`LOGIN_MAX`].
    pub fn new(user: impl Into<Vec<u8>>, password: impl Into<Vec<u8>>) -> Result<Self, BadMessage> {
        let (user, password) = (user.into(), password.into());
        if user.len() > LOGIN_MAX || password.len() > LOGIN_MAX {
            return Err(BadMessage::LongLogin);
        }
        Ok(Self { user, password })
    }

    /// The user name.
    pub fn user(&self) -> &[u8] {
        &self.user
    }

    /// The password.
    pub fn password(&self) -> &[u8] {
        &self.password
    }

    /// Appends its bytes (RFC 1929).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[LOGIN_VERSION, self.user.len() as u8]);
        out.extend_from_slice(&self.user);
        out.push(self.password.len() as u8);
        out.extend_from_slice(&self.password);
    }
}

impl Message for Login {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        login_version(reader)?;
        let user = reader.counted()?.to_vec();
        Ok(Self { user, password: reader.counted()?.to_vec() })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.escape_ascii().to_string();
        f.debug_struct("Login").field("user", &user).finish_non_exhaustive()
    }
}

/// Whether a login was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginReply5(
    /// It was.
    pub bool,
);

impl LoginReply5 {
    /// Appends the answer's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[LOGIN_VERSION, u8::from(!self.0)]);
    }
}

impl Message for LoginReply5 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        login_version(reader)?;
        Ok(Self(reader.byte()? == 0))
    }
}

/// A request of version 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request5 {
    /// What is wanted.
    pub command: Command,
    /// Where; of [`Command::Associate`], where datagrams will come from, or zeros.
    pub target: Target,
}

impl Request5 {
    /// Appends the request's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.command.to_byte(), 0]);
        self.target.encode(out);
    }
}

impl Message for Request5 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        version(reader)?;
        let command = Command::from_byte(reader.byte()?)?;
        // Reserved.
        reader.byte()?;
        Ok(Self { command, target: Target::read(reader)? })
    }
}

/// An answer of version 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply5 {
    /// Whether the request is granted, and why not.
    pub outcome: Result<(), Refusal>,
    /// An address that matters to the request; zeros if none does.
    pub address: Target,
}

impl Reply5 {
    /// The request is granted.
    pub fn granted(address: SocketAddr) -> Self {
        Self { outcome: Ok(()), address: address.into() }
    }

    /// The request is refused.
    pub fn refused(why: Refusal) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self { outcome: Err(why), address: nowhere.into() }
    }

    /// Appends the answer's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let code = self.outcome.map_or_else(Refusal::code5, |()| 0);
        out.extend_from_slice(&[VERSION, code, 0]);
        self.address.encode(out);
    }
}

impl Message for Reply5 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        version(reader)?;
        let outcome = match reader.byte()? {
            0 => Ok(()),
            code => Err(Refusal::from_code5(code)),
        };
        // Reserved.
        reader.byte()?;
        Ok(Self { outcome, address: Target::read(reader)? })
    }
}

fn version(reader: &mut Reader<'_>) -> Result<(), Stop> {
    match reader.byte()? {
        VERSION => Ok(()),
        version => Err(BadMessage::Version { version }.into()),
    }
}

fn login_version(reader: &mut Reader<'_>) -> Result<(), Stop> {
    match reader.byte()? {
        LOGIN_VERSION => Ok(()),
        version => Err(BadMessage::LoginVersion { version }.into()),
    }
}
