use std::fmt;

use http::Uri;

use crate::{IntoReply as _, Reply, Request, Resource};

/// Serves one address from another, without the client being told (as [`redirect`](super::redirect) does).
///
/// A rule has a pattern as a [`Router`](crate::Router)'s and the path that takes its place, in which
/// `{name}` and `{*name}` stand for what they stood for there; the query stays. Of several patterns that
/// fit, the most specific counts, and a path is rewritten once.
///
/// ```
/// use ropewalk_http::{Request, Resource, Site, middleware::Rewrite};
/// use ropewalk_trial::{Clock, Memory};
///
/// let rules = Rewrite::new().rule("/~{user}/{*page}", "/homes/{user}/public/{*page}")?;
/// let shown = |request: Request| request.uri().to_string();
/// let site = Site::new(shown.wrap(rules.into_middleware()));
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"GET /~bo/a/b.html?c HTTP/1.1\r\nHost: a\r\n\r\n");
/// assert!(client.take_sent().ends_with(b"\r\n\r\n/homes/bo/public/a/b.html?c"));
/// # Ok::<(), ropewalk_http::middleware::BadRewrite>(())
/// ```
#[derive(Clone, Default)]
pub struct Rewrite {
    patterns: matchit::Router<Vec<Part>>,
}

#[derive(Clone)]
enum Part {
    Text(String),
    Capture(String),
}

/// A rule of a [`Rewrite`] that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRewrite(String);

impl fmt::Display for BadRewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRewrite {}

impl Rewrite {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves what fits `pattern` from the path `to`.
    ///
    /// # Errors
    ///
    /// [`BadRewrite`] if the pattern is malformed or clashes with another, if `to` does not begin with a
    /// slash or is no path, or has a name in it that the pattern has not.
    pub fn rule(mut self, pattern: &str, to: &str) -> Result<Self, BadRewrite> {
        let parts = parts(to).ok_or_else(|| {
            BadRewrite(format!("{to:?} is no path with names in it: expected /a/{{name}}"))
        })?;
        for part in &parts {
            if let Part::Capture(name) = part
                && !pattern.contains(&format!("{{{name}}}"))
                && !pattern.contains(&format!("{{*{name}}}"))
            {
                let error = format!("the pattern {pattern:?} has no {name:?}, which {to:?} needs");
                return Err(BadRewrite(error));
            }
        }
        self.patterns
            .insert(pattern, parts)
            .map_err(|error| BadRewrite(format!("the pattern {pattern:?}: {error}")))?;
        Ok(self)
    }

    /// The function to [wrap](Resource::wrap) a resource with.
    pub fn into_middleware(self) -> impl FnMut(Request, &mut dyn Resource) -> Reply + 'static {
        move |mut request, inner| {
            let uri = request.uri();
            let Ok(found) = self.patterns.at(uri.path()) else { return inner.render(request) };
            // What a client sent stays escaped as it was: a slash in a name stays one in a name.
            let mut target = String::new();
            for part in found.value {
                match part {
                    Part::Text(text) => target.push_str(text),
                    Part::Capture(name) => {
                        target.push_str(found.params.get(name).unwrap_or_default());
                    }
                }
            }
            if let Some(query) = uri.query() {
                target.push('?');
                target.push_str(query);
            }
            let mut parts = uri.clone().into_parts();
            let rewritten = target.parse().ok().and_then(|target| {
                parts.path_and_query = Some(target);
                Uri::from_parts(parts).ok()
            });
            match rewritten {
                Some(uri) => {
                    *request.uri_mut() = uri;
                    inner.render(request)
                }
                None => http::StatusCode::BAD_REQUEST.into_reply(),
            }
        }
    }
}

/// The text and the names of a path; `None` if it is none.
fn parts(to: &str) -> Option<Vec<Part>> {
    if !to.starts_with('/') {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = to;
    while let Some(open) = rest.find('{') {
        let close = open + rest[open..].find('}')?;
        let name = rest[open + 1..close].trim_start_matches('*');
        if name.is_empty() {
            return None;
        }
        parts.push(Part::Text(rest[..open].to_owned()));
        parts.push(Part::Capture(name.to_owned()));
        rest = &rest[close + 1..];
    }
    parts.push(Part::Text(rest.to_owned()));
    let text: String = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Capture(_) => "x",
        })
        .collect();
    let is_path = text.parse::<http::uri::PathAndQuery>().is_ok_and(|path| path.query().is_none());
    is_path.then_some(parts)
}

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrite").finish_non_exhaustive()
    }
}
