use http::Version;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE,
};

use super::error::{BadRequest, Excerpt};
use super::head::Manner;
use super::syntax::{is_token, members};

/// Where a message's body ends (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none: neither Content-Length nor Transfer-Encoding came.
    None,
    /// After as many bytes as Content-Length says.
    Fixed(u64),
    /// Where the chunks say.
    Chunked,
    /// Where the connection ends: only an answer can have such a body.
    UntilClose,
}

/// Whether a token is this word, which is in lower case and has letters and hyphens only.
fn is<const N: usize>(token: &[u8], word: &[u8; N]) -> bool {
    // The bit makes small letters of capital ones; besides, only what is in no token becomes a
    // letter or a hyphen by it. No branch for each byte: this is asked of every field.
    let differ =
        |token: &[u8; N]| token.iter().zip(word).fold(0, |all, (a, b)| all | (a | 0x20) ^ b);
    token.len() == N && token.first_chunk().map(differ) == Some(0)
}

/// What the fields of a head say about the message and the connection, gathered on the way.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that may come in any order")]
pub(super) struct Signs {
    has_host: bool,
    length: Option<u64>,
    has_coding: bool,
    has_chunked: bool,
    unknown_coding: Option<Excerpt>,
    coding_fault: Option<BadRequest>,
    says_close: bool,
    says_keep_alive: bool,
    says_upgrade: bool,
    has_upgrade: bool,
    expects_continue: bool,
    takes_trailers: bool,
    unknown_expectation: Option<Excerpt>,
}

impl Signs {
    pub(super) fn has_host(&self) -> bool {
        self.has_host
    }

    /// What Content-Length says.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether a field of this name may be one of those that are signs.
    #[inline]
    pub(super) fn may_have(name: &[u8]) -> bool {
        let first = name.first().map_or(0, |first| first | 0x20);
        matches!(
            (name.len(), first),
            (2 | 17, b't') | (4, b'h') | (6, b'e') | (7, b'u') | (10 | 14, b'c')
        )
    }

    /// Looks at one field; answers its name if it is one of those that are signs. Whether Host is a
    /// host is not looked at.
    pub(super) fn note(
        &mut self,
        name: &[u8],
        value: &[u8],
    ) -> Result<Option<HeaderName>, BadRequest> {
        Ok(Some(match name.len() {
            2 if is(name, b"te") => {
                self.note_taken(value);
                TE
            }
            4 if is(name, b"host") => {
                if self.has_host {
                    return Err(BadRequest::SeveralHosts);
                }
                self.has_host = true;
                HOST
            }
            6 if is(name, b"expect") => {
                self.note_expectation(value);
                EXPECT
            }
            7 if is(name, b"upgrade") => {
                self.has_upgrade = true;
                UPGRADE
            }
            10 if is(name, b"connection") => {
                self.note_connection(value);
                CONNECTION
            }
            14 if is(name, b"content-length") => {
                self.note_length(value)?;
                CONTENT_LENGTH
            }
            17 if is(name, b"transfer-encoding") => {
                self.note_codings(value);
                TRANSFER_ENCODING
            }
            _ => return Ok(None),
        }))
    }

    /// RFC 9110 10.1.4.
    fn note_taken(&mut self, value: &[u8]) {
        self.takes_trailers |= members(value).any(|one| one.eq_ignore_ascii_case(b"trailers"));
    }

