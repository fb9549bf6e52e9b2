//! Messages of the server (PostgreSQL's manual, "Message Formats"), from bytes cut anywhere.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{self, ErrorFields};

use crate::postgres::{BadMessage, ServerError};

/// The type and the length of a message.
const HEADER: usize = 5;
/// A message keeps what came with it from being freed: one that is small is copied out.
const KEPT_MIN: usize = 4096;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// How the client is to prove who it is, or that it did.
    Authentication(Authentication),
    /// What a request to cancel has to name.
    BackendKey {
        /// The server's process.
        process: i32,
        /// A number that only this client knows.
        secret: i32,
    },
    /// The parameters fit the statement.
    BindComplete,
    /// A statement is forgotten.
    CloseComplete,
    /// A statement is done; what it did.
    CommandComplete(String),
    /// The server waits for data to copy in.
    CopyIn,
    /// The server is about to copy data out.
    CopyOut,
    /// Data that is copied out.
    CopyData,
    /// It was the last.
    CopyDone,
    /// A row.
    Row(RawRow),
    /// There was nothing in the statement.
    EmptyQuery,
    /// The server refuses.
    Error(Box<ServerError>),
    /// The statement gives no rows.
    NoData,
    /// The server has something to say.
    Notice(Box<ServerError>),
    /// Somebody has notified a channel.
    Notification {
        /// The process of who did.
        process: i32,
        /// The channel.
        channel: String,
        /// What was said there.
        payload: String,
    },
    /// The types of a statement's parameters, by their number.
    ParameterTypes(Vec<u32>),
    /// A setting has this value.
    ParameterStatus {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A statement is prepared.
    ParseComplete,
    /// There would be more rows.
    PortalSuspended,
    /// The server waits for what comes next.
    Ready(Status),
    /// The columns of a result.
    Columns(Vec<(String, u32)>),
}

/// What the server asks for before it lets anybody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// It has let the client in.
    Ok,
    /// The password as it is.
    Cleartext,
    /// Its MD5 with this salt.
    Md5([u8; 4]),
    /// One of these mechanisms of SASL.
    Sasl(Vec<String>),
    /// SASL's next step.
    SaslContinue(Vec<u8>),
    /// SASL's last step.
    SaslFinal(Vec<u8>),
    /// Something that is not spoken here.
    Other(&'static str),
}

/// What a connection is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No transaction.
    Idle,
    /// A transaction.
    InTransaction,
    /// A transaction that has failed and takes nothing but its end.
    Failed,
}

/// The values of a row as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    bytes: Bytes,
    ranges: Vec<Option<Range<usize>>>,
}

impl RawRow {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The bytes of a value; `None` where it is `NULL` or not there.
    pub fn value(&self, place: usize) -> Option<&[u8]> {
        let range = self.ranges.get(place)?.clone()?;
        self.bytes.get(range)
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.ranges.len() * size_of::<Option<Range<usize>>>()
    }
}

/// Makes messages of bytes.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    message_max: usize,
}

impl Decoder {
    /// One that takes messages of so many bytes.
    pub fn new(message_max: usize) -> Self {
        Self { buffer: BytesMut::new(), message_max }
    }

    /// Takes bytes; [`next_message`](Self::next_message) is to be asked before there are more.
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// Takes out what was not read: at a change of who reads.
    pub(crate) fn take_rest(&mut self) -> BytesMut {
        std::mem::take(&mut self.buffer)
    }

    /// Takes a single byte, which is the answer to the question about TLS.
    pub(crate) fn take_byte(&mut self) -> Option<u8> {
        if self.buffer.is_empty() {
            return None;
        }
        self.buffer.split_to(1).first().copied()
    }

