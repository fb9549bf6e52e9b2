//! Bytes to the parts of a form.

use ropewalk_http::form::{FormError, MultipartDecoder, MultipartPiece};

use crate::cut::cuts;

/// Nothing panics, and any cut gives the same parts.
pub(crate) fn check(bytes: &[u8]) {
    let whole = replay([bytes]);
    for pieces in cuts(bytes) {
        assert_eq!(replay(pieces), whole);
    }
}

/// Beginnings and ends in words, what lies between as bytes, and how it came to an end.
fn replay<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<String>, Vec<u8>, Result<(), FormError>) {
    let (mut words, mut data) = (Vec::new(), Vec::new());
    let mut decoder = match MultipartDecoder::new(b"multipart/form-data; boundary=b") {
        Ok(decoder) => decoder,
        Err(error) => return (words, data, Err(error)),
    };
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(MultipartPiece::Begin(head))) => words.push(format!("{head:?}")),
                Ok(Some(MultipartPiece::Data(piece))) => data.extend_from_slice(&piece),
                Ok(Some(_)) => words.push(format!("end after {}", data.len())),
                Ok(None) => break,
                Err(error) => return (words, data, Err(error)),
            }
        }
    }
    let end = decoder.finish();
    (words, data, end)
}
