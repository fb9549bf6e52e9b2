//! What a connection tells.

use std::error::Error;
use std::fmt;

use http::HeaderMap;

use crate::frame::{BadFrame, ErrorCode, StreamId};
use crate::hpack::HpackError;
use crate::message::{Malformed, RequestHead, ResponseHead};

/// What happened on a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A client asks for something.
    Request {
        /// On which stream.
        stream: StreamId,
        /// What it asks for.
        head: Box<RequestHead>,
        /// Whether no body follows.
        is_end: bool,
    },
    /// A client's request has more fields than this end takes: to be answered with 431. Whatever
    /// follows on the stream is dropped.
    TooLarge {
        /// On which stream.
        stream: StreamId,
    },
    /// A server answers, perhaps in the interim.
    Response {
        /// On which stream.
        stream: StreamId,
        /// What it answers.
        head: Box<ResponseHead>,
        /// Whether no body follows.
        is_end: bool,
    },
    /// A part of a body came. Once it is dealt with, [`release`](crate::Connection::release) lets the
    /// peer send more.
    Data {
        /// On which stream.
        stream: StreamId,
        /// The octets.
        data: &'a [u8],
        /// Whether the body is whole.
        is_end: bool,
    },
    /// The body is whole, and these fields came behind it.
    Trailers {
        /// On which stream.
        stream: StreamId,
        /// The fields.
        fields: HeaderMap,
    },
    /// A stream ended early.
    Reset {
        /// Which.
        stream: StreamId,
        /// Who ended it, and why.
        why: ResetBy,
    },
    /// There is more room to send.
    Writable,
    /// The peer takes no further streams. Those above `last` were not seen to, and are told of as
    /// [`Reset`](Self::Reset) with [`ResetBy::GoAway`].
    GoAway {
        /// The last stream that it saw to, or may have.
        last: StreamId,
        /// Why.
        code: ErrorCode,
    },
    /// The peer said what it takes; what it said is kept to from here on.
    Settings,
    /// The answer to a ping.
    Pong {
        /// What was asked.
        data: [u8; 8],
    },
}

/// Who ended a stream, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetBy {
    /// The peer, with `RST_STREAM`.
    Peer(ErrorCode),
    /// The peer, with a `GOAWAY` that leaves the stream out: it may be asked for elsewhere.
    GoAway,
    /// This end, because the peer's message was none.
    Malformed(Malformed),
    /// This end, because the peer broke a rule of streams.
    Fault(StreamFault),
    /// This end, because of a frame.
    Frame(BadFrame),
}

/// A rule of streams that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamFault {
    /// Something came behind the stream's end (RFC 9113 5.1).
    Ended,
    /// More came than the stream's window had room for.
    WindowExceeded,
    /// The window that this end may fill grew beyond 2³¹−1.
    WindowTooLarge,
}

/// Why a connection has to end. `GOAWAY` has been written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fatal {
    /// A frame breaks a rule.
    Frame(BadFrame),
    /// A field block cannot be read.
    Hpack(HpackError),
    /// More came than the connection's window had room for, or that of a stream that this end has
    /// reset.
    WindowExceeded,
    /// The window that this end may fill grew beyond 2³¹−1.
    WindowTooLarge,
    /// A frame came on a stream that nobody opened.
    IdleStream {
        /// Which.
        stream: StreamId,
    },
    /// A stream was opened with a number that its opener does not have.
    WrongParity {
        /// Which.
        stream: StreamId,
    },
    /// A header section came on a stream that had ended.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// A request was pushed, which was ruled out.
    Pushed,
    /// `SETTINGS` were acknowledged that were not sent.
    StrayAck,
    /// The peer took back what it had allowed.
    SettingTakenBack,
    /// A server said how a stream is to be preferred, which is for clients to say (RFC 9218 7.1).
    ServersPriority,
    /// More streams are open, or preferred before they are, than may be open at a time (RFC 9218 7.1).
    TooManyPreferred {
        /// How many may be.
        max: u32,
    },
    /// The peer does too much of something that costs it nothing.
    TooMany(Nuisance),
}

