//! Proofs that mail and others ask for.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

use crate::credentials::PasswordProof;
use crate::digest::{Username, hex};
use crate::secret::same_secret;

/// CRAM-MD5 (RFC 2195): a keyed hash of a challenge, the password being the key.
///
/// ```
/// use ropewalk_auth::{CramMd5, PasswordProof};
///
/// let challenge = "<1896.697170952@postoffice.example.net>";
/// let proof = CramMd5::read(challenge, "tim 3dbc88f0624776a737b39093f6eb6427").unwrap();
/// assert!(proof.fits_password("tim", "tanstaaftanstaaf"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CramMd5 {
    challenge: String,
    username: Arc<str>,
    response: String,
}

impl CramMd5 {
    /// What a client answered to `challenge`, its base64 undone: a name, a space, and a hash. `None` if it is
    /// of another form.
    pub fn read(challenge: &str, answer: &str) -> Option<Self> {
        let (username, response) = answer.rsplit_once(' ')?;
        is_md5(response).then(|| Self {
            challenge: challenge.to_owned(),
            username: username.into(),
            response: response.to_ascii_lowercase(),
        })
    }

    /// What a client answers to `challenge`.
    pub fn answer(challenge: &str, username: &str, password: &str) -> String {
        let Ok(mut hmac) = Hmac::<Md5>::new_from_slice(password.as_bytes()) else {
            unreachable!("RFC 2104: keys may have any length")
        };
        hmac.update(challenge.as_bytes());
        format!("{username} {}", hex(&hmac.finalize().into_bytes()))
    }
}

impl PasswordProof for CramMd5 {
    fn username(&self) -> Username {
        Username::Plain(Arc::clone(&self.username))
    }

    fn fits_password(&self, _: &str, password: &str) -> bool {
        let expected = Self::answer(&self.challenge, "", password);
        same_secret(&expected.as_bytes()[1..], self.response.as_bytes())
    }
}

/// APOP (RFC 1939 7): a hash of a challenge and the password.
///
/// ```
/// use ropewalk_auth::{Apop, PasswordProof};
///
/// let challenge = "<1896.697170952@dbc.mtview.ca.us>";
/// let proof = Apop::read(challenge, "mrose c4c9334bac560ecc979e58001b3e22fb").unwrap();
/// assert!(proof.fits_password("mrose", "tanstaaf"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apop {
    challenge: String,
    username: Arc<str>,
    response: String,
}

impl Apop {
    /// The arguments of the command that answers `challenge`: a name, a space, and a hash. `None` if they are
    /// of another form.
    pub fn read(challenge: &str, arguments: &str) -> Option<Self> {
        let (username, response) = arguments.rsplit_once(' ')?;
        is_md5(response).then(|| Self {
            challenge: challenge.to_owned(),
            username: username.into(),
            response: response.to_ascii_lowercase(),
        })
    }

    /// What a client answers to `challenge`.
    pub fn answer(challenge: &str, username: &str, password: &str) -> String {
        let digest = Md5::new().chain_update(challenge).chain_update(password);
        format!("{username} {}", hex(&digest.finalize()))
    }
}

impl PasswordProof for Apop {
    fn username(&self) -> Username {
        Username::Plain(Arc::clone(&self.username))
    }

    fn fits_password(&self, _: &str, password: &str) -> bool {
        let expected = Self::answer(&self.challenge, "", password);
        same_secret(&expected.as_bytes()[1..], self.response.as_bytes())
    }
}

/// A challenge that was never given before: `<random@host>`.
///
/// # Errors
///
/// If the system has no random bytes to give.
pub fn challenge(host: &str) -> Result<String, NoRandomness> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| NoRandomness)?;
    Ok(format!("<{}@{host}>", hex(&random)))
}

/// The system has no random bytes to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system has no random bytes to give")
    }
}

impl std::error::Error for NoRandomness {}

fn is_md5(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
