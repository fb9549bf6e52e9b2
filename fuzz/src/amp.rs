//! Bytes to AMP's boxes and back.

use ropewalk_amp::{
    AmpBox, AmpList, BadBox, DateTime, Decimal, Decoder, Integer, Limits, Value, record,
};

use crate::cut::cuts;

record! { Row { a: i64, b: Option<String> } }

/// Nothing panics, any cut gives the same boxes, and what is read can be written.
pub(crate) fn check(bytes: &[u8]) {
    check_boxes(bytes, &Limits::default());
    check_boxes(bytes, &Limits { keys_max: 3, box_max: 40, ..Limits::default() });
    survives::<i64>(bytes);
    survives::<Integer>(bytes);
    survives::<Decimal>(bytes);
    survives::<DateTime>(bytes);
    survives::<bool>(bytes);
    survives::<Vec<Vec<u8>>>(bytes);
    survives::<AmpList<Row>>(bytes);
}

fn check_boxes(bytes: &[u8], limits: &Limits) {
    let whole = decode([bytes], limits);
    for pieces in cuts(bytes) {
        assert_eq!(decode(pieces, limits), whole);
    }
    for one in &whole.0 {
        let mut again = decode([&one.encode()[..]], &Limits::default()).0;
        assert_eq!(again.pop().as_ref(), Some(one));
    }
}

/// What can be read can be written, and read again as the same.
fn survives<T: Value + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = T::decode(bytes) else { return };
    let mut written = Vec::new();
    value.encode(&mut written).expect("it came from the wire");
    assert_eq!(T::decode(&written), Ok(value));
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
