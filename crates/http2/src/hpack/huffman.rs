//! The Huffman code of RFC 7541 5.2.
//!
//! The code is canonical: the length of each symbol's code is all that has to be known, the rest of
//! the tables follows from it when this is compiled.

use bytes::Bytes;

/// The bits of each octet's code, and last those of the end-of-string symbol (RFC 7541, Appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The symbol that must not appear.
const END: usize = 256;
const SHORTEST: u32 = 5;
const LONGEST: usize = 30;
/// Codes of at most this many bits are found with one look.
const QUICK: u32 = 10;

struct Tables {
    /// Each symbol's code, right-aligned.
    codes: [u32; 257],
    /// Symbols by their codes.
    symbols: [u16; 257],
    /// For each length: the first code beyond it, left-aligned in 32 bits.
    ends: [u64; LONGEST + 1],
    /// For each length: what turns a code into its place among the symbols.
    offsets: [i64; LONGEST + 1],
    /// By the next bits: a symbol and its length, 0 where the code is longer.
    quick: [(u8, u8); 1 << QUICK],
}

static TABLES: Tables = tables();

const fn tables() -> Tables {
    let mut made = Tables {
        codes: [0; 257],
        symbols: [0; 257],
        ends: [0; LONGEST + 1],
        offsets: [0; LONGEST + 1],
        quick: [(0, 0); 1 << QUICK],
    };
    let (mut code, mut place, mut length) = (0u32, 0usize, 1usize);
    while length <= LONGEST {
        made.offsets[length] = place as i64 - code as i64;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                made.codes[symbol] = code;
                made.symbols[place] = symbol as u16;
                if length as u32 <= QUICK {
                    let spare = QUICK - length as u32;
                    let mut rest = 0;
                    while rest < 1 << spare {
                        made.quick[((code << spare) | rest) as usize] =
                            (symbol as u8, length as u8);
                        rest += 1;
                    }
                }
                code += 1;
                place += 1;
            }
            symbol += 1;
        }
        made.ends[length] = (code as u64) << (32 - length);
        code <<= 1;
        length += 1;
    }
    made
}

/// The octets that the code of `text` takes.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&octet| usize::from(LENGTHS[usize::from(octet)])).sum();
    bits.div_ceil(8)
}

/// Writes the code of `text`, filled up with the first bits of the end-of-string symbol.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u64, 0u32);
    for &octet in text {
        let length = u32::from(LENGTHS[usize::from(octet)]);
        bits = (bits << length) | u64::from(TABLES.codes[usize::from(octet)]);
        count += length;
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    let ones = count.next_multiple_of(8) - count;
    bits = (bits << ones) | ((1 << ones) - 1);
    count += ones;
    while count > 0 {
        count -= 8;
        out.push((bits >> count) as u8);
    }
}

/// What is wrong with a coded string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadCode {
    End,
    Padding,
}

/// The text of `coded`; `room` is lent for the work.
pub(super) fn decode(coded: &[u8], room: &mut Vec<u8>) -> Result<Bytes, BadCode> {
    room.clear();
    room.reserve(coded.len() * 8 / SHORTEST as usize + 1);
    let mut input = coded.iter();
    // The next bits, from the top; below them zeroes.
    let (mut bits, mut count) = (0u64, 0u32);
    loop {
        while count <= 56 {
            let Some(&octet) = input.next() else { break };
            bits |= u64::from(octet) << (56 - count);
            count += 8;
        }
        let (symbol, length) = next(bits);
        if length > count {
            break;
        }
        if symbol == END {
            return Err(BadCode::End);
        }
        room.push(symbol as u8);
        bits <<= length;
        count -= length;
    }
    // RFC 7541 5.2: "A padding strictly longer than 7 bits MUST be treated as a decoding error", and
    // so must one that is not made of ones.
    let is_ones = count == 0 || bits >> (64 - count) == (1 << count) - 1;
    if count > 7 || !is_ones { Err(BadCode::Padding) } else { Ok(Bytes::copy_from_slice(room)) }
}

/// The symbol at the head of `bits`, and how many of them it takes.
fn next(bits: u64) -> (usize, u32) {
    let (symbol, length) = TABLES.quick[(bits >> (64 - QUICK)) as usize];
    if length > 0 {
        return (usize::from(symbol), u32::from(length));
    }
    let window = bits >> 32;
    let mut length = QUICK as usize + 1;
    while length < LONGEST && window >= TABLES.ends[length] {
        length += 1;
    }
    let place = (window >> (32 - length)) as i64 + TABLES.offsets[length];
    // Every 30 bits begin with some symbol's code: a complete code leaves no gap.
    let symbol = TABLES.symbols.get(place as usize).map_or(END, |&symbol| usize::from(symbol));
    (symbol, length as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_comes_back() {
        let mut room = Vec::new();
        for first in 0..=255u8 {
            for second in [0, b'0', b'a', b'~', 0x7f, 0xff, first] {
                let text = [first, second, first];
                let mut coded = Vec::new();
                encode(&text, &mut coded);
                assert_eq!(coded.len(), encoded_len(&text));
                assert_eq!(decode(&coded, &mut room).as_deref(), Ok(&text[..]));
            }
        }
    }

    #[test]
    fn the_code_is_complete() {
        let sum: u64 = LENGTHS.iter().map(|&length| 1u64 << (LONGEST - usize::from(length))).sum();
        assert_eq!(sum, 1 << LONGEST);
    }
}
