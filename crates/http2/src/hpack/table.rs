//! The two tables that indices point into (RFC 7541 2.3).

use std::collections::VecDeque;

use bytes::Bytes;
use http::header;

use super::field::{Name, Pseudo, size};

/// The table that every peer knows (RFC 7541, Appendix A); its first entry has index 1.
pub(super) static STATIC: [(Name, &str); 61] = [
    (Name::Pseudo(Pseudo::Authority), ""),
    (Name::Pseudo(Pseudo::Method), "GET"),
    (Name::Pseudo(Pseudo::Method), "POST"),
    (Name::Pseudo(Pseudo::Path), "/"),
    (Name::Pseudo(Pseudo::Path), "/index.html"),
    (Name::Pseudo(Pseudo::Scheme), "http"),
    (Name::Pseudo(Pseudo::Scheme), "https"),
    (Name::Pseudo(Pseudo::Status), "200"),
    (Name::Pseudo(Pseudo::Status), "204"),
    (Name::Pseudo(Pseudo::Status), "206"),
    (Name::Pseudo(Pseudo::Status), "304"),
    (Name::Pseudo(Pseudo::Status), "400"),
    (Name::Pseudo(Pseudo::Status), "404"),
    (Name::Pseudo(Pseudo::Status), "500"),
    (Name::Field(header::ACCEPT_CHARSET), ""),
    (Name::Field(header::ACCEPT_ENCODING), "gzip, deflate"),
    (Name::Field(header::ACCEPT_LANGUAGE), ""),
    (Name::Field(header::ACCEPT_RANGES), ""),
    (Name::Field(header::ACCEPT), ""),
    (Name::Field(header::ACCESS_CONTROL_ALLOW_ORIGIN), ""),
    (Name::Field(header::AGE), ""),
    (Name::Field(header::ALLOW), ""),
    (Name::Field(header::AUTHORIZATION), ""),
    (Name::Field(header::CACHE_CONTROL), ""),
    (Name::Field(header::CONTENT_DISPOSITION), ""),
    (Name::Field(header::CONTENT_ENCODING), ""),
    (Name::Field(header::CONTENT_LANGUAGE), ""),
    (Name::Field(header::CONTENT_LENGTH), ""),
    (Name::Field(header::CONTENT_LOCATION), ""),
    (Name::Field(header::CONTENT_RANGE), ""),
    (Name::Field(header::CONTENT_TYPE), ""),
    (Name::Field(header::COOKIE), ""),
    (Name::Field(header::DATE), ""),
    (Name::Field(header::ETAG), ""),
    (Name::Field(header::EXPECT), ""),
    (Name::Field(header::EXPIRES), ""),
    (Name::Field(header::FROM), ""),
    (Name::Field(header::HOST), ""),
    (Name::Field(header::IF_MATCH), ""),
    (Name::Field(header::IF_MODIFIED_SINCE), ""),
    (Name::Field(header::IF_NONE_MATCH), ""),
    (Name::Field(header::IF_RANGE), ""),
    (Name::Field(header::IF_UNMODIFIED_SINCE), ""),
    (Name::Field(header::LAST_MODIFIED), ""),
    (Name::Field(header::LINK), ""),
    (Name::Field(header::LOCATION), ""),
    (Name::Field(header::MAX_FORWARDS), ""),
    (Name::Field(header::PROXY_AUTHENTICATE), ""),
    (Name::Field(header::PROXY_AUTHORIZATION), ""),
    (Name::Field(header::RANGE), ""),
    (Name::Field(header::REFERER), ""),
    (Name::Field(header::REFRESH), ""),
    (Name::Field(header::RETRY_AFTER), ""),
    (Name::Field(header::SERVER), ""),
    (Name::Field(header::SET_COOKIE), ""),
    (Name::Field(header::STRICT_TRANSPORT_SECURITY), ""),
    (Name::Field(header::TRANSFER_ENCODING), ""),
    (Name::Field(header::USER_AGENT), ""),
    (Name::Field(header::VARY), ""),
    (Name::Field(header::VIA), ""),
    (Name::Field(header::WWW_AUTHENTICATE), ""),
];

/// Where names are found in the static table: by their octets, over open addressing.
static PLACES: [u8; PLACES_LEN] = places();
const PLACES_LEN: usize = 256;

