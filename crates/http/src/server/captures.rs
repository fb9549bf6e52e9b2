//! What the names in a router's pattern stood for.

use std::any::type_name;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::request::Request;

/// What the names in a [`Router`](crate::Router)'s pattern stood for, percent-escapes undone.
#[derive(Clone, Default)]
pub struct Params(Option<Arc<Values>>);

struct Values {
    /// All requests for one pattern share them.
    names: Arc<[Box<str>]>,
    /// The values, one behind the other.
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Params {
    /// Those of a request.
    pub fn of(request: &Request) -> Self {
        request.params().clone()
    }

    /// Values of these names, in their order, together no longer than `length`; nothing if one is not UTF-8
    /// behind its escapes.
    pub(super) fn decode<'v>(
        names: &Arc<[Box<str>]>,
        values: impl Iterator<Item = &'v str>,
        length: usize,
    ) -> Option<Self> {
        let (mut text, mut ends) = (String::with_capacity(length), Vec::with_capacity(names.len()));
        for value in values {
            if memchr::memchr(b'%', value.as_bytes()).is_none() {
                text.push_str(value);
            } else {
                text.push_str(&percent_encoding::percent_decode_str(value).decode_utf8().ok()?);
            }
            ends.push(text.len());
        }
        Some(Self(Some(Arc::new(Values { names: Arc::clone(names), text, ends }))))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let count = self.0.as_ref().map_or(0, |values| values.ends.len());
        (0..count).map(|index| self.nth(index).unwrap_or_default())
    }

    fn nth(&self, index: usize) -> Option<(&str, &str)> {
        let values = self.0.as_deref()?;
        let start = index.checked_sub(1).map_or(0, |before| values.ends[before]);
        let value = values.text.get(start..*values.ends.get(index)?)?;
        Some((values.names.get(index)?, value))
    }

    /// What `name` stood for.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// What `name` stood for, as a value of a type that can be read from text.
    ///
    /// # Errors
    ///
    /// [`BadParam`] where it cannot, or where the pattern has no such name. A resource that passes it on
    /// with `?` answers 404: there is nothing at such an address.
    ///
    /// ```
    /// use ropewalk_http::{BadParam, Params, Request, Router, Site};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let router = Router::new().get("/square/{of}", |request: Request| {
    ///     let number: u16 = Params::of(&request).parse("of")?;
    ///     Ok::<_, BadParam>((u32::from(number) * u32::from(number)).to_string())
    /// });
    /// let mut client = Memory::seat(Site::new(router).server(), &Clock::new());
    /// client.push(b"GET /square/12 HTTP/1.1\r\nHost: a\r\n\r\n");
    /// assert!(client.take_sent().ends_with(b"\r\n\r\n144"));
    /// client.push(b"GET /square/root HTTP/1.1\r\nHost: a\r\n\r\n");
    /// assert!(client.take_sent().starts_with(b"HTTP/1.1 404 "));
    /// ```
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<T, BadParam> {
        let text = self.get(name);
        text.and_then(|text| text.parse().ok()).ok_or_else(|| BadParam {
            name: name.to_owned(),
            expected: type_name::<T>(),
            got: text.map(str::to_owned),
        })
    }

    /// All of them in the order in which the pattern names them, as a tuple of up to six types that can be
    /// read from text.
    ///
    /// # Errors
    ///
    /// [`BadParam`] where one cannot, or where there are more or fewer.
    ///
    /// ```
    /// # use ropewalk_http::{BadParam, Params, Request, Router, Site};
    /// # use ropewalk_trial::{Clock, Memory};
    /// let router = Router::new().get("/{year}/{month}/{name}", |request: Request| {
    ///     let (year, month, name) = Params::of(&request).captures::<(i32, u8, String)>()?;
    ///     Ok::<_, BadParam>(format!("{name} of {month}/{year}"))
    /// });
    /// # let mut client = Memory::seat(Site::new(router).server(), &Clock::new());
    /// # client.push(b"GET /2026/11/news HTTP/1.1\r\nHost: a\r\n\r\n");
    /// # assert!(client.take_sent().ends_with(b"\r\n\r\nnews of 11/2026"));
    /// ```
    pub fn captures<C: Captures>(&self) -> Result<C, BadParam> {
        C::read(self)
    }

    /// The one at this place, and that there are `count`.
    fn at<T: FromStr>(&self, place: usize, count: usize) -> Result<T, BadParam> {
        match self.nth(place).filter(|_| self.iter().len() == count) {
            Some((name, _)) => self.parse(name),
            None => Err(BadParam {
                name: format!("number {} of {count}", place + 1),
                expected: type_name::<T>(),
                got: None,
            }),
        }
    }
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Params {}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Types that what a pattern's names stood for can be read as: tuples of one to six values.
pub trait Captures: Sized {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`BadParam`] where one is no such value, or where there are more or fewer.
    fn read(params: &Params) -> Result<Self, BadParam>;
}

macro_rules! captures {
    ($count:literal: $($type:ident $place:literal),+) => {
        impl<$($type: FromStr),+> Captures for ($($type,)+) {
            fn read(params: &Params) -> Result<Self, BadParam> {
                Ok(($(params.at::<$type>($place, $count)?,)+))
            }
        }
    };
}

captures!(1: A 0);
captures!(2: A 0, B 1);
captures!(3: A 0, B 1, C 2);
captures!(4: A 0, B 1, C 2, D 3);
captures!(5: A 0, B 1, C 2, D 3, E 4);
captures!(6: A 0, B 1, C 2, D 3, E 4, F 5);

/// Part of an address that is not what its resource expects: answered with 404.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadParam {
    name: String,
    expected: &'static str,
    got: Option<String>,
}

impl fmt::Display for BadParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, expected, got } = self;
        match got {
            Some(got) => {
                write!(f, "the part {name:?} of the path: expected {expected}, got {got:?}")
            }
            None => write!(f, "the part {name:?} of the path: the route's pattern has none"),
        }
    }
}

impl std::error::Error for BadParam {}
