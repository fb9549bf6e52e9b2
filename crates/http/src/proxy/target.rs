//! From the path that a client sees to the one of an upstream, and back.

use http::HeaderValue;

use super::ProxyError;
use super::upstream::Upstream;
use crate::server::Request;

/// Which part of a target goes through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// What the client sees before the rest.
    prefix: String,
    /// What is put behind an upstream's own path: nothing, `*`, or a path.
    pub(super) rest: String,
    pub(super) query: Option<String>,
}

/// Finds the part of a request's target that goes through.
pub(super) fn map(request: &Request, prefix: &str) -> Result<Mapping, ProxyError> {
    let uri = request.uri();
    let used = request.used();
    let path = uri.path();
    let (above, below) = path.split_at_checked(used).ok_or(ProxyError::NotHere)?;
    let rest = below.strip_prefix(prefix).ok_or(ProxyError::NotHere)?;
    let is_segment = rest.is_empty() || rest.starts_with('/') || path == "*";
    if !is_segment {
        return Err(ProxyError::NotHere);
    }
    if leads_upwards(rest) {
        return Err(ProxyError::DotSegments);
    }
    Ok(Mapping {
        prefix: [above, prefix].concat(),
        rest: rest.to_owned(),
        query: uri.query().map(str::to_owned),
    })
}

/// Whether a path has dot segments (RFC 3986 3.3), also in a disguise that an upstream might see through.
fn leads_upwards(path: &str) -> bool {
    if !path.contains(['.', '%']) {
        return false;
    }
    let mut plain = path.to_ascii_lowercase();
    for (code, text) in [("%2e", "."), ("%2f", "/"), ("%5c", "\\")] {
        plain = plain.replace(code, text);
    }
    plain.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
}

impl Mapping {
    /// Where `location`, as an upstream knows it, is for the client; none if that is the same.
    pub(super) fn seen_by_client(&self, location: &str, upstream: &Upstream) -> Option<String> {
        let scheme = if upstream.origin.is_secure() { "https" } else { "http" };
        let own = location.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
        let own = own.and_then(|rest| rest.strip_prefix(upstream.authority.as_str()));
        let path = match own {
            // RFC 9110 10.2.2: a reference without a host is one to the host that was asked.
            Some(path) if path.is_empty() || path.starts_with(['/', '?', '#']) => path,
            None if location.starts_with('/') && !location.starts_with("//") => location,
            _ => return None,
        };
        let rest = path.strip_prefix(upstream.base.as_str());
        let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']));
        // What is not below the part that is passed on, the client has no way to.
        let seen = format!("{}{}", self.prefix, rest?);
        let seen = if seen.starts_with('/') { seen } else { format!("/{seen}") };
        // Two slashes at the front would name another host.
        (seen != location && !seen.starts_with("//")).then_some(seen)
    }
}

impl Mapping {
    /// A cookie that an upstream sets (RFC 6265 4.1), as one of the place that the client sees.
    pub(super) fn cookie(&self, cookie: &HeaderValue, upstream: &Upstream) -> HeaderValue {
        let Ok(text) = str::from_utf8(cookie.as_bytes()) else { return cookie.clone() };
        let host = upstream.origin.host();
        let mut parts = text.split(';');
        let mut seen = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("domain") {
                let domain = value.strip_prefix('.').unwrap_or(value);
                if domain.eq_ignore_ascii_case(host) {
                    continue;
                }
            } else if name.eq_ignore_ascii_case("path") && value.starts_with('/') {
                seen += "; Path=";
                seen += &self.cookie_path(value, upstream);
                continue;
            }
            seen.push(';');
            seen += part;
        }
        HeaderValue::try_from(seen).unwrap_or_else(|_| cookie.clone())
    }

    fn cookie_path(&self, path: &str, upstream: &Upstream) -> String {
        let base = upstream.base.as_str();
        let is_below = |path: &str, above: &str| {
            let rest = path.strip_prefix(above.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let seen = match path.strip_prefix(base).filter(|_| is_below(path, base)) {
            Some(rest) => format!("{}{rest}", self.prefix),
            // Of all that it is for, the client sees the part that is passed on.
            None if is_below(base, path) => self.prefix.clone(),
            // It is for a part that the client has no way to.
            None => return path.to_owned(),
        };
        if seen.starts_with('/') { seen } else { format!("/{seen}") }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mapping, leads_upwards};
    use crate::proxy::upstream::Upstream;

    #[test]
    fn dot_segments_are_seen_in_any_disguise() {
        for path in
            ["/..", "/a/../b", "/./", "/%2e%2E/", "/.%2e", "/a%2f..%2fb", "/..%5cb", "/..\\"]
        {
            assert!(leads_upwards(path), "{path}");
        }
        for path in ["", "/", "/a.b", "/...", "/.well-known/x", "/%2ea", "/a..", "/%25%32%65/"] {
            assert!(!leads_upwards(path), "{path}");
        }
    }

    #[test]
    fn places_of_the_upstream_are_those_of_the_proxy_to_the_client() {
        let upstream = Upstream::new("http://app:3000/v1").expect("a URL");
        let mapping = Mapping { prefix: "/api".to_owned(), rest: String::new(), query: None };
        for (location, seen) in [
            ("http://app:3000/v1/x?y#z", Some("/api/x?y#z")),
            ("http://app:3000/v1", Some("/api")),
            ("/v1/x", Some("/api/x")),
            ("/v12", None),
            ("/other", None),
            ("http://app:30001/v1", None),
            ("https://app:3000/v1", None),
            ("//app:3000/v1", None),
            ("x", None),
        ] {
            assert_eq!(mapping.seen_by_client(location, &upstream).as_deref(), seen, "{location}");
        }
        let upstream = Upstream::new("http://app").expect("a URL");
        let mapping = Mapping { prefix: String::new(), rest: String::new(), query: None };
        for (location, seen) in [
            ("http://app/x", Some("/x")),
            ("http://app", Some("/")),
            ("/x", None),
            ("http://app//evil", None),
        ] {
            assert_eq!(mapping.seen_by_client(location, &upstream).as_deref(), seen, "{location}");
        }
    }
}
