use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ropewalk_deferred::Deferred;

use crate::credentials::{Anonymous, Preauthenticated, ProvenPassword, UsernamePassword};
use crate::digest::Username;
use crate::error::LoginError;
use crate::portal::{AvatarId, Checker};
use crate::secret::same_secret;

/// Users and their passwords, in memory and as they are: for tests, and for secrets that stand in a
/// configuration anyway.
///
/// It takes [`UsernamePassword`] and [`ProvenPassword`], and [`Preauthenticated`] users that it knows. A name
/// that it does not know takes as long as a wrong password.
#[derive(Clone, Default)]
pub struct InMemory {
    users: BTreeMap<Arc<str>, String>,
}

impl InMemory {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same and this user, in place of one of the same name.
    pub fn with(mut self, username: impl Into<Arc<str>>, password: impl Into<String>) -> Self {
        self.users.insert(username.into(), password.into());
        self
    }

    fn find(&self, username: &Username) -> Option<(&Arc<str>, &str)> {
        let found = match username {
            Username::Plain(name) => self.users.get_key_value(name),
            Username::Hashed { .. } => self.users.iter().find(|(name, _)| username.is(name)),
        };
        found.map(|(name, password)| (name, password.as_str()))
    }
}

/// The user, or that it was none.
pub(crate) fn verdict(user: Option<AvatarId>) -> Deferred<AvatarId> {
    user.map_or_else(|| Deferred::fail(LoginError::Unauthorized), Deferred::succeed)
}

/// Whether a proof fits what is known of a user; for nobody it is looked at all the same.
pub(crate) fn proven(found: Option<(&Arc<str>, &str)>, proof: &ProvenPassword) -> Option<AvatarId> {
    let (name, password) = found.unzip();
    let fits =
        proof.proof().fits_password(name.map_or("", |name| name), password.unwrap_or_default());
    name.filter(|_| fits).map(|name| AvatarId::User(Arc::clone(name)))
}

impl Checker<UsernamePassword> for InMemory {
    fn check(&self, credentials: UsernamePassword) -> Deferred<AvatarId> {
        let found = self.users.get_key_value(credentials.username.as_str());
        let (name, password) = found.unzip();
        let expected = password.map_or("", |password| password);
        let fits = same_secret(expected.as_bytes(), credentials.password.as_bytes());
        verdict(name.filter(|_| fits).map(|name| AvatarId::User(Arc::clone(name))))
    }
}

impl Checker<ProvenPassword> for InMemory {
    fn check(&self, credentials: ProvenPassword) -> Deferred<AvatarId> {
        verdict(proven(self.find(&credentials.proof().username()), &credentials))
    }
}

impl Checker<Preauthenticated> for InMemory {
    fn check(&self, credentials: Preauthenticated) -> Deferred<AvatarId> {
        let known = self.users.contains_key(&credentials.username);
        verdict(known.then_some(AvatarId::User(credentials.username)))
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.users.keys()).finish()
    }
}

/// Lets everybody in as nobody in particular.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnonymousAccess;

impl Checker<Anonymous> for AnonymousAccess {
    fn check(&self, _: Anonymous) -> Deferred<AvatarId> {
        Deferred::succeed(AvatarId::Anonymous)
    }
}

/// Takes the word of whoever has looked at somebody already.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrustedIdentity;

impl Checker<Preauthenticated> for TrustedIdentity {
    fn check(&self, credentials: Preauthenticated) -> Deferred<AvatarId> {
        Deferred::succeed(AvatarId::User(credentials.username))
    }
}
