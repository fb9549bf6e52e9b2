//! Bytes in pieces.

/// `bytes` byte by byte, and in pieces whose lengths follow from the bytes.
pub(crate) fn cuts(bytes: &[u8]) -> [Vec<&[u8]>; 2] {
    [bytes.chunks(1).collect(), irregular(bytes)]
}

fn irregular(bytes: &[u8]) -> Vec<&[u8]> {
    // FNV-1a, then xorshift: the same bytes are always cut the same.
    let mut random = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (piece, after) = rest.split_at((random % 20) as usize % (rest.len() + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
