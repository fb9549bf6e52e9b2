//! What a program writes before its body (RFC 3875 6).

use std::error::Error;
use std::fmt;
use std::mem;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};

/// How long the head of a program's answer may be, in bytes.
pub const HEAD_MAX: usize = 16 * 1024;
/// How many fields may stand in it.
pub const FIELDS_MAX: usize = 100;
/// How much of a line is told of, in bytes.
const EXCERPT: usize = 64;

/// What a program answered, but for the body behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A document, an error, or a redirect that is the client's affair (RFC 3875 6.2.1, 6.2.3, 6.2.4).
    Document {
        /// As the program said, or 302 with a `Location`, or else 200.
        status: StatusCode,
        /// Its fields, but for those that are the server's own affair.
        headers: HeaderMap,
        /// How many bytes of body follow, where the program said so.
        length: Option<u64>,
    },
    /// What the site would answer to a request for this instead (RFC 3875 6.2.2).
    Local(PathAndQuery),
}

/// Reads the head of a program's answer, however it is cut.
///
/// ```
/// use ropewalk_cgi::{Answer, ResponseDecoder};
///
/// let mut decoder = ResponseDecoder::default();
/// let mut data = &b"Status: 404 Nothing here\nContent-Type: text/plain\n\nNo."[..];
/// let Some(Answer::Document { status, headers, .. }) = decoder.feed(&mut data)? else { panic!() };
/// assert_eq!((status.as_u16(), &headers["content-type"], data), (404, &"text/plain".parse().unwrap(), &b"No."[..]));
/// # Ok::<(), ropewalk_cgi::BadResponse>(())
/// ```
#[derive(Debug, Default)]
pub struct ResponseDecoder {
    line: Vec<u8>,
    length: usize,
    lines: usize,
    status: Option<StatusCode>,
    location: Option<HeaderValue>,
    headers: HeaderMap,
}

