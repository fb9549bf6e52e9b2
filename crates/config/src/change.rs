//! What changed between two readings of a file.

use std::fmt;

use crate::{Item, Table};

/// Something that is there in one of two tables alone, or is not the same in both.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// It is new.
    Added {
        /// Its path, as in `services.site`.
        path: String,
        /// What it is.
        value: String,
    },
    /// It is gone.
    Removed {
        /// Its path.
        path: String,
    },
    /// It is another.
    Changed {
        /// Its path.
        path: String,
        /// What it was.
        from: String,
        /// What it is.
        to: String,
    },
}

impl Change {
    /// Of what it tells, as in `services.site.path`.
    pub fn path(&self) -> &str {
        match self {
            Self::Added { path, .. } | Self::Removed { path } | Self::Changed { path, .. } => path,
        }
    }
}

/// A line, as people know them from `diff`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { path, value } => write!(f, "+ {path} = {value}"),
            Self::Removed { path } => write!(f, "- {path}"),
            Self::Changed { path, from, to } => write!(f, "~ {path}: {from} -> {to}"),
        }
    }
}

/// What is to be changed in `old` for it to be `new`, in the order of the files. Tables within tables are compared key by
/// key; one that is new or gone is one change.
///
/// ```
/// use ropewalk_config::{Document, changes};
///
/// let old = Document::parse("old", "[web]\npath = 'a'\nlog = 'off'")?;
/// let new = Document::parse("new", "[web]\npath = 'b'\n[echo]")?;
/// let told: Vec<_> = changes(old.root(), new.root()).iter().map(ToString::to_string).collect();
/// assert_eq!(told, ["~ web.path: \"a\" -> \"b\"", "- web.log", "+ echo = {  }"]);
/// # Ok::<(), ropewalk_config::Faults>(())
/// ```
pub fn changes(old: &Table, new: &Table) -> Vec<Change> {
    let mut found = Vec::new();
    let path = |key: &str| match new.path() {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    for entry in old.entries() {
        let path = path(entry.key());
        match (entry.item(), new.get(entry.key())) {
            (_, None) => found.push(Change::Removed { path }),
            (was, Some(is)) if was == is => (),
            (was, Some(is)) => match (table(was), table(is)) {
                (Some(was), Some(is)) => found.extend(changes(was, is)),
                _ => {
                    let (from, to) = (was.to_string(), is.to_string());
                    found.push(Change::Changed { path, from, to });
                }
            },
        }
    }
    for entry in new.entries().iter().filter(|entry| old.get(entry.key()).is_none()) {
        let value = entry.item().to_string();
        found.push(Change::Added { path: path(entry.key()), value });
    }
    found
}

fn table(item: &Item) -> Option<&Table> {
    match item.value() {
        crate::Value::Table(table) => Some(table),
        _ => None,
    }
}
