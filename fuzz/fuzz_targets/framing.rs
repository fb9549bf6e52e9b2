//! Bytes to frames: nothing panics, bounds hold, any cut gives the same frames, and what was read
//! can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ropewalk_framing::{Decoder, Delimiter, Ending, LengthDecoder, LineDecoder, Netstring, Prefix};

/// More errors than this tell nothing new.
const ERRORS_MAX: usize = 1000;

fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<u8>, u8)| {
    let (bytes, lengths, delimiter, max) = input;
    let max = usize::from(max);
    let mut endings = vec![Ending::CrLf, Ending::Tolerant, Ending::Lf];
    endings.extend(Delimiter::new(&delimiter).map(Ending::Sequence));
    for ending in endings {
        let lines = || LineDecoder::new(ending.clone()).line_max(max);
        for line in check(&lines, &bytes, &lengths, max) {
            let mut out = Vec::new();
            if ending.encode(&line, &mut out).is_ok() {
                assert_eq!(lines().feed(&mut &out[..]), Ok(Some(&line[..])));
            }
        }
    }
    let strings = || LengthDecoder::new(Netstring).frame_max(max);
    for frame in check(&strings, &bytes, &lengths, max) {
        let mut out = Vec::new();
        Netstring.encode(&frame, &mut out);
        assert_eq!(strings().feed(&mut &out[..]), Ok(Some(&frame[..])));
    }
    for prefix in [Prefix::U8, Prefix::U16, Prefix::U16Le, Prefix::U32, Prefix::U32Le] {
        let frames = || LengthDecoder::new(prefix).frame_max(max);
        for frame in check(&frames, &bytes, &lengths, max) {
            let mut out = Vec::new();
            prefix.encode(&frame, &mut out).expect("it was read with this prefix");
            assert_eq!(frames().feed(&mut &out[..]), Ok(Some(&frame[..])));
        }
    }
});

/// The frames in `bytes`, which are the same however these are cut.
fn check<D: Decoder>(
    decoder: &dyn Fn() -> D,
    bytes: &[u8],
    lengths: &[u8],
    max: usize,
) -> Vec<Vec<u8>> {
    let whole = replay(decoder(), [bytes]);
    assert_eq!(whole, replay(decoder(), bytes.chunks(1)));
    assert_eq!(whole, replay(decoder(), cut(bytes, lengths)));
    let frames: Vec<_> = whole.into_iter().filter_map(Result::ok).collect();
    assert!(frames.iter().all(|frame| frame.len() <= max));
    frames
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