/// Something that costs its sender nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nuisance {
    /// Taking streams back: [`Limits::resets`](crate::Limits::resets).
    Resets,
    /// Having streams reset: [`Limits::faults`](crate::Limits::faults).
    Faults,
    /// Windows that are opened, and the ends of streams that are over:
    /// [`Limits::updates`](crate::Limits::updates).
    Updates,
    /// Pings: [`Limits::pings`](crate::Limits::pings).
    Pings,
    /// Settings: [`Limits::settings`](crate::Limits::settings).
    Settings,
    /// Frames that say nothing: [`Limits::empties`](crate::Limits::empties).
    Empties,
}

impl Fatal {
    /// What the peer is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Frame(bad) => bad.code,
            Self::Hpack(_) => ErrorCode::CompressionError,
            Self::WindowExceeded | Self::WindowTooLarge => ErrorCode::FlowControlError,
            Self::IdleStream { .. }
            | Self::WrongParity { .. }
            | Self::Pushed
            | Self::StrayAck
            | Self::SettingTakenBack
            | Self::ServersPriority
            | Self::TooManyPreferred { .. } => ErrorCode::ProtocolError,
            Self::StreamClosed { .. } => ErrorCode::StreamClosed,
            Self::TooMany(_) => ErrorCode::EnhanceYourCalm,
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(_) => f.write_str("a frame broke a rule"),
            Self::Hpack(_) => f.write_str("a field block cannot be read"),
            Self::WindowExceeded => f.write_str("more came than the window takes"),
            Self::WindowTooLarge => f.write_str("the connection's window grew beyond 2^31-1"),
            Self::IdleStream { stream } => {
                write!(f, "a frame came on stream {stream}, which nobody opened")
            }
            Self::WrongParity { stream } => {
                write!(f, "stream {stream} was opened by the end that cannot open it")
            }
            Self::StreamClosed { stream } => {
                write!(f, "a header section came on stream {stream}, which had ended")
            }
            Self::Pushed => f.write_str("a request was pushed, which was ruled out"),
            Self::StrayAck => f.write_str("settings were acknowledged that were not sent"),
            Self::SettingTakenBack => f.write_str("the extended CONNECT was taken back"),
            Self::ServersPriority => f.write_str("a server said how a stream is to be preferred"),
            Self::TooManyPreferred { max } => {
                write!(f, "more than {max} streams are open, or preferred before they are")
            }
            Self::TooMany(nuisance) => {
                let what = match nuisance {
                    Nuisance::Resets => "streams taken back",
                    Nuisance::Faults => "streams that had to be reset",
                    Nuisance::Updates => "windows opened for nothing",
                    Nuisance::Pings => "pings",
                    Nuisance::Settings => "settings",
                    Nuisance::Empties => "frames that say nothing",
                };
                write!(f, "too many {what}")
            }
        }
    }
}

impl Error for Fatal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Frame(bad) => Some(bad),
            Self::Hpack(bad) => Some(bad),
            _ => None,
        }
    }
}

impl fmt::Display for ResetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(code) => write!(f, "the peer ended the stream with {code}"),
            Self::GoAway => f.write_str("the peer went away before it saw to the stream"),
            Self::Malformed(fault) => write!(f, "the message was malformed: {fault}"),
            Self::Fault(StreamFault::Ended) => {
                f.write_str("something came behind the stream's end")
            }
            Self::Fault(StreamFault::WindowExceeded) => {
                f.write_str("more came than the stream's window takes")
            }
            Self::Fault(StreamFault::WindowTooLarge) => {
                f.write_str("the stream's window grew beyond 2^31-1")
            }
            Self::Frame(bad) => bad.fmt(f),
        }
    }
}

impl ResetBy {
    /// What was told to the peer, or by it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Peer(code) => *code,
            Self::GoAway => ErrorCode::RefusedStream,
            Self::Malformed(_) => ErrorCode::ProtocolError,
            Self::Fault(StreamFault::Ended) => ErrorCode::StreamClosed,
            Self::Fault(_) => ErrorCode::FlowControlError,
            Self::Frame(bad) => bad.code,
        }
    }
}
