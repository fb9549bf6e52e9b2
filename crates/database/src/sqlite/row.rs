//! Rows, and types made of them.

use std::sync::Arc;

use crate::RowError;
use crate::sqlite::{FromValue, Value};

/// One row of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn new(columns: Arc<[String]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The values, as SQLite has them.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The value of the column of this name; the first one, where there are several.
    ///
    /// # Errors
    ///
    /// If there is no such column, or the value is of another type: `NULL` is an [`Option`] alone.
    pub fn get<T: FromValue>(&self, name: &str) -> Result<T, RowError> {
        let place = self.columns.iter().position(|column| column == name);
        self.at(place.ok_or_else(|| RowError::NoColumn { asked: name.to_owned() })?)
    }

    /// The value of the column of this number, from 0.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn at<T: FromValue>(&self, place: usize) -> Result<T, RowError> {
        let value = self.values.get(place);
        let value = value.ok_or_else(|| RowError::NoColumn { asked: place.to_string() })?;
        convert(&self.columns[place], value.clone())
    }
}

fn convert<T: FromValue>(column: &str, value: Value) -> Result<T, RowError> {
    let found = match &value {
        Value::Integer(number) => format!("the INTEGER {number}"),
        value => value.kind().to_owned(),
    };
    let wanted = T::EXPECTED;
    T::from_value(value).ok_or_else(|| RowError::Type { column: column.to_owned(), wanted, found })
}

/// What a row can be made into. Tuples are there; for a struct it is a few lines:
///
/// ```
/// use ropewalk_database::RowError;
/// use ropewalk_database::sqlite::{FromRow, Row};
///
/// struct Book {
///     title: String,
///     year: Option<i32>,
/// }
///
/// impl FromRow for Book {
///     fn from_row(row: Row) -> Result<Self, RowError> {
///         Ok(Self { title: row.get("title")?, year: row.get("year")? })
///     }
/// }
/// ```
pub trait FromRow: Sized {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// If a value is missing, or of another type.
    fn from_row(row: Row) -> Result<Self, RowError>;
}

impl FromRow for Row {
    fn from_row(row: Row) -> Result<Self, RowError> {
        Ok(row)
    }
}

macro_rules! tuples {
    ($($count:literal: $($name:ident)+;)*) => {$(
        impl<$($name: FromValue),+> FromRow for ($($name,)+) {
            fn from_row(row: Row) -> Result<Self, RowError> {
                let found = row.values.len();
                if found != $count {
                    return Err(RowError::Width { wanted: $count, found });
                }
                let mut values = row.values.into_iter().zip(row.columns.iter());
                Ok(($(
                    match values.next() {
                        Some((value, column)) => convert::<$name>(column, value)?,
                        None => return Err(RowError::Width { wanted: $count, found }),
                    },
                )+))
            }
        }
    )*};
}

tuples! {
    1: A; 2: A B; 3: A B C; 4: A B C D; 5: A B C D E; 6: A B C D E F; 7: A B C D E F G;
    8: A B C D E F G H; 9: A B C D E F G H I; 10: A B C D E F G H I J;
    11: A B C D E F G H I J K; 12: A B C D E F G H I J K L;
}
