//! Cookies (RFC 6265).

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::SET_COOKIE;
use url::Url;

/// How many cookies a jar holds; the oldest make room.
pub const COOKIES_MAX: usize = 3000;
/// How many of them one domain may have.
pub const COOKIES_PER_DOMAIN_MAX: usize = 50;
/// How many bytes a cookie may have, name, value and attributes together; longer ones are dropped.
pub const COOKIE_BYTES_MAX: usize = 4096;

/// Cookies, kept for those who set them. Clones are the same jar.
///
/// No cookie is kept for a public suffix, such as `com` or `co.uk`, which would go to everybody below
/// it. Nobody sets one for a domain that is not its own, or a `Secure` one in clear.
#[derive(Clone, Default)]
pub struct CookieJar {
    cookies: Rc<RefCell<Vec<Cookie>>>,
    time: Option<fn() -> SystemTime>,
}

struct Cookie {
    name: String,
    value: String,
    domain: String,
    /// For the host itself alone.
    host_only: bool,
    path: String,
    secure: bool,
    /// Seconds since 1970; absent for the session's.
    expires: Option<u64>,
}

impl CookieJar {
    /// An empty jar. Without a [clock](Self::with_time) of the day, cookies that expire are kept as
    /// long as the jar, save those that have Max-Age 0 or less or a date before 2000, which is how
    /// they are removed.
    pub fn new() -> Self {
        Self::default()
    }

    /// A jar that knows what time it is, by `SystemTime::now` or a test's own.
    pub fn with_time(time: fn() -> SystemTime) -> Self {
        Self { time: Some(time), ..Self::default() }
    }

