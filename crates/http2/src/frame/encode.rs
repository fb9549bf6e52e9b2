//! Frames as octets.

use super::{ErrorCode, HEAD_LEN, Settings, StreamId, flag, kind};

/// The nine octets in front of a payload.
#[inline]
fn head(len: usize, kind: u8, flags: u8, stream: StreamId) -> [u8; HEAD_LEN] {
    let [_, high, middle, low] = (len as u32).to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    [high, middle, low, kind, flags, a, b, c, d]
}

/// What stands in front of a `DATA` frame's payload of `len` octets, which is at most what the peer
/// takes in one frame.
#[inline]
pub fn data_head(stream: StreamId, len: usize, is_end: bool) -> [u8; HEAD_LEN] {
    head(len, kind::DATA, if is_end { flag::END_STREAM } else { 0 }, stream)
}

/// Writes `data`, which is at most what the peer takes in one frame.
pub fn write_data(stream: StreamId, data: &[u8], is_end: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&data_head(stream, data.len(), is_end));
    out.extend_from_slice(data);
}

/// Writes the field block that `block` appends to what it is given, in as many frames of at most
/// `frame_max` octets as it takes.
pub fn write_headers(
    stream: StreamId,
    is_end: bool,
    frame_max: usize,
    out: &mut Vec<u8>,
    block: impl FnOnce(&mut Vec<u8>),
) {
    let at = out.len();
    out.extend_from_slice(&[0; HEAD_LEN]);
    block(out);
    let len = out.len() - at - HEAD_LEN;
    let end_stream = if is_end { flag::END_STREAM } else { 0 };
    if len <= frame_max {
        let whole = head(len, kind::HEADERS, end_stream | flag::END_HEADERS, stream);
        out[at..at + HEAD_LEN].copy_from_slice(&whole);
        return;
    }
    out[at..at + HEAD_LEN].copy_from_slice(&head(frame_max, kind::HEADERS, end_stream, stream));
    let rest = out.split_off(at + HEAD_LEN + frame_max);
    let mut pieces = rest.chunks(frame_max).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
        out.extend_from_slice(&head(piece.len(), kind::CONTINUATION, flags, stream));
        out.extend_from_slice(piece);
    }
}

/// Writes a field block that is there already, and at most what the peer takes in one frame.
#[inline]
pub(crate) fn write_block(stream: StreamId, is_end: bool, block: &[u8], out: &mut Vec<u8>) {
    let end_stream = if is_end { flag::END_STREAM } else { 0 };
    let flags = end_stream | flag::END_HEADERS;
    out.extend_from_slice(&head(block.len(), kind::HEADERS, flags, stream));
    out.extend_from_slice(block);
}

/// Writes `RST_STREAM`.
pub fn write_reset(stream: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
    out.extend_from_slice(&head(4, kind::RST_STREAM, 0, stream));
    out.extend_from_slice(&code.number().to_be_bytes());
}

/// Writes `SETTINGS`.
pub fn write_settings(settings: &Settings, out: &mut Vec<u8>) {
    out.extend_from_slice(&head(settings.len(), kind::SETTINGS, 0, 0));
    settings.write(out);
}

/// Writes the acknowledgement of the peer's `SETTINGS`.
pub fn write_settings_ack(out: &mut Vec<u8>) {
    out.extend_from_slice(&head(0, kind::SETTINGS, flag::ACK, 0));
}

/// Writes `PING`.
pub fn write_ping(data: [u8; 8], is_ack: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&head(8, kind::PING, if is_ack { flag::ACK } else { 0 }, 0));
    out.extend_from_slice(&data);
}

/// Writes `GOAWAY`.
pub fn write_go_away(last: StreamId, code: ErrorCode, debug: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&head(8 + debug.len(), kind::GOAWAY, 0, 0));
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.number().to_be_bytes());
    out.extend_from_slice(debug);
}

/// Writes `WINDOW_UPDATE`.
pub fn write_window_update(stream: StreamId, increment: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&head(4, kind::WINDOW_UPDATE, 0, stream));
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Writes `PRIORITY_UPDATE` (RFC 9218 7.1).
pub fn write_priority_update(stream: StreamId, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&head(4 + value.len(), kind::PRIORITY_UPDATE, 0, 0));
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(value);
}
