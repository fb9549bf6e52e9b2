//! What these tests share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_protocol::{Conn, Protocol};
use ropewalk_service::{Drained, Service};
use std::time::Duration;

/// What happened, in order.
pub(crate) type Told = Rc<RefCell<Vec<String>>>;

/// A service that tells what it is asked to do, and does it when the test says so.
#[derive(Clone, Default)]
pub(crate) struct Part(Rc<PartInner>);

#[derive(Default)]
struct PartInner {
    name: RefCell<String>,
    told: Told,
    fails_at: RefCell<Option<&'static str>>,
    /// Waits at each of these.
    waits_at: RefCell<Vec<&'static str>>,
    waiting: RefCell<Option<Promise<()>>>,
    drained: Cell<Drained>,
    deadline: Cell<Option<Duration>>,
}

impl Part {
    pub(crate) fn new(name: &str, told: &Told) -> Self {
        let told = Rc::clone(told);
        Self(Rc::new(PartInner { name: RefCell::new(name.to_owned()), told, ..Default::default() }))
    }

    pub(crate) fn failing_at(self, verb: &'static str) -> Self {
        self.0.fails_at.replace(Some(verb));
        self
    }

    pub(crate) fn waiting_at(self, verb: &'static str) -> Self {
        self.0.waits_at.borrow_mut().push(verb);
        self
    }

    pub(crate) fn draining(self, found: usize, cut: usize) -> Self {
        self.0.drained.set(Drained::new(found, cut));
        self
    }

    /// Lets it be done with what it waits at.
    pub(crate) fn go_on(&self) {
        self.0.waiting.take().expect("it waits").succeed(());
    }

    /// The deadline of its last drain.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.0.deadline.get()
    }

    pub(crate) fn heals(&self) {
        self.0.fails_at.take();
    }

    fn act(&self, verb: &'static str) -> Deferred<()> {
        self.0.told.borrow_mut().push(format!("{} {verb}", self.0.name.borrow()));
        if *self.0.fails_at.borrow() == Some(verb) {
            return Deferred::fail(Failure::new(format!("no {verb} today")));
        }
        if self.0.waits_at.borrow().contains(&verb) {
            let (promise, done) = deferred();
            self.0.waiting.replace(Some(promise));
            return done;
        }
        Deferred::succeed(())
    }
}

impl Service for Part {
    fn prepare(&self) -> Deferred<()> {
        self.act("prepare")
    }

    fn start(&self) -> Deferred<()> {
        self.act("start")
    }

    fn drain(&self, deadline: Duration) -> Deferred<Drained> {
        self.0.deadline.set(Some(deadline));
        let drained = self.0.drained.get();
        self.act("drain").map(move |()| drained)
    }

    fn stop(&self) -> Deferred<()> {
        self.act("stop")
    }
}

/// What was told since this was asked last.
pub(crate) fn take(told: &Told) -> String {
    told.take().join(", ")
}

/// The result of what is over.
#[track_caller]
pub(crate) fn result<T: 'static>(deferred: Deferred<T>) -> Result<T, Failure> {
    deferred.now_or_never().expect("it is over")
}

/// Whether it still waits.
#[track_caller]
pub(crate) fn waits<T: 'static>(deferred: Deferred<T>) -> Deferred<T> {
    match deferred.try_take() {
        Ok(_) => panic!("it is over"),
        Err(waiting) => waiting,
    }
}

/// Sends back what comes.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}
