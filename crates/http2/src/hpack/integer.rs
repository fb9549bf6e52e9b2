//! Integers with a prefix (RFC 7541 5.1).

use super::HpackError;

/// The largest integer that is taken: no index, length or table size here comes near it.
const INTEGER_MAX: u32 = 1 << 24;

/// Writes `value` behind the bits of `first` that are above the prefix.
pub(super) fn encode(value: usize, prefix: u32, first: u8, out: &mut Vec<u8>) {
    let full = (1usize << prefix) - 1;
    if value < full {
        out.push(first | value as u8);
        return;
    }
    out.push(first | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The integer at the head of `input`, which moves behind it.
pub(super) fn decode(input: &mut &[u8], prefix: u32) -> Result<usize, HpackError> {
    let full = (1u32 << prefix) - 1;
    let mut value = u32::from(octet(input)?) & full;
    if value < full {
        return Ok(value as usize);
    }
    // Four more octets are enough for the largest, and a row of empty ones is only there to cost time.
    for shift in [0, 7, 14, 21] {
        let octet = octet(input)?;
        value += u32::from(octet & 0x7f) << shift;
        if value > INTEGER_MAX {
            break;
        }
        if octet < 0x80 {
            return Ok(value as usize);
        }
    }
    Err(HpackError::IntegerTooLarge)
}

/// The octet at the head of `input`, which moves behind it.
pub(super) fn octet(input: &mut &[u8]) -> Result<u8, HpackError> {
    let (&first, rest) = input.split_first().ok_or(HpackError::Truncated)?;
    *input = rest;
    Ok(first)
}
