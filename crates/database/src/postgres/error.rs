//! What can go wrong with PostgreSQL.

use std::error::Error;
use std::fmt;

use ropewalk_protocol::Disconnect;

/// What the server said when it refused, or in a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`; of a notice `WARNING`, `NOTICE`, `DEBUG`, `INFO` or `LOG`.
    pub severity: String,
    /// The `SQLSTATE`, five letters and digits.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What could be done about it.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
    /// The table it is about.
    pub table: Option<String>,
    /// The column it is about.
    pub column: Option<String>,
    /// The constraint that would be broken.
    pub constraint: Option<String>,
}

impl ServerError {
    /// Whether the same may well work a little later: after a deadlock or a failed serialization, while the
    /// server starts or stops, or where it has too many connections.
    pub fn is_temporary(&self) -> bool {
        let class = self.code.get(..2).unwrap_or_default();
        matches!(class, "08" | "40" | "53" | "57") && !matches!(&*self.code, "57014" | "53100")
    }

    pub(crate) fn is_fatal(&self) -> bool {
        matches!(&*self.severity, "FATAL" | "PANIC")
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL: {} {}: {}", self.severity, self.code, self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl Error for ServerError {}

/// The server broke the protocol's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadMessage {
    /// A message is longer than [`Limits::message_max`](crate::postgres::Limits::message_max).
    TooLong {
        /// Its type.
        tag: u8,
        /// Its length in bytes.
        length: usize,
    },
    /// A message cannot be read.
    Malformed {
        /// Its type.
        tag: u8,
    },
    /// A message came that belongs to nothing.
    OutOfPlace,
    /// The answer to the question about TLS is neither yes nor no.
    TlsAnswer(u8),
    /// More settings were reported than there are.
    TooManySettings,
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { tag, length } => {
                write!(f, "a message of type {} is {length} bytes long", char::from(*tag))
            }
            Self::Malformed { tag } => {
                write!(f, "a message of type {} cannot be read", char::from(*tag))
            }
            Self::OutOfPlace => f.write_str("a message came that belongs to nothing"),
            Self::TlsAnswer(byte) => {
                write!(f, "the answer to the question about TLS is the byte {byte}")
            }
            Self::TooManySettings => f.write_str("more settings were reported than there are"),
        }
    }
}

impl Error for BadMessage {}

/// Why a call to PostgreSQL failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostgresError {
    /// The server refused.
    Server(Box<ServerError>),
    /// The connection is over, or was never made.
    Lost(Disconnect),
    /// Logging in took longer than [`Limits::login_patience`](crate::postgres::Limits::login_patience), or
    /// nothing came for [`Limits::patience`](crate::postgres::Limits::patience).
    Late,
    /// As many calls wait as [`Limits`](crate::postgres::Limits) allow.
    TooMany,
    /// The server broke the protocol's rules; the connection is over.
    Bad(BadMessage),
    /// The server does not speak TLS, and was to.
    NoTls,
    /// TLS broke off.
    Tls(String),
    /// The server asks for a password, and there is none.
    NoPassword,
    /// The server wants the password as it is, where others could read it.
    Cleartext,
    /// The server wants a proof of identity that is not known here.
    Authentication(String),
    /// The server has not shown that it knows the password.
    NotTheServer(String),
    /// The statement has another number of parameters.
    Parameters {
        /// How many the statement has.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// A parameter is no value of the type that the statement wants there.
    Parameter {
        /// Which, from 1.
        place: usize,
        /// Why.
        why: String,
    },
    /// The result has more bytes than [`Limits::result_max`](crate::postgres::Limits::result_max).
    TooLarge,
    /// `COPY` from and to the client is not spoken here.
    Copy,
    /// The transaction is over already.
    TransactionOver,
    /// The transaction had failed before it was to be committed, and is rolled back.
    NotCommitted,
    /// Words that go to the server end at the first zero byte, and these have one.
    ZeroByte,
}

impl PostgresError {
    /// Whether the same may well work a little later, on another connection.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Server(error) => error.is_temporary(),
            Self::Lost(_) | Self::Late => true,
            _ => false,
        }
    }
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Lost(why) => write!(f, "the connection to PostgreSQL is over: {why}"),
            Self::Late => f.write_str("PostgreSQL did not answer in time"),
            Self::TooMany => f.write_str("too many calls to PostgreSQL wait already"),
            Self::Bad(_) => f.write_str("PostgreSQL's answer cannot be understood"),
            Self::NoTls => f.write_str("PostgreSQL does not speak TLS there"),
            Self::Tls(why) => write!(f, "TLS with PostgreSQL broke off: {why}"),
            Self::NoPassword => f.write_str("PostgreSQL asks for a password"),
            Self::Cleartext => f.write_str(
                "PostgreSQL asks for the password on a connection that others could read",
            ),
            Self::Authentication(how) => write!(f, "PostgreSQL asks for a proof by {how}"),
            Self::NotTheServer(why) => {
                write!(f, "the server has not shown that it knows the password: {why}")
            }
            Self::Parameters { expected, given } => {
                write!(f, "the statement has {expected} parameters, and {given} were given")
            }
            Self::Parameter { place, why } => write!(f, "parameter {place} does not fit: {why}"),
            Self::TooLarge => f.write_str("the result is too large"),
            Self::Copy => f.write_str("COPY from and to the client is not spoken here"),
            Self::TransactionOver => f.write_str("the transaction is over already"),
            Self::NotCommitted => {
                f.write_str("the transaction had failed, and was rolled back instead of committed")
            }
            Self::ZeroByte => f.write_str("there is a zero byte in what goes to PostgreSQL"),
        }
    }
}

impl Error for PostgresError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bad(bad) => Some(bad),
            _ => None,
        }
    }
}
