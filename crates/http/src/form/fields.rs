use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use ropewalk_deferred::Deferred;

use super::error::FormError;
use crate::Request;

/// How many fields or parts a form has at most.
pub const FIELDS_MAX: usize = 1_000;
/// How long the body of a form of fields is at most, in bytes.
pub const FIELDS_LENGTH_MAX: usize = 256 * 1024;

const URLENCODED: &str = "application/x-www-form-urlencoded";

/// Names and values, in their order, as a query or the body of a form has them.
///
/// They are read as browsers write them (the URL standard's `application/x-www-form-urlencoded`): a plus is a
/// space, percent-escapes are undone, and bytes that are no UTF-8 become the replacement character.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Those in `text`.
    ///
    /// # Errors
    ///
    /// [`FormError::TooMany`] if there are more than [`FIELDS_MAX`].
    pub fn parse(text: &[u8]) -> Result<Self, FormError> {
        let fields: Vec<(String, String)> =
            form_urlencoded::parse(text).take(FIELDS_MAX + 1).map(owned).collect();
        if fields.len() > FIELDS_MAX {
            return Err(FormError::TooMany { max: FIELDS_MAX });
        }
        Ok(Self(fields))
    }

    /// Those in the query of a request.
    ///
    /// # Errors
    ///
    /// As of [`parse`](Self::parse).
    pub fn of_query(request: &Request) -> Result<Self, FormError> {
        Self::parse(request.uri().query().unwrap_or_default().as_bytes())
    }

    /// Those in the body of a request, which has at most [`FIELDS_LENGTH_MAX`] bytes.
    ///
    /// The deferred fails with a [`FormError`], or a [`BodyError`](crate::BodyError) where the body does not
    /// come whole; a resource that passes it on answers with the status it stands for.
    pub fn read(request: Request) -> Deferred<Self> {
        if let Err(error) = check_type(request.headers(), URLENCODED) {
            return Deferred::fail(error);
        }
        let body = request.into_body().collect(FIELDS_LENGTH_MAX);
        body.add_callback(|body| Self::parse(&body))
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of this name, in their order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(other, _)| *other == name).map(|(_, value)| value)
    }

    /// All names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }
}

fn owned(
    (name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>),
) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

/// The Content-Type, if it is the one that is expected, whatever its parameters.
pub(super) fn check_type<'a>(
    headers: &'a HeaderMap,
    expected: &'static str,
) -> Result<&'a HeaderValue, FormError> {
    let found = headers.get(CONTENT_TYPE);
    let matches = |value: &&HeaderValue| {
        let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(expected.as_bytes())
    };
    found.filter(matches).ok_or_else(|| FormError::OtherType {
        expected,
        found: found.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
    })
}
