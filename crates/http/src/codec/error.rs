use std::error::Error;
use std::fmt;

use http::StatusCode;

/// Why a request is refused: one variant for each check.
///
/// The framing of a connection is in doubt after any of these, so it has to be closed once
/// [`status`](Self::status) is answered (RFC 9112 11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRequest {
    // The client broke a rule about lines and bytes.
    /// A carriage return without a line feed (RFC 9112 2.2).
    BareCr,
    /// A line feed without a carriage return (RFC 9112 2.2).
    BareLf,
    /// A control byte where only text may stand (RFC 9110 5.5).
    ControlByte(u8),
    /// More than one empty line before the request line (RFC 9112 2.2).
    EmptyLines,

    // The client broke a rule about the request line.
    /// Not three words with single spaces (RFC 9112 3).
    BadRequestLine(Excerpt),
    /// The method is not a token (RFC 9110 9.1).
    BadMethod(Excerpt),
    /// The target has none of the four forms (RFC 9112 3.2).
    BadTarget(Excerpt),
    /// CONNECT is for a host and a port and nothing else (RFC 9112 3.2.3).
    BadConnectTarget(Excerpt),
    /// Only CONNECT has a host and a port as its target (RFC 9112 3.2.3).
    AuthorityTarget(Excerpt),
    /// Only OPTIONS has `*` as its target (RFC 9112 3.2.4).
    AsteriskTarget,
    /// The third word is not a version (RFC 9112 2.3).
    BadVersion(Excerpt),

    // The client broke a rule about fields.
    /// A line that continues the one before (RFC 9112 5.2).
    ObsFold,
    /// White space before a colon (RFC 9112 5.1).
    SpaceBeforeColon(Excerpt),
    /// Nothing before the colon (RFC 9110 5.1).
    EmptyHeaderName,
    /// A line without a colon (RFC 9112 5).
    MissingColon(Excerpt),
    /// The name is not a token (RFC 9110 5.1).
    BadHeaderName(Excerpt),
    /// An HTTP/1.1 request without Host (RFC 9112 3.2).
    MissingHost,
    /// Host twice (RFC 9112 3.2).
    SeveralHosts,
    /// Host holds no host (RFC 9110 7.2).
    BadHost(Excerpt),

    // The client broke a rule about where its body ends.
    /// Content-Length beside Transfer-Encoding (RFC 9112 6.3).
    LengthAndCoding,
    /// Content-Length twice, equal or not (RFC 9110 8.6).
    SeveralLengths,
    /// Content-Length is not plain digits (RFC 9110 8.6).
    BadLength(Excerpt),
    /// Content-Length is beyond 64 bits (RFC 9110 8.6).
    HugeLength(Excerpt),
    /// Transfer-Encoding in an HTTP/1.0 request (RFC 9112 6.1).
    CodingTooOld,
    /// Transfer-Encoding is not a list of codings (RFC 9112 7).
    BadCoding(Excerpt),
    /// Another coding came after chunked (RFC 9112 6.1).
    ChunkedNotLast,
    /// Chunked twice (RFC 9112 6.1).
    ChunkedTwice,
    /// No digit where a chunk's size should be (RFC 9112 7.1).
    MissingChunkSize(u8),
    /// Something after the digits of a chunk's size (RFC 9112 7.1).
    BadChunkSize(u8),
    /// More digits than 64 bits have (RFC 9112 7.1).
    HugeChunkSize,
    /// A chunk extension against its grammar (RFC 9112 7.1.1).
    BadChunkExtension(u8),
    /// A line before a chunk is too long (RFC 9112 7.1.1).
    ChunkLineTooLong {
        /// [`Limits::chunk_line_max`](crate::Limits::chunk_line_max).
        max: usize,
    },
    /// A chunk goes on beyond its size (RFC 9112 7.1).
    MissingChunkEnd(u8),
    /// A field that may not come after the body (RFC 9110 6.5.1).
    ForbiddenTrailer(Excerpt),

    // The client wants what this server lacks.
    /// A version other than 1.0 and 1.1 (RFC 9110 15.6.6).
    UnsupportedVersion(Excerpt),
    /// A transfer coding other than chunked (RFC 9112 6.1).
    UnknownCoding(Excerpt),
    /// An expectation other than `100-continue` (RFC 9110 10.1.1).
    UnknownExpectation(Excerpt),

    // The client wants more than this server gives.
    /// The request line is too long (RFC 9112 3).
    RequestLineTooLong {
        /// [`Limits::request_line_max`](crate::Limits::request_line_max).
        max: usize,
    },
    /// The header fields are too long together (RFC 6585 5).
    HeadersTooLong {
        /// [`Limits::header_block_max`](crate::Limits::header_block_max).
        max: usize,
    },
    /// The trailer fields are too long together (RFC 6585 5).
    TrailersTooLong {
        /// [`Limits::trailer_block_max`](crate::Limits::trailer_block_max).
        max: usize,
    },
    /// Too many fields, before or after the body (RFC 6585 5).
    TooManyHeaders {
        /// [`Limits::header_count_max`](crate::Limits::header_count_max).
        max: usize,
    },
    /// The body is too long (RFC 9110 15.5.14).
    BodyTooLong {
        /// What [`BodyDecoder::new`](crate::BodyDecoder::new) was told.
        max: u64,
    },
}