    fn note_length(&mut self, value: &[u8]) -> Result<(), BadRequest> {
        if self.length.is_some() {
            return Err(BadRequest::SeveralLengths);
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(BadRequest::BadLength(Excerpt::of(value)));
        }
        let mut digits = value.iter().map(|digit| u64::from(digit - b'0'));
        let length = digits.try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(digit));
        self.length = Some(length.ok_or(BadRequest::HugeLength(Excerpt::of(value)))?);
        Ok(())
    }

    fn note_codings(&mut self, value: &[u8]) {
        self.has_coding = true;
        for coding in members(value) {
            let name = coding.split(|&byte| byte == b';').next().unwrap_or_default();
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            let fault = if !is_token(name.trim_ascii_end())
                || (!is_chunked && name.trim_ascii_end().eq_ignore_ascii_case(b"chunked"))
            {
                BadRequest::BadCoding(Excerpt::of(value))
            } else if self.has_chunked && is_chunked {
                BadRequest::ChunkedTwice
            } else if self.has_chunked {
                BadRequest::ChunkedNotLast
            } else {
                self.has_chunked = is_chunked;
                if !is_chunked && self.unknown_coding.is_none() {
                    self.unknown_coding = Some(Excerpt::of(coding));
                }
                continue;
            };
            self.coding_fault.get_or_insert(fault);
        }
    }

    fn note_connection(&mut self, value: &[u8]) {
        for option in members(value) {
            self.says_close |= option.eq_ignore_ascii_case(b"close");
            self.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.says_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn note_expectation(&mut self, value: &[u8]) {
        for expectation in members(value) {
            if expectation.eq_ignore_ascii_case(b"100-continue") {
                self.expects_continue = true;
            } else if self.unknown_expectation.is_none() {
                self.unknown_expectation = Some(Excerpt::of(expectation));
            }
        }
    }

    /// What they say, all fields seen.
    pub(super) fn manner(&self, version: Version) -> Result<Manner, BadRequest> {
        let body = self.length_of_request(version)?;
        Ok(Manner {
            body,
            keep_alive: self.keep_alive(version),
            expects_continue: self.expects_continue(version)? && body != BodyLength::None,
            wants_upgrade: self.wants_upgrade(version),
            takes_trailers: self.takes_trailers,
        })
    }

    /// Where the body of a request ends, all fields seen.
    pub(super) fn length_of_request(&self, version: Version) -> Result<BodyLength, BadRequest> {
        if version == Version::HTTP_11 && !self.has_host {
            return Err(BadRequest::MissingHost);
        }
        self.told_length(version)
    }

    /// Where the body of an answer ends that has one, all fields seen.
    pub(super) fn length_of_answer(&self, version: Version) -> Result<BodyLength, BadRequest> {
        self.told_length(version).map(|length| match length {
            BodyLength::None => BodyLength::UntilClose,
            told => told,
        })
    }

    fn told_length(&self, version: Version) -> Result<BodyLength, BadRequest> {
        if self.has_coding && self.length.is_some() {
            return Err(BadRequest::LengthAndCoding);
        }
        if let Some(length) = self.length {
            return Ok(BodyLength::Fixed(length));
        }
        if !self.has_coding {
            return Ok(BodyLength::None);
        }
        // RFC 9112 6.1: such a message may come through somebody who knows no codings.
        if version == Version::HTTP_10 {
            return Err(BadRequest::CodingTooOld);
        }
        if let Some(fault) = self.coding_fault {
            return Err(fault);
        }
        self.unknown_coding
            .map_or(Ok(BodyLength::Chunked), |coding| Err(BadRequest::UnknownCoding(coding)))
    }

    /// Whether the connection may go on after the answer (RFC 9112 9.3).
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.says_close && (version == Version::HTTP_11 || self.says_keep_alive)
    }

    /// Whether the client waits for a word before it sends its body (RFC 9110 10.1.1).
    pub(super) fn expects_continue(&self, version: Version) -> Result<bool, BadRequest> {
        if version == Version::HTTP_10 {
            return Ok(false);
        }
        match self.unknown_expectation {
            Some(other) => Err(BadRequest::UnknownExpectation(other)),
            None => Ok(self.expects_continue),
        }
    }

    /// Whether the client would speak another protocol after this (RFC 9110 7.8).
    pub(super) fn wants_upgrade(&self, version: Version) -> bool {
        version == Version::HTTP_11 && self.says_upgrade && self.has_upgrade
    }
}
