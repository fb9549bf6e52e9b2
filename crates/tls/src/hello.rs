//! What a client asks for before anything is decided: the name in its first message.

use std::borrow::Cow;

/// The type of a record that carries the handshake (RFC 8446 5.1).
const HANDSHAKE: u8 = 22;
/// The type of the first message of a handshake (RFC 8446 4).
const CLIENT_HELLO: u8 = 1;
/// The extension that names the server (RFC 6066 3).
const SERVER_NAME: u16 = 0;
/// The longest record in the clear.
const RECORD_MAX: usize = 1 << 14;

/// What the beginning of a connection shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// Nothing yet: more has to come.
    Incomplete,
    /// The client named a server, or did not.
    Named(Option<String>),
    /// No first message of a client; whoever answers says what is wrong with it.
    Strange,
}

/// Looks at all that a client has sent.
///
/// Nothing is judged here but what has to be known to choose who answers: rustls reads the same
/// bytes again, and strictly.
pub(crate) fn look(bytes: &[u8]) -> Hello {
    let message = match message(bytes) {
        Ok(message) => message,
        Err(hello) => return hello,
    };
    match server_name(&message) {
        Some(name) => Hello::Named(name),
        None => Hello::Strange,
    }
}

/// The body of the message, put together from the records that carry it where one does not.
fn message(mut bytes: &[u8]) -> Result<Cow<'_, [u8]>, Hello> {
    if let Some(body) = in_one_record(bytes) {
        return Ok(body.into());
    }
    let mut message = Vec::new();
    loop {
        match bytes {
            [kind, ..] if *kind != HANDSHAKE => return Err(Hello::Strange),
            [_, major, ..] if *major != 3 => return Err(Hello::Strange),
            [_, _, _, high, low, rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > RECORD_MAX {
                    return Err(Hello::Strange);
                }
                let whole = rest.len() >= length;
                message.extend_from_slice(&rest[..length.min(rest.len())]);
                match message[..] {
                    [kind, ..] if kind != CLIENT_HELLO => return Err(Hello::Strange),
                    [_, a, b, c, ..] => {
                        let wanted = 4 + u32::from_be_bytes([0, a, b, c]) as usize;
                        if message.len() >= wanted {
                            message.truncate(wanted);
                            return Ok(message.split_off(4).into());
                        }
                    }
                    _ => (),
                }
                if !whole {
                    return Err(Hello::Incomplete);
                }
                bytes = &rest[length..];
            }
            _ => return Err(Hello::Incomplete),
        }
    }
}

fn in_one_record(bytes: &[u8]) -> Option<&[u8]> {
    let [HANDSHAKE, 3, _, high, low, rest @ ..] = bytes else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let record = rest.get(..length).filter(|_| length <= RECORD_MAX)?;
    let [CLIENT_HELLO, a, b, c, body @ ..] = record else { return None };
    body.get(..u32::from_be_bytes([0, *a, *b, *c]) as usize)
}

/// The name in the body of a message; none at all if the message cannot be read.
#[expect(clippy::option_option, reason = "a message without a name is a message")]
fn server_name(body: &[u8]) -> Option<Option<String>> {
    let mut body = Reader(body);
    body.take(2 + 32)?;
    body.vector_of(1)?;
    body.vector_of(2)?;
    body.vector_of(1)?;
    if body.0.is_empty() {
        return Some(None);
    }
    let mut extensions = body.vector_of(2)?;
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let mut content = extensions.vector_of(2)?;
        if kind == SERVER_NAME {
            let mut names = content.vector_of(2)?;
            // One type of names was ever defined, and the standard has room for one of it.
            if names.take(1)? != [0] {
                return None;
            }
            let name = names.vector_of(2)?;
            let name = std::str::from_utf8(name.0).ok()?;
            return Some(Some(name.to_ascii_lowercase()));
        }
    }
    Some(None)
}

struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    fn take(&mut self, count: usize) -> Option<&'d [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector whose length stands before it, in so many bytes.
    fn vector_of(&mut self, size: usize) -> Option<Self> {
        let length = self.take(size)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        self.take(length).map(Self)
    }
}
