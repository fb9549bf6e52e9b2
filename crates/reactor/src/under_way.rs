//! What a reactor has under way, by name: for tests that must leave nothing behind.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Unfired, follow_unfired, unfired, unfollow_unfired};
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
    /// Where it was asked for, a connection that was accepted with its listener. Of calls and tasks it is
    /// always known, of all else in builds with debug assertions, and where the reactor [was told to
    /// remember](Reactor::remember_origins).
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
    Job,
    Process,
}

/// Where things were asked for. In builds without debug assertions it stays empty unless it is to remember.
#[derive(Default)]
pub(crate) struct Origins {
    all: RefCell<BTreeMap<(Kind, usize), Origin>>,
    asker: Cell<Option<&'static Location<'static>>>,
    /// Asked to remember, in builds without debug assertions too.
    remembers: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Origin {
    place: &'static Location<'static>,
}

impl Origins {
    /// Remembers from now on.
    pub(crate) fn remember(&self) {
        self.remembers.set(true);
    }

    fn remembers(&self) -> bool {
        cfg!(debug_assertions) || self.remembers.get()
    }

    /// Remembers who asks, for what is [noted](Self::note) further down, until the guard is dropped.
    #[track_caller]
    pub(crate) fn ask(&self) -> Asking<'_> {
        if self.remembers() {
            self.asker.set(Some(Location::caller()));
        }
        Asking(self)
    }

    /// Remembers who asked for what has that key from now on.
    #[track_caller]
    pub(crate) fn note(&self, kind: Kind, key: usize) {
        if self.remembers() {
            let place = self.asker.take().unwrap_or(Location::caller());
            let origin = Origin { place };
            self.all.borrow_mut().insert((kind, key), origin);
        }
    }

    /// What has the key `heir` from now on is there because somebody asked for `elder`.
    pub(crate) fn inherit(&self, kind: Kind, heir: usize, elder: usize) {
        if self.remembers() {
            let origin = self.all.borrow().get(&(kind, elder)).copied();
            match origin {
                Some(origin) => drop(self.all.borrow_mut().insert((kind, heir), origin)),
                None => self.forget(kind, heir),
            }
        }
    }

    /// Nobody in particular asked for what has that key from now on.
    pub(crate) fn forget(&self, kind: Kind, key: usize) {
        if self.remembers() {
            self.all.borrow_mut().remove(&(kind, key));
        }
    }

    fn of(&self, kind: Kind, key: usize) -> Option<&'static Location<'static>> {
        self.all.borrow().get(&(kind, key)).map(|origin| origin.place)
    }
}

/// Somebody asks for something.
#[must_use]
pub(crate) struct Asking<'a>(&'a Origins);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // Where nothing came of it, it is not what comes next.
        self.0.asker.take();
    }
}

impl Reactor {
    /// Lists from now on the [deferreds](Self::deferreds) of this thread, or lists them no more. Listed, one
    /// costs about a hundred instructions more.
    pub fn follow_deferreds(&self, follow: bool) {
        if !follow {
            return unfollow_unfired();
        }
        let inner = Rc::downgrade(self.inner());
        // The turn's own time is near enough, and costs no look at a clock.
        follow_unfired(move || inner.upgrade().map_or(Duration::ZERO, |it| it.carrier.now()));
    }

    /// The deferreds of this thread that have no result yet, the oldest first, of those that were made since
    /// they are [listed](Self::follow_deferreds); nothing where they are not.
    pub fn deferreds(&self) -> Option<Vec<Unfired>> {
        unfired()
    }

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
            all.push(UnderWay { what, made_at: inner.origins.of(Kind::Entry, key) });
        }
        let entries = inner.entries.borrow();
        for key in inner.sockets.keys().into_iter().filter(|key| entries.get(*key).is_none()) {
            let what =
                format!("an open descriptor at {}, let go of by all", inner.carrier.local(key));
            all.push(UnderWay { what, made_at: inner.origins.of(Kind::Entry, key) });
        }
        let now = inner.carrier.now();
        for (_, due, at) in inner.calls.all() {
            let left = due.saturating_sub(now).min(Duration::from_hours(24 * 365));
            let what = format!("a call due in {left:?}");
            all.push(UnderWay { what, made_at: Some(at) });
        }
        for (name, at, awaits_at) in inner.tasks.all() {
            let waits = awaits_at.map(|place| format!(", which awaits something at {place}"));
            let what = format!("the task {name}{}", waits.unwrap_or_default());
            all.push(UnderWay { what, made_at: Some(at) });
        }
        for (key, what) in inner.processes.all() {
            let made_at = inner.origins.of(Kind::Process, key);
            all.push(UnderWay { what, made_at });
        }
        for job in inner.jobs.borrow().keys() {
            let made_at = inner.origins.of(Kind::Job, *job as usize);
            all.push(UnderWay { what: "a job in a thread".to_owned(), made_at });
        }
        for file in inner.files.borrow().keys() {
            let made_at = inner.origins.of(Kind::Job, *file as usize);
            all.push(UnderWay { what: "an operation on a file".to_owned(), made_at });
        }
        all
    }
}
