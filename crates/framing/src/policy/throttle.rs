//! Rates that connections are held to.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Above, Address, Below, Layer, Layered, Outbox, Seat};

use super::{Policy, PolicyState, Rate, TokenBucket};

/// Holds connections to rates: each by itself, and all of a server together.
///
/// What is written beyond a rate waits here and counts as waiting for the protocol above, whose
/// producers pause as on any slow connection. What is read beyond a rate is delivered, and reading
/// stops until the rate has caught up, so the peer feels it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// For each connection; nothing unless set.
    pub connection: Rates,
    /// For all connections together; nothing unless set.
    pub server: Rates,
}

/// Rates in both directions; `None` is without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// What comes in.
    pub read: Option<Rate>,
    /// What goes out.
    pub write: Option<Rate>,
}

impl Throttle {
    /// Holds each connection to these rates.
    pub fn each(connection: Rates) -> Self {
        Self { connection, ..Self::default() }
    }

    /// Holds all connections together to these rates.
    pub fn all(server: Rates) -> Self {
        Self { server, ..Self::default() }
    }
}

impl Policy for Throttle {
    type Layer = Throttled;
    type State = Throttling;

    fn begin(self) -> Throttling {
        let bucket = |rate: Option<Rate>| rate.map(shared);
        let Rates { read, write } = self.server;
        Throttling { connection: self.connection, read: bucket(read), write: bucket(write) }
    }
}

type SharedBucket = Rc<RefCell<TokenBucket>>;

fn shared(rate: Rate) -> SharedBucket {
    Rc::new(RefCell::new(TokenBucket::new(rate)))
}

/// A [`Throttle`] at work.
#[derive(Debug)]
pub struct Throttling {
    connection: Rates,
    read: Option<SharedBucket>,
    write: Option<SharedBucket>,
}

impl PolicyState for Throttling {
    type Layer = Throttled;

    fn admit(
        &mut self,
        _: &Address,
        build: &mut dyn FnMut() -> Option<Box<dyn Seat>>,
    ) -> Option<Layered<Throttled>> {
        let meter = |each: Option<Rate>, all: &Option<SharedBucket>| {
            Meter(each.map(shared).into_iter().chain(all.clone()).collect())
        };
        let layer = Throttled {
            read: meter(self.connection.read, &self.read),
            write: meter(self.connection.write, &self.write),
            held: Outbox::default(),
            is_reading: true,
            is_waiting: false,
        };
        Some(Layered::new(layer, build()?))
    }
}

/// The rates that one direction of one connection is held to.
#[derive(Debug)]
struct Meter(Box<[SharedBucket]>);

impl Meter {
    fn take(&self, now: Duration, count: u64) {
        for bucket in &self.0 {
            bucket.borrow_mut().take(now, count);
        }
    }

    fn available(&self, now: Duration) -> u64 {
        self.0.iter().map(|bucket| bucket.borrow_mut().available(now)).min().unwrap_or(u64::MAX)
    }

    fn wait_for(&self, now: Duration, count: u64) -> Duration {
        let waits = self.0.iter().map(|bucket| bucket.borrow_mut().wait_for(now, count));
        waits.max().unwrap_or_default()
    }

    fn piece(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.borrow().rate().piece()).min().unwrap_or(u64::MAX)
    }
}

/// A connection held to its rates.
#[derive(Debug)]
pub struct Throttled {
    read: Meter,
    write: Meter,
    held: Outbox,
    is_reading: bool,
    is_waiting: bool,
}

impl Throttled {
    /// Lets through what the rate allows, and comes again for the rest.
    fn release(&mut self, below: &Below<Self>) {
        let now = below.now();
        let count = self.write.available(now).min(self.held.len());
        if count > 0 {
            self.write.take(now, count);
            below.write_outbox(Box::new(self.held.split_to(count)));
        }
        if self.held.is_empty() {
            return;
        }
        self.is_waiting = true;
        let wait = self.write.wait_for(now, self.held.len().min(self.write.piece()));
        below.call_later(wait, |this, below| {
            this.with(below, |layer, below, _| {
                layer.is_waiting = false;
                layer.release(below);
            });
        });
    }

    /// Reads again once nothing is owed.
    fn catch_up(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let wait = self.read.wait_for(below.now(), 0);
        self.is_reading = wait.is_zero();
        if !self.is_reading {
            above.call_later(wait, Self::catch_up);
        }
    }
}

impl Layer for Throttled {
    const PASSES_DESCRIPTORS: bool = true;

    fn data_received(&mut self, below: &Below<Self>, above: &mut Above<Self>, data: &[u8]) {
        above.data_received(data);
        self.read.take(below.now(), data.len() as u64);
        if self.is_reading {
            self.catch_up(below, above);
        }
    }

    fn output_written(&mut self, below: &Below<Self>, mut out: Box<Outbox>) {
        if self.write.0.is_empty() {
            return below.write_outbox(out);
        }
        self.held.append(&mut out);
        if !self.is_waiting {
            self.release(below);
        }
    }

    fn held(&self) -> u64 {
        self.held.len()
    }

    fn is_reading(&self) -> bool {
        self.is_reading
    }
}
