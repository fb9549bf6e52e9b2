//! Files as Apache's `htpasswd` writes them.

mod apr1;
mod hash;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ropewalk_deferred::Failure;

use self::hash::Kept;
pub use self::hash::{
    ARGON2_KIB_MAX, ARGON2_PASSES_MAX, BCRYPT_COST_MAX, BadHash, SHA_CRYPT_ROUNDS_MAX,
};
use crate::secret::{Keys, SIGNATURE_BYTES, same_secret};
use crate::threaded::Passwords;
use crate::watched::Watched;

/// How many passwords that were right are remembered, so that they need no slow hash when they come again.
pub const REMEMBERED_MAX: usize = 1024;
/// How many bytes a password may have; longer ones are wrong ones.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// The users of a file as `htpasswd` writes it: `alice:$2y$10$…`, one a line.
///
/// Passwords may be kept by bcrypt, argon2 or SHA-crypt (`$5$`, `$6$`). `apr1`, which `htpasswd` writes unless
/// told otherwise, is taken with a warning. Files with unsalted SHA-1, DES or plain passwords are refused: what they
/// protect is open to whoever has read them.
///
/// The file is read again when it has changed; what is wrong with it then is logged, and what it said before
/// holds. A password that was right is remembered as a keyed hash until the entry changes, as HTTP's Basic sends it with
/// every request. For a name that is not there, as much is computed as for one of those that are.
///
/// Its work blocks: put it on [`Threaded`](crate::Threaded).
///
/// ```no_run
/// use ropewalk_auth::{AvatarId, Htpasswd, Portal, Threaded, UsernamePassword, Users};
/// # fn example(threads: impl ropewalk_protocol::Threads + 'static) -> Result<(), Box<dyn std::error::Error>> {
/// let users = Threaded::new(Htpasswd::open("/etc/site.htpasswd")?, threads);
/// let portal = Portal::new(Users).checker::<UsernamePassword>(users);
/// # drop(portal); Ok(()) }
/// ```
pub struct Htpasswd {
    file: Watched<HtpasswdUsers>,
    /// Which entry is checked in place of one that is not there.
    stand_in: RandomState,
    keys: Keys,
    remembered: Mutex<HashMap<String, [u8; SIGNATURE_BYTES]>>,
    remembered_max: usize,
}

/// What an htpasswd file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HtpasswdUsers {
    entries: Vec<(String, Kept)>,
    places: HashMap<String, usize>,
}

/// Why a file of users cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum HtpasswdError {
    /// It cannot be read.
    Io(io::Error),
    /// The system has no random bytes to give.
    NoRandomness,
    /// A line is no entry.
    BadLine {
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineFault {
    /// It is no UTF-8.
    NotUtf8,
    /// There is no colon in it.
    NoColon,
    /// There is no name before its colon.
    NoName,
    /// The name is there twice.
    Twice(String),
    /// The password of this user cannot be checked.
    Password(String, BadHash),
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("it is no UTF-8"),
            Self::NoColon => f.write_str("there is no colon in it; expected USER:HASH"),
            Self::NoName => f.write_str("there is no name before its colon"),
            Self::Twice(name) => write!(f, "{name:?} is there a second time"),
            Self::Password(name, bad) => {
                write!(f, "the password of {name:?}: {bad}; set it anew with htpasswd -B")
            }
        }
    }
}

impl fmt::Display for HtpasswdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("the file of users cannot be read"),
            Self::NoRandomness => f.write_str("the system has no random bytes to give"),
            Self::BadLine { line, fault } => write!(f, "line {line}: {fault}"),
        }
    }
}

impl Error for HtpasswdError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::NoRandomness | Self::BadLine { .. } => None,
        }
    }
}

