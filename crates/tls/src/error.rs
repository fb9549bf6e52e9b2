//! What can go wrong, and whose fault it is.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ropewalk_protocol::{Disconnect, TlsAlert, TlsFault};

use crate::TICKET_SECRET_MIN;

/// Why there is no encrypted connection, or no longer.
///
/// [`connect`](ropewalk_protocol::connect) fails with it, [`start_tls`](crate::start_tls) too, and a
/// protocol finds it in [`Conn::cause`](ropewalk_protocol::Conn::cause). Its
/// [`source`](Error::source) is the [`Disconnect`] that the protocol is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    reason: Reason,
    disconnect: Disconnect,
}

/// What went wrong on an encrypted connection: one variant a party that is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The peer's certificate was not accepted; the peer was told so by this alert.
    Certificate(BadCertificate, TlsAlert),
    /// The peer broke the rules of TLS; it was told so by this alert.
    Peer {
        /// What came, and what was expected.
        what: String,
        /// What it was told.
        alert: TlsAlert,
    },
    /// Both sides keep to the rules and have nothing in common.
    NothingInCommon {
        /// What the other side has not.
        what: String,
        /// What it was told.
        alert: TlsAlert,
    },
    /// The client asked for a name that this side is not.
    UnknownName(Option<String>),
    /// The peer sent this alert: it does not accept this side.
    RefusedByPeer(TlsAlert),
    /// The handshake did not come to its end in this time.
    TimedOut(Duration),
    /// The peer needed more than this many bytes for the handshake.
    TooLong(usize),
    /// Bytes came ahead of the handshake, while the connection was still in the clear: whoever sent
    /// them wanted them to be read as if they had been encrypted.
    EarlyBytes(usize),
    /// The peer ended its stream without the alert that says so: what came may not be all.
    Truncated,
    /// The connection ended before the handshake did.
    Lost(Disconnect),
    /// There is TLS on the way already, or the connection is ending or not made yet.
    NotNow,
    /// This side failed by itself.
    Internal(String),
}

/// Why a certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadCertificate {
    /// None was shown, and one has to be.
    Missing,
    /// Its time was over.
    Expired {
        /// Until when it was good, in seconds since 1970.
        not_after: u64,
        /// When it was looked at.
        now: u64,
    },
    /// Its time had not come.
    NotYet {
        /// From when on it is good, in seconds since 1970.
        not_before: u64,
        /// When it was looked at.
        now: u64,
    },
    /// It is for other names.
    WrongName {
        /// The name that was connected to.
        expected: String,
        /// Those that it is for.
        found: Vec<String>,
    },
    /// It is not for this use.
    WrongUsage {
        /// The use that it was to have.
        expected: String,
        /// The uses that it has.
        found: Vec<String>,
    },
    /// Nobody who is trusted vouches for it.
    UnknownIssuer,
    /// Its key is not among the pinned ones.
    NotPinned {
        /// The SHA-256 of its key, in hexadecimal digits.
        found: String,
    },
    /// Its key is too short.
    WeakKey {
        /// Its length in bits.
        bits: usize,
        /// What it should be at least.
        bits_min: usize,
    },
    /// It is signed in a way that is not trusted, such as SHA-1.
    WeakSignature(String),
    /// A signature on it, or made by its key, is wrong.
    BadSignature,
    /// There are more certificates than this between it and its root.
    ChainTooLong {
        /// How many are allowed.
        max: usize,
    },
    /// One of its issuers may not vouch for so long a chain (RFC 5280 4.2.1.9).
    PathLength,
    /// One of its issuers may not vouch for its name (RFC 5280 4.2.1.10).
    NameConstraint,
    /// It was taken back by its issuer.
    Revoked,
    /// It cannot be read.
    Unreadable,
    /// Anything else that is wrong with it.
    Other(String),
}

/// Why an identity cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file could not be read.
    File(PathBuf, io::Error),
    /// A file, or all of them together, is longer than this.
    TooLarge(PathBuf, usize),
    /// There are more files in a folder than this.
    TooMany(PathBuf, usize),
    /// There is no certificate there.
    NoCertificate(PathBuf),
    /// There is no private key there.
    NoKey(PathBuf),
    /// What is there is not PEM, or what is in it is none of what belongs here.
    Pem(PathBuf, String),
    /// The key is not one that can sign.
    BadKey(String),
    /// The key is another's: that of the first certificate is not this.
    KeyMismatch,
    /// A certificate of the chain cannot be used.
    Chain(BadCertificate),
    /// A name is none that a server can have.
    BadName(String),
    /// The roots of this machine cannot be read.
    Roots(String),
    /// Nothing is there that anybody could be shown.
    Nothing,
    /// The secret that the keys of tickets are to be made from has so few bytes.
    ShortSecret(usize),
    /// The keys of tickets come from a secret that others have too, and change with it alone.
    SharedSecret,
    /// What the library says.
    Other(String),
}

impl TlsError {
    /// What went wrong.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// What the protocol on the connection is told.
    pub fn disconnect(&self) -> Disconnect {
        self.disconnect
    }

    /// The alert that this side sent, if it sent one.
    pub fn alert(&self) -> Option<TlsAlert> {
        match self.disconnect {
            Disconnect::Tls(TlsFault::Refused(alert)) => Some(alert),
            _ => None,
        }
    }
}

