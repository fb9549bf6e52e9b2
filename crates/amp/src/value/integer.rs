use std::fmt;
use std::str::FromStr;

use super::{Value, text};
use crate::BadValue;

/// A whole number of any size, as Python's are.
///
/// It is its decimal digits: equal numbers are equal, and what does not fit a machine's type is passed
/// on without loss.
///
/// ```
/// # use ropewalk_amp::Integer;
/// let googol: Integer = format!("1{:0100}", 0).parse()?;
/// assert_eq!(i128::try_from(&googol).ok(), None);
/// assert_eq!(i64::try_from(&Integer::from(-20))?, -20);
/// assert_eq!("+007".parse::<Integer>()?.as_str(), "7");
/// # Ok::<(), ropewalk_amp::BadValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Integer {
    /// Without a plus sign and without zeros in front; zero has no sign.
    digits: String,
}

impl Integer {
    /// The number in decimal digits.
    pub fn as_str(&self) -> &str {
        &self.digits
    }

    pub(super) fn is_integer(text: &str) -> bool {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    }
}

impl FromStr for Integer {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if !Self::is_integer(text) {
            return Err(BadValue::NotInteger);
        }
        let digits = text.trim_start_matches(['-', '+']).trim_start_matches('0');
        let sign = if text.starts_with('-') { "-" } else { "" };
        Ok(Self {
            digits: if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") },
        })
    }
}

macro_rules! conversions {
    ($($type:ty),*) => {$(
        impl From<$type> for Integer {
            fn from(number: $type) -> Self {
                Self { digits: number.to_string() }
            }
        }

        impl TryFrom<&Integer> for $type {
            type Error = BadValue;

            fn try_from(integer: &Integer) -> Result<Self, BadValue> {
                integer.digits.parse().map_err(|_| BadValue::OutOfRange)
            }
        }
    )*};
}

conversions!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.digits)
    }
}

impl Value for Integer {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        out.extend_from_slice(self.digits.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        text(bytes).map_err(|_| BadValue::NotInteger)?.parse()
    }
}
