//! Where sessions are kept.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ropewalk_auth::{Keys, NoRandomness, SIGNATURE_BYTES, digest::hex};
use ropewalk_deferred::Deferred;
use ropewalk_protocol::Clock;

use super::state::SessionData;

/// How long a session lasts that nobody uses, unless told otherwise.
pub const SESSION_IDLE: Duration = Duration::from_mins(15);
/// How long a session lasts in all, unless told otherwise.
pub const SESSION_LIFETIME: Duration = Duration::from_hours(24);
/// How many sessions are kept in memory unless told otherwise; those that were used longest ago make room.
pub const SESSIONS_MAX: usize = 10_000;
/// How many bytes one of those in memory takes.
pub const SESSION_BYTES_MAX: usize = 64 * 1024;
/// How many bytes one takes that the client keeps itself: a cookie has room for no more.
pub const SIGNED_SESSION_BYTES_MAX: usize = 2_600;

/// A session as its store gave it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What was saved.
    pub data: SessionData,
    /// Whether it should be saved again though nothing has changed, so that it lasts.
    pub save_again: bool,
}

/// Somewhere that sessions are kept. Each goes by a token, which is all that the client has; who knows it has
/// the session.
pub trait SessionStore: 'static {
    /// How many bytes one session may take: its names and values, and 4 more each.
    fn bytes_max(&self) -> usize {
        SESSION_BYTES_MAX
    }

    /// The session that goes by this token, which a client has shown; `None` where there is none, or no longer.
    fn load(&self, token: &str) -> Deferred<Option<Loaded>>;

    /// Saves a session, a new one where it has no token yet; answers by which it goes from now on. No client chooses
    /// a token: one that [`load`](Self::load) does not know never comes here.
    fn save(&self, token: Option<&str>, data: &SessionData) -> Deferred<String>;

    /// Forgets the session that goes by this token.
    fn remove(&self, token: &str) -> Deferred<()>;
}

/// Sessions in memory: bounded, gone with the process. Clones are the same store.
#[derive(Clone)]
pub struct MemorySessions {
    clock: Rc<dyn Clock>,
    idle: Duration,
    lifetime: Duration,
    max: usize,
    kept: Rc<RefCell<Kept>>,
}

#[derive(Default)]
struct Kept {
    sessions: HashMap<String, Entry>,
    /// Tokens by the order in which they were last used.
    order: BTreeMap<u64, String>,
    last: u64,
}

struct Entry {
    data: SessionData,
    made: Duration,
    used: Duration,
    place: u64,
}

impl MemorySessions {
    /// None yet, on this clock.
    pub fn new(clock: impl Clock + 'static) -> Self {
        Self {
            clock: Rc::new(clock),
            idle: SESSION_IDLE,
            lifetime: SESSION_LIFETIME,
            max: SESSIONS_MAX,
            kept: Rc::default(),
        }
    }

    /// How long one lasts that nobody uses; [`SESSION_IDLE`] unless set.
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// How long one lasts in all; [`SESSION_LIFETIME`] unless set.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// How many there are at most; [`SESSIONS_MAX`] unless set.
    pub fn sessions_max(self, max: usize) -> Self {
        Self { max: max.max(1), ..self }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.drop_old();
        self.kept.borrow().sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn drop_old(&self) {
        let now = self.clock.now();
        let mut kept = self.kept.borrow_mut();
        while let Some(token) = kept.order.values().next().cloned() {
            let entry = kept.sessions.get(&token);
            if entry.is_some_and(|entry| now.saturating_sub(entry.used) < self.idle) {
                return;
            }
            kept.remove(&token);
        }
    }
}

impl Kept {
    fn remove(&mut self, token: &str) -> Option<Entry> {
        let entry = self.sessions.remove(token)?;
        self.order.remove(&entry.place);
        Some(entry)
    }

    fn put(&mut self, token: String, mut entry: Entry) {
        self.last += 1;
        entry.place = self.last;
        self.order.insert(entry.place, token.clone());
        self.sessions.insert(token, entry);
    }
}

impl SessionStore for MemorySessions {
    fn load(&self, token: &str) -> Deferred<Option<Loaded>> {
        self.drop_old();
        let (now, mut kept) = (self.clock.now(), self.kept.borrow_mut());
        let entry =
            kept.remove(token).filter(|entry| now.saturating_sub(entry.made) < self.lifetime);
        let Some(mut entry) = entry else { return Deferred::succeed(None) };
        entry.used = now;
        let loaded = Loaded { data: entry.data.clone(), save_again: false };
        kept.put(token.to_owned(), entry);
        Deferred::succeed(Some(loaded))
    }

