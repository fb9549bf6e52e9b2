//! Bytes to frames and back.

use ropewalk_framing::{Decoder, Delimiter, Ending, LengthDecoder, LineDecoder, Netstring, Prefix};

use crate::cut::cuts;

/// More errors than this tell nothing new.
const ERRORS_MAX: usize = 1000;

/// Nothing panics, bounds hold, any cut gives the same frames, and what was read can be written.
pub(crate) fn check(bytes: &[u8]) {
    for max in [0, 5, 255] {
        check_lines(bytes, max);
        check_lengths(bytes, max);
    }
}

fn check_lines(bytes: &[u8], max: usize) {
    let mut endings = vec![Ending::CrLf, Ending::Tolerant, Ending::Lf];
    let delimiters = [&b"\0"[..], b"aab", b"\r\n.\r\n"];
    endings.extend(delimiters.iter().filter_map(|d| Delimiter::new(d)).map(Ending::Sequence));
    for ending in endings {
        let lines = || LineDecoder::new(ending.clone()).line_max(max);
        for line in frames(&lines, bytes, max) {
            let mut out = Vec::new();
            if ending.encode(&line, &mut out).is_ok() {
                assert_eq!(lines().feed(&mut &out[..]), Ok(Some(&line[..])));
            }
        }
    }
}

fn check_lengths(bytes: &[u8], max: usize) {
    let strings = || LengthDecoder::new(Netstring).frame_max(max);
    for frame in frames(&strings, bytes, max) {
        let mut out = Vec::new();
        Netstring.encode(&frame, &mut out);
        assert_eq!(strings().feed(&mut &out[..]), Ok(Some(&frame[..])));
    }
    for prefix in [Prefix::U8, Prefix::U16, Prefix::U16Le, Prefix::U32, Prefix::U32Le] {
        let prefixed = || LengthDecoder::new(prefix).frame_max(max);
        for frame in frames(&prefixed, bytes, max) {
            let mut out = Vec::new();
            prefix.encode(&frame, &mut out).expect("it was read with this prefix");
            assert_eq!(prefixed().feed(&mut &out[..]), Ok(Some(&frame[..])));
        }
    }
}

/// The frames in `bytes`, which are the same however these are cut.
fn frames<D: Decoder>(decoder: &dyn Fn() -> D, bytes: &[u8], max: usize) -> Vec<Vec<u8>> {
    let whole = replay(decoder(), [bytes]);
    for pieces in cuts(bytes) {
        assert_eq!(replay(decoder(), pieces), whole);
    }
    let frames: Vec<_> = whole.into_iter().filter_map(Result::ok).collect();
    assert!(frames.iter().all(|frame| frame.len() <= max));
    frames
}

/// Frames as bytes and errors as words. An error that repeats itself is noted once: a decoder that
/// cannot go on says the same to every piece.
fn replay<'p, D: Decoder>(
    mut decoder: D,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Vec<Result<Vec<u8>, String>> {
    let mut made: Vec<Result<Vec<u8>, String>> = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() && made.len() < ERRORS_MAX {
            match decoder.feed(&mut piece) {
                Ok(Some(frame)) => made.push(Ok(frame.to_vec())),
                Ok(None) => assert!(piece.is_empty(), "all is taken where no frame is whole"),
                Err(bad) => {
                    let bad = Err(bad.to_string());
                    if made.last() != Some(&bad) {
                        made.push(bad);
                    }
                }
            }
        }
    }
    made
}