    /// The next message, if it is whole.
    ///
    /// # Errors
    ///
    /// If it is too long, or is none.
    pub fn next_message(&mut self) -> Result<Option<Message>, BadMessage> {
        let Some((&[tag, a, b, c, d], _)) = self.buffer.split_first_chunk::<HEADER>() else {
            if self.buffer.is_empty() {
                // An idle connection has no buffer.
                self.buffer = BytesMut::new();
            }
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.message_max {
            return Err(BadMessage::TooLong { tag, length });
        }
        if self.buffer.len() <= length {
            return Ok(None);
        }
        let malformed = |_| BadMessage::Malformed { tag };
        match backend::Message::parse(&mut self.buffer).map_err(malformed)? {
            Some(message) => convert(message).map(Some).map_err(malformed),
            None => Ok(None),
        }
    }
}

fn convert(message: backend::Message) -> std::io::Result<Message> {
    use backend::Message as M;
    Ok(match message {
        M::AuthenticationOk => Message::Authentication(Authentication::Ok),
        M::AuthenticationCleartextPassword => Message::Authentication(Authentication::Cleartext),
        M::AuthenticationMd5Password(body) => {
            Message::Authentication(Authentication::Md5(body.salt()))
        }
        M::AuthenticationSasl(body) => {
            let mechanisms = body.mechanisms().map(|name| Ok(name.to_owned())).collect()?;
            Message::Authentication(Authentication::Sasl(mechanisms))
        }
        M::AuthenticationSaslContinue(body) => {
            Message::Authentication(Authentication::SaslContinue(body.data().to_owned()))
        }
        M::AuthenticationSaslFinal(body) => {
            Message::Authentication(Authentication::SaslFinal(body.data().to_owned()))
        }
        M::AuthenticationGss | M::AuthenticationGssContinue(_) => other("GSSAPI"),
        M::AuthenticationKerberosV5 => other("Kerberos 5"),
        M::AuthenticationScmCredential => other("SCM credentials"),
        M::AuthenticationSspi => other("SSPI"),
        M::BackendKeyData(body) => {
            Message::BackendKey { process: body.process_id(), secret: body.secret_key() }
        }
        M::BindComplete => Message::BindComplete,
        M::CloseComplete => Message::CloseComplete,
        M::CommandComplete(body) => Message::CommandComplete(body.tag()?.to_owned()),
        M::CopyData(_) => Message::CopyData,
        M::CopyDone => Message::CopyDone,
        M::CopyInResponse(_) => Message::CopyIn,
        M::CopyOutResponse(_) => Message::CopyOut,
        M::DataRow(body) => {
            let ranges = body.ranges().collect()?;
            let bytes = body.buffer_bytes();
            let bytes =
                if bytes.len() < KEPT_MIN { Bytes::copy_from_slice(bytes) } else { bytes.clone() };
            Message::Row(RawRow { bytes, ranges })
        }
        M::EmptyQueryResponse => Message::EmptyQuery,
        M::ErrorResponse(body) => Message::Error(Box::new(server_error(body.fields())?)),
        M::NoticeResponse(body) => Message::Notice(Box::new(server_error(body.fields())?)),
        M::NoData => Message::NoData,
        M::NotificationResponse(body) => Message::Notification {
            process: body.process_id(),
            channel: body.channel()?.to_owned(),
            payload: body.message()?.to_owned(),
        },
        M::ParameterDescription(body) => Message::ParameterTypes(body.parameters().collect()?),
        M::ParameterStatus(body) => Message::ParameterStatus {
            name: body.name()?.to_owned(),
            value: body.value()?.to_owned(),
        },
        M::ParseComplete => Message::ParseComplete,
        M::PortalSuspended => Message::PortalSuspended,
        M::ReadyForQuery(body) => Message::Ready(match body.status() {
            b'I' => Status::Idle,
            b'T' => Status::InTransaction,
            b'E' => Status::Failed,
            _ => return Err(std::io::ErrorKind::InvalidData.into()),
        }),
        M::RowDescription(body) => {
            let columns =
                body.fields().map(|field| Ok((field.name().to_owned(), field.type_oid())));
            Message::Columns(columns.collect()?)
        }
        _ => return Err(std::io::ErrorKind::InvalidData.into()),
    })
}

fn other(name: &'static str) -> Message {
    Message::Authentication(Authentication::Other(name))
}

fn server_error(mut fields: ErrorFields<'_>) -> std::io::Result<ServerError> {
    let mut error = ServerError::default();
    while let Some(field) = fields.next()? {
        // It is text in the client's encoding, once that is agreed on, and anything before.
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            // The one that is not translated.
            b'V' => error.severity = text,
            b'S' if error.severity.is_empty() => error.severity = text,
            b'C' => error.code = text,
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            b'P' => error.position = text.parse().ok(),
            b't' => error.table = Some(text),
            b'c' => error.column = Some(text),
            b'n' => error.constraint = Some(text),
            _ => (),
        }
    }
    Ok(error)
}
