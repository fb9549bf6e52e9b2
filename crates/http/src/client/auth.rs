//! Saying who asks: Basic (RFC 7617), Digest (RFC 7616), Bearer (RFC 6750).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method};
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Who asks. They go to the origin that they were given for, and not along with redirects to others.
#[derive(Clone)]
pub struct Credentials(Rc<Kind>);

enum Kind {
    None,
    Plain(HeaderValue),
    Bad,
    Digest { user: String, password: String, heard: RefCell<Option<Challenge>> },
}

/// What a server wants to have proved.
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    has_qop: bool,
    algorithm: Algorithm,
    /// How often the nonce was used.
    count: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5 { session: bool },
    Sha256 { session: bool },
}

impl Credentials {
    /// A user and a password, told with each request: for encrypted connections.
    pub fn basic(user: &str, password: &str) -> Self {
        // RFC 7617 2: the name would end at its colon.
        if user.contains(':') {
            return Self(Rc::new(Kind::Bad));
        }
        Self::plain(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// A token that whoever bears it may use.
    pub fn bearer(token: &str) -> Self {
        Self::plain(&format!("Bearer {token}"))
    }

    /// A user and a password, of which a proof is given when the server asks for one, by SHA-256 or
    /// MD5.
    pub fn digest(user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        Self(Rc::new(Kind::Digest { user, password, heard: RefCell::default() }))
    }

    pub(super) fn none() -> Self {
        Self(Rc::new(Kind::None))
    }

    fn plain(text: &str) -> Self {
        let kind = HeaderValue::from_str(text).map_or(Kind::Bad, |mut value| {
            value.set_sensitive(true);
            Kind::Plain(value)
        });
        Self(Rc::new(kind))
    }

    /// What to say in Authorization, if there is something to say.
    pub(super) fn answer(&self, method: &Method, target: &str) -> Option<HeaderValue> {
        match &*self.0 {
            Kind::None => None,
            Kind::Plain(value) => Some(value.clone()),
            Kind::Bad => {
                tracing::warn!(target: "ropewalk::http", "credentials that cannot be told are left out");
                None
            }
            Kind::Digest { user, password, heard } => {
                let mut heard = heard.borrow_mut();
                let challenge = heard.as_mut()?;
                challenge.count += 1;
                let mut random = [0; 16];
                getrandom::fill(&mut random).ok()?;
                let cnonce = hex(&random);
                let text = challenge.answer(user, password, method.as_str(), target, &cnonce);
                let mut value = HeaderValue::from_str(&text).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
        }
    }

    /// Hears the challenges of a 401; whether asking again may help.
    pub(super) fn hear<'v>(&self, challenges: impl Iterator<Item = &'v HeaderValue>) -> bool {
        let Kind::Digest { heard, .. } = &*self.0 else { return false };
        let texts = challenges.filter_map(|value| value.to_str().ok());
        let best = texts.flat_map(digests).max_by_key(|challenge| challenge.algorithm);
        let is_heard = best.is_some();
        heard.replace(best);
        is_heard
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 { .. } => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 { .. } => hex(&Sha256::digest(text.as_bytes())),
        }
    }

    fn is_session(self) -> bool {
        let (Self::Md5 { session } | Self::Sha256 { session }) = self;
        session
    }

    fn name(self) -> &'static str {
        match self {
            Self::Md5 { session: false } => "MD5",
            Self::Md5 { session: true } => "MD5-sess",
            Self::Sha256 { session: false } => "SHA-256",
            Self::Sha256 { session: true } => "SHA-256-sess",
        }
    }
}

impl Challenge {
    /// RFC 7616 3.4.1.
    fn answer(&self, user: &str, password: &str, method: &str, uri: &str, cnonce: &str) -> String {
        let Self { realm, nonce, algorithm, count, .. } = self;
        let mut a1 = algorithm.hash(&format!("{user}:{realm}:{password}"));
        if algorithm.is_session() {
            a1 = algorithm.hash(&format!("{a1}:{nonce}:{cnonce}"));
        }
        let a2 = algorithm.hash(&format!("{method}:{uri}"));
        let response = if self.has_qop {
            algorithm.hash(&format!("{a1}:{nonce}:{count:08x}:{cnonce}:auth:{a2}"))
        } else {
            algorithm.hash(&format!("{a1}:{nonce}:{a2}"))
        };
        let mut text = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={}",
            quoted(user),
            quoted(realm),
            quoted(nonce),
            quoted(uri),
            algorithm.name(),
        );
        if self.has_qop {
            text.extend([", qop=auth, nc=", &format!("{count:08x}"), ", cnonce=", &quoted(cnonce)]);
        }
        if let Some(opaque) = &self.opaque {
            text.extend([", opaque=", &quoted(opaque)]);
        }
        text
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte)]).collect()
}

/// The Digest challenges in one field that this client can answer (RFC 9110 11.6.1).
fn digests(text: &str) -> Vec<Challenge> {
    let mut found: Vec<Vec<(String, String)>> = Vec::new();
    let mut is_digest = false;
    for part in split_list(text) {
        let (head, value) = part.split_once('=').unwrap_or((part, ""));
        // A scheme stands before the first parameter of each challenge.
        let name = match head.trim().split_once(char::is_whitespace) {
            Some((scheme, name)) => {
                is_digest = scheme.eq_ignore_ascii_case("digest");
                if is_digest {
                    found.push(Vec::new());
                }
                name.trim()
            }
            None if value.is_empty() => {
                is_digest = false;
                continue;
            }
            None => head.trim(),
        };
        if let Some(challenge) = found.last_mut().filter(|_| is_digest) {
            challenge.push((name.to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
    found.into_iter().filter_map(|parameters| challenge(&parameters)).collect()
}

fn challenge(parameters: &[(String, String)]) -> Option<Challenge> {
    let find = |wanted: &str| {
        parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let algorithm =
        match find("algorithm").unwrap_or("MD5".to_owned()).to_ascii_lowercase().as_str() {
            "md5" => Algorithm::Md5 { session: false },
            "md5-sess" => Algorithm::Md5 { session: true },
            "sha-256" => Algorithm::Sha256 { session: false },
            "sha-256-sess" => Algorithm::Sha256 { session: true },
            _ => return None,
        };
    let qop = find("qop");
    // Without `auth` the body would have to be part of the proof.
    if qop.as_ref().is_some_and(|qop| !qop.split(',').any(|one| one.trim() == "auth")) {
        return None;
    }
    Some(Challenge {
        realm: find("realm")?,
        nonce: find("nonce")?,
        opaque: find("opaque"),
        has_qop: qop.is_some(),
        algorithm,
        count: 0,
    })
}

/// What stands between commas that are in no quotes.
fn split_list(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquoted(text: &str) -> String {
    let Some(inside) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}
