//! Bytes to PROXY headers and back: nothing panics, any cut gives the same one, and what is read is
//! written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ropewalk_proxy::{BadHeader, Decoder, Header, Version};

fuzz_target!(|input: (Vec<u8>, Vec<u8>, u8)| {
    let (mut bytes, lengths, kind) = input;
    // Half of the time the fuzzer need not find out how a header begins.
    match kind % 4 {
        0 => drop(bytes.splice(..0, *b"PROXY TCP")),
        1 => drop(bytes.splice(..0, *b"\r\n\r\n\0\r\nQUIT\n\x21")),
        _ => (),
    }
    let whole = read([&bytes[..]]);
    assert_eq!(whole, read(bytes.chunks(1)));
    assert_eq!(whole, read(cut(&bytes, &lengths)));
    let Ok(Some((header, _))) = whole else { return };
    for version in [Version::V2, Version::V2Checked] {
        let mut again = Vec::new();
        if header.encode(version, &mut again).is_ok() {
            let (read, rest) = read([&again[..]]).expect("a header").expect("all of it");
            assert_eq!((read.fields, rest), (header.fields.clone(), Vec::new()));
        }
    }
});

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

/// The header and what stands behind it.
fn read<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<Option<(Header, Vec<u8>)>, BadHeader> {
    let mut decoder = Decoder::default().length_max(usize::from(u16::MAX));
    let mut found: Option<(Header, Vec<u8>)> = None;
    for mut piece in pieces {
        if let Some((_, rest)) = &mut found {
            rest.extend_from_slice(piece);
        } else if let Some(header) = decoder.feed(&mut piece)? {
            found = Some((header, piece.to_vec()));
        } else {
            assert!(piece.is_empty(), "all is taken where no header is finished");
        }
    }
    Ok(found)
}
