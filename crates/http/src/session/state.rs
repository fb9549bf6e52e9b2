//! What is kept of somebody between requests.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ropewalk_auth::{NoRandomness, digest::hex, same_secret};

/// Names and values, as a store has them.
pub type SessionData = BTreeMap<String, String>;

/// Under which name a session's own proof against forged requests stands.
const CSRF: &str = "csrf-token";

/// What is kept of one client between its requests. Clones are the same session.
///
/// It is nothing until something is put in: who only looks gets no cookie and costs no store anything.
/// Requests that are answered at the same time share one. What is changed after the answer was given, as by a body
/// that is still being sent, is kept by nobody.
#[derive(Clone)]
pub struct Session(Arc<Mutex<State>>);

pub(super) struct State {
    pub(super) data: SessionData,
    pub(super) bytes_max: usize,
    /// What the client has shown, where it was good.
    pub(super) token: Option<String>,
    pub(super) fate: Fate,
    pub(super) was_looked_at: bool,
}

/// What is to be done with a session behind the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is as it was saved.
    #[default]
    Kept,
    /// It is to be saved.
    Changed,
    /// It is to be saved under another token.
    Renewed,
    /// It is to be forgotten.
    Ended,
}

impl State {
    fn change(&mut self) {
        self.fate = match self.fate {
            Fate::Kept | Fate::Changed => Fate::Changed,
            // What comes after an end is another session.
            Fate::Renewed | Fate::Ended => Fate::Renewed,
        };
    }
}

/// There is no room for more in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFull {
    /// How many bytes its store takes, 4 more a name included.
    pub max: usize,
}

impl fmt::Display for SessionFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a session has at most {} bytes in all", self.max)
    }
}

impl Error for SessionFull {}

/// How many bytes names and values take.
pub(super) fn size(data: &SessionData) -> usize {
    data.iter().map(|(name, value)| entry_size(name, value)).sum()
}

fn entry_size(name: &str, value: &str) -> usize {
    name.len() + value.len() + 4
}

impl Session {
    pub(super) fn new(data: SessionData, token: Option<String>, bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            data,
            bytes_max,
            token,
            fate: Fate::Kept,
            was_looked_at: false,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shared(&self) -> &Arc<Mutex<State>> {
        &self.0
    }

    pub(super) fn of_shared(shared: Arc<Mutex<State>>) -> Self {
        Self(shared)
    }

    /// Whether nothing was kept of this client before.
    pub fn is_new(&self) -> bool {
        let mut state = self.lock();
        state.was_looked_at = true;
        state.token.is_none()
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<String> {
        let mut state = self.lock();
        state.was_looked_at = true;
        state.data.get(name).cloned()
    }

    /// Sets a value, in place of one of the same name.
    ///
    /// # Errors
    ///
    /// If there is no room for it; what was there stays.
    pub fn set(&self, name: &str, value: impl Into<String>) -> Result<(), SessionFull> {
        let (mut state, value) = (self.lock(), value.into());
        let before = state.data.get(name).map_or(0, |before| entry_size(name, before));
        if size(&state.data) - before + entry_size(name, &value) > state.bytes_max {
            return Err(SessionFull { max: state.bytes_max });
        }
        if state.data.get(name) != Some(&value) {
            state.data.insert(name.to_owned(), value);
            state.change();
        }
        Ok(())
    }

    /// Takes a value out.
    pub fn remove(&self, name: &str) -> Option<String> {
        let mut state = self.lock();
        state.was_looked_at = true;
        let removed = state.data.remove(name);
        if removed.is_some() {
            state.change();
        }
        removed
    }

    /// Goes on under another name: whoever knew the old one has nothing in hand any more. To be done whenever
    /// somebody logs in or gets more rights (session fixation).
    pub fn renew(&self) {
        let mut state = self.lock();
        state.data.remove(CSRF);
        if state.fate != Fate::Ended {
            state.fate = Fate::Renewed;
        }
    }

    /// Forgets all of it, and has the client forget it: to be done when somebody logs out.
    pub fn end(&self) {
        let mut state = self.lock();
        state.data.clear();
        state.fate = Fate::Ended;
    }

    /// A secret for forms of this session, which pages of others cannot know; the same until it is
    /// [renewed](Self::renew).
    ///
    /// # Errors
    ///
    /// If there is no room for it, or the system has no random bytes to give.
    pub fn csrf_token(&self) -> Result<String, CsrfTokenError> {
        if let Some(token) = self.get(CSRF) {
            return Ok(token);
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| CsrfTokenError::NoRandomness(NoRandomness))?;
        let token = hex(&random);
        self.set(CSRF, token.clone()).map_err(CsrfTokenError::Full)?;
        Ok(token)
    }

    /// Whether this is the secret that was given out.
    pub fn is_csrf_token(&self, token: &str) -> bool {
        let expected = self.get(CSRF);
        expected.is_some_and(|expected| same_secret(expected.as_bytes(), token.as_bytes()))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        // Neither the token nor the values: whoever reads a log could go on with them.
        let names: Vec<_> = state.data.keys().collect();
        f.debug_struct("Session").field("names", &names).finish_non_exhaustive()
    }
}

/// Why there is no secret for forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CsrfTokenError {
    /// The session has no room for it.
    Full(SessionFull),
    /// It could not be made.
    NoRandomness(NoRandomness),
}

impl fmt::Display for CsrfTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(full) => full.fmt(f),
            Self::NoRandomness(none) => none.fmt(f),
        }
    }
}

impl Error for CsrfTokenError {}
