//! What a peer may ask of this end.

use crate::budget::Allowance;
use crate::frame::{WINDOW, WINDOW_MAX};
use crate::hpack::TABLE_SIZE;

/// What a peer may ask of this end. Each has a default that suits servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Streams that the peer may have open at a time; 128. Beyond it: `REFUSED_STREAM`.
    pub streams_max: u32,
    /// Octets of a header section once it is read, each field counted with 32 more; 64 KiB. Beyond
    /// it: [`Malformed::TooLarge`](crate::Malformed::TooLarge), for requests 431.
    pub list_max: usize,
    /// Octets of a field block as it is sent; 64 KiB. Beyond it: the connection's end.
    pub block_max: usize,
    /// Whether clients hear that they may open streams for other protocols with an extended CONNECT
    /// (RFC 8441); they do. Where they do not, one that is sent is malformed.
    pub has_connect: bool,
    /// Octets of a body that may lie unread, a stream; 256 KiB. Beyond it: `FLOW_CONTROL_ERROR`.
    pub window: u32,
    /// Octets of bodies that may lie unread, all streams together; 1 MiB.
    pub connection_window: u32,
    /// Streams that the peer takes back; 256, and 32 a second. Beyond it: `ENHANCE_YOUR_CALM`, as
    /// with all that follow.
    pub resets: Allowance,
    /// Streams that this end has to reset because of what the peer sent on them; 256, and 32 a second.
    pub faults: Allowance,
    /// Header sections that may come for a stream that this end reset: answers, interim ones and
    /// trailers that were under way; 32. Beyond it: `STREAM_CLOSED` for the connection, as with a body
    /// that is longer than what was left of the stream's window, which is `FLOW_CONTROL_ERROR`.
    pub late_sections_max: u32,
    /// Windows that are opened, and what a client hears of streams that are over; 1,024, and 128 a
    /// second, beyond 16 for each part of a body that was sent and for each stream.
    pub updates: Allowance,
    /// Pings to be answered; 256, and 32 a second.
    pub pings: Allowance,
    /// Settings to be acknowledged; 32, and 1 a second.
    pub settings: Allowance,
    /// Frames that say nothing: empty bodies' parts, types not known, older times' priorities,
    /// new priorities; 1,024, and 128 a second.
    pub empties: Allowance,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 128,
            list_max: 64 * 1024,
            block_max: 64 * 1024,
            has_connect: true,
            window: 256 * 1024,
            connection_window: 1024 * 1024,
            resets: Allowance::new(256, 32),
            faults: Allowance::new(256, 32),
            late_sections_max: 32,
            updates: Allowance::new(1024, 128),
            pings: Allowance::new(256, 32),
            settings: Allowance::new(32, 1),
            empties: Allowance::new(1024, 128),
        }
    }
}

impl Limits {
    /// The table that the peer's field blocks are read with, in octets.
    pub const TABLE: usize = TABLE_SIZE;

    /// A stream's window, at most what windows can be.
    pub(crate) fn stream_window(&self) -> u32 {
        self.window.min(WINDOW_MAX)
    }

    /// The connection's window, which cannot begin smaller than it does without a word.
    pub(crate) fn whole_window(&self) -> u32 {
        self.connection_window.clamp(WINDOW, WINDOW_MAX)
    }
}
