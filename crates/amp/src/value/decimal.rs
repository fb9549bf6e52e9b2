use std::fmt;
use std::str::FromStr;

use super::{Value, text};
use crate::BadValue;

/// A decimal number as Python's `decimal` module has them: `1.10`, `1E+2`, `-Infinity`, `NaN`.
///
/// It is text of that form, passed on without loss and equal where the text is: `1.0` and `1.00` are
/// not the same, as they are not the same to somebody who counts money or significant digits.
///
/// ```
/// # use ropewalk_amp::Decimal;
/// let price: Decimal = "19.90".parse()?;
/// assert_eq!(price.as_str(), "19.90");
/// assert!("-Infinity".parse::<Decimal>()?.is_infinite());
/// assert!("19,90".parse::<Decimal>().is_err());
/// # Ok::<(), ropewalk_amp::BadValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    text: String,
}

impl Decimal {
    /// The number as it goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is a quiet or a signalling NaN.
    pub fn is_nan(&self) -> bool {
        is_nan(unsigned(&self.text))
    }

    /// Whether it is one of the two infinities.
    pub fn is_infinite(&self) -> bool {
        is_infinite(unsigned(&self.text))
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn is_infinite(text: &str) -> bool {
    text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("infinity")
}

/// NaNs may carry digits that say where they come from.
fn is_nan(text: &str) -> bool {
    let text = text.strip_prefix(['s', 'S']).unwrap_or(text);
    let (name, digits) = text.split_at_checked(3).unwrap_or((text, ""));
    name.eq_ignore_ascii_case("nan") && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_finite(text: &str) -> bool {
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, Some(unsigned(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let has_digits = !(whole.is_empty() && fraction.is_empty());
    let has_exponent = exponent.is_none_or(|digits| !digits.is_empty() && are_digits(digits));
    has_digits && are_digits(whole) && are_digits(fraction) && has_exponent
}

impl FromStr for Decimal {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let size = unsigned(text);
        if is_finite(size) || is_infinite(size) || is_nan(size) {
            Ok(Self { text: text.to_owned() })
        } else {
            Err(BadValue::NotDecimal)
        }
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self { text: number.to_string() }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Value for Decimal {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        out.extend_from_slice(self.text.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        text(bytes).map_err(|_| BadValue::NotDecimal)?.parse()
    }
}
