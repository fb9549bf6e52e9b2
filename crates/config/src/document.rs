//! A file, with the place of everything in it.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{Fault, Faults, nearest};

/// How many bytes a file may have.
pub const FILE_MAX: u64 = 4 << 20;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Document {
    root: Table,
}

/// The text that spans are about.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
}

impl Source {
    /// A fault at a place in the text.
    pub(crate) fn fault(&self, at: usize, message: impl Into<String>) -> Fault {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = self.text[start..].lines().next().unwrap_or_default();
        Fault {
            file: self.name.clone(),
            line: before.matches('\n').count() + 1,
            column: self.text[start..at].chars().count() + 1,
            message: message.into(),
            text: line.to_owned(),
        }
    }
}

/// A table: keys and their values, in the order of the file.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its path, as in `services.site`; empty for the whole file.
    path: String,
    at: usize,
    entries: Vec<Entry>,
    source: Rc<Source>,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    key: String,
    at: usize,
    item: Item,
}

/// A value at its place.
#[derive(Clone, Debug)]
pub struct Item {
    value: Value,
    at: usize,
}

/// A value. Two are the same wherever they stand.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Text.
    Text(String),
    /// A number or a date, as it is written.
    Plain(String),
    /// True or false.
    Boolean(bool),
    /// Several.
    List(Vec<Item>),
    /// A table in it.
    Table(Table),
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is too long, or no TOML.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let name = path.display().to_string();
        let cannot = |error| Fault::of_file(name.clone(), format!("cannot be read: {error}"));
        let file = std::fs::File::open(path).map_err(cannot)?;
        let mut text = Vec::new();
        file.take(FILE_MAX + 1).read_to_end(&mut text).map_err(cannot)?;
        if text.len() as u64 > FILE_MAX {
            return Err(Fault::of_file(name, format!("is longer than {FILE_MAX} bytes")).into());
        }
        let text = String::from_utf8(text).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let name = name.clone();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Source { name, text }.fault(at, "there is a byte here that is no UTF-8")
        })?;
        Self::parse(&name, &text)
    }

    /// Reads a text; `name` is what its faults are told under.
    ///
    /// # Errors
    ///
    /// If it is no TOML.
    pub fn parse(name: &str, text: &str) -> Result<Self, Faults> {
        let source = Rc::new(Source { name: name.to_owned(), text: text.to_owned() });
        let (parsed, errors) = DeTable::parse_recoverable(text);
        let faults = errors.iter().map(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.fault(at, error.message().replace('\n', ", "))
        });
        Faults::none_of(faults.collect())?;
        let at = parsed.span().start;
        Ok(Self { root: Table::of(String::new(), at, parsed.into_inner(), &source) })
    }

    /// The table that the file is.
    pub fn root(&self) -> &Table {
        &self.root
    }
}

impl Table {
    fn of(path: String, at: usize, table: DeTable<'_>, source: &Rc<Source>) -> Self {
        let mut entries: Vec<Entry> = table
            .into_iter()
            .map(|(key, value)| {
                let Range { start, .. } = key.span();
                let key = key.into_inner().into_owned();
                let dot = if path.is_empty() { "" } else { "." };
                let item = Item::of(format!("{path}{dot}{key}"), value, source);
                Entry { key, at: start, item }
            })
            .collect();
        entries.sort_by_key(|entry| entry.at);
        Self { path, at, entries, source: Rc::clone(source) }
    }

    /// Its path, as in `services.site`; empty for the whole file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its keys and values, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Item> {
        self.entry(key).map(|entry| &entry.item)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The table that a key holds, if it is there.
    ///
    /// # Errors
    ///
    /// If it holds something else.
    pub fn table(&self, key: &str) -> Result<Option<&Self>, Faults> {
        match self.get(key) {
            None => Ok(None),
            Some(Item { value: Value::Table(table), .. }) => Ok(Some(table)),
            Some(other) => {
                let message = format!("{key:?} is a table, as in [{key}], and not {other}");
                Err(self.fault_at(other, message).into())
            }
        }
    }

