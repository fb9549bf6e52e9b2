//! Bytes to memcached's replies.

use ropewalk_memcached::{BadReply, Decoder, Reply};

use crate::cut::cuts;

/// Nothing panics, bounds hold, and any cut gives the same replies.
pub(crate) fn check(bytes: &[u8]) {
    for value_max in [8, 1 << 20] {
        let whole = decode([bytes], value_max);
        for pieces in cuts(bytes) {
            assert_eq!(decode(pieces, value_max), whole);
        }
        for reply in whole.0 {
            if let Reply::Value { value, .. } = reply {
                assert!(value.len() <= value_max);
            }
        }
    }
}

/// Replies, and how it came to an end.
fn decode<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    value_max: usize,
) -> (Vec<Reply>, Option<BadReply>) {
    let (mut decoder, mut found) = (Decoder::new(value_max), Vec::new());
    for mut piece in pieces {
        loop {
            match decoder.feed(&mut piece) {
                Ok(Some(reply)) => found.push(reply),
                Ok(None) => break,
                Err(bad) => return (found, Some(bad)),
            }
        }
        assert!(piece.is_empty(), "all is taken where no reply is whole");
    }
    (found, None)
}
