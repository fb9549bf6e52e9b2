//! Digest as a server asks for it (RFC 7616).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Uri};
use ropewalk_auth::digest::{Algorithm, DigestProof, Username};
use ropewalk_auth::{Keys, NoRandomness, SIGNATURE_BYTES};
use ropewalk_protocol::Clock;

use super::authorization::DigestAuthorization;
use super::params::quoted;

/// How long a nonce is good unless told otherwise.
pub const NONCE_LIFETIME: Duration = Duration::from_mins(5);
/// How many nonces that were used are remembered, with the counts that came with them.
pub const NONCES_MAX: usize = 4096;
/// How far a count may lie behind the highest that has come: requests on several connections overtake one
/// another.
const WINDOW: u32 = 64;

/// When a nonce was made, in milliseconds on the clock, and bytes that nobody can foresee.
type Issue = [u8; 16];

/// Digest: a client proves that it knows a password and does not tell it.
///
/// Nonces are signed, so those that were never used cost no memory; they are good for [`NONCE_LIFETIME`], and
/// each count of one is taken once. A client whose nonce is too old gets another with `stale=true`, and asks nobody
/// for a password again. What the client proves covers the method and the target (`qop=auth`), and the body where that is [wanted](Self::integrity).
///
/// ```
/// use ropewalk_auth::{InMemory, Portal, ProvenPassword, Users};
/// use ropewalk_http::auth::{Digest, Guard};
/// use ropewalk_http::{Request, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let clock = Clock::new();
/// let portal = Portal::new(Users).checker::<ProvenPassword>(InMemory::new().with("alice", "rabbit"));
/// let guard = Guard::new(portal).digest(Digest::new("the garden", clock.clone()).unwrap());
/// let site = Site::new(guard.around(|_: Request| "flowers"));
/// let mut client = Memory::seat(site.server(), &clock);
/// client.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
/// let answer = String::from_utf8(client.take_sent()).unwrap();
/// assert!(answer.starts_with("HTTP/1.1 401 "));
/// assert!(answer.contains("www-authenticate: Digest realm=\"the garden\", qop=\"auth\", algorithm=SHA-256"));
/// assert!(answer.contains("www-authenticate: Digest realm=\"the garden\", qop=\"auth\", algorithm=MD5"));
/// ```
pub struct Digest {
    realm: Arc<str>,
    algorithms: Vec<Algorithm>,
    userhash: bool,
    lifetime: Duration,
    keys: Keys,
    /// Up to which length a body is collected for a proof that covers it.
    body_max: Option<usize>,
    /// What clients give back: whose challenge they answer.
    opaque: String,
    clock: Rc<dyn Clock>,
    nonces: RefCell<Nonces>,
}

/// What was done with nonces.
struct Nonces {
    used: BTreeMap<Issue, Counts>,
    max: usize,
    /// The latest that is no longer remembered although it was used.
    forgotten: Option<Issue>,
}

/// Which counts have come with a nonce.
#[derive(Clone, Copy)]
struct Counts {
    highest: u32,
    /// Bit `n` stands for the count that lies `n` before the highest.
    seen: u64,
}

/// What became of a proof before anybody looked at the password.
pub(super) enum Looked {
    /// It is about this request and a nonce of ours, which was not used so before.
    Fresh(Box<DigestProof>, Ticket),
    /// The nonce is too old, used up, or not ours: another may be tried.
    Stale,
    /// It is about something else.
    Foreign,
}

/// The right to use a count of a nonce, once.
pub(super) struct Ticket {
    issue: Issue,
    count: u32,
}