impl From<Reason> for TlsError {
    fn from(reason: Reason) -> Self {
        let disconnect = reason.disconnect();
        Self { reason, disconnect }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.disconnect)
    }
}

impl Reason {
    fn disconnect(&self) -> Disconnect {
        let refused = |alert| Disconnect::Tls(TlsFault::Refused(alert));
        match self {
            Self::Certificate(_, alert)
            | Self::Peer { alert, .. }
            | Self::NothingInCommon { alert, .. } => refused(*alert),
            Self::UnknownName(_) => refused(TlsAlert::UNRECOGNIZED_NAME),
            Self::RefusedByPeer(alert) => Disconnect::Tls(TlsFault::RefusedByPeer(*alert)),
            Self::TimedOut(_) => Disconnect::TimedOut,
            Self::TooLong(_) => refused(TlsAlert::RECORD_OVERFLOW),
            Self::EarlyBytes(_) => refused(TlsAlert::UNEXPECTED_MESSAGE),
            Self::Truncated => Disconnect::Tls(TlsFault::Truncated),
            Self::Lost(why) => *why,
            Self::NotNow => Disconnect::Aborted,
            Self::Internal(_) => refused(TlsAlert::INTERNAL_ERROR),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(bad, _) => write!(f, "the peer's certificate: {bad}"),
            Self::Peer { what, .. } => write!(f, "the peer does not keep to TLS: {what}"),
            Self::NothingInCommon { what, .. } => {
                write!(f, "the two sides have nothing in common: {what}")
            }
            Self::UnknownName(Some(name)) => write!(f, "the peer asked for {name:?}, unknown here"),
            Self::UnknownName(None) => f.write_str("the peer named nobody, and must"),
            Self::RefusedByPeer(alert) => write!(f, "the peer refused the connection: {alert}"),
            Self::TimedOut(limit) => {
                write!(f, "the handshake took longer than {} seconds", limit.as_secs_f64())
            }
            Self::TooLong(max) => write!(f, "the handshake is longer than {max} bytes"),
            Self::EarlyBytes(count) => {
                write!(f, "{count} bytes came in the clear, ahead of the handshake")
            }
            Self::Truncated => f.write_str("the peer ended its stream without a word in TLS"),
            Self::Lost(_) => f.write_str("the connection ended before the handshake did"),
            Self::NotNow => f.write_str("the connection cannot be encrypted now"),
            Self::Internal(what) => write!(f, "this side failed: {what}"),
        }
    }
}

impl fmt::Display for BadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = |from: u64, to: u64| to.saturating_sub(from) / (24 * 60 * 60);
        match self {
            Self::Missing => f.write_str("none was shown"),
            Self::Expired { not_after, now } => {
                write!(f, "it expired {} days ago", days(*not_after, *now))
            }
            Self::NotYet { not_before, now } => {
                write!(f, "it is not valid for another {} days", days(*now, *not_before))
            }
            Self::WrongName { expected, found } | Self::WrongUsage { expected, found } => {
                write!(f, "it is not for {expected} but for {}", list(found))
            }
            Self::UnknownIssuer => f.write_str("nobody who is trusted vouches for it"),
            Self::NotPinned { found } => write!(f, "its key is not pinned: sha256 {found}"),
            Self::WeakKey { bits, bits_min } => {
                write!(f, "its key has {bits} bits, and should have {bits_min}")
            }
            Self::WeakSignature(how) => write!(f, "its signature is not trusted: {how}"),
            Self::BadSignature => f.write_str("a signature is wrong"),
            Self::ChainTooLong { max } => {
                write!(f, "more than {max} certificates stand between it and its root")
            }
            Self::PathLength => f.write_str("an issuer may not vouch for so long a chain"),
            Self::NameConstraint => f.write_str("an issuer may not vouch for such a name"),
            Self::Revoked => f.write_str("its issuer took it back"),
            Self::Unreadable => f.write_str("it cannot be read"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl Error for BadCertificate {}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, _) => write!(f, "{} cannot be read", path.display()),
            Self::TooLarge(path, max) => {
                write!(f, "{} is longer than {max} bytes", path.display())
            }
            Self::TooMany(path, max) => {
                write!(f, "{} has more than {max} files", path.display())
            }
            Self::NoCertificate(path) => write!(f, "no certificate is in {}", path.display()),
            Self::NoKey(path) => write!(f, "no private key is in {}", path.display()),
            Self::Pem(path, what) => write!(f, "{}: {what}", path.display()),
            Self::BadKey(what) => write!(f, "the private key cannot be used: {what}"),
            Self::KeyMismatch => f.write_str("the private key is not that of the certificate"),
            Self::Chain(_) => f.write_str("the certificate cannot be used"),
            Self::BadName(name) => write!(f, "{name:?} is no name that a server can have"),
            Self::Roots(what) => write!(f, "the roots of this machine: {what}"),
            Self::Nothing => f.write_str("there is no certificate with its key"),
            Self::ShortSecret(bytes) => write!(
                f,
                "the secret of tickets has {bytes} bytes, and should have {TICKET_SECRET_MIN}"
            ),
            Self::SharedSecret => {
                f.write_str("the keys of tickets come from a secret that others have too")
            }
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl Error for IdentityError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(_, error) => Some(error),
            Self::Chain(bad) => Some(bad),
            _ => None,
        }
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "nothing at all".to_owned() } else { words.join(", ") }
}