impl From<io::Error> for HtpasswdError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl HtpasswdUsers {
    /// Reads what such a file holds. Empty lines and those that begin with `#` are passed over, and further
    /// fields of a line are let be.
    ///
    /// # Errors
    ///
    /// If a line is no entry: none is passed over silently.
    pub fn parse(bytes: &[u8]) -> Result<Self, HtpasswdError> {
        let mut users = Self::default();
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            users.add(line).map_err(|fault| HtpasswdError::BadLine { line: index + 1, fault })?;
        }
        Ok(users)
    }

    fn add(&mut self, line: &[u8]) -> Result<(), LineFault> {
        let line = str::from_utf8(line).map_err(|_| LineFault::NotUtf8)?;
        let (name, rest) = line.split_once(':').ok_or(LineFault::NoColon)?;
        if name.is_empty() {
            return Err(LineFault::NoName);
        }
        let hash = rest.split(':').next().unwrap_or_default();
        let kept = Kept::read(hash).map_err(|bad| LineFault::Password(name.to_owned(), bad))?;
        if self.places.insert(name.to_owned(), self.entries.len()).is_some() {
            return Err(LineFault::Twice(name.to_owned()));
        }
        self.entries.push((name.to_owned(), kept));
        Ok(())
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names, as they stand.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Those whose passwords are kept by `apr1`, which a modern computer tries by the million a second.
    pub fn weakly_kept(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, kept)| kept.is_old()).map(|(name, _)| name.as_str())
    }

    fn find(&self, name: &str) -> Option<&Kept> {
        self.places.get(name).map(|&place| &self.entries[place].1)
    }
}

impl Htpasswd {
    /// Reads the file. It blocks, as at a program's start.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or a line of it is no entry.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, HtpasswdError> {
        let path = path.as_ref();
        let file = Watched::open(path, |bytes| Self::read(path, bytes))?;
        let keys = Keys::random().map_err(|_| HtpasswdError::NoRandomness)?;
        let remembered = Mutex::default();
        Ok(Self {
            file,
            stand_in: RandomState::new(),
            keys,
            remembered,
            remembered_max: REMEMBERED_MAX,
        })
    }

    /// Remembers so many passwords that were right, [`REMEMBERED_MAX`] unless set.
    pub fn remember(self, remembered_max: usize) -> Self {
        Self { remembered_max, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }

    fn read(path: &Path, bytes: &[u8]) -> Result<HtpasswdUsers, HtpasswdError> {
        let users = HtpasswdUsers::parse(bytes)?;
        let weak = users.weakly_kept().count();
        if weak > 0 {
            let path = path.display();
            tracing::warn!(
                target: "ropewalk::auth",
                "{path}: {weak} passwords are kept by apr1, which is fast to guess; set them anew with htpasswd -B"
            );
        }
        Ok(users)
    }

    /// Whether this password was right for this entry before. Whatever another entry of the same user said has
    /// no part in it.
    fn is_remembered(&self, username: &str, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(username).is_some_and(|last| same_secret(last, signature))
    }

    fn keep(&self, username: &str, signature: [u8; SIGNATURE_BYTES]) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= self.remembered_max && !remembered.contains_key(username) {
            // Whichever comes first: who is thrown out is asked again, and that is all.
            let Some(other) = remembered.keys().next().cloned() else { return };
            remembered.remove(&other);
        }
        remembered.insert(username.to_owned(), signature);
    }
}

impl Passwords for Htpasswd {
    fn is_password(&self, username: &str, password: &str) -> Result<bool, Failure> {
        let users = self.file.get(|bytes| Self::read(self.file.path(), bytes));
        if users.is_empty() || password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let Some(kept) = users.find(username) else {
            // Always the same one for a name, so that asking again tells nothing either.
            let place = self.stand_in.hash_one(username) as usize % users.len();
            std::hint::black_box(users.entries[place].1.fits(password));
            return Ok(false);
        };
        let signature = self.keys.sign(kept.text().as_bytes(), password.as_bytes());
        if self.is_remembered(username, &signature) {
            return Ok(true);
        }
        let fits = kept.fits(password);
        if fits {
            self.keep(username, signature);
        }
        Ok(fits)
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd").field("path", &self.file.path()).finish_non_exhaustive()
    }
}
