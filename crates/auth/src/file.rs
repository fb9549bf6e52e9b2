use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ropewalk_deferred::Failure;

use crate::digest::Username;
use crate::secret::same_secret;
use crate::threaded::{Passwords, PlainPasswords};
use crate::watched::Watched;

/// A file of users and passwords, one a line, with something between them: `alice:rabbit`.
///
/// The passwords stand there as they are, unless they were [hashed](PasswordFileOptions::hashed) by a function of the
/// program's own. Empty lines are passed over; further fields of a line are let be. The file is read again when it
/// has changed. Its work blocks: put it on [`Threaded`](crate::Threaded).
///
/// For passwords that are kept as slow hashes there is [`Htpasswd`](crate::Htpasswd).
pub struct PasswordFile {
    file: Watched<HashMap<String, (Arc<str>, String)>>,
    layout: Layout,
}

type Hash = dyn Fn(&str, &str, &str) -> String + Send + Sync;

#[derive(Clone)]
struct Layout {
    delimiter: char,
    fields: (usize, usize),
    case_sensitive: bool,
    hash: Option<Arc<Hash>>,
}

/// What a [`PasswordFile`] looks like, before it is opened.
#[derive(Clone)]
pub struct PasswordFileOptions(Layout);

impl Default for PasswordFileOptions {
    fn default() -> Self {
        Self(Layout { delimiter: ':', fields: (0, 1), case_sensitive: true, hash: None })
    }
}

impl PasswordFileOptions {
    /// What stands between fields; a colon unless set.
    pub fn delimiter(mut self, delimiter: char) -> Self {
        self.0.delimiter = delimiter;
        self
    }

    /// Which fields the name and the password are, counted from 0; the first two unless set.
    pub fn fields(mut self, username: usize, password: usize) -> Self {
        self.0.fields = (username, password);
        self
    }

    /// Takes names in any case.
    pub fn any_case(mut self) -> Self {
        self.0.case_sensitive = false;
        self
    }

    /// Passwords are hashed: `hash` is given the name, what somebody says is the password, and what stands in
    /// the file, which may begin with a salt, and makes what should stand there.
    ///
    /// Proofs fit no hashed password.
    pub fn hashed(
        mut self,
        hash: impl Fn(&str, &str, &str) -> String + Send + Sync + 'static,
    ) -> Self {
        self.0.hash = Some(Arc::new(hash));
        self
    }

    /// Reads the file. It blocks, as at a program's start.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is no UTF-8, or a line lacks a field.
    pub fn open(self, path: impl AsRef<Path>) -> io::Result<PasswordFile> {
        let file = Watched::open(path.as_ref(), |bytes| self.0.read(bytes))?;
        Ok(PasswordFile { file, layout: self.0 })
    }
}

impl fmt::Debug for PasswordFileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Layout { delimiter, fields, case_sensitive, hash } = &self.0;
        f.debug_struct("PasswordFileOptions")
            .field("delimiter", delimiter)
            .field("fields", fields)
            .field("case_sensitive", case_sensitive)
            .field("is_hashed", &hash.is_some())
            .finish()
    }
}

impl Layout {
    fn read(&self, bytes: &[u8]) -> io::Result<HashMap<String, (Arc<str>, String)>> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let text =
            str::from_utf8(bytes).map_err(|error| wrong(format!("it is no UTF-8: {error}")))?;
        let mut users = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let fields: Vec<_> = line.split(self.delimiter).collect();
            let field = |at: usize| {
                fields.get(at).copied().ok_or_else(|| {
                    let (number, count) = (index + 1, fields.len());
                    let between = self.delimiter;
                    wrong(format!(
                        "line {number} has {count} fields with {between:?} between them; \
                                   field {at} was expected, counted from 0"
                    ))
                })
            };
            let (name, password) = (field(self.fields.0)?, field(self.fields.1)?);
            users.insert(self.key(name), (name.into(), password.to_owned()));
        }
        Ok(users)
    }

    fn key(&self, name: &str) -> String {
        if self.case_sensitive { name.to_owned() } else { name.to_lowercase() }
    }
}

impl PasswordFile {
    /// A file with a colon between names and passwords, of which the names mean their case.
    ///
    /// # Errors
    ///
    /// As [`PasswordFileOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        PasswordFileOptions::default().open(path)
    }
}

impl Passwords for PasswordFile {
    fn is_password(&self, username: &str, password: &str) -> Result<bool, Failure> {
        let users = self.file.get(|bytes| self.layout.read(bytes));
        let found = users.get(&self.layout.key(username));
        let stored = found.map_or("", |(_, stored)| stored);
        let fits = match &self.layout.hash {
            Some(hash) => {
                same_secret(hash(username, password, stored).as_bytes(), stored.as_bytes())
            }
            None => same_secret(password.as_bytes(), stored.as_bytes()),
        };
        Ok(fits && found.is_some())
    }
}

impl PlainPasswords for PasswordFile {
    fn find(&self, username: &Username) -> Result<Option<(Arc<str>, String)>, Failure> {
        if self.layout.hash.is_some() {
            return Ok(None);
        }
        let users = self.file.get(|bytes| self.layout.read(bytes));
        Ok(match username {
            Username::Plain(name) => users.get(&self.layout.key(name)),
            Username::Hashed { .. } => users.values().find(|(name, _)| username.is(name)),
        }
        .cloned())
    }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFile").field("path", &self.file.path()).finish_non_exhaustive()
    }
}
