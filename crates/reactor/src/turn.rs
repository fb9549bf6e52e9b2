//! One turn of the loop.

use std::cell::RefCell;
use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::Transport as _;

use crate::inner::{Due, Entry, Inner, Purpose, Watched, expose};
use crate::reactor::guard;
use crate::streams::After;
use crate::sys::{Completion, Driver, Next, os};
use crate::tally::Runs;
use crate::under_way::Kind;
use crate::wheel::Expired;
use crate::{Reactor, ReactorError};

/// How many rounds of connections that wake each other are looked after in one turn.
const WAKES_PER_TURN_MAX: usize = 4;

/// How many connections in a row are told what came before any of them is looked after: what receives and
/// what sends then finds itself in the processor's caches more often.
const HELD_MAX: usize = 32;
/// How many bytes may have come for that; longer answers would drive each other out of the caches.
const HELD_SIZE_MAX: usize = 2048;

impl Reactor {
    /// `now` is the time, if it has just been read.
    pub(crate) fn turn_within(
        &self,
        timeout: Option<Duration>,
        now: Option<Duration>,
    ) -> Result<(), ReactorError> {
        let inner = &self.0;
        let Ok(mut driver) = inner.driver.try_borrow_mut() else {
            return Err(ReactorError::AlreadyRunning);
        };
        let driver = &mut **driver;
        let patience = match (timeout, inner.patience(now)) {
            (Some(timeout), Some(patience)) => Some(timeout.min(patience)),
            (timeout, patience) => timeout.or(patience),
        };
        let patience =
            if inner.look_for_jobs(driver, patience) { Some(Duration::ZERO) } else { patience };
        driver
            .wait(patience)
            .map_err(|error| ReactorError::System { doing: "waiting for events", error })?;
        let _turn = Turn::begin(inner);
        // Found out now and made after the rest, so that what comes about in this turn can cancel
        // them, and what is asked for in this turn waits for the next.
        let expired = inner.expire();
        // Not before the wait: what is carried out may end it, and it would not be noticed.
        inner.carry_out(driver);
        let is_stirred = inner.carrier.is_stirred();
        let unfinished = if is_stirred { take_filled(&inner.unfinished) } else { None };
        self.tell_of_completed(driver);
        if inner.carrier.is_stirred() {
            inner.settle_ports(driver);
        }
        if let Some(unfinished) = unfinished {
            for key in unfinished {
                inner.tick(driver, key);
            }
        }
        if inner.carrier.is_stirred() {
            inner.tell_always_ready(driver);
        }
        self.take_remote();
        if let Some(expired) = expired {
            self.make_due_calls(driver, expired);
        }
        if inner.carrier.is_stirred() {
            self.look_after_the_woken(driver);
            inner.carry_out(driver);
        }
        inner.tell_load();
        if inner.exposed.get() {
            expose(driver);
        }
        Ok(())
    }

    /// Tells of each operation that was completed, and carries out what comes of it.
    fn tell_of_completed(&self, driver: &mut dyn Driver) {
        let inner = &self.0;
        let mut held = 0;
        let mut is_last = false;
        while !is_last && let Some(completion) = driver.next() {
            match completion {
                Completion::Received { key, data } => {
                    // Nothing of this one is to be dropped, which would be found out at run time.
                    std::mem::forget(completion);
                    let is_short = data.len() <= HELD_SIZE_MAX;
                    let woken = inner.carrier.woken_count();
                    let told = inner.bytes_came(key, data);
                    let next = driver.what_is_next();
                    is_last = next == Next::Nothing;
                    match told {
                        Some(seat) if is_short && next == Next::Another => {
                            inner.held.borrow_mut().push((key, seat));
                            held += 1;
                        }
                        told => {
                            inner.settle_held(driver, &mut held);
                            if !is_short && inner.carrier.woken_count() > woken {
                                driver.passes_on(key);
                            }
                            if let Some(seat) = told {
                                inner.settle(driver, key, seat);
                            }
                        }
                    }
                }
                other => {
                    let after = inner.deliver(other);
                    inner.settle_held(driver, &mut held);
                    self.follow_up(driver, after);
                }
            }
            let is_asked = inner.is_asked();
            if is_asked || held == HELD_MAX {
                inner.settle_held(driver, &mut held);
            }
            if is_asked || inner.is_asked() {
                inner.carry_out(driver);
                // That may have brought about more.
                is_last = false;
            }
        }
        inner.settle_held(driver, &mut held);
    }

