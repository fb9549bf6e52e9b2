//! Small files that were sent before, for as long as they have not changed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderMap;

use super::answer::{Answer, Body};
use super::sys;

/// How many small files a [`Directory`](crate::Directory) keeps in memory.
pub const KEPT_FILES_MAX: usize = 256;
/// And how many bytes of them.
pub const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A file that has just changed may change again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);

/// Which file it is, and how it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) length: u64,
    /// When anything about it last changed: seconds since 1970, and nanoseconds.
    pub(super) changed: (i64, i64),
    /// The same of what is in it.
    pub(super) modified: (i64, i64),
}

impl Seen {
    /// Whether each change from here on shows.
    fn is_settled(&self, now: SystemTime) -> bool {
        let age = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let newest = self.changed.max(self.modified).0;
        u64::try_from(newest).is_ok_and(|newest| age.as_secs() > newest + SETTLED.as_secs())
    }
}

/// Where the file of an answer was found, and how it was.
#[derive(Debug)]
pub(crate) struct Source {
    pub(super) path: PathBuf,
    pub(super) seen: Seen,
}

/// Answers with the whole of a small file, by what is left of a request's path.
///
/// Each is looked at by its name before it is sent again, so that another file, or the same with other
/// content, is never taken for it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    files: HashMap<Box<str>, File>,
    bytes: usize,
    /// Counts uses, to tell which file was not used for longest.
    uses: u64,
}

#[derive(Debug)]
struct File {
    source: Source,
    headers: HeaderMap,
    body: Bytes,
    last_use: u64,
}

impl Kept {
    /// The answer to a request for the whole of the file, if it is here and still as it was.
    pub(crate) fn get(&mut self, path: &str) -> Option<(HeaderMap, Bytes)> {
        let file = self.files.get_mut(path)?;
        if sys::look_at(&file.source.path) == Some(file.source.seen) {
            self.uses += 1;
            file.last_use = self.uses;
            return Some((file.headers.clone(), file.body.clone()));
        }
        self.forget(path);
        None
    }

    /// Keeps an answer to a request for the whole of a file.
    pub(crate) fn put(&mut self, path: &str, source: Source, answer: &Answer, now: SystemTime) {
        let Body::Bytes(body) = &answer.body else { return };
        if !answer.status.is_success() || !source.seen.is_settled(now) {
            return;
        }
        self.forget(path);
        self.bytes += body.len();
        self.uses += 1;
        let (headers, body) = (answer.headers.clone(), body.clone());
        let file = File { source, headers, body, last_use: self.uses };
        self.files.insert(path.into(), file);
        while self.files.len() > KEPT_FILES_MAX || self.bytes > KEPT_BYTES_MAX {
            let oldest = self.files.iter().min_by_key(|(_, file)| file.last_use);
            let Some(oldest) = oldest.map(|(path, _)| path.clone()) else { return };
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, path: &str) {
        if let Some(file) = self.files.remove(path) {
            self.bytes -= file.body.len();
        }
    }
}
