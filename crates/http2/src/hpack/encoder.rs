//! From fields to a field block.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::field::{Name, Pseudo};
use super::table::{Dynamic, STATIC, find_static, indices};
use super::{TABLE_SIZE, huffman, integer};

/// Longer values are hardly sent twice, and would only drive others out of the table.
const REMEMBERED_MAX: usize = 512;

/// Writes field blocks, which have to be sent in the order in which they were made.
#[derive(Debug)]
pub struct Encoder {
    table: Dynamic,
    /// The smallest size since the last block, where the peer has to be told of a change.
    changed: Option<usize>,
    /// How often the table has changed.
    revision: u32,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// Writes blocks for a peer that said nothing yet of table sizes.
    pub fn new() -> Self {
        Self { table: Dynamic::new(TABLE_SIZE), changed: None, revision: 0 }
    }

    /// Keeps to the peer's `SETTINGS_HEADER_TABLE_SIZE`: from the next block on.
    ///
    /// A table larger than [`TABLE_SIZE`] is not made use of: it is this end's memory.
    pub fn set_table_max(&mut self, max: usize) {
        let max = max.min(TABLE_SIZE);
        if max != self.table.max() {
            self.changed = Some(self.changed.map_or(max, |least| least.min(max)));
            self.table.set_max(max);
            self.revision = self.revision.wrapping_add(1);
        }
    }

    /// Another one each time that the table changes: as long as it is the same, a block that was made
    /// says the same once more.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// What is allocated for the table itself, in octets.
    pub(crate) fn memory(&self) -> usize {
        self.table.memory()
    }

    /// What the table takes now, as RFC 7541 4.1 counts.
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Begins a block at the end of `out`.
    pub fn section<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Section<'a> {
        if let Some(least) = self.changed.take() {
            // RFC 7541 4.2: the smallest first, since the peer had to drop entries for it.
            if least < self.table.max() {
                integer::encode(least, 5, 0x20, out);
            }
            integer::encode(self.table.max(), 5, 0x20, out);
        }
        Section { table: &mut self.table, revision: &mut self.revision, out }
    }
}

/// A block in the making.
#[derive(Debug)]
pub struct Section<'a> {
    table: &'a mut Dynamic,
    revision: &'a mut u32,
    out: &'a mut Vec<u8>,
}

/// How a field goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Both ends remember it.
    Table,
    /// It changes from message to message.
    Nowhere,
    /// RFC 7541 7.1.3: whoever passes it on must not remember it either.
    Never,
}

impl Section<'_> {
    /// A control datum. These come before all fields (RFC 9113 8.3).
    pub fn pseudo(&mut self, pseudo: Pseudo, value: &[u8]) {
        let keep = match pseudo {
            // A path that both ends know from the static table is found before this is asked.
            Pseudo::Path => Keep::Nowhere,
            _ => Keep::Table,
        };
        self.line(&Name::Pseudo(pseudo), pseudo.place(), value, keep);
    }

    /// A field.
    ///
    /// Credentials, cookies and values [marked](HeaderValue::is_sensitive) as sensitive are never
    /// put into a table: who shares a connection with a secret could guess it by the lengths of
    /// blocks (RFC 7541 7.1).
    pub fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        let known = find_static(name.as_str().as_bytes());
        let is_among = |indices: u64| known.is_some_and(|known| indices & (1 << known) != 0);
        let keep = if value.is_sensitive() || is_among(SECRETS) {
            Keep::Never
        } else if is_among(FLEETING) || value.len() > REMEMBERED_MAX {
            Keep::Nowhere
        } else {
            Keep::Table
        };
        // A handle of a name is free, or a count.
        self.line(&Name::Field(name.clone()), known, value.as_bytes(), keep);
    }

    /// A field whose value is the same in many messages, from octets that are a value.
    pub fn shared(&mut self, name: &HeaderName, value: &[u8]) {
        let known = find_static(name.as_str().as_bytes());
        self.line(&Name::Field(name.clone()), known, value, Keep::Table);
    }

    /// A field whose value is another in each message, from octets that are a value.
    pub fn fleeting(&mut self, name: &HeaderName, value: &[u8]) {
        let known = find_static(name.as_str().as_bytes());
        self.line(&Name::Field(name.clone()), known, value, Keep::Nowhere);
    }

    /// `known` is where the static table has the name.
    fn line(&mut self, name: &Name, known: Option<usize>, value: &[u8], keep: Keep) {
        let found = match keep {
            Keep::Table => find_fixed(name, known, value).or_else(|| self.find(name, value)),
            // It is not in the table that grows.
            Keep::Nowhere => find_fixed(name, known, value),
            Keep::Never => None,
        };
        if let Some(index) = found {
            integer::encode(index, 7, 0x80, self.out);
            return;
        }
        let index = known.or_else(|| {
            self.table.entries().find(|(_, (known, _))| known == name).map(|(index, _)| index)
        });
        let (prefix, first) = match keep {
            Keep::Table => (6, 0x40),
            Keep::Nowhere => (4, 0x00),
            Keep::Never => (4, 0x10),
        };
        integer::encode(index.unwrap_or(0), prefix, first, self.out);
        if index.is_none() {
            self.string(name.as_bytes());
        }
        self.string(value);
        if keep == Keep::Table {
            self.table.insert(name.clone(), Bytes::copy_from_slice(value));
            *self.revision = self.revision.wrapping_add(1);
        }
    }

    /// The index of an entry of the table that grows that says just this.
    fn find(&self, name: &Name, value: &[u8]) -> Option<usize> {
        let mut entries = self.table.entries();
        let found = entries.find(|(_, (known, said))| said == value && known == name);
        found.map(|(index, _)| index)
    }

    fn string(&mut self, text: &[u8]) {
        let coded = huffman::encoded_len(text);
        if coded < text.len() {
            integer::encode(coded, 7, 0x80, self.out);
            huffman::encode(text, self.out);
        } else {
            integer::encode(text.len(), 7, 0x00, self.out);
            self.out.extend_from_slice(text);
        }
    }
}

/// The index of an entry of the static table that says just this; `first` is where it has the name.
fn find_fixed(name: &Name, first: Option<usize>, value: &[u8]) -> Option<usize> {
    let first = first?;
    let entries = STATIC[first - 1..].iter().enumerate();
    // An empty value stands for none there, but reads as an empty one.
    entries
        .take_while(|(at, (known, _))| *at == 0 || known == name)
        .find(|(_, (_, said))| said.as_bytes() == value)
        .map(|(at, _)| first + at)
}

/// What is never put into a table, by the static table's indices.
const SECRETS: u64 = indices(&["authorization", "cookie", "proxy-authorization", "set-cookie"]);

/// What is another with each message, by the static table's indices.
const FLEETING: u64 = indices(&[
    "age",
    "content-length",
    "content-range",
    "etag",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "last-modified",
    "location",
    "range",
]);
