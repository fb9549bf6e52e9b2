//! What is called with what, and what comes of it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::Fault;

/// A value of XML-RPC.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `int`, also known as `i4`.
    Int(i32),
    /// `i8`, an extension.
    Long(i64),
    /// `boolean`.
    Bool(bool),
    /// `string`, which a value without a type is, too.
    String(String),
    /// `double`; it is finite.
    Double(f64),
    /// `dateTime.iso8601`.
    DateTime(DateTime),
    /// `base64`.
    Bytes(Bytes),
    /// `array`.
    Array(Vec<Value>),
    /// `struct`.
    Struct(BTreeMap<String, Value>),
    /// `nil`, an extension.
    Nil,
}

impl Value {
    /// A struct of these members.
    pub fn of<K: Into<String>, V: Into<Self>>(members: impl IntoIterator<Item = (K, V)>) -> Self {
        let members = members.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self::Struct(members.collect())
    }

    /// The number, if it is a whole one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some((*number).into()),
            Self::Long(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The values, if it is an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    /// A member, if it is a struct that has it.
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(members) => members.get(name),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from! {
    i32 => Int, i64 => Long, bool => Bool, String => String, &str => String, f64 => Double,
    DateTime => DateTime, Bytes => Bytes, Vec<Value> => Array, BTreeMap<String, Value> => Struct,
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Nil
    }
}

/// A date and a time of day, of no zone: both sides have to know which is meant.
///
/// ```
/// # use ropewalk_xmlrpc::DateTime;
/// let time: DateTime = "19980717T14:08:55".parse()?;
/// assert_eq!((time.year, time.second), (1998, 55));
/// assert_eq!(time.to_string(), "19980717T14:08:55");
/// # Ok::<(), ropewalk_xmlrpc::BadDateTime>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    /// From 0 to 9999.
    pub year: u16,
    /// From 1 to 12.
    pub month: u8,
    /// From 1 to 31.
    pub day: u8,
    /// From 0 to 24.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
    /// From 0 to 60, for a leap second.
    pub second: u8,
}

/// This is no `19980717T14:08:55`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadDateTime;

impl fmt::Display for BadDateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a date and a time as in 19980717T14:08:55")
    }
}

impl Error for BadDateTime {}

impl FromStr for DateTime {
    type Err = BadDateTime;

    fn from_str(text: &str) -> Result<Self, BadDateTime> {
        let (date, time) = text.split_once('T').ok_or(BadDateTime)?;
        // Some write the date with hyphens, as ISO 8601 does elsewhere.
        let date = date.replace('-', "");
        let digits = |text: &str, from: usize, to: usize| {
            let part =
                text.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            part.and_then(|part| part.parse::<u16>().ok()).ok_or(BadDateTime)
        };
        let small = |text: &str, from: usize, range: std::ops::RangeInclusive<u16>| {
            let number = digits(text, from, from + 2)?;
            if range.contains(&number) { Ok(number as u8) } else { Err(BadDateTime) }
        };
        let are_between =
            time.as_bytes().get(2) == Some(&b':') && time.as_bytes().get(5) == Some(&b':');
        if date.len() != 8 || time.len() != 8 || !are_between {
            return Err(BadDateTime);
        }
        Ok(Self {
            year: digits(&date, 0, 4)?,
            month: small(&date, 4, 1..=12)?,
            day: small(&date, 6, 1..=31)?,
            hour: small(time, 0, 0..=24)?,
            minute: small(time, 3, 0..=59)?,
            second: small(time, 6, 0..=60)?,
        })
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}{month:02}{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// A call: `methodCall`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which method.
    pub method: String,
    /// What it is called with.
    pub params: Vec<Value>,
}

/// What comes of a call: `methodResponse`.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer(pub Result<Value, Fault>);
