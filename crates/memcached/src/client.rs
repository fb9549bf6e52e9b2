//! A function for each command.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_deferred::Deferred;
use ropewalk_protocol::ClientEndpoint;

use crate::codec::{Reply, Word, check_key, put_line};
use crate::link::{Kind, Link, Request};
use crate::{BadReply, BadRequest, CallError, Expiry, Limits, Memcached};

/// Connects to the server at `endpoint`.
#[track_caller]
pub fn connect(endpoint: &(impl ClientEndpoint + ?Sized)) -> Deferred<Client> {
    connect_with(endpoint, Limits::default())
}

/// The same under other limits.
#[track_caller]
pub fn connect_with(endpoint: &(impl ClientEndpoint + ?Sized), limits: Limits) -> Deferred<Client> {
    let (protocol, client) = Client::new(limits);
    ropewalk_protocol::connect(endpoint, protocol).map(move |_| client)
}

/// A handle to call a server by, good to clone and keep.
///
/// A call that fails does so with a [`CallError`]. Cancelling one lets go of its answer, which takes its
/// place among the others none the less. When the last handle is dropped, the connection is closed once
/// all calls are answered.
#[derive(Clone)]
pub struct Client {
    link: Rc<Handles>,
}

/// What is shared by all clones of one handle.
struct Handles(Rc<Link>);

impl Drop for Handles {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The value.
    pub value: Bytes,
    /// The number that its owner keeps beside it; most use it to tell how the value is encoded.
    pub flags: u32,
    /// The number of this very version of it, for [`Client::cas`]; 0 unless that was asked for.
    pub cas_unique: u64,
}

/// A value to be stored; anything that is bytes is one.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_memcached::{Entry, Expiry};
///
/// let plain = Entry::from("hello");
/// let more = Entry::new("hello").flags(1).expires(Expiry::After(Duration::from_secs(60)));
/// assert_ne!(plain, more);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    value: Bytes,
    flags: u32,
    expiry: Expiry,
}

impl Entry {
    /// A value without flags that never expires.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self { value: value.into(), flags: 0, expiry: Expiry::Never }
    }

    /// Keeps this number beside it.
    pub fn flags(self, flags: u32) -> Self {
        Self { flags, ..self }
    }

    /// Keeps it so long.
    pub fn expires(self, expiry: Expiry) -> Self {
        Self { expiry, ..self }
    }
}

impl<B: Into<Bytes>> From<B> for Entry {
    fn from(value: B) -> Self {
        Self::new(value)
    }
}

/// What came of a [`Client::cas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CasOutcome {
    /// The value is stored.
    Stored,
    /// Somebody else has stored another one since it was read.
    Exists,
    /// It is not there any more.
    NotFound,
}

/// Items by their keys; those that are not there are not in it.
type Items = HashMap<Vec<u8>, Item>;

impl Client {
    /// A protocol for one connection, and the handle of its server: for transports that are no endpoint.
    /// What is called before there is a connection is held until then.
    pub fn new(limits: Limits) -> (Memcached, Self) {
        let protocol = Memcached::with_limits(limits);
        let client = Self { link: Rc::new(Handles(Rc::clone(protocol.link()))) };
        (protocol, client)
    }

