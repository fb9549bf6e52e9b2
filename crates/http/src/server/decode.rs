//! Request bodies behind a content coding.

use std::fmt;

use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};

use super::reply::{Response, plain};
use super::request::Request;
use crate::client::Decoding;

/// What request bodies can be coded in here, for `Accept-Encoding`.
const KNOWN: HeaderValue = HeaderValue::from_static("gzip, deflate, br, zstd");

/// A request's body is in a coding that is not known here, or in several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCoding {
    /// As `Content-Encoding` has it.
    pub got: String,
}

impl UnknownCoding {
    /// The answer that a client can make something of: 415, with the codings that are known
    /// (RFC 9110 15.5.16).
    pub fn response(&self) -> Response {
        let mut response = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        response.headers_mut().insert(ACCEPT_ENCODING, KNOWN);
        response
    }
}

impl fmt::Display for UnknownCoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body's coding: expected gzip, deflate, br or zstd, got {:?}", self.got)
    }
}

impl std::error::Error for UnknownCoding {}

impl Request {
    /// Has the body decoded as it is read, if it is coded: `gzip`, `deflate`, `br` or `zstd` (RFC 9110 8.4, RFC 7932,
    /// RFC 8878, of zstd with windows up to the 8 MiB of RFC 9659; of brotli it may take 16 MiB of memory). Without this,
    /// a resource reads what was sent.
    ///
    /// Reading fails with [`BodyError::DecodedTooLong`](crate::BodyError::DecodedTooLong) where more than
    /// `max` bytes come out, which is answered with 413, and with
    /// [`BodyError::BadCoding`](crate::BodyError::BadCoding), answered with 400.
    ///
    /// # Errors
    ///
    /// [`UnknownCoding`] if it is in another one, or in several. Passed on with `?`, it is answered with 415.
    ///
    /// ```
    /// use ropewalk_deferred::Failure;
    /// use ropewalk_http::{Request, Site};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let site = Site::new(|mut request: Request| {
    ///     request.decode_body(1024)?;
    ///     let body = request.into_body().collect(1024);
    ///     Ok::<_, Failure>(body.map(|body| format!("{} bytes", body.len())))
    /// });
    /// let mut client = Memory::seat(site.server(), &Clock::new());
    /// client.push(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: lzw\r\nContent-Length: 1\r\n\r\nx");
    /// assert!(client.take_sent().starts_with(b"HTTP/1.1 415 "));
    /// ```
    pub fn decode_body(&mut self, max: u64) -> Result<(), UnknownCoding> {
        let mut codings = self.headers().get_all(CONTENT_ENCODING).iter();
        let Some(coding) = codings.next() else { return Ok(()) };
        let is_alone = codings.next().is_none();
        let coding = coding.as_bytes().trim_ascii().to_vec();
        if is_alone && coding.eq_ignore_ascii_case(b"identity") {
            return Ok(());
        }
        let decoding = Decoding::of(&coding, max).filter(|_| is_alone);
        if !decoding.is_some_and(|decoding| self.body_mut().decode(decoding)) {
            return Err(UnknownCoding { got: String::from_utf8_lossy(&coding).into_owned() });
        }
        self.headers_mut().remove(CONTENT_ENCODING);
        self.headers_mut().remove(CONTENT_LENGTH);
        Ok(())
    }
}