    fn save(&self, token: Option<&str>, data: &SessionData) -> Deferred<String> {
        self.drop_old();
        let (now, mut kept) = (self.clock.now(), self.kept.borrow_mut());
        let before = token.and_then(|token| Some((token.to_owned(), kept.remove(token)?)));
        let (token, made) = match before {
            Some((token, entry)) => (token, entry.made),
            None => match random_token() {
                Ok(token) => (token, now),
                Err(error) => return Deferred::fail(error),
            },
        };
        while kept.sessions.len() >= self.max
            && let Some(oldest) = kept.order.values().next().cloned()
        {
            kept.remove(&oldest);
        }
        kept.put(token.clone(), Entry { data: data.clone(), made, used: now, place: 0 });
        Deferred::succeed(token)
    }

    fn remove(&self, token: &str) -> Deferred<()> {
        self.kept.borrow_mut().remove(token);
        Deferred::succeed(())
    }
}

impl fmt::Debug for MemorySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySessions").field("max", &self.max).finish_non_exhaustive()
    }
}

/// A token that nobody can guess.
fn random_token() -> Result<String, NoRandomness> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| NoRandomness)?;
    Ok(hex(&random))
}

/// Sessions that the clients keep themselves, signed, so that they can read but not change them. Nothing is kept
/// here, so that they outlive the process, and any number of servers with the same [`Keys`] take them.
///
/// What is ended or renewed is so for the client that forgets it: a copy of the old cookie is good until it
/// expires. Where that will not do, there is [`MemorySessions`].
pub struct SignedSessions {
    keys: Keys,
    idle: Duration,
    lifetime: Duration,
    wall_clock: fn() -> SystemTime,
}

const PURPOSE: &[u8] = b"session";

impl SignedSessions {
    /// Signed by these keys; those that older ones have signed are signed anew when they come.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            idle: SESSION_IDLE,
            lifetime: SESSION_LIFETIME,
            wall_clock: crate::server::system_time,
        }
    }

    /// How long one lasts that nobody uses, give or take an eighth; [`SESSION_IDLE`] unless set.
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// How long one lasts in all; [`SESSION_LIFETIME`] unless set.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// Takes the time of day from `wall_clock`; the system's own unless set.
    pub fn wall_clock(self, wall_clock: fn() -> SystemTime) -> Self {
        Self { wall_clock, ..self }
    }

    fn now(&self) -> u64 {
        (self.wall_clock)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// What a token says, if it was signed here: when it was made, when it was signed, by which key, and the data.
    fn read(&self, token: &str) -> Option<(u64, u64, usize, SessionData)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (message, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>()?;
        let key = self.keys.verify(PURPOSE, message, signature)?;
        let (made, rest) = message.split_first_chunk()?;
        let (signed, rest) = rest.split_first_chunk()?;
        Some((u64::from_be_bytes(*made), u64::from_be_bytes(*signed), key, unpack(rest)?))
    }
}

impl SessionStore for SignedSessions {
    fn bytes_max(&self) -> usize {
        SIGNED_SESSION_BYTES_MAX
    }

    fn load(&self, token: &str) -> Deferred<Option<Loaded>> {
        let now = self.now();
        let read = self.read(token).filter(|(made, signed, ..)| {
            now.saturating_sub(*signed) < self.idle.as_secs()
                && now.saturating_sub(*made) < self.lifetime.as_secs()
        });
        Deferred::succeed(read.map(|(_, signed, key, data)| {
            let is_aging = now.saturating_sub(signed) > self.idle.as_secs() / 8;
            Loaded { data, save_again: is_aging || key > 0 }
        }))
    }

    fn save(&self, token: Option<&str>, data: &SessionData) -> Deferred<String> {
        let now = self.now();
        let made = token.and_then(|token| self.read(token)).map_or(now, |(made, ..)| made);
        let mut message = [made.to_be_bytes(), now.to_be_bytes()].concat();
        pack(data, &mut message);
        message.extend(self.keys.sign(PURPOSE, &message));
        Deferred::succeed(URL_SAFE_NO_PAD.encode(message))
    }

    fn remove(&self, _: &str) -> Deferred<()> {
        Deferred::succeed(())
    }
}

impl fmt::Debug for SignedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedSessions").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Each text behind its length in two bytes.
fn pack(data: &SessionData, out: &mut Vec<u8>) {
    for text in data.iter().flat_map(|(name, value)| [name, value]) {
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text.as_bytes());
    }
}

fn unpack(mut bytes: &[u8]) -> Option<SessionData> {
    let mut data = SessionData::new();
    while !bytes.is_empty() {
        let mut text = || {
            let (length, rest) = bytes.split_first_chunk()?;
            let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            bytes = rest;
            str::from_utf8(text).ok().map(str::to_owned)
        };
        let (name, value) = (text()?, text()?);
        data.insert(name, value);
    }
    Some(data)
}
