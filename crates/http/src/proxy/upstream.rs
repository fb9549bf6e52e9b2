//! Servers behind a reverse proxy: which there are, which of them work, which is next.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use url::{Position, Url};

use crate::Origin;

/// Which of several upstreams a request goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastConnections,
}

/// When an upstream is left alone for a while because requests to it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassiveHealth {
    /// After how many failures in a row: connections that were not made, answers that did not come or
    /// were none; 3.
    pub fails_max: u32,
    /// For how long; 10 seconds.
    pub rest: Duration,
}

impl Default for PassiveHealth {
    fn default() -> Self {
        Self { fails_max: 3, rest: Duration::from_secs(10) }
    }
}

/// Asks upstreams at intervals whether they work: they do while they answer below 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveHealth {
    /// What is asked for, on the upstream itself: a path, with a query if need be.
    pub path: String,
    /// How often; every 10 seconds.
    pub interval: Duration,
    /// How long an answer may take; 5 seconds.
    pub patience: Duration,
    /// After how many failures in a row an upstream is left alone; 2.
    pub fails_max: u32,
}

impl ActiveHealth {
    /// Asks for `path`, as often and with as much patience as is usual.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            interval: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            fails_max: 2,
        }
    }
}

/// A string names no upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUpstream(String);

impl fmt::Display for BadUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no server to pass requests on to: write http://HOST[:PORT][/PATH], https://…, or \
             unix:SOCKET",
            self.0
        )
    }
}

impl Error for BadUpstream {}

/// A server that requests are passed on to.
pub(super) struct Upstream {
    pub(super) origin: Rc<Origin>,
    /// What it is called in logs and errors.
    pub(super) name: String,
    /// Its host, and its port unless that goes without saying.
    pub(super) authority: String,
    /// What stands before the rest of each path, without a slash at its end.
    pub(super) base: String,
    /// How many requests are under way.
    busy: Cell<usize>,
    fails: Cell<u32>,
    /// Until when it is left alone.
    rests_until: Cell<Duration>,
    /// How often it has not answered when it was asked how it is.
    silent: Cell<u32>,
    is_sick: Cell<bool>,
}

impl Upstream {
    pub(super) fn new(text: &str) -> Result<Self, BadUpstream> {
        let bad = || BadUpstream(text.to_owned());
        let socket = text.strip_prefix("unix:").map(Path::new);
        if socket.is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(bad());
        }
        let url = Url::parse(if socket.is_some() { "http://localhost/" } else { text });
        let url = url.map_err(|_| bad())?;
        let has_more = url.query().is_some() || url.fragment().is_some();
        if has_more || !url.username().is_empty() || url.password().is_some() {
            return Err(bad());
        }
        let origin = Origin::of(&url, socket).map_err(|_| bad())?;
        let name = match socket {
            Some(_) => text.to_owned(),
            None => url.as_str().trim_end_matches('/').to_owned(),
        };
        Ok(Self {
            origin: Rc::new(origin),
            name,
            authority: url[Position::BeforeHost..Position::AfterPort].to_owned(),
            base: url.path().trim_end_matches('/').to_owned(),
            busy: Cell::default(),
            fails: Cell::default(),
            rests_until: Cell::default(),
            silent: Cell::default(),
            is_sick: Cell::default(),
        })
    }

    pub(super) fn succeeded(&self) {
        self.fails.set(0);
        self.rests_until.set(Duration::ZERO);
    }

    pub(super) fn failed(&self, now: Duration, health: PassiveHealth) {
        self.fails.set(self.fails.get().saturating_add(1));
        if self.fails.get() >= health.fails_max {
            self.rests_until.set(now + health.rest);
            tracing::warn!(
                target: "ropewalk::http", upstream = self.name,
                "is left alone for {:?}: it failed {} times in a row", health.rest, self.fails.get()
            );
        }
    }

    /// It was asked how it is: whether something was wrong, and after how many times that is too often.
    pub(super) fn note_health(&self, trouble: Option<&str>, fails_max: u32) {
        let Some(trouble) = trouble else {
            self.silent.set(0);
            if self.is_sick.replace(false) {
                tracing::info!(target: "ropewalk::http", upstream = self.name, "works again");
            }
            return;
        };
        self.silent.set(self.silent.get().saturating_add(1));
        if self.silent.get() >= fails_max && !self.is_sick.replace(true) {
            tracing::warn!(
                target: "ropewalk::http", upstream = self.name, "is left alone: {trouble}"
            );
        }
    }

    pub(super) fn works(&self, now: Duration) -> bool {
        !self.is_sick.get() && self.rests_until.get() <= now
    }
}

/// A request under way; it counts until it is dropped.
pub(super) struct Underway(Rc<Upstream>);

impl Underway {
    pub(super) fn to(upstream: &Rc<Upstream>) -> Self {
        upstream.busy.set(upstream.busy.get() + 1);
        Self(Rc::clone(upstream))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}

/// All upstreams of one proxy.
pub(super) struct Upstreams {
    pub(super) all: Vec<Rc<Upstream>>,
    pub(super) balance: Balance,
    next: Cell<usize>,
}

impl Upstreams {
    pub(super) fn new(first: Upstream) -> Self {
        Self { all: vec![Rc::new(first)], balance: Balance::default(), next: Cell::new(0) }
    }

    /// The next one to try, of those not in `tried`. Where none works, one that does not is better than
    /// none.
    pub(super) fn choose(&self, now: Duration, tried: &[usize]) -> Option<(usize, Rc<Upstream>)> {
        let first = self.next.get();
        let order = (0..self.all.len()).map(|index| (first + index) % self.all.len());
        let left = order.filter(|index| !tried.contains(index));
        let works = |index: &usize| self.all[*index].works(now);
        let chosen = match self.balance {
            Balance::RoundRobin => left.clone().find(works),
            Balance::LeastConnections => {
                left.clone().filter(works).min_by_key(|index| self.all[*index].busy.get())
            }
        };
        let any = || left.clone().min_by_key(|index| self.all[*index].rests_until.get());
        let index = chosen.or_else(any)?;
        self.next.set((index + 1) % self.all.len());
        Some((index, Rc::clone(&self.all[index])))
    }
}
