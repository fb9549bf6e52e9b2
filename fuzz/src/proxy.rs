//! Bytes to PROXY headers and back.

use ropewalk_proxy::{BadHeader, Decoder, Header, Version};

use crate::cut::cuts;

/// Nothing panics, any cut gives the same header, and what is read can be written.
pub(crate) fn check(bytes: &[u8]) {
    let whole = read([bytes]);
    for pieces in cuts(bytes) {
        assert_eq!(read(pieces), whole);
    }
    let Ok(Some((header, _))) = whole else { return };
    for version in [Version::V2, Version::V2Checked] {
        let mut again = Vec::new();
        if header.encode(version, &mut again).is_ok() {
            let (read, rest) = read([&again[..]]).expect("a header").expect("all of it");
            assert_eq!((read.fields, rest), (header.fields.clone(), Vec::new()));
        }
    }
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
