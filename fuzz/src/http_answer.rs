//! Bytes to HTTP/1.1 answers.

use ropewalk_http::{AnswerDecoder, AnswerTo, BadAnswer, BodyDecoder, Limits, Piece};

use crate::cut::cuts;

/// Nothing panics, and any cut gives the same answers, to whichever method.
pub(crate) fn check(bytes: &[u8]) {
    for limits in [small(), Limits::default()] {
        for to in [AnswerTo::Other, AnswerTo::Head, AnswerTo::Connect] {
            let whole = replay([bytes], to, &limits);
            for pieces in cuts(bytes) {
                assert_eq!(replay(pieces, to, &limits), whole);
            }
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
#[derive(Debug, Default, PartialEq)]
struct Story {
    words: Vec<String>,
    bodies: Vec<u8>,
    end: Option<Result<(), BadAnswer>>,
}

fn replay<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, to: AnswerTo, limits: &Limits) -> Story {
    let mut story = Story::default();
    let (mut heads, mut body) = (AnswerDecoder::default(), None);
    for mut data in pieces {
        if let Err(bad) = feed(&mut heads, &mut body, &mut data, to, limits, &mut story) {
            // How much of a body came before it broke off depends on the cut; that it did, does not.
            if body.is_some() {
                story.bodies.clear();
            }
            story.end = Some(Err(bad));
            return story;
        }
        assert!(data.is_empty());
    }
    let is_whole = body.is_none_or(|mut body: BodyDecoder| body.close());
    story.end = (is_whole && !heads.has_begun()).then_some(Ok(()));
    story
}

fn feed(
    heads: &mut AnswerDecoder,
    body: &mut Option<BodyDecoder>,
    data: &mut &[u8],
    to: AnswerTo,
    limits: &Limits,
    story: &mut Story,
) -> Result<(), BadAnswer> {
    loop {
        if let Some(decoder) = body {
            match decoder.feed(data, limits)? {
                None => return Ok(()),
                Some(Piece::Data(piece)) => story.bodies.extend_from_slice(piece),
                Some(Piece::End(trailers)) => {
                    story.words.push(format!("{trailers:?} after {}", story.bodies.len()));
                    *body = None;
                }
            }
            continue;
        }
        if data.is_empty() {
            return Ok(());
        }
        let Some(head) = heads.feed(data, to, limits)? else { return Ok(()) };
        story.words.push(format!("{head:?}"));
        *body = Some(BodyDecoder::new(head.body, limits.body_max)?);
    }
}
