//! What a reactor has under way, by name: for tests that must leave nothing behind.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use ropewalk_protocol::Transport;

use crate::Reactor;
use crate::inner::Entry;

/// Something that a reactor has under way; [`Reactor::under_way`] lists all.
///
/// Printed, it is a line that says what it is, and where it was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnderWay {
    /// What it is.
    pub what: String,
    /// Where it was asked for: known in builds with debug assertions, and not for connections that were
    /// accepted.
    pub made_at: Option<&'static Location<'static>>,
}

impl fmt::Display for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.made_at {
            Some(place) => write!(f, ", asked for at {place}"),
            None => Ok(()),
        }
    }
}

/// What a place was remembered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Entry,
    Call,
    Task,
    Process,
}

/// Where things were asked for, with a name. In builds without debug assertions it stays empty.
#[derive(Default)]
pub(crate) struct Origins {
    all: RefCell<BTreeMap<(Kind, usize), Origin>>,
    asker: Cell<Option<&'static Location<'static>>>,
}

#[derive(Clone, Copy)]
struct Origin {
    place: &'static Location<'static>,
    name: &'static str,
}

impl Origins {
    /// Remembers who asks, for what is [noted](Self::note) further down.
    #[track_caller]
    pub(crate) fn ask(&self) {
        if cfg!(debug_assertions) {
            self.asker.set(Some(Location::caller()));
        }
    }

    /// Remembers who asked for what has that key from now on.
    #[track_caller]
    pub(crate) fn note(&self, kind: Kind, key: usize, name: &'static str) {
        if cfg!(debug_assertions) {
            let place = self.asker.take().unwrap_or(Location::caller());
            let origin = Origin { place, name };
            self.all.borrow_mut().insert((kind, key), origin);
        }
    }

    /// Nobody in particular asked for what has that key from now on.
    pub(crate) fn forget(&self, kind: Kind, key: usize) {
        if cfg!(debug_assertions) {
            self.all.borrow_mut().remove(&(kind, key));
        }
    }

    fn of(&self, kind: Kind, key: usize) -> (Option<&'static Location<'static>>, &'static str) {
        let origin = self.all.borrow().get(&(kind, key)).copied();
        origin.map_or((None, ""), |origin| (Some(origin.place), origin.name))
    }
}

impl Reactor {
    /// Everything that is under way, one by one: connections, listeners, ports, watches, calls, tasks,
    /// processes and work in threads, and descriptors that are open and have no use any more. What the
    /// reactor itself needs is not among them.
    pub fn under_way(&self) -> Vec<UnderWay> {
        let inner = self.inner();
        let mut all = Vec::new();
        for (key, entry) in inner.entries.borrow().iter() {
            let peer = || inner.carrier.peer(key);
            let local = || inner.carrier.local(key);
            let what = match entry {
                Entry::Stream(stream) if stream.attempt.is_some() => {
                    "a connection that is being made".to_owned()
                }
                Entry::Stream(_) => format!("a connection from {} to {}", local(), peer()),
                Entry::Listener(_) => format!("a listener at {}", local()),
                Entry::Datagrams(_) => format!("a port at {}", local()),
                Entry::Lingering(_) => {
                    format!("a closed connection at {} that waits for its peer", local())
                }
                Entry::Foreign(_) => "a watched descriptor".to_owned(),
                Entry::Runner { .. } | Entry::Watch(_) => continue,
            };
            all.push(UnderWay { what, made_at: inner.origins.of(Kind::Entry, key).0 });
        }
        let entries = inner.entries.borrow();
        for key in inner.sockets.keys().into_iter().filter(|key| entries.get(*key).is_none()) {
            let what =
                format!("an open descriptor at {}, let go of by all", inner.carrier.local(key));
            all.push(UnderWay { what, made_at: inner.origins.of(Kind::Entry, key).0 });
        }
        let now = inner.carrier.now();
        for (key, due) in inner.calls.all() {
            let left = due.saturating_sub(now).min(Duration::from_hours(24 * 365));
            let what = format!("a call due in {left:?}");
            all.push(UnderWay { what, made_at: inner.origins.of(Kind::Call, key).0 });
        }
        for key in inner.tasks.all() {
            let (made_at, name) = inner.origins.of(Kind::Task, key);
            all.push(UnderWay { what: format!("the task {name}"), made_at });
        }
        for (key, what) in inner.processes.all() {
            let made_at = inner.origins.of(Kind::Process, key).0;
            all.push(UnderWay { what, made_at });
        }
        let jobs = inner.jobs.borrow().len();
        if jobs > 0 {
            all.push(UnderWay { what: format!("{jobs} jobs in threads"), made_at: None });
        }
        all
    }
}
