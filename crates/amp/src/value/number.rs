use std::io::Write;
use std::num::IntErrorKind;

use super::{Value, text};
use crate::BadValue;

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
                write!(out, "{self}").map_err(|_| BadValue::NotInteger)
            }

            fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
                let digits = text(bytes).map_err(|_| BadValue::NotInteger)?;
                digits.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
                    IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => BadValue::OutOfRange,
                    // A negative number where none may be.
                    _ if super::Integer::is_integer(digits) => BadValue::OutOfRange,
                    _ => BadValue::NotInteger,
                })
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, i128, isize, u16, u32, u64, u128, usize);

impl Value for f64 {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        write_float(*self, out).map_err(|_| BadValue::NotFloat)
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        text(bytes).ok().and_then(|text| text.parse().ok()).ok_or(BadValue::NotFloat)
    }
}

/// Writes a float as Python's `repr` does: the fewest digits that read back as the same number, with
/// an exponent where the point would stand more than sixteen digits to the right or four to the left.
fn write_float(float: f64, out: &mut Vec<u8>) -> std::io::Result<()> {
    if float.is_nan() {
        return out.write_all(b"nan");
    }
    if float.is_infinite() {
        return out.write_all(if float > 0.0 { b"inf" } else { b"-inf" });
    }
    let size = float.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let scientific = format!("{float:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return write!(out, "{digits}e{sign}{exponent:0>2}");
    }
    // `{:?}` has the point and the zero that `{}` leaves out.
    write!(out, "{float:?}")
}