impl ResponseDecoder {
    /// Takes what belongs to the head out of `data`, and answers with it once it is whole. What is left
    /// then is body.
    ///
    /// # Errors
    ///
    /// [`BadResponse`] tells what is wrong with it. What was read is of no use then.
    pub fn feed(&mut self, data: &mut &[u8]) -> Result<Option<Answer>, BadResponse> {
        while !data.is_empty() {
            let end = data.iter().position(|byte| *byte == b'\n');
            let (piece, rest) = data.split_at(end.map_or(data.len(), |end| end + 1));
            self.length += piece.len();
            if self.length > HEAD_MAX {
                return Err(BadResponse::TooLong);
            }
            *data = rest;
            self.line.extend_from_slice(piece);
            if end.is_none() {
                break;
            }
            let mut line = mem::take(&mut self.line);
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if line.is_empty() {
                return self.finish().map(Some);
            }
            self.take_line(&line)?;
            self.lines += 1;
        }
        Ok(None)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), BadResponse> {
        if self.lines >= FIELDS_MAX {
            return Err(BadResponse::TooManyFields);
        }
        // RFC 3875 5.2: a program that takes itself for the server begins as one does.
        if self.lines == 0
            && let Some(rest) = line.strip_prefix(b"HTTP/1.0 ").or(line.strip_prefix(b"HTTP/1.1 "))
        {
            self.status = Some(status(rest)?);
            return Ok(());
        }
        let bad = || BadResponse::NoField(excerpt(line));
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(bad)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| bad())?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(|_| bad())?;
        if name.as_str() == "status" {
            if self.status.replace(status(value.as_bytes())?).is_some() {
                return Err(BadResponse::Twice("Status"));
            }
            return Ok(());
        }
        for (once, told) in [
            (CONTENT_TYPE, "Content-Type"),
            (CONTENT_LENGTH, "Content-Length"),
            (LOCATION, "Location"),
        ] {
            let is_there =
                self.headers.contains_key(&once) || (once == LOCATION && self.location.is_some());
            if name == once && is_there {
                return Err(BadResponse::Twice(told));
            }
        }
        if name == LOCATION {
            self.location = Some(value);
        } else {
            self.headers.append(name, value);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Answer, BadResponse> {
        let Self { status, location, headers, .. } = mem::take(self);
        let mut headers = headers;
        // RFC 3875 6.3: at least one field has to be the program's word to the server.
        if status.is_none() && location.is_none() && !headers.contains_key(CONTENT_TYPE) {
            return Err(BadResponse::Nothing);
        }
        if status.is_none()
            && let Some(local) = location.as_ref().and_then(local_path)
        {
            return Ok(Answer::Local(local));
        }
        let length = match headers.get(CONTENT_LENGTH) {
            None => None,
            Some(value) => Some(
                decimal(value.as_bytes())
                    .ok_or_else(|| BadResponse::BadLength(excerpt(value.as_bytes())))?,
            ),
        };
        let status = status.unwrap_or(match location {
            Some(_) => StatusCode::FOUND,
            None => StatusCode::OK,
        });
        if let Some(location) = location {
            headers.insert(LOCATION, location);
        }
        let options = headers.get_all(CONNECTION).iter();
        let options: Vec<HeaderName> = options
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
            .collect();
        let others = ["keep-alive", "proxy-connection"].map(HeaderName::from_static);
        let own = [CONNECTION, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
        // RFC 3875 6.3.4: what is between client and server is none of a program's business.
        for name in own.into_iter().chain(others).chain(options) {
            if name != CONTENT_LENGTH && name != CONTENT_TYPE {
                headers.remove(name);
            }
        }
        Ok(Answer::Document { status, headers, length })
    }
}

/// The path of a redirect that is the site's own affair: RFC 3875 6.3.2 has it begin with one slash.
fn local_path(location: &HeaderValue) -> Option<PathAndQuery> {
    let text = location.to_str().ok()?;
    let is_local = text.starts_with('/') && !text.starts_with("//") && !text.contains('#');
    let uri: Uri = text.parse().ok().filter(|_| is_local)?;
    uri.into_parts().path_and_query
}

fn status(text: &[u8]) -> Result<StatusCode, BadResponse> {
    let bad = || BadResponse::BadStatus(excerpt(text));
    let (code, rest) = text.split_at_checked(3).ok_or_else(bad)?;
    let is_apart = rest.first().is_none_or(u8::is_ascii_whitespace);
    let is_code = is_apart && matches!(code.first(), Some(b'2'..=b'5'));
    StatusCode::from_bytes(code).ok().filter(|_| is_code).ok_or_else(bad)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn excerpt(line: &[u8]) -> String {
    let shown = &line[..line.len().min(EXCERPT)];
    shown.escape_ascii().to_string()
}

/// What is wrong with the head of a program's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadResponse {
    /// It has more than [`HEAD_MAX`] bytes.
    TooLong,
    /// It has more than [`FIELDS_MAX`] fields.
    TooManyFields,
    /// A line of it is no field.
    NoField(String),
    /// A field stands there twice that may be there once.
    Twice(&'static str),
    /// There is no status from 200 to 599.
    BadStatus(String),
    /// The length is no number.
    BadLength(String),
    /// Neither `Content-Type` nor `Location` nor `Status` is there (RFC 3875 6.3).
    Nothing,
}

impl fmt::Display for BadResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => {
                write!(f, "its head has more than {HEAD_MAX} bytes; an empty line has to end it")
            }
            Self::TooManyFields => write!(f, "its head has more than {FIELDS_MAX} fields"),
            Self::NoField(line) => {
                write!(
                    f,
                    "its head: expected a field, such as Content-Type: text/plain, got \"{line}\""
                )
            }
            Self::Twice(name) => write!(f, "its head has {name} twice"),
            Self::BadStatus(got) => {
                write!(f, "its Status: expected a code from 200 to 599, got \"{got}\"")
            }
            Self::BadLength(got) => {
                write!(f, "its Content-Length: expected a number of bytes, got \"{got}\"")
            }
            Self::Nothing => f.write_str("its head has no Content-Type, Location or Status"),
        }
    }
}

impl Error for BadResponse {}
