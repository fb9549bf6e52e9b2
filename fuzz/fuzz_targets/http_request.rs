//! Bytes to requests: nothing panics, and any cut gives the same ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ropewalk_http::{BadRequest, BodyDecoder, HeadDecoder, Limits, Piece};

fuzz_target!(|input: (Vec<u8>, Vec<u8>, bool)| {
    let (bytes, lengths, is_strict) = input;
    let limits = if is_strict { small() } else { Limits::default() };
    let whole = replay([&bytes[..]], &limits);
    assert_eq!(whole, replay(bytes.chunks(1), &limits));
    assert_eq!(whole, replay(cut(&bytes, &lengths), &limits));
});

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

/// `bytes` in pieces of these lengths, and the rest.
fn cut<'b>(bytes: &'b [u8], lengths: &[u8]) -> Vec<&'b [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for length in lengths {
        let (piece, after) = rest.split_at(usize::from(*length).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Heads and ends in words, bodies as bytes, and how it came to an end.
fn replay<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
) -> (String, Vec<u8>, Option<BadRequest>) {
    let (mut words, mut bodies) = (String::new(), Vec::new());
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
    words: &mut String,
    bodies: &mut Vec<u8>,
) -> Result<(), BadRequest> {
    loop {
        if let Some(decoder) = body {
            match decoder.feed(data, limits)? {
                None => return Ok(()),
                Some(Piece::Data(piece)) => bodies.extend_from_slice(piece),
                Some(Piece::End(trailers)) => {
                    words.push_str(&format!("{trailers:?} after {}\n", bodies.len()));
                    *body = None;
                }
            }
            continue;
        }
        let Some(head) = heads.feed(data, limits)? else { return Ok(()) };
        words.push_str(&format!("{head:?}\n"));
        *body = Some(BodyDecoder::new(head.body, limits.body_max)?);
    }
}
