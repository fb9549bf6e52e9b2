//! Bytes to HTTP/1.1 requests.

use ropewalk_http::{BadRequest, BodyDecoder, HeadDecoder, Limits, Piece};

use crate::cut::cuts;

/// Nothing panics, and any cut gives the same requests.
pub(crate) fn check(bytes: &[u8]) {
    for limits in [small(), Limits::default()] {
        let whole = replay([bytes], &limits);
        for pieces in cuts(bytes) {
            assert_eq!(replay(pieces, &limits), whole);
        }
    }
}

fn small() -> Limits {
    Limits {
        request_line_max: 20,
        header_block_max: 80,
        header_count_max: 3,
        chunk_line_max: 8,
        trailer_block_max: 16,
        body_max: Some(16),
    }
}

/// Heads and ends in words, bodies as bytes, and how it came to an end.
fn replay<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
) -> (Vec<String>, Vec<u8>, Option<BadRequest>) {
    let (mut words, mut bodies) = (Vec::new(), Vec::new());
    let (mut heads, mut body) = (HeadDecoder::default(), None);
    for mut data in pieces {
        if let Err(bad) = feed(&mut heads, &mut body, &mut data, limits, &mut words, &mut bodies) {
            return (words, bodies, Some(bad));
        }
        assert!(data.is_empty());
    }
    (words, bodies, None)
}

fn feed(
    heads: &mut HeadDecoder,
    body: &mut Option<BodyDecoder>,
    data: &mut &[u8],
    limits: &Limits,
    words: &mut Vec<String>,
    bodies: &mut Vec<u8>,
) -> Result<(), BadRequest> {
    loop {
        if let Some(decoder) = body {
            match decoder.feed(data, limits)? {
                None => return Ok(()),
                Some(Piece::Data(piece)) => bodies.extend_from_slice(piece),
                Some(Piece::End(trailers)) => {
                    words.push(format!("{trailers:?} after {}", bodies.len()));
                    *body = None;
                }
            }
            continue;
        }
        let Some(head) = heads.feed(data, limits)? else { return Ok(()) };
        words.push(format!("{head:?}"));
        *body = Some(BodyDecoder::new(head.body, limits.body_max)?);
    }
}
