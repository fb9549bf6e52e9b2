//! Names that a test gives out.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{ResolveError, Resolver};

/// A resolver that knows what a test tells it, at once or when the test says so. Clones are the same.
///
/// ```
/// use ropewalk_protocol::Resolver;
/// use ropewalk_trial::FakeResolver;
///
/// let resolver = FakeResolver::new();
/// resolver.knows("known", ["192.0.2.1".parse().unwrap()]);
/// assert!(resolver.resolve("known", 80).now_or_never().unwrap().is_ok());
///
/// let waiting = resolver.resolve("later", 80);
/// assert!(resolver.answer("later", ["192.0.2.2".parse().unwrap()]));
/// assert_eq!(waiting.now_or_never().unwrap().unwrap(), ["192.0.2.2:80".parse().unwrap()]);
/// ```
#[derive(Clone, Default)]
pub struct FakeResolver(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    known: HashMap<String, Result<Vec<IpAddr>, ResolveError>>,
    waiting: VecDeque<Question>,
    asked: Vec<String>,
}

struct Question {
    host: String,
    port: u16,
    promise: Promise<Vec<SocketAddr>>,
}

impl FakeResolver {
    /// A resolver that knows nothing: each question waits for its answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `host` stand for `addresses` from now on.
    pub fn knows(&self, host: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = Ok(addresses.into_iter().collect());
        self.0.borrow_mut().known.insert(host.to_owned(), addresses);
    }

    /// Has questions for `host` fail from now on.
    pub fn fails(&self, host: &str, error: ResolveError) {
        self.0.borrow_mut().known.insert(host.to_owned(), Err(error));
    }

    /// Answers the oldest question for `host` that waits; false if there is none.
    pub fn answer(&self, host: &str, addresses: impl IntoIterator<Item = IpAddr>) -> bool {
        let Some(Question { port, promise, .. }) = self.take(host) else { return false };
        promise.succeed(with_port(addresses, port));
        true
    }

    /// Fails the oldest question for `host` that waits; false if there is none.
    pub fn fail(&self, host: &str, error: ResolveError) -> bool {
        let Some(question) = self.take(host) else { return false };
        question.promise.fail(error);
        true
    }

    /// Every name that was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.0.borrow().asked.clone()
    }

    /// How many questions wait for their answer, those that were given up not counted.
    pub fn pending(&self) -> usize {
        self.0.borrow().waiting.iter().filter(|question| question.promise.is_wanted()).count()
    }

    fn take(&self, host: &str) -> Option<Question> {
        let waiting = &mut self.0.borrow_mut().waiting;
        waiting.retain(|question| question.promise.is_wanted());
        let index = waiting.iter().position(|question| question.host == host)?;
        waiting.remove(index)
    }
}

impl Resolver for FakeResolver {
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        let mut state = self.0.borrow_mut();
        state.asked.push(host.to_owned());
        match state.known.get(host) {
            Some(Ok(addresses)) => Deferred::succeed(with_port(addresses.iter().copied(), port)),
            Some(Err(error)) => Deferred::fail(error.clone()),
            None => {
                let (promise, answer) = deferred();
                state.waiting.push_back(Question { host: host.to_owned(), port, promise });
                answer
            }
        }
    }
}

impl fmt::Debug for FakeResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeResolver").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

fn with_port(addresses: impl IntoIterator<Item = IpAddr>, port: u16) -> Vec<SocketAddr> {
    addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}
