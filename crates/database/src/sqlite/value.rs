//! Values as SQLite has them.

use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::sqlite::SqliteError;
use crate::sqlite::SqliteErrorKind;

/// A value in a row, or of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// Its type, as SQLite calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Integer(_) => "INTEGER",
            Self::Real(_) => "REAL",
            Self::Text(_) => "TEXT",
            Self::Blob(_) => "BLOB",
        }
    }

    pub(crate) fn read(value: ValueRef<'_>) -> Result<Self, SqliteError> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => {
                let text = std::str::from_utf8(text).map_err(|error| {
                    SqliteError::new(SqliteErrorKind::NotText, format!("a text is none: {error}"))
                })?;
                Self::Text(text.to_owned())
            }
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_owned()),
        })
    }

    /// How many bytes it takes, roughly.
    pub(crate) fn size(&self) -> usize {
        let own = size_of::<Self>();
        match self {
            Self::Null | Self::Integer(_) | Self::Real(_) => own,
            Self::Text(text) => own + text.len(),
            Self::Blob(bytes) => own + bytes.len(),
        }
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value {
            fn from(number: $integer) -> Self {
                Self::Integer(number.into())
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u8, u16, u32, bool);

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<f32> for Value {
    fn from(number: f32) -> Self {
        Self::Real(number.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a value of a row can be read as.
pub trait FromValue: Sized {
    /// What it is called where it is not what came.
    const EXPECTED: &'static str;

    /// Reads it; `None` where the value is of another type, or out of this one's range.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl FromValue for $integer {
            const EXPECTED: &'static str = stringify!($integer);

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Integer(number) => number.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

from_integers!(i8, i16, i32, i64, u8, u16, u32, u64, usize);

impl FromValue for bool {
    const EXPECTED: &'static str = "bool";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Integer(number @ (0 | 1)) => Some(number == 1),
            _ => None,
        }
    }
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "f64";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Real(number) => Some(number),
            // A column of whole numbers may well be summed up in floating point.
            Value::Integer(number) => Some(number as Self),
            _ => None,
        }
    }
}

impl FromValue for String {
    const EXPECTED: &'static str = "text";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    const EXPECTED: &'static str = "bytes";

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl FromValue for Value {
    const EXPECTED: &'static str = "anything";

    fn from_value(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// The parameters of a statement: `()`, a tuple, an array or a `Vec` of what becomes a [`Value`].
///
/// ```
/// use ropewalk_database::sqlite::{Params, Value};
///
/// assert_eq!((1, "two", None::<f64>).into_values(), [1.into(), "two".into(), Value::Null]);
/// ```
pub trait Params {
    /// The values, in the order in which they stand for `?1`, `?2` and so on.
    fn into_values(self) -> Vec<Value>;
}

impl Params for () {
    fn into_values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl<T: Into<Value>> Params for Vec<T> {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<Value>, const N: usize> Params for [T; N] {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => {$(
        impl<$($name: Into<Value>),+> Params for ($($name,)+) {
            #[allow(non_snake_case, reason = "a value is named for its type")]
            fn into_values(self) -> Vec<Value> {
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }
        }
    )*};
}

tuples! {
    A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H;
    A B C D E F G H I; A B C D E F G H I J; A B C D E F G H I J K; A B C D E F G H I J K L;
}
