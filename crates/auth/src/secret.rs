//! Comparing what is secret, and keys.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::challenge::NoRandomness;

/// How many bytes a key has at least.
pub const KEY_BYTES_MIN: usize = 32;
/// How many bytes a signature has.
pub const SIGNATURE_BYTES: usize = 32;

/// Whether two secrets are the same, in a time that tells neither where they differ nor, beyond some blocks
/// of 64 bytes, how long they are.
///
/// ```
/// assert!(ropewalk_auth::same_secret(b"rabbit", b"rabbit"));
/// assert!(!ropewalk_auth::same_secret(b"rabbit", b"rabbits"));
/// ```
pub fn same_secret(one: &[u8], other: &[u8]) -> bool {
    // Hashes are of one length, and what an attacker learns of where they differ is of no use.
    Sha256::digest(one).ct_eq(&Sha256::digest(other)).into()
}

/// Keys that sign what is given to others to bring back, by HMAC-SHA-256 (RFC 2104, FIPS 180-4).
///
/// The first signs; what the others have signed is still taken, so that a key can be changed while what it
/// signed is about.
///
/// ```
/// use ropewalk_auth::Keys;
///
/// let old = Keys::from_bytes(&[1; 32]).expect("it is long enough");
/// let signature = old.sign(b"visitor", b"7");
/// let new = Keys::from_bytes(&[2; 32]).and_then(|keys| keys.and_old(&[1; 32])).expect("so are these");
/// assert_eq!(new.verify(b"visitor", b"7", &signature), Some(1), "by the old key");
/// assert_eq!(new.verify(b"visitor", b"8", &signature), None);
/// assert_eq!(new.verify(b"resident", b"7", &signature), None, "it was signed for something else");
/// ```
#[derive(Clone)]
pub struct Keys(Vec<Hmac<Sha256>>);

/// A key that is too short to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTooShort {
    /// How many bytes it has; it should have [`KEY_BYTES_MIN`].
    pub length: usize,
}

impl fmt::Display for KeyTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.length;
        write!(
            f,
            "a key of {length} bytes is too short: expected at least {KEY_BYTES_MIN} random ones"
        )
    }
}

impl std::error::Error for KeyTooShort {}

impl Keys {
    /// One key that nobody knows and that ends with the process.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes to give.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut key = [0; KEY_BYTES_MIN];
        getrandom::fill(&mut key).map_err(|_| NoRandomness)?;
        Ok(Self(vec![hmac(&key)]))
    }

    /// This key, which is to be as random as [`random`](Self::random) ones, and kept secret.
    ///
    /// # Errors
    ///
    /// If it is too short.
    pub fn from_bytes(key: &[u8]) -> Result<Self, KeyTooShort> {
        long_enough(key).map(|key| Self(vec![hmac(key)]))
    }

    /// The same, and a key that signed before.
    ///
    /// # Errors
    ///
    /// If it is too short.
    pub fn and_old(mut self, key: &[u8]) -> Result<Self, KeyTooShort> {
        self.0.push(hmac(long_enough(key)?));
        Ok(self)
    }

    /// A signature by the first key. Nothing that is signed for one `purpose` passes for another.
    pub fn sign(&self, purpose: &[u8], message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        signed(&self.0[0], purpose, message)
    }

    /// Which key has signed this message: 0 is the first.
    pub fn verify(&self, purpose: &[u8], message: &[u8], signature: &[u8]) -> Option<usize> {
        let is_by = |key: &Hmac<Sha256>| signed(key, purpose, message).ct_eq(signature).into();
        self.0.iter().position(is_by)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("count", &self.0.len()).finish_non_exhaustive()
    }
}

fn long_enough(key: &[u8]) -> Result<&[u8], KeyTooShort> {
    if key.len() < KEY_BYTES_MIN { Err(KeyTooShort { length: key.len() }) } else { Ok(key) }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    let Ok(hmac) = Hmac::new_from_slice(key) else {
        unreachable!("RFC 2104: keys may have any length")
    };
    hmac
}

fn signed(key: &Hmac<Sha256>, purpose: &[u8], message: &[u8]) -> [u8; SIGNATURE_BYTES] {
    let mut key = key.clone();
    // The length keeps the end of one apart from the beginning of the other.
    key.update(&(purpose.len() as u64).to_be_bytes());
    key.update(purpose);
    key.update(message);
    key.finalize().into_bytes().into()
}
