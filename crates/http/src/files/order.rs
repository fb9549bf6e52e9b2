//! The order of a listing.

use std::cmp::Ordering;

use super::open::Entry;

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Column {
    #[default]
    Name,
    Size,
    Modified,
}

/// How a listing is sorted. Folders come first in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) column: Column,
    pub(super) descending: bool,
}

impl Column {
    pub(super) const ALL: [Self; 3] = [Self::Name, Self::Size, Self::Modified];

    /// Its word in a query.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Modified => "modified",
        }
    }

    /// Its word on the page.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Name => "Name",
            Self::Size => "Size",
            Self::Modified => "Modified",
        }
    }
}

impl Order {
    /// The order that a query asks for; what it does not say, or says wrong, is as by default.
    pub(super) fn parse(query: &str) -> Self {
        let mut order = Self::default();
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("sort", word)) => {
                    let column = Column::ALL.into_iter().find(|column| column.word() == word);
                    order.column = column.unwrap_or_default();
                }
                Some(("order", word)) => order.descending = word == "desc",
                _ => (),
            }
        }
        order
    }

    /// The query that asks for this order.
    pub(super) fn query(self) -> String {
        let direction = if self.descending { "desc" } else { "asc" };
        format!("?sort={}&order={direction}", self.column.word())
    }

    /// Sorts `entries`. Equal ones stand in the order of their names.
    pub(super) fn sort(self, entries: &mut [Entry]) {
        entries.sort_by_cached_key(|entry| (natural(&entry.name), entry.name.clone()));
        if self.column == Column::Name && self.descending {
            entries.reverse();
        }
        // Sorting is stable: what is equal here keeps the order of its names.
        entries.sort_by(|one, other| {
            let ordering = match self.column {
                Column::Name => Ordering::Equal,
                Column::Size => one.size.cmp(&other.size),
                Column::Modified => one.modified.cmp(&other.modified),
            };
            if self.descending { ordering.reverse() } else { ordering }
        });
        entries.sort_by_key(|entry| !entry.is_folder);
    }
}

/// A piece of a name as readers sort it: numbers by value, letters whatever their case.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    /// Without zeros in front: the longer one is the larger one.
    Number(usize, Vec<u8>),
    Text(String),
}

fn natural(name: &[u8]) -> Vec<Piece> {
    let pieces = name.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let piece = |piece: &[u8]| {
        if piece.first().is_some_and(u8::is_ascii_digit) {
            let zeros = piece.iter().take_while(|digit| **digit == b'0').count();
            let digits = piece[zeros..].to_vec();
            Piece::Number(digits.len(), digits)
        } else {
            Piece::Text(String::from_utf8_lossy(piece).to_lowercase())
        }
    };
    pieces.map(piece).collect()
}