impl BadRequest {
    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnsupportedVersion(_) => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::UnknownCoding(_) => StatusCode::NOT_IMPLEMENTED,
            Self::UnknownExpectation(_) => StatusCode::EXPECTATION_FAILED,
            Self::RequestLineTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLong { .. }
            | Self::TrailersTooLong { .. }
            | Self::TooManyHeaders { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let byte = |byte: u8| Excerpt::of(&[byte]);
        match self {
            Self::BareCr => write!(f, "expected a line feed after a carriage return"),
            Self::BareLf => write!(f, "expected a carriage return before a line feed"),
            Self::ControlByte(got) => write!(f, "expected text, got the byte {}", byte(*got)),
            Self::EmptyLines => write!(f, "expected a request line, got empty lines"),
            Self::BadRequestLine(got) => write!(f, "expected method, target, version, got {got}"),
            Self::BadMethod(got) => write!(f, "expected a method, got {got}"),
            Self::BadTarget(got) => write!(f, "expected a request target, got {got}"),
            Self::BadConnectTarget(got) => write!(f, "expected host:port to connect to, got {got}"),
            Self::AuthorityTarget(got) => write!(f, "expected a path or a URI, got {got}"),
            Self::AsteriskTarget => write!(f, "expected a path or a URI, got * without OPTIONS"),
            Self::BadVersion(got) => write!(f, "expected HTTP/1.1, got {got}"),
            Self::ObsFold => write!(f, "expected a header name, got a continued line"),
            Self::SpaceBeforeColon(got) => write!(f, "expected a colon right after {got}"),
            Self::EmptyHeaderName => write!(f, "expected a header name, got a colon"),
            Self::MissingColon(got) => write!(f, "expected a colon, got {got}"),
            Self::BadHeaderName(got) => write!(f, "expected a header name, got {got}"),
            Self::MissingHost => write!(f, "expected Host, got none"),
            Self::SeveralHosts => write!(f, "expected one Host, got several"),
            Self::BadHost(got) => write!(f, "expected a host, got {got}"),
            Self::LengthAndCoding => {
                write!(f, "expected Content-Length or Transfer-Encoding, got both")
            }
            Self::SeveralLengths => write!(f, "expected one Content-Length, got several"),
            Self::BadLength(got) => write!(f, "expected digits as Content-Length, got {got}"),
            Self::HugeLength(got) => write!(f, "expected a length of 64 bits, got {got}"),
            Self::CodingTooOld => write!(f, "expected no Transfer-Encoding in HTTP/1.0, got one"),
            Self::BadCoding(got) => write!(f, "expected transfer codings, got {got}"),
            Self::ChunkedNotLast => write!(f, "expected chunked as the last coding, got another"),
            Self::ChunkedTwice => write!(f, "expected chunked once, got it again"),
            Self::MissingChunkSize(got) => write!(f, "expected a chunk size, got {}", byte(*got)),
            Self::BadChunkSize(got) => {
                write!(f, "expected the end of a chunk size, got {}", byte(*got))
            }
            Self::HugeChunkSize => write!(f, "expected a chunk size of 16 digits, got more"),
            Self::BadChunkExtension(got) => {
                write!(f, "expected a chunk extension, got {}", byte(*got))
            }
            Self::ChunkLineTooLong { max } => {
                write!(f, "expected at most {max} bytes before a chunk, got more")
            }
            Self::MissingChunkEnd(got) => {
                write!(f, "expected a line end after a chunk, got {}", byte(*got))
            }
            Self::ForbiddenTrailer(got) => write!(f, "expected {got} before the body, not after"),
            Self::UnsupportedVersion(got) => write!(f, "expected HTTP/1.0 or 1.1, got {got}"),
            Self::UnknownCoding(got) => write!(f, "expected no coding but chunked, got {got}"),
            Self::UnknownExpectation(got) => write!(f, "expected 100-continue, got {got}"),
            Self::RequestLineTooLong { max } => {
                write!(f, "expected a request line of {max} bytes, got more")
            }
            Self::HeadersTooLong { max } => write!(f, "expected {max} bytes of fields, got more"),
            Self::TrailersTooLong { max } => {
                write!(f, "expected {max} bytes of trailers, got more")
            }
            Self::TooManyHeaders { max } => write!(f, "expected {max} fields, got more"),
            Self::BodyTooLong { max } => write!(f, "expected a body of {max} bytes, got more"),
        }
    }
}

impl Error for BadRequest {}

/// Why a response body does not go with what its head said: the answerer erred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadBody {
    /// More bytes than Content-Length said.
    TooLong {
        /// How many there were too many.
        over: u64,
    },
    /// Fewer bytes than Content-Length said.
    TooShort {
        /// How many are missing.
        under: u64,
    },
}

impl fmt::Display for BadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { over } => {
                write!(f, "expected the body to end, got {over} bytes beyond its length")
            }
            Self::TooShort { under } => {
                write!(f, "expected {under} more bytes of the body, got its end")
            }
        }
    }
}

impl Error for BadBody {}

/// The first bytes of something that a stranger sent, safe to print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; Self::LENGTH_MAX],
    length: u8,
    is_cut: bool,
}

impl Excerpt {
    const LENGTH_MAX: usize = 38;

    pub(super) fn of(bytes: &[u8]) -> Self {
        let kept = bytes.len().min(Self::LENGTH_MAX);
        let mut excerpt = [0; Self::LENGTH_MAX];
        excerpt[..kept].copy_from_slice(&bytes[..kept]);
        Self { bytes: excerpt, length: kept as u8, is_cut: kept < bytes.len() }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = &self.bytes[..usize::from(self.length)];
        let dots = if self.is_cut { "…" } else { "" };
        write!(f, "\"{}{dots}\"", bytes.escape_ascii())
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
