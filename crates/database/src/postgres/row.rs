//! Statements, rows, and types made of them.

use std::fmt;
use std::rc::Rc;

use postgres_types::{FromSql, ToSql, Type};

use crate::RowError;
use crate::postgres::RawRow;

/// A statement that the server has prepared.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) name: String,
    pub(crate) params: Vec<Type>,
    pub(crate) columns: Vec<Column>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    name: String,
    kind: Type,
    is_text: bool,
}

impl Column {
    pub(crate) fn new(name: String, oid: u32) -> Self {
        let (kind, is_text) = known(oid);
        Self { name, kind, is_text }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type. What this side has no name for, such as an enumeration of one's own, comes as text.
    pub fn kind(&self) -> &Type {
        &self.kind
    }

    /// The format in which it is asked for.
    pub(crate) fn format(&self) -> i16 {
        i16::from(!self.is_text)
    }
}

/// The type of this number, and whether it goes as text because it is not known.
pub(crate) fn known(oid: u32) -> (Type, bool) {
    match Type::from_oid(oid) {
        Some(kind) => (kind, false),
        None => (Type::TEXT, true),
    }
}

/// One row of a result.
#[derive(Clone)]
pub struct Row {
    statement: Rc<Statement>,
    raw: RawRow,
}

impl Row {
    pub(crate) fn new(statement: Rc<Statement>, raw: RawRow) -> Self {
        Self { statement, raw }
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.statement.columns
    }

    /// The value of the column of this name; the first one, where there are several.
    ///
    /// # Errors
    ///
    /// If there is no such column, or the value is of another type: `NULL` is an [`Option`] alone.
    pub fn get<'r, T: FromSql<'r>>(&'r self, name: &str) -> Result<T, RowError> {
        let place = self.columns().iter().position(|column| column.name == name);
        self.at(place.ok_or_else(|| RowError::NoColumn { asked: name.to_owned() })?)
    }

    /// The value of the column of this number, from 0.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn at<'r, T: FromSql<'r>>(&'r self, place: usize) -> Result<T, RowError> {
        let column = self.columns().get(place);
        let column = column.ok_or_else(|| RowError::NoColumn { asked: place.to_string() })?;
        let unlike = |found: String| RowError::Type {
            column: column.name.clone(),
            wanted: std::any::type_name::<T>(),
            found,
        };
        if !T::accepts(&column.kind) {
            return Err(unlike(column.kind.to_string()));
        }
        let value = T::from_sql_nullable(&column.kind, self.raw.value(place));
        value.map_err(|error| unlike(format!("{}: {error}", column.kind)))
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.columns().iter().map(Column::name).collect();
        f.debug_struct("Row").field("columns", &names).finish_non_exhaustive()
    }
}

/// What a row can be made into. Tuples are there; for a struct it is a few lines.
pub trait FromRow: Sized {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// If a value is missing, or of another type.
    fn from_row(row: &Row) -> Result<Self, RowError>;
}

/// The parameters of a statement, which stand for `$1`, `$2` and so on: `()`, a tuple, or a `Vec` of what
/// is [`ToSql`].
pub trait Params {
    /// The values, in their order.
    fn into_params(self) -> Vec<Param>;
}

/// One parameter.
pub type Param = Box<dyn ToSql + Sync>;

impl Params for () {
    fn into_params(self) -> Vec<Param> {
        Vec::new()
    }
}

impl Params for Vec<Param> {
    fn into_params(self) -> Vec<Param> {
        self
    }
}

macro_rules! tuples {
    ($($count:literal: $($name:ident $place:tt)+;)*) => {$(
        impl<$($name: ToSql + Sync + 'static),+> Params for ($($name,)+) {
            fn into_params(self) -> Vec<Param> {
                vec![$(Box::new(self.$place)),+]
            }
        }

        impl<$($name: for<'r> FromSql<'r>),+> FromRow for ($($name,)+) {
            fn from_row(row: &Row) -> Result<Self, RowError> {
                let found = row.columns().len();
                if found != $count {
                    return Err(RowError::Width { wanted: $count, found });
                }
                Ok(($(row.at($place)?,)+))
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0 B 1;
    3: A 0 B 1 C 2;
    4: A 0 B 1 C 2 D 3;
    5: A 0 B 1 C 2 D 3 E 4;
    6: A 0 B 1 C 2 D 3 E 4 F 5;
    7: A 0 B 1 C 2 D 3 E 4 F 5 G 6;
    8: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
    9: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8;
    10: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9;
}
