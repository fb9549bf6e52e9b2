//! Bytes to boxes and back: nothing panics, any cut gives the same ones, and what is read is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ropewalk_amp::{
    AmpBox, AmpList, BadBox, DateTime, Decimal, Decoder, Integer, Limits, Value, record,
};

record! { Row { a: i64, b: Option<String> } }

fuzz_target!(|input: (Vec<u8>, Vec<u8>, bool)| {
    let (bytes, lengths, is_strict) = input;
    let limits = if is_strict {
        Limits { keys_max: 3, box_max: 40, ..Limits::default() }
    } else {
        Limits::default()
    };
    let whole = decode([&bytes[..]], &limits);
    assert_eq!(whole, decode(bytes.chunks(1), &limits));
    assert_eq!(whole, decode(cut(&bytes, &lengths), &limits));
    for one in &whole.0 {
        let mut again = decode([&one.encode()[..]], &Limits::default()).0;
        assert_eq!(again.pop().as_ref(), Some(one));
    }
    survives::<i64>(&bytes);
    survives::<Integer>(&bytes);
    survives::<Decimal>(&bytes);
    survives::<DateTime>(&bytes);
    survives::<bool>(&bytes);
    survives::<Vec<Vec<u8>>>(&bytes);
    survives::<AmpList<Row>>(&bytes);
});

/// What can be read can be written, and read again as the same.
fn survives<T: Value + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = T::decode(bytes) else { return };
    let mut written = Vec::new();
    value.encode(&mut written).expect("it came from the wire");
    assert_eq!(T::decode(&written), Ok(value));
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

/// Boxes, and how it came to an end.
fn decode<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
) -> (Vec<AmpBox>, Option<BadBox>) {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
    for mut piece in pieces {
        loop {
            match decoder.feed(&mut piece, limits) {
                Ok(Some(fields)) => found.push(AmpBox::from(fields)),
                Ok(None) => break,
                Err(bad) => return (found, Some(bad)),
            }
        }
        assert!(piece.is_empty());
    }
    (found, None)
}