const fn places() -> [u8; PLACES_LEN] {
    let names = STATIC_NAMES;
    let mut made = [0u8; PLACES_LEN];
    let mut index = names.len();
    // From the last, so that the first entry of a name is the one that is found.
    while index > 0 {
        let name = names[index - 1].as_bytes();
        let mut place = hash(name);
        while made[place] != 0 && !same(names[made[place] as usize - 1].as_bytes(), name) {
            place = (place + 1) % PLACES_LEN;
        }
        made[place] = index as u8;
        index -= 1;
    }
    made
}

const fn hash(name: &[u8]) -> usize {
    let (first, last) = (name[1] as usize, name[name.len() - 1] as usize);
    (name.len() * 37 + first * 11 + last * 5 + name[name.len() / 2] as usize) % PLACES_LEN
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The names of the static table, where no `HeaderName` can be asked yet.
#[rustfmt::skip]
const STATIC_NAMES: [&str; 61] = [
    ":authority", ":method", ":method", ":path", ":path", ":scheme", ":scheme", ":status",
    ":status", ":status", ":status", ":status", ":status", ":status", "accept-charset",
    "accept-encoding", "accept-language", "accept-ranges", "accept", "access-control-allow-origin",
    "age", "allow", "authorization", "cache-control", "content-disposition", "content-encoding",
    "content-language", "content-length", "content-location", "content-range", "content-type",
    "cookie", "date", "etag", "expect", "expires", "from", "host", "if-match", "if-modified-since",
    "if-none-match", "if-range", "if-unmodified-since", "last-modified", "link", "location",
    "max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh",
    "retry-after", "server", "set-cookie", "strict-transport-security", "transfer-encoding",
    "user-agent", "vary", "via", "www-authenticate",
];

/// The indices that these names are found at, as the bits of a number.
pub(super) const fn indices(names: &[&str]) -> u64 {
    let (mut bits, mut at) = (0, 0);
    while at < names.len() {
        let mut index = 1;
        while !same(STATIC_NAMES[index - 1].as_bytes(), names[at].as_bytes()) {
            index += 1;
        }
        bits |= 1 << index;
        at += 1;
    }
    bits
}

/// The first index of the static table that has this name.
pub(super) fn find_static(name: &[u8]) -> Option<usize> {
    if name.len() < 2 {
        return None;
    }
    let mut place = hash(name);
    loop {
        let index = usize::from(PLACES[place]);
        if index == 0 {
            return None;
        }
        if STATIC_NAMES[index - 1].as_bytes() == name {
            return Some(index);
        }
        place = (place + 1) % PLACES_LEN;
    }
}

/// The table that grows with a connection (RFC 7541 2.3.2): the newest entry comes first.
#[derive(Debug)]
pub(super) struct Dynamic {
    entries: VecDeque<(Name, Bytes)>,
    size: usize,
    max: usize,
}

impl Dynamic {
    pub(super) fn new(max: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, max }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<(Name, Bytes)>()
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.make_room(0);
        if max == 0 {
            self.entries = VecDeque::new();
        }
    }

    /// The entry with this index, from 62 on.
    pub(super) fn get(&self, index: usize) -> Option<&(Name, Bytes)> {
        self.entries.get(index.checked_sub(STATIC.len() + 1)?)
    }

    /// The entries, each with its index.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, &(Name, Bytes))> {
        self.entries.iter().zip(STATIC.len() + 1..).map(|(entry, index)| (index, entry))
    }

    /// RFC 7541 4.4: an entry larger than the table empties it, which is no error.
    pub(super) fn insert(&mut self, name: Name, value: Bytes) {
        let size = size(&name, &value);
        self.make_room(size);
        if size <= self.max {
            self.size += size;
            self.entries.push_front((name, value));
        }
    }

    fn make_room(&mut self, wanted: usize) {
        while self.size + wanted > self.max
            && let Some((name, value)) = self.entries.pop_back()
        {
            self.size -= size(&name, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_names_are_those_of_the_table_and_found_first() {
        for (at, (name, _)) in STATIC.iter().enumerate() {
            assert_eq!(name.as_bytes(), STATIC_NAMES[at].as_bytes());
            let first = STATIC_NAMES.iter().position(|other| other.as_bytes() == name.as_bytes());
            assert_eq!(find_static(name.as_bytes()), first.map(|first| first + 1));
            if let Name::Pseudo(pseudo) = name {
                assert_eq!(pseudo.place(), first.map(|first| first + 1));
            }
        }
        for stranger in ["", "x", "x-request-id", ":protocol", "Date"] {
            assert_eq!(find_static(stranger.as_bytes()), None, "{stranger}");
        }
    }
}