    /// The text that a key holds, if it is there.
    ///
    /// # Errors
    ///
    /// If it holds something else.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Faults> {
        match self.get(key) {
            None => Ok(None),
            Some(Item { value: Value::Text(text), .. }) => Ok(Some(text)),
            Some(other) => {
                let message = format!("{key:?} is text, in quotes, and not {other}");
                Err(self.fault_at(other, message).into())
            }
        }
    }

    /// The texts that a key holds: one, or a list of them; none if it is not there.
    ///
    /// # Errors
    ///
    /// If it holds something else.
    pub fn texts(&self, key: &str) -> Result<Vec<(&str, &Item)>, Faults> {
        let Some(item) = self.get(key) else { return Ok(Vec::new()) };
        let items = match &item.value {
            Value::List(items) => items.iter().collect(),
            _ => vec![item],
        };
        let text = |item: &'_ Item| match &item.value {
            Value::Text(_) => Ok(()),
            _ => {
                let message = format!("{key:?} is text, in quotes, and not {item}");
                Err(Faults::from(self.fault_at(item, message)))
            }
        };
        items.iter().try_for_each(|item| text(item))?;
        let both = items.into_iter().filter_map(|item| match &item.value {
            Value::Text(text) => Some((text.as_str(), item)),
            _ => None,
        });
        Ok(both.collect())
    }

    /// The same without some of its keys.
    #[must_use]
    pub fn without(&self, keys: &[&str]) -> Self {
        let mut rest = self.clone();
        rest.entries.retain(|entry| !keys.contains(&entry.key.as_str()));
        rest
    }

    /// The same with a text for a key, as if it stood where the key stands, or the table begins.
    #[must_use]
    pub fn with_text(&self, key: &str, text: &str) -> Self {
        let at = self.entry(key).map_or(self.at, |entry| entry.at);
        let value = Value::Text(text.to_owned());
        let item = Item { value, at: self.get(key).map_or(self.at, |item| item.at) };
        let mut with = self.without(&[key]);
        with.entries.push(Entry { key: key.to_owned(), at, item });
        with
    }

    /// The same with a word and a line before each key, where it does not begin so: `to` is `log_to` in a section `log`.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        let mut with = self.clone();
        for entry in &mut with.entries {
            if !entry.key.starts_with(prefix) {
                entry.key = format!("{prefix}_{}", entry.key);
            }
        }
        with
    }

    /// A fault for each key that is none of these.
    pub fn unknown_keys(&self, known: &[&str]) -> Vec<Fault> {
        let known: BTreeSet<&str> = known.iter().copied().collect();
        let unknown = self.entries.iter().filter(|entry| !known.contains(entry.key.as_str()));
        unknown.map(|entry| self.unknown_key(entry, &known)).collect()
    }

    pub(crate) fn unknown_key(&self, entry: &Entry, known: &BTreeSet<&str>) -> Fault {
        let place = match self.path.as_str() {
            "" => String::new(),
            path => format!(" in [{path}]"),
        };
        let key = &entry.key;
        let message = match nearest(key, known.iter().copied()) {
            Some(near) => format!("there is no key {key:?}{place}; did you mean {near:?}?"),
            None => {
                let known: Vec<_> = known.iter().copied().collect();
                format!("there is no key {key:?}{place}; there are {}", known.join(", "))
            }
        };
        self.source.fault(entry.at, message)
    }

    /// A fault where the table begins.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        self.source.fault(self.at, message)
    }

    /// A fault at a key, or where the table begins if there is no such key.
    pub fn fault_of(&self, key: &str, message: impl Into<String>) -> Fault {
        let at = self.entry(key).map_or(self.at, |entry| entry.at);
        self.source.fault(at, message)
    }

    /// A fault at a value of it.
    pub fn fault_at(&self, item: &Item, message: impl Into<String>) -> Fault {
        self.source.fault(item.at, message)
    }
}

impl Entry {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its value.
    pub fn item(&self) -> &Item {
        &self.item
    }
}

impl Item {
    fn of(path: String, value: Spanned<DeValue<'_>>, source: &Rc<Source>) -> Self {
        let at = value.span().start;
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => Value::Plain(number.to_string()),
            DeValue::Float(number) => Value::Plain(number.to_string()),
            DeValue::Boolean(is_so) => Value::Boolean(is_so),
            DeValue::Datetime(date) => Value::Plain(date.to_string()),
            DeValue::Array(items) => {
                let items = items.into_iter().map(|item| Self::of(path.clone(), item, source));
                Value::List(items.collect())
            }
            DeValue::Table(table) => Value::Table(Table::of(path, at, table, source)),
        };
        Self { value, at }
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// Two tables are the same if their keys have the same values, wherever they stand.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        let is_there = |entry: &Entry| other.get(&entry.key) == Some(&entry.item);
        self.entries.len() == other.entries.len() && self.entries.iter().all(is_there)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// As it may be written in a file, in one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Plain(text) => f.write_str(text),
            Self::Boolean(is_so) => write!(f, "{is_so}"),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Table(table) => {
                let entry = |entry: &Entry| format!("{} = {}", entry.key, entry.item);
                let entries: Vec<_> = table.entries.iter().map(entry).collect();
                write!(f, "{{ {} }}", entries.join(", "))
            }
        }
    }
}