impl Digest {
    /// Digest for a realm, by SHA-256 and, for those who know nothing else, MD5.
    ///
    /// Passwords may be kept as hashes of the realm's name, so it should not change.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes to give.
    pub fn new(
        realm: impl Into<Arc<str>>,
        clock: impl Clock + 'static,
    ) -> Result<Self, NoRandomness> {
        let mut opaque = [0; 12];
        getrandom::fill(&mut opaque).map_err(|_| NoRandomness)?;
        Ok(Self {
            realm: realm.into(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            userhash: false,
            lifetime: NONCE_LIFETIME,
            keys: Keys::random()?,
            body_max: None,
            opaque: URL_SAFE_NO_PAD.encode(opaque),
            clock: Rc::new(clock),
            nonces: RefCell::new(Nonces {
                used: BTreeMap::new(),
                max: NONCES_MAX,
                forgotten: None,
            }),
        })
    }

    /// By these algorithms, the one first that is preferred.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Lets clients hash the user's name, too, for checkers that can look it up so
    /// ([`InMemory`](ropewalk_auth::InMemory) and files can).
    pub fn userhash(self) -> Self {
        Self { userhash: true, ..self }
    }

    /// Lets clients prove what their body is, too (`qop=auth-int`): it is collected before anybody looks at the
    /// proof, up to `body_max` bytes, and a longer one is answered 413.
    pub fn integrity(self, body_max: usize) -> Self {
        Self { body_max: Some(body_max), ..self }
    }

    /// How long a body may be that a proof covers; none where that is not offered.
    pub(super) fn body_max(&self) -> Option<usize> {
        self.body_max
    }

    /// How long a nonce is good; [`NONCE_LIFETIME`] unless set.
    pub fn nonce_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// How many used nonces are remembered; [`NONCES_MAX`] unless set. Those that make room for others are
    /// good no longer.
    pub fn nonces_max(self, max: usize) -> Self {
        self.nonces.borrow_mut().max = max.max(1);
        self
    }

    /// One challenge for each algorithm.
    pub(super) fn challenges(&self, is_stale: bool) -> Result<Vec<HeaderValue>, NoRandomness> {
        let value = |&algorithm: &Algorithm| {
            let nonce = self.nonce(algorithm)?;
            let realm = quoted(&self.realm);
            let qop = if self.body_max.is_some() { "auth, auth-int" } else { "auth" };
            let mut text = format!(
                "Digest realm={realm}, qop=\"{qop}\", algorithm={algorithm}, nonce=\"{nonce}\", opaque=\"{}\", charset=UTF-8",
                self.opaque
            );
            if self.userhash {
                text += ", userhash=true";
            }
            if is_stale {
                text += ", stale=true";
            }
            Ok(HeaderValue::try_from(text).ok())
        };
        let values: Result<Vec<_>, _> = self.algorithms.iter().map(value).collect();
        Ok(values?.into_iter().flatten().collect())
    }

    fn nonce(&self, algorithm: Algorithm) -> Result<String, NoRandomness> {
        let mut issue = Issue::default();
        let (time, random) = issue.split_at_mut(8);
        time.copy_from_slice(&(self.clock.now().as_millis() as u64).to_be_bytes());
        getrandom::fill(random).map_err(|_| NoRandomness)?;
        let signature = self.keys.sign(algorithm.name().as_bytes(), &issue);
        Ok(URL_SAFE_NO_PAD.encode([&issue[..], &signature].concat()))
    }

    /// When a nonce of ours was made; `None` if it is not ours.
    fn issue(&self, nonce: &str, algorithm: Algorithm) -> Option<Issue> {
        let mut bytes = [0; size_of::<Issue>() + SIGNATURE_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes).ok()?;
        let (issue, signature) = bytes.get(..length)?.split_first_chunk::<16>()?;
        self.keys.verify(algorithm.name().as_bytes(), issue, signature)?;
        Some(*issue)
    }

    /// Looks at all but the password.
    pub(super) fn look(
        &self,
        said: DigestAuthorization,
        method: &str,
        target: &Uri,
        body: &[u8],
    ) -> Looked {
        let is_offered = self.algorithms.contains(&said.algorithm);
        let path = target.path_and_query().map(http::uri::PathAndQuery::as_str);
        let is_target = path == Some(said.uri.as_str()) || target.to_string() == said.uri;
        if said.realm != *self.realm
            || !is_offered
            || !is_target
            || (said.is_hashed && !self.userhash)
            || (said.covers_body && self.body_max.is_none())
        {
            return Looked::Foreign;
        }
        // RFC 7616 3.4: it comes back as it was, where a client gives it back at all.
        if said.opaque.as_ref().is_some_and(|opaque| *opaque != self.opaque) {
            return Looked::Stale;
        }
        let Some(issue) = self.issue(&said.nonce, said.algorithm) else { return Looked::Stale };
        let made = u64::from_be_bytes(*issue.first_chunk().unwrap_or(&[0; 8]));
        let age = self.clock.now().saturating_sub(Duration::from_millis(made));
        let ticket = Ticket { issue, count: said.count };
        if age >= self.lifetime || !self.nonces.borrow().is_free(&ticket) {
            return Looked::Stale;
        }
        let username = if said.is_hashed {
            let hash = said.username.to_ascii_lowercase();
            Username::Hashed { algorithm: said.algorithm, realm: Arc::clone(&self.realm), hash }
        } else {
            Username::Plain(said.username.into())
        };
        let proof = DigestProof {
            algorithm: said.algorithm,
            username,
            realm: said.realm,
            nonce: said.nonce,
            count: said.count_text,
            cnonce: said.cnonce,
            method: method.to_owned(),
            uri: said.uri,
            body: said.covers_body.then(|| said.algorithm.hash_bytes(body)),
            response: said.response,
        };
        Looked::Fresh(Box::new(proof), ticket)
    }

    /// Uses a count up; false if somebody else has meanwhile.
    pub(super) fn take(&self, ticket: &Ticket) -> bool {
        let now = self.clock.now();
        let oldest = now.checked_sub(self.lifetime).unwrap_or_default().as_millis() as u64;
        self.nonces.borrow_mut().take(ticket, oldest)
    }
}

impl Nonces {
    fn is_free(&self, ticket: &Ticket) -> bool {
        match self.used.get(&ticket.issue) {
            Some(counts) => counts.is_free(ticket.count),
            None => self.forgotten.is_none_or(|latest| ticket.issue > latest),
        }
    }

    fn take(&mut self, ticket: &Ticket, oldest: u64) -> bool {
        if !self.is_free(ticket) {
            return false;
        }
        while let Some(first) = self.used.first_entry()
            && first.key()[..8] < oldest.to_be_bytes()[..]
        {
            first.remove();
        }
        let counts = self.used.entry(ticket.issue).or_insert(Counts { highest: 0, seen: 0 });
        counts.take(ticket.count);
        while self.used.len() > self.max {
            self.forgotten = self.used.pop_first().map(|(issue, _)| issue);
        }
        true
    }
}

impl Counts {
    fn is_free(self, count: u32) -> bool {
        match self.highest.checked_sub(count) {
            None => true,
            Some(back) => back < WINDOW && self.seen & (1 << back) == 0,
        }
    }

    fn take(&mut self, count: u32) {
        match self.highest.checked_sub(count) {
            None => {
                let ahead = count - self.highest;
                self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 } | 1;
                self.highest = count;
            }
            Some(back) => self.seen |= 1 << back,
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest")
            .field("realm", &self.realm)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
