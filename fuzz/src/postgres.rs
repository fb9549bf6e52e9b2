//! Bytes to PostgreSQL's messages.

use ropewalk_database::postgres::{BadMessage, Decoder, Message};

use crate::cut::cuts;

/// Nothing panics, bounds hold, and any cut gives the same messages.
pub(crate) fn check(bytes: &[u8]) {
    for message_max in [64, 1 << 20] {
        let whole = decode([bytes], message_max);
        for pieces in cuts(bytes) {
            assert_eq!(decode(pieces, message_max), whole);
        }
        for message in whole.0 {
            if let Message::Row(row) = message {
                let size: usize =
                    (0..row.len()).filter_map(|place| row.value(place)).map(<[u8]>::len).sum();
                assert!(size <= message_max);
            }
        }
    }
}

/// Messages, and how it came to an end.
fn decode<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    message_max: usize,
) -> (Vec<Message>, Option<BadMessage>) {
    let (mut decoder, mut found) = (Decoder::new(message_max), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(bad) => return (found, Some(bad)),
            }
        }
    }
    (found, None)
}