    fn follow_up(&self, driver: &mut dyn Driver, after: After) {
        let inner = &*self.0;
        match after {
            After::Nothing => (),
            After::Settle(key, seat) => inner.settle(driver, key, seat),
            After::Failed(key, error) => inner.failed(driver, key, error),
            After::Connected(key, result) => inner.connected(driver, key, result),
            After::Accepted(key, socket, peer) => inner.accepted(driver, key, socket, peer),
            After::AcceptFailed(key, error) => inner.accept_failed(driver, key, &error),
            After::Lingered(key) => inner.end_lingering(driver, key),
            After::Ready(key) => self.ready(driver, key),
            After::File(id, result) => inner.file_done(id, result.map_err(Failure::from)),
            After::FileReturned(id, operation) => self.do_file_in_thread(id, operation),
        }
    }

    /// What other threads asked for, and tasks that can go on.
    fn take_remote(&self) {
        let Some(queue) = self.0.remote.take() else { return };
        for call in queue.calls {
            self.0.tally.runs(Runs::Remote);
            guard("a call from another thread", || call(self));
        }
        if queue.stops {
            self.stop();
        }
        for job in queue.finished {
            let finished = self.0.jobs.borrow_mut().remove(&job);
            self.0.origins.forget(Kind::Job, job as usize);
            if let Some(finished) = finished {
                guard("a result from the thread pool", finished);
            }
        }
        for task in queue.tasks {
            self.0.tasks.poll(task, &self.0.tally);
        }
    }

    fn make_due_calls(&self, driver: &mut dyn Driver, mut expired: Vec<Expired>) {
        let inner = &*self.0;
        if let Some(first) = expired.first() {
            inner.tally.late(inner.carrier.now().saturating_sub(first.due()));
        }
        for timer in expired.drain(..) {
            let due = inner.wheel.borrow_mut().settle(timer);
            match due.map(Due::purpose) {
                Some(Purpose::Stream(key)) => inner.timer_due(driver, key),
                Some(Purpose::Listener(key)) => inner.starved(driver, key),
                Some(Purpose::Datagrams(key)) => inner.port_timer_due(driver, key),
                Some(Purpose::Call(index)) => {
                    if let Some((call, at)) = inner.calls.take(index) {
                        inner.tally.runs(Runs::Call(at));
                        guard("a delayed call", call);
                    }
                }
                None => (),
            }
        }
        inner.expired.replace(expired);
    }

    fn look_after_the_woken(&self, driver: &mut dyn Driver) {
        let inner = &*self.0;
        if !inner.carrier.is_any_woken() {
            return;
        }
        let mut woken = Vec::new();
        for _ in 0..WAKES_PER_TURN_MAX {
            inner.carrier.take_woken(&mut woken);
            if woken.is_empty() {
                return;
            }
            for key in woken.drain(..) {
                inner.tick(driver, key);
            }
        }
    }

    fn ready(&self, driver: &mut dyn Driver, key: usize) {
        if let Some(id) = self.0.watch_of(key) {
            self.0.tally.runs(Runs::Watch);
            return self.0.tell_watch(driver, key, id);
        }
        let watched = match self.0.entries.borrow().get(key) {
            Some(Entry::Watch(watched)) => *watched,
            _ => return,
        };
        match watched {
            Watched::Waker => self.0.remote.quiet(),
            Watched::Signal(signal) => {
                self.0.sockets.with(key, os::drain);
                let first = self.0.signal.replace(Some(signal)).is_none();
                if first { self.stop() } else { self.stop_now() }
            }
        }
    }
}

impl Inner {
    /// What has come due, if anything could have.
    fn expire(&self) -> Option<Vec<Expired>> {
        let mut wheel = self.wheel.borrow_mut();
        if wheel.len() == 0 {
            return None;
        }
        let mut expired = self.expired.take();
        let now = self.carrier.now();
        wheel.advance(now, &mut expired);
        Some(expired)
    }
}

/// Takes out what is in a list, if it is not empty.
fn take_filled<T>(list: &RefCell<Vec<T>>) -> Option<Vec<T>> {
    let is_empty = list.borrow().is_empty();
    if is_empty { None } else { Some(list.take()) }
}

/// A turn, which also ends when something panics out of it.
struct Turn<'a> {
    inner: &'a Inner,
}

impl<'a> Turn<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.carrier.begin_turn();
        inner.remote.set_in_turn(true);
        inner.tally.begin();
        Self { inner }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let took = self.inner.tally.end();
        self.inner.carrier.end_turn(took);
        self.inner.remote.set_in_turn(false);
        if self.inner.exposed.get() {
            self.inner.remote.ring_for_the_rest();
        }
    }
}