    /// How many cookies there are.
    pub fn len(&self) -> usize {
        self.cookies.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes them all.
    pub fn clear(&self) {
        self.cookies.borrow_mut().clear();
    }

    fn now(&self) -> Option<u64> {
        let since = self.time?().duration_since(SystemTime::UNIX_EPOCH);
        Some(since.unwrap_or(Duration::ZERO).as_secs())
    }

    /// What goes out in Cookie to this URL, if anything does (RFC 6265 5.4).
    pub(super) fn cookies_for(&self, url: &Url) -> Option<String> {
        let host = url.host_str()?;
        let now = self.now();
        let mut cookies = self.cookies.borrow_mut();
        cookies.retain(|cookie| !cookie.is_over(now));
        let goes = |cookie: &&Cookie| {
            let is_for_host = if cookie.host_only {
                cookie.domain == host
            } else {
                is_within(host, &cookie.domain)
            };
            is_for_host
                && is_path_within(url.path(), &cookie.path)
                && (!cookie.secure || url.scheme() == "https")
        };
        let mut going: Vec<_> = cookies.iter().filter(goes).collect();
        going.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> =
            going.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Keeps what an answer sets (RFC 6265 5.3).
    pub(super) fn store(&self, url: &Url, headers: &HeaderMap) {
        let now = self.now();
        for field in headers.get_all(SET_COOKIE) {
            let text = field.to_str().ok().filter(|text| text.len() <= COOKIE_BYTES_MAX);
            if let Some(cookie) = text.and_then(|text| Cookie::read(text, url, now)) {
                self.put(cookie, now);
            }
        }
    }

    fn put(&self, cookie: Cookie, now: Option<u64>) {
        let mut cookies = self.cookies.borrow_mut();
        let is_same = |other: &Cookie| {
            other.name == cookie.name && other.domain == cookie.domain && other.path == cookie.path
        };
        // RFC 6265 5.3 (11): it keeps its place among the others.
        let before = cookies.iter().position(is_same);
        if cookie.is_over(now) {
            if let Some(at) = before {
                cookies.remove(at);
            }
            return;
        }
        if let Some(at) = before {
            cookies[at] = cookie;
            return;
        }
        let of_domain = |other: &Cookie| other.domain == cookie.domain;
        if cookies.iter().filter(|other| of_domain(other)).count() >= COOKIES_PER_DOMAIN_MAX
            && let Some(at) = cookies.iter().position(of_domain)
        {
            cookies.remove(at);
        }
        if cookies.len() >= COOKIES_MAX {
            cookies.remove(0);
        }
        cookies.push(cookie);
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieJar").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// 1 January 2000: a date that is surely over.
const LONG_AGO: u64 = 946_684_800;

impl Cookie {
    /// RFC 6265 5.2 and 5.3; `None` for what is not to be kept.
    fn read(text: &str, url: &Url, now: Option<u64>) -> Option<Self> {
        let mut parts = text.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let fits = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if name.is_empty() || !fits(name) || !fits(value) {
            return None;
        }
        let host = url.host_str()?;
        let (mut domain, mut path, mut secure) = (None, None, false);
        let (mut expires, mut max_age) = (None, None);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "domain" => {
                    let value = value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase();
                    domain = Some(value).filter(|value| !value.is_empty());
                }
                "path" => path = Some(value).filter(|value| value.starts_with('/')),
                "secure" => secure = true,
                "expires" => {
                    let date = httpdate::parse_http_date(value).ok();
                    let since = date.map(|date| date.duration_since(SystemTime::UNIX_EPOCH));
                    expires =
                        since.map(|since| since.unwrap_or(Duration::ZERO).as_secs()).or(expires);
                }
                "max-age" => {
                    let digits = value.strip_prefix('-').unwrap_or(value);
                    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                        let age = if digits.len() == value.len() { value.parse() } else { Ok(0) };
                        max_age = Some(age.unwrap_or(u64::MAX));
                    }
                }
                _ => (),
            }
        }
        let is_secure = url.scheme() == "https";
        let host_prefix = name.len() >= 7 && name[..7].eq_ignore_ascii_case("__host-");
        let secure_prefix = name.len() >= 9 && name[..9].eq_ignore_ascii_case("__secure-");
        if (secure && !is_secure)
            || (secure_prefix && !secure)
            || (host_prefix && (!secure || domain.is_some() || path != Some("/")))
        {
            return None;
        }
        let (domain, host_only) = match domain {
            None => (host.to_owned(), true),
            // Whoever is a public suffix itself may keep a cookie to itself.
            Some(domain) if is_public_suffix(&domain) => {
                if domain != host {
                    return None;
                }
                (domain, true)
            }
            Some(domain) if is_within(host, &domain) => (domain, false),
            Some(_) => return None,
        };
        let expires = match (max_age, now) {
            (Some(0), _) => Some(0),
            (Some(age), Some(now)) => Some(now.saturating_add(age)),
            (Some(_), None) => None,
            (None, _) => expires,
        };
        let path = path.map_or_else(|| default_path(url.path()), str::to_owned);
        let (name, value) = (name.to_owned(), value.to_owned());
        Some(Self { name, value, domain, host_only, path, secure, expires })
    }

    fn is_over(&self, now: Option<u64>) -> bool {
        self.expires.is_some_and(|expires| expires <= now.unwrap_or(LONG_AGO))
    }
}

/// Whether anybody can have a name below this one.
fn is_public_suffix(domain: &str) -> bool {
    domain.parse::<IpAddr>().is_err() && psl::domain_str(domain).is_none()
}

/// RFC 6265 5.1.3.
fn is_within(host: &str, domain: &str) -> bool {
    if host == domain {
        return true;
    }
    let is_address = host.parse::<IpAddr>().is_ok() || host.starts_with('[');
    !is_address && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// RFC 6265 5.1.4.
fn is_path_within(path: &str, of: &str) -> bool {
    path.strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || of.ends_with('/') || rest.starts_with('/'))
}

fn default_path(path: &str) -> String {
    match path.rfind('/') {
        Some(0) | None => "/".to_owned(),
        Some(at) => path[..at].to_owned(),
    }
}
