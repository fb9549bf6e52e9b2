//! What somebody shows to be let in.

use std::fmt;
use std::sync::Arc;

use crate::digest::Username;

/// Something that can be shown to a [`Portal`](crate::Portal), and that a [`Checker`](crate::Checker) looks at.
///
/// The kinds are open: a room that knows another, such as keys of SSH, has a type of its own for it.
pub trait Credentials: 'static {
    /// What they are called in errors: `user name and password`.
    const KIND: &'static str;
}

/// Nothing at all: whoever shows this wants to be let in as nobody in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anonymous;

impl Credentials for Anonymous {
    const KIND: &'static str = "anonymous access";
}

/// A user's name and the password itself, as Basic, FTP, SMTP's PLAIN and many others send it.
#[derive(Clone, PartialEq, Eq)]
pub struct UsernamePassword {
    /// Who it claims to be.
    pub username: String,
    /// What should be known to nobody else.
    pub password: String,
}

impl UsernamePassword {
    /// This name with this password.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into() }
    }
}

impl Credentials for UsernamePassword {
    const KIND: &'static str = "user name and password";
}

impl fmt::Debug for UsernamePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsernamePassword").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A proof that a user's password is known, which does not tell it: the answer to a challenge.
///
/// Digest of HTTP, CRAM-MD5 and APOP are such. To check one, the password itself is needed, or for Digest
/// what is made of it.
pub trait PasswordProof: 'static {
    /// Who it claims to be.
    fn username(&self) -> Username;

    /// Whether whoever made it knew this password of `username`, which is the one that is claimed.
    fn fits_password(&self, username: &str, password: &str) -> bool;

    /// Whether whoever made it knew the password of which this is the [hash](crate::digest::ha1) that Digest
    /// works with. Proofs of other kinds fit none.
    fn fits_digest_hash(&self, hash: &str) -> bool {
        let _ = hash;
        false
    }
}

/// A [proof](PasswordProof), of whichever kind.
pub struct ProvenPassword(Box<dyn PasswordProof>);

impl ProvenPassword {
    /// This proof.
    pub fn new(proof: impl PasswordProof) -> Self {
        Self(Box::new(proof))
    }

    /// The proof.
    pub fn proof(&self) -> &dyn PasswordProof {
        &*self.0
    }
}

impl Credentials for ProvenPassword {
    const KIND: &'static str = "proof of a password";
}

impl fmt::Debug for ProvenPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvenPassword")
            .field("username", &self.0.username())
            .finish_non_exhaustive()
    }
}

/// Somebody whom others have looked at already: TLS at a certificate, the system at a process behind a
/// Unix socket, a trusted proxy at a password.
///
/// It is for the code that has looked to make this, never for what a peer says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preauthenticated {
    /// Who it is.
    pub username: Arc<str>,
}

impl Preauthenticated {
    /// Somebody of whom it is known who it is.
    pub fn new(username: impl Into<Arc<str>>) -> Self {
        Self { username: username.into() }
    }
}

impl Credentials for Preauthenticated {
    const KIND: &'static str = "identity that is known already";
}
