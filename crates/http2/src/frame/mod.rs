//! Frames (RFC 9113 4 and 6).

mod code;
mod decoder;
mod encode;
mod error;
mod settings;

pub use code::ErrorCode;
pub use decoder::FrameDecoder;
pub(crate) use encode::write_block;
pub use encode::{
    data_head, write_data, write_go_away, write_headers, write_ping, write_priority_update,
    write_reset, write_settings, write_settings_ack, write_window_update,
};
pub use error::{BadFrame, FrameFault};
pub use settings::{Setting, Settings};

use std::borrow::Cow;

/// Identifies a stream; 0 is the connection itself.
pub type StreamId = u32;

/// What a client says first (RFC 9113 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The octets in front of each frame's payload.
pub const HEAD_LEN: usize = 9;

/// The largest payload that everybody takes, and that a peer may send unless it was allowed more
/// (RFC 9113 6.5.2).
pub const FRAME_SIZE: u32 = 16_384;

/// The largest payload that can be allowed.
pub const FRAME_SIZE_MAX: u32 = (1 << 24) - 1;

/// The window of a stream, and of a connection, until something else is agreed on (RFC 9113 6.9.2).
pub const WINDOW: u32 = 65_535;

/// The largest flow-control window (RFC 9113 6.9.1).
pub const WINDOW_MAX: u32 = (1 << 31) - 1;

/// The types of frames, as numbers.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0x0;
    pub(crate) const HEADERS: u8 = 0x1;
    pub(crate) const PRIORITY: u8 = 0x2;
    pub(crate) const RST_STREAM: u8 = 0x3;
    pub(crate) const SETTINGS: u8 = 0x4;
    pub(crate) const PUSH_PROMISE: u8 = 0x5;
    pub(crate) const PING: u8 = 0x6;
    pub(crate) const GOAWAY: u8 = 0x7;
    pub(crate) const WINDOW_UPDATE: u8 = 0x8;
    pub(crate) const CONTINUATION: u8 = 0x9;
    pub(crate) const PRIORITY_UPDATE: u8 = 0x10;
}

/// The flags of frames.
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// A frame, or the next part of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// A part of a stream's body, as soon as it is there: a `DATA` frame may come in several.
    Data {
        /// Whose body.
        stream: StreamId,
        /// The octets.
        data: &'a [u8],
        /// How much of the flow-control windows it takes: `data` and padding.
        flow: u32,
        /// How many octets of `data` its frame still brings.
        ahead: u32,
        /// Whether this is the last part of its frame.
        is_frame_end: bool,
        /// Whether nothing follows on this stream, once the frame is over.
        ends: bool,
        /// Whether nothing follows on this stream.
        is_end: bool,
    },
    /// A whole field block: `HEADERS` and all its `CONTINUATION`s.
    Headers {
        /// Whose header section.
        stream: StreamId,
        /// What HPACK is to read.
        block: Cow<'a, [u8]>,
        /// Whether nothing follows on this stream.
        is_end: bool,
    },
    /// Advice of an older time, which means nothing any more (RFC 9113 5.3.2).
    Priority {
        /// Whose.
        stream: StreamId,
    },
    /// A stream ends at once.
    Reset {
        /// Which.
        stream: StreamId,
        /// Why.
        code: ErrorCode,
    },
    /// What the peer asks for.
    Settings(Settings),
    /// The peer keeps to what it was asked for.
    SettingsAck,
    /// A pushed request. Its block has to be read, whatever becomes of it.
    PushPromise {
        /// On whose account.
        stream: StreamId,
        /// The stream that it would come on.
        promised: StreamId,
        /// What HPACK is to read.
        block: Cow<'a, [u8]>,
    },
    /// A question, or the answer to one.
    Ping {
        /// What the answer has to repeat.
        data: [u8; 8],
        /// Whether it is an answer.
        is_ack: bool,
    },
    /// The peer takes no further streams.
    GoAway {
        /// The last that it saw to, or may have.
        last: StreamId,
        /// Why.
        code: ErrorCode,
        /// Words for people.
        debug: Cow<'a, [u8]>,
    },
    /// More can be sent.
    WindowUpdate {
        /// On which stream; 0 for all together.
        stream: StreamId,
        /// How much more.
        increment: u32,
    },
    /// How a stream is to be preferred (RFC 9218 7.1).
    PriorityUpdate {
        /// Which.
        stream: StreamId,
        /// A `Priority` field's value.
        value: Cow<'a, [u8]>,
    },
    /// A type that is not known here, which is to be ignored (RFC 9113 4.1).
    Unknown {
        /// Its type.
        kind: u8,
    },
}