    /// The item of a key; `None` if there is none.
    #[track_caller]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Deferred<Option<Item>> {
        self.get_many([key]).map(only)
    }

    /// The items of some keys.
    #[track_caller]
    pub fn get_many(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Deferred<HashMap<Vec<u8>, Item>> {
        self.retrieve("get", None, keys)
    }

    /// The item of a key with its [`cas_unique`](Item::cas_unique); `None` if there is none.
    #[track_caller]
    pub fn gets(&self, key: impl AsRef<[u8]>) -> Deferred<Option<Item>> {
        self.gets_many([key]).map(only)
    }

    /// The items of some keys with their [`cas_unique`](Item::cas_unique).
    #[track_caller]
    pub fn gets_many(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Deferred<HashMap<Vec<u8>, Item>> {
        self.retrieve("gets", None, keys)
    }

    /// The item of a key, which is kept so long from now on; `None` if there is none.
    #[track_caller]
    pub fn gat(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> Deferred<Option<Item>> {
        self.gat_many([key], expiry).map(only)
    }

    /// The items of some keys, which are kept so long from now on.
    #[track_caller]
    pub fn gat_many(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
        expiry: Expiry,
    ) -> Deferred<HashMap<Vec<u8>, Item>> {
        self.retrieve("gat", Some(expiry), keys)
    }

    /// As [`gat`](Self::gat), with the item's [`cas_unique`](Item::cas_unique).
    #[track_caller]
    pub fn gats(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> Deferred<Option<Item>> {
        self.gats_many([key], expiry).map(only)
    }

    /// As [`gat_many`](Self::gat_many), with the items' [`cas_unique`](Item::cas_unique).
    #[track_caller]
    pub fn gats_many(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
        expiry: Expiry,
    ) -> Deferred<HashMap<Vec<u8>, Item>> {
        self.retrieve("gats", Some(expiry), keys)
    }

    /// Stores a value, whatever was there.
    #[track_caller]
    pub fn set(&self, key: impl AsRef<[u8]>, entry: impl Into<Entry>) -> Deferred<()> {
        self.store("set", Kind::Set, key.as_ref(), entry.into(), None).map(|_| ())
    }

    /// Stores a value if there is none; whether it was stored.
    #[track_caller]
    pub fn add(&self, key: impl AsRef<[u8]>, entry: impl Into<Entry>) -> Deferred<bool> {
        self.store_if("add", key.as_ref(), entry.into())
    }

    /// Stores a value if there is one; whether it was stored.
    #[track_caller]
    pub fn replace(&self, key: impl AsRef<[u8]>, entry: impl Into<Entry>) -> Deferred<bool> {
        self.store_if("replace", key.as_ref(), entry.into())
    }

    /// Adds bytes behind a value, if there is one; whether there was. Its flags and expiry stay.
    #[track_caller]
    pub fn append(&self, key: impl AsRef<[u8]>, more: impl Into<Bytes>) -> Deferred<bool> {
        self.store_if("append", key.as_ref(), Entry::new(more))
    }

    /// Adds bytes before a value, if there is one; whether there was. Its flags and expiry stay.
    #[track_caller]
    pub fn prepend(&self, key: impl AsRef<[u8]>, more: impl Into<Bytes>) -> Deferred<bool> {
        self.store_if("prepend", key.as_ref(), Entry::new(more))
    }

    /// Stores a value if nobody has done so since the one with this
    /// [`cas_unique`](Item::cas_unique) was read.
    #[track_caller]
    pub fn cas(
        &self,
        key: impl AsRef<[u8]>,
        entry: impl Into<Entry>,
        cas_unique: u64,
    ) -> Deferred<CasOutcome> {
        let replies = self.store("cas", Kind::Cas, key.as_ref(), entry.into(), Some(cas_unique));
        one(replies, |reply| match reply {
            Reply::Stored => Some(CasOutcome::Stored),
            Reply::Exists => Some(CasOutcome::Exists),
            Reply::NotFound => Some(CasOutcome::NotFound),
            _ => None,
        })
    }

    /// Forgets a value; whether there was one.
    #[track_caller]
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Deferred<bool> {
        let key = key.as_ref();
        let replies = self.of_key(key, Kind::Delete, &[&"delete", &key]);
        one(replies, |reply| found(&reply, &Reply::Deleted))
    }

    /// Keeps a value so long from now on; whether there is one.
    #[track_caller]
    pub fn touch(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> Deferred<bool> {
        let key = key.as_ref();
        let replies = match expiry.number() {
            Ok(expiry) => self.of_key(key, Kind::Touch, &[&"touch", &key, &expiry]),
            Err(bad) => Deferred::fail(CallError::Bad(bad)),
        };
        one(replies, |reply| found(&reply, &Reply::Touched))
    }

    /// Counts a value up that is a decimal number, and begins again after 2^64 - 1; what it has become,
    /// `None` if there is none.
    #[track_caller]
    pub fn incr(&self, key: impl AsRef<[u8]>, by: u64) -> Deferred<Option<u64>> {
        self.count("incr", key.as_ref(), by)
    }

    /// Counts a value down that is a decimal number, but not below 0; what it has become, `None` if
    /// there is none.
    #[track_caller]
    pub fn decr(&self, key: impl AsRef<[u8]>, by: u64) -> Deferred<Option<u64>> {
        self.count("decr", key.as_ref(), by)
    }

    /// What the server counts.
    #[track_caller]
    pub fn stats(&self) -> Deferred<BTreeMap<String, String>> {
        self.read_stats(&[&"stats"])
    }

    /// What the server counts of one group, such as `items` or `settings`; `reset` counts anew.
    #[track_caller]
    pub fn stats_of(&self, group: &str) -> Deferred<BTreeMap<String, String>> {
        // Groups may have arguments: words like any others.
        let bad = group.split(' ').find_map(|word| check_key(word.as_bytes()).err());
        match bad {
            Some(bad) => Deferred::fail(CallError::Bad(bad)),
            None => self.read_stats(&[&"stats", &group]),
        }
    }

    /// The server's version.
    #[track_caller]
    pub fn version(&self) -> Deferred<String> {
        let replies = self.plain(Kind::Version, &[&"version"]);
        one(replies, |reply| match reply {
            Reply::Version(version) => Some(version),
            _ => None,
        })
    }

    /// Has the server say so much of what it does in its log.
    #[track_caller]
    pub fn verbosity(&self, level: u32) -> Deferred<()> {
        self.plain(Kind::Ok, &[&"verbosity", &level]).map(|_| ())
    }

    /// Has the server forget everything that is there then: now, or after this time in whole seconds,
    /// rounded up.
    #[track_caller]
    pub fn flush_all(&self, after: Duration) -> Deferred<()> {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        let replies = if seconds == 0 {
            self.plain(Kind::Ok, &[&"flush_all"])
        } else {
            self.plain(Kind::Ok, &[&"flush_all", &seconds])
        };
        replies.map(|_| ())
    }

    #[track_caller]
    fn retrieve(
        &self,
        command: &'static str,
        expiry: Option<Expiry>,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Deferred<Items> {
        let kind = if command.ends_with('s') { Kind::ValuesWithCas } else { Kind::Values };
        match self.retrieval(command, kind, expiry, keys) {
            Ok(request) if request.keys.is_empty() => Deferred::succeed(Items::new()),
            Ok(request) => self.link.0.call(request).map(items),
            Err(bad) => Deferred::fail(CallError::Bad(bad)),
        }
    }

    fn retrieval(
        &self,
        command: &'static str,
        kind: Kind,
        expiry: Option<Expiry>,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Request, BadRequest> {
        let mut line = command.as_bytes().to_vec();
        if let Some(expiry) = expiry {
            line.push(b' ');
            expiry.number()?.put(&mut line);
        }
        let mut asked = HashSet::new();
        for key in keys {
            let key = key.as_ref();
            check_key(key)?;
            if asked.insert(key.to_vec()) {
                line.push(b' ');
                line.extend_from_slice(key);
            }
            if asked.len() > self.link.0.limits().keys_max {
                return Err(BadRequest::ManyKeys { count: asked.len() });
            }
        }
        line.extend_from_slice(b"\r\n");
        Ok(Request { kind, line, value: None, keys: asked })
    }

    #[track_caller]
    fn store_if(&self, command: &'static str, key: &[u8], entry: Entry) -> Deferred<bool> {
        one(self.store(command, Kind::Store, key, entry, None), |reply| match reply {
            Reply::Stored => Some(true),
            Reply::NotStored => Some(false),
            _ => None,
        })
    }

    #[track_caller]
    fn store(
        &self,
        command: &'static str,
        kind: Kind,
        key: &[u8],
        entry: Entry,
        cas_unique: Option<u64>,
    ) -> Deferred<Vec<Reply>> {
        let length = entry.value.len();
        let checked = check_key(key).and_then(|()| entry.expiry.number());
        let expiry = match checked {
            _ if length > self.link.0.limits().value_max => {
                return Deferred::fail(CallError::Bad(BadRequest::LongValue { length }));
            }
            Err(bad) => return Deferred::fail(CallError::Bad(bad)),
            Ok(expiry) => expiry,
        };
        let mut words: Vec<&dyn Word> = vec![&command, &key, &entry.flags, &expiry, &length];
        if let Some(cas_unique) = &cas_unique {
            words.push(cas_unique);
        }
        let mut line = Vec::new();
        put_line(&mut line, &words);
        self.link.0.call(Request { kind, line, value: Some(entry.value), keys: HashSet::new() })
    }

    #[track_caller]
    fn count(&self, command: &'static str, key: &[u8], by: u64) -> Deferred<Option<u64>> {
        let replies = self.of_key(key, Kind::Count, &[&command, &key, &by]);
        one(replies, |reply| match reply {
            Reply::Number(number) => Some(Some(number)),
            Reply::NotFound => Some(None),
            _ => None,
        })
    }

    #[track_caller]
    fn read_stats(&self, words: &[&dyn Word]) -> Deferred<BTreeMap<String, String>> {
        let replies = self.plain(Kind::Stats, words);
        replies.map(|replies| {
            let stat = |reply| match reply {
                Reply::Stat { name, value } => Some((name, value)),
                _ => None,
            };
            replies.into_iter().filter_map(stat).collect()
        })
    }

    #[track_caller]
    fn of_key(&self, key: &[u8], kind: Kind, words: &[&dyn Word]) -> Deferred<Vec<Reply>> {
        match check_key(key) {
            Ok(()) => self.plain(kind, words),
            Err(bad) => Deferred::fail(CallError::Bad(bad)),
        }
    }

    #[track_caller]
    fn plain(&self, kind: Kind, words: &[&dyn Word]) -> Deferred<Vec<Reply>> {
        let mut line = Vec::new();
        put_line(&mut line, words);
        self.link.0.call(Request { kind, line, value: None, keys: HashSet::new() })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// What the one reply of an answer means; the link lets no other through.
#[track_caller]
fn one<T: 'static>(
    replies: Deferred<Vec<Reply>>,
    read: impl FnOnce(Reply) -> Option<T> + 'static,
) -> Deferred<T> {
    replies.add_callback(|mut replies| {
        let meaning = replies.pop().and_then(read);
        meaning.ok_or(CallError::BadReply(BadReply::OutOfPlace))
    })
}

/// Whether something was there.
fn found(reply: &Reply, yes: &Reply) -> Option<bool> {
    match reply {
        Reply::NotFound => Some(false),
        reply => (reply == yes).then_some(true),
    }
}

fn items(replies: Vec<Reply>) -> Items {
    let item = |reply| match reply {
        Reply::Value { key, flags, cas_unique, value } => {
            Some((key, Item { value, flags, cas_unique: cas_unique.unwrap_or(0) }))
        }
        _ => None,
    };
    replies.into_iter().filter_map(item).collect()
}

fn only(items: Items) -> Option<Item> {
    items.into_values().next()
}
