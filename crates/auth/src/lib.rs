//! Who is there: portals, realms, checkers and credentials.
//!
//! A protocol that wants to know who is at the other end shows what it was given, the [`Credentials`], to a
//! [`Portal`]. The portal has a [`Checker`] look whose they are, and gets from its [`Realm`] an [`Avatar`]: what
//! that somebody may do here. So a protocol does not know where passwords are kept, a checker not what they are
//! for, and a realm neither.
//!
//! ```text
//!  credentials ─▶ Portal ─▶ Checker ─ AvatarId ─▶ Realm ─▶ Avatar, which logs out once
//! ```
//!
//! | what | here |
//! |---|---|
//! | what is shown | [`Anonymous`], [`UsernamePassword`], [`ProvenPassword`], [`Preauthenticated`]; [`Credentials`] for others |
//! | proofs of a password | [`DigestProof`](digest::DigestProof) (RFC 7616), [`CramMd5`] (RFC 2195), [`Apop`] (RFC 1939) |
//! | who looks at it | [`InMemory`], [`PasswordFile`], [`Htpasswd`], [`AnonymousAccess`], [`TrustedIdentity`]; on threads: [`Threaded`] |
//! | what is behind | [`Realm`], [`Users`], [`Avatar`] |
//! | those who guess | [`FailureDelay`] |
//! | secrets | [`same_secret`], [`Keys`] (HMAC-SHA-256) |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | checks on threads at a time; those that wait | [`CHECKS_AT_ONCE`], 2; [`CHECKS_WAITING_MAX`], 256 | wait; [`LoginError::Busy`] |
//! | attempts of a peer under way or kept back | 16: [`DelayOptions`] | [`LoginError::TooManyAttempts`] |
//! | a failure's delay | 500 ms, doubled to 8 s | |
//! | peers whose failures are remembered | 4,096, for 10 min | the oldest make room |
//! | a file of users | [`FILE_BYTES_MAX`], 16 MiB | refused |
//! | a password that is compared with slow hashes | [`PASSWORD_BYTES_MAX`], 1 KiB | it is wrong |
//! | passwords that were right, remembered | [`REMEMBERED_MAX`], 1,024 | one is asked again |
//! | the cost of a hash | [`BCRYPT_COST_MAX`], [`ARGON2_KIB_MAX`], [`ARGON2_PASSES_MAX`], [`SHA_CRYPT_ROUNDS_MAX`] | the file is refused |
//!
//! [`twisted`] says how this compares with Twisted's cred.

#![forbid(unsafe_code)]

mod challenge;
mod credentials;
mod delay;
pub mod digest;
mod error;
mod file;
mod htpasswd;
mod memory;
mod portal;
mod secret;
mod threaded;
mod watched;

#[doc = include_str!("twisted.md")]
pub mod twisted {}

pub use challenge::{Apop, CramMd5, NoRandomness, challenge};
pub use credentials::{
    Anonymous, Credentials, PasswordProof, Preauthenticated, ProvenPassword, UsernamePassword,
};
pub use delay::{DelayOptions, FailureDelay};
pub use error::LoginError;
pub use file::{PasswordFile, PasswordFileOptions};
pub use htpasswd::{
    ARGON2_KIB_MAX, ARGON2_PASSES_MAX, BCRYPT_COST_MAX, BadHash, Htpasswd, HtpasswdError,
    HtpasswdUsers, LineFault, PASSWORD_BYTES_MAX, REMEMBERED_MAX, SHA_CRYPT_ROUNDS_MAX,
};
pub use memory::{AnonymousAccess, InMemory, TrustedIdentity};
pub use portal::{Avatar, AvatarId, Checker, Portal, Realm, Users};
pub use secret::{KEY_BYTES_MIN, KeyTooShort, Keys, SIGNATURE_BYTES, same_secret};
pub use threaded::{CHECKS_AT_ONCE, CHECKS_WAITING_MAX, Passwords, PlainPasswords, Threaded};
pub use watched::FILE_BYTES_MAX;
