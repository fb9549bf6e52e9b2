//! Names, looked up by the system and in files.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::SystemTime;

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_protocol::{HostTable, ResolveError, Resolver, defer_to_threads};

use crate::Reactor;
use crate::inner::Inner;

/// How many threads of the pool look names up at once: slow name servers leave the others to do
/// other work.
const LOOKUPS_MAX: usize = 8;
/// How many names may wait to be looked up, or be under way.
const QUESTIONS_MAX: usize = 1024;
/// How many bytes of a file of hosts are read.
const HOSTS_FILE_MAX: u64 = 4 << 20;

/// The system's own resolver (`getaddrinfo`), asked in the thread pool: what a reactor uses unless it
/// is [given another](Reactor::set_resolver).
///
/// A name that several want is looked up once. A question that all have given up is not asked, or if
/// it is under way, its answer dropped; its thread is free when the system has answered. Clones are
/// the same.
#[derive(Clone)]
pub struct SystemResolver(Rc<Lookups>);

struct Lookups {
    reactor: Weak<Inner>,
    questions: RefCell<HashMap<String, Vec<Waiting>>>,
    /// Those that no thread has taken.
    queue: RefCell<VecDeque<String>>,
    running: Cell<usize>,
    /// Somebody is already at it, further down the stack.
    starting: Cell<bool>,
}

/// Who waits for an answer, and for which port.
struct Waiting {
    port: u16,
    promise: Promise<Vec<SocketAddr>>,
}

impl SystemResolver {
    /// A resolver that asks in `reactor`'s thread pool.
    pub fn new(reactor: &Reactor) -> Self {
        Self(Rc::new(Lookups {
            reactor: Rc::downgrade(reactor.inner()),
            questions: RefCell::default(),
            queue: RefCell::default(),
            running: Cell::new(0),
            starting: Cell::new(false),
        }))
    }

    /// How many different names are being looked up or wait for it.
    pub fn pending(&self) -> usize {
        self.0.questions.borrow().len()
    }
}

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        let (promise, answer) = deferred();
        let mut questions = self.0.questions.borrow_mut();
        if let Some(waiting) = questions.get_mut(host) {
            waiting.retain(|waiting| waiting.promise.is_wanted());
            waiting.push(Waiting { port, promise });
            return answer;
        }
        if questions.len() >= QUESTIONS_MAX {
            return Deferred::fail(ResolveError::Busy { host: host.to_owned() });
        }
        questions.insert(host.to_owned(), vec![Waiting { port, promise }]);
        drop(questions);
        self.0.queue.borrow_mut().push_back(host.to_owned());
        Lookups::start(&self.0);
        answer
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemResolver").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

impl Lookups {
    /// Gives as many questions to threads as may have one.
    fn start(this: &Rc<Self>) {
        if this.starting.replace(true) {
            return;
        }
        while this.running.get() < LOOKUPS_MAX {
            let Some(host) = this.queue.borrow_mut().pop_front() else { break };
            if this.is_given_up(&host) {
                continue;
            }
            this.running.set(this.running.get() + 1);
            let (question, back) = (host.clone(), Rc::clone(this));
            let found = match this.reactor.upgrade() {
                Some(inner) => defer_to_threads(&Reactor::of(inner), move || look_up(&question)),
                None => Deferred::fail(crate::ReactorGone),
            };
            found.on_result(move |found| Self::answered(&back, &host, found));
        }
        this.starting.set(false);
    }

    /// Forgets a question that nobody waits for any more.
    fn is_given_up(&self, host: &str) -> bool {
        let mut questions = self.questions.borrow_mut();
        let wanted =
            questions.get(host).is_some_and(|all| all.iter().any(|w| w.promise.is_wanted()));
        if !wanted {
            questions.remove(host);
        }
        !wanted
    }

    fn answered(this: &Rc<Self>, host: &str, found: Result<Vec<SocketAddr>, Failure>) {
        this.running.set(this.running.get() - 1);
        let waiting = this.questions.borrow_mut().remove(host).unwrap_or_default();
        let found = found.map_err(|failure| {
            failure.check::<ResolveError>().cloned().unwrap_or_else(|| ResolveError::Failed {
                host: host.to_owned(),
                reason: failure.to_string(),
            })
        });
        Self::start(this);
        for Waiting { port, promise } in waiting {
            promise.fire(found.clone().map(|mut addresses| {
                for address in &mut addresses {
                    address.set_port(port);
                }
                addresses
            }));
        }
    }
}

/// Asks the system, and waits for its answer.
fn look_up(host: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let host = || host.to_owned();
    let found =
        getaddrinfo(Some(&host()), None, Some(hints)).map_err(|error| match error.kind() {
            LookupErrorKind::NoName | LookupErrorKind::NoData => {
                ResolveError::NoAddress { host: host() }
            }
            _ => ResolveError::Failed { host: host(), reason: io::Error::from(error).to_string() },
        })?;
    let addresses: Vec<SocketAddr> = found.filter_map(|entry| Some(entry.ok()?.sockaddr)).collect();
    if addresses.is_empty() { Err(ResolveError::NoAddress { host: host() }) } else { Ok(addresses) }
}

/// A file of hosts, such as `/etc/hosts`: a [`HostTable`] that is read anew when its file has changed.
///
/// Looking at the file blocks the loop for a moment: it should be a local one. Of a file longer than
/// 4 MiB the rest is not read. A file that is not there has no hosts.
///
/// ```
/// use ropewalk_protocol::ResolverChain;
/// use ropewalk_reactor::{HostsFile, Reactor, SystemResolver};
///
/// let reactor = Reactor::new()?;
/// let hosts = HostsFile::new("/etc/ropewalk/hosts");
/// reactor.set_resolver(ResolverChain::new(hosts, SystemResolver::new(&reactor)));
/// # Ok::<(), ropewalk_reactor::ReactorError>(())
/// ```
#[derive(Debug)]
pub struct HostsFile {
    path: PathBuf,
    read: RefCell<Option<(Version, HostTable)>>,
}

/// What tells one state of a file from another.
type Version = (Option<SystemTime>, u64);

impl HostsFile {
    /// The file at `path`, which is read when the first name is asked for.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), read: RefCell::new(None) }
    }

    fn refresh(&self) -> io::Result<()> {
        let mut read = self.read.borrow_mut();
        let found = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *read = None;
                return Ok(());
            }
            found => found?,
        };
        let version = (found.modified().ok(), found.len());
        if read.as_ref().is_some_and(|(known, _)| *known == version) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(HOSTS_FILE_MAX).read_to_end(&mut bytes)?;
        *read = Some((version, HostTable::parse(&String::from_utf8_lossy(&bytes))));
        Ok(())
    }
}

impl Resolver for HostsFile {
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        if let Err(error) = self.refresh() {
            let reason = format!("{}: {error}", self.path.display());
            return Deferred::fail(ResolveError::Failed { host: host.to_owned(), reason });
        }
        match &*self.read.borrow() {
            Some((_, table)) => table.resolve(host, port),
            None => Deferred::fail(ResolveError::NoAddress { host: host.to_owned() }),
        }
    }
}
