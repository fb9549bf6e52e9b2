//! Saying who asks: Basic (RFC 7617), Digest (RFC 7616), Bearer (RFC 6750).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method};
use ropewalk_auth::digest::{Algorithm, ha1, hex, response, response_with_body, session_ha1};

use crate::auth::params::{Parameters, quoted, split_list};

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
    qop: Qop,
    algorithm: Algorithm,
    /// Whether its name ends in `-sess`.
    is_session: bool,
    /// How often the nonce was used.
    count: u32,
}

/// What a proof may cover (RFC 7616 3.3).
enum Qop {
    /// The server named nothing, as those of RFC 2069 do not.
    Unnamed,
    Named {
        /// Method and target.
        auth: bool,
        /// These and the body.
        auth_int: bool,
    },
}

/// What is asked for, as far as a proof may cover it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) target: &'a str,
    /// Nothing if it is a stream, of which nobody knows yet what it will be.
    pub(super) body: Option<&'a [u8]>,
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
    /// MD5. It covers the request's body, too, where that is in memory and the server takes such proofs
    /// (`qop=auth-int`); where it takes no others, a body that is a stream stays without an answer.
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
    pub(super) fn answer(&self, asked: &Asked<'_>) -> Option<HeaderValue> {
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
                let text = challenge.answer(user, password, asked, &cnonce)?;
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
        let best = texts
            .flat_map(digests)
            .max_by_key(|challenge| (challenge.algorithm, challenge.is_session));
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

impl Challenge {
    fn algorithm_name(&self) -> String {
        let ending = if self.is_session { "-sess" } else { "" };
        format!("{}{ending}", self.algorithm)
    }

    /// RFC 7616 3.4.1.
    fn answer(
        &self,
        user: &str,
        password: &str,
        asked: &Asked<'_>,
        cnonce: &str,
    ) -> Option<String> {
        let Self { realm, nonce, algorithm, count, .. } = self;
        let (method, uri) = (asked.method.as_str(), asked.target);
        let mut hash = ha1(*algorithm, user, realm, password);
        if self.is_session {
            hash = session_ha1(*algorithm, &hash, nonce, cnonce);
        }
        let count = format!("{count:08x}");
        let counted = (count.as_str(), cnonce);
        let plainly = |counted| response(*algorithm, &hash, nonce, counted, method, uri);
        let (qop, response) = match (&self.qop, asked.body) {
            (Qop::Unnamed, _) => (None, plainly(None)),
            // Of a body that is none there is nothing to prove.
            (Qop::Named { auth_int: true, auth }, Some(body)) if !(*auth && body.is_empty()) => {
                let body = algorithm.hash_bytes(body);
                let parts = [method, uri, &body];
                let response = response_with_body(*algorithm, &hash, nonce, counted, parts);
                (Some("auth-int"), response)
            }
            (Qop::Named { auth: true, .. }, _) => (Some("auth"), plainly(Some(counted))),
            (Qop::Named { .. }, _) => return None,
        };
        let mut text = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={}",
            quoted(user),
            quoted(realm),
            quoted(nonce),
            quoted(uri),
            self.algorithm_name(),
        );
        if let Some(qop) = qop {
            text.extend([", qop=", qop, ", nc=", &count, ", cnonce=", &quoted(cnonce)]);
        }
        if let Some(opaque) = &self.opaque {
            text.extend([", opaque=", &quoted(opaque)]);
        }
        Some(text)
    }
}

/// The Digest challenges in one field that this client can answer (RFC 9110 11.6.1).
fn digests(text: &str) -> Vec<Challenge> {
    let mut found: Vec<Parameters> = Vec::new();
    let mut is_digest = false;
    for part in split_list(text) {
        let (head, value) = part.split_once('=').unwrap_or((part, ""));
        // A scheme stands before the first parameter of each challenge.
        let name = match head.trim().split_once(char::is_whitespace) {
            Some((scheme, name)) => {
                is_digest = scheme.eq_ignore_ascii_case("digest");
                if is_digest {
                    found.push(Parameters::default());
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
            challenge.push(name, value.trim());
        }
    }
    found.into_iter().filter_map(|parameters| challenge(&parameters)).collect()
}

fn challenge(parameters: &Parameters) -> Option<Challenge> {
    let find = |wanted| parameters.get(wanted).map(str::to_owned);
    let name = parameters.get("algorithm").unwrap_or("MD5").to_ascii_lowercase();
    let plain = name.strip_suffix("-sess");
    let algorithm = Algorithm::named(plain.unwrap_or(&name))?;
    let qop = match parameters.get("qop") {
        None => Qop::Unnamed,
        Some(names) => {
            let has = |name| names.split(',').any(|one| one.trim().eq_ignore_ascii_case(name));
            Qop::Named { auth: has("auth"), auth_int: has("auth-int") }
        }
    };
    if matches!(qop, Qop::Named { auth: false, auth_int: false }) {
        return None;
    }
    Some(Challenge {
        realm: find("realm")?,
        nonce: find("nonce")?,
        opaque: find("opaque"),
        qop,
        algorithm,
        is_session: plain.is_some(),
        count: 0,
    })
}
