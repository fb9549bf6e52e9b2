//! Programs, run with deferreds.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_deferred::{Cancelled, Deferred, Failure, Promise, deferred};
use ropewalk_protocol::{TimedOut, timeout};
use ropewalk_trial::Clock;
use tracing::{Event, Metadata, Subscriber, span};

use super::program::{CHAINS, Canceller, Op, Program, Step};

#[derive(Debug)]
struct Broken(u64);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

impl std::error::Error for Broken {}

/// What a program comes to: a line for each link that ran, then one for each chain.
pub(crate) fn run(program: &Program) -> Vec<String> {
    let unhandled = Arc::new(AtomicUsize::new(0));
    let counter = Counter(Arc::clone(&unhandled));
    tracing::subscriber::with_default(counter, || {
        let world = Rc::new(World::default());
        for slot in 0..CHAINS {
            let (promise, chain) = deferred();
            world.promises[slot].set(Some(promise));
            world.chains[slot].set(Some(chain));
        }
        for (at, op) in program.ops.iter().enumerate() {
            world.step(at, *op);
        }
        let mut lines = world.trace.take();
        for (slot, chain) in world.chains.iter().enumerate() {
            let Some(chain) = chain.take() else { continue };
            let end = match chain.try_take() {
                Ok(result) => told(&result),
                Err(chain) => {
                    chain.add_errback(|_| Ok::<_, Failure>(0)).detach();
                    "waiting".to_owned()
                }
            };
            lines.push(format!("{slot}={end}"));
        }
        lines.push(format!("unhandled {}", unhandled.load(Ordering::Relaxed)));
        world.dismantle();
        lines
    })
}

#[derive(Default)]
struct World {
    clock: Clock,
    promises: [Cell<Option<Promise<u64>>>; CHAINS],
    chains: [Cell<Option<Deferred<u64>>>; CHAINS],
    trace: RefCell<Vec<String>>,
}

fn told(result: &Result<u64, Failure>) -> String {
    match result {
        Ok(value) => format!("v{value}"),
        Err(failure) if failure.check::<Cancelled>().is_some() => "cancelled".to_owned(),
        Err(failure) if failure.check::<TimedOut>().is_some() => "late".to_owned(),
        Err(failure) => failure.to_string(),
    }
}

impl World {
    fn step(self: &Rc<Self>, at: usize, op: Op) {
        match op {
            Op::Canceller(slot, canceller) => self.set_canceller(slot, canceller),
            Op::Callback(slot, step) => self.link(slot, at, step, true),
            Op::Errback(slot, step) => self.link(slot, at, step, false),
            Op::Both(slot) => {
                let world = Rc::clone(self);
                self.extend(slot, |chain| {
                    chain.add_both(move |result| {
                        world.note(&format!("both{at} {}", told(&result)));
                        result
                    })
                });
            }
            Op::Fire(slot, value) => self.fire(slot, Ok(value)),
            Op::Fail(slot, code) => self.fire(slot, Err(Broken(code))),
            Op::Cancel(slot) => self.cancel(slot),
            Op::Timeout(slot, time) => {
                let clock = self.clock.clone();
                self.extend(slot, |chain| timeout(&clock, Duration::from_secs(time), chain));
            }
            Op::Advance(time) => self.clock.advance(Duration::from_secs(time)),
        }
    }

    fn note(&self, line: &str) {
        self.trace.borrow_mut().push(line.to_owned());
    }

    fn set_canceller(self: &Rc<Self>, slot: usize, canceller: Canceller) {
        let Some(promise) = self.promises[slot].take() else { return };
        let world = Rc::clone(self);
        promise.on_cancel(move || match canceller {
            Canceller::Ignore => (),
            Canceller::Value(value) => world.fire(slot, Ok(value)),
            Canceller::Failure(code) => world.fire(slot, Err(Broken(code))),
        });
        self.promises[slot].set(Some(promise));
    }

    fn extend(&self, slot: usize, add: impl FnOnce(Deferred<u64>) -> Deferred<u64>) {
        if let Some(chain) = self.chains[slot].take() {
            self.chains[slot].set(Some(add(chain)));
        }
    }

    fn link(self: &Rc<Self>, slot: usize, at: usize, step: Step, on_value: bool) {
        let Some(chain) = self.chains[slot].take() else { return };
        let mut inner = None;
        if let Step::Return(other) = step {
            inner = self.chains[other].take();
            if inner.is_none() {
                self.chains[slot].set(Some(chain));
                return;
            }
        }
        let world = Rc::clone(self);
        let act = move |got: Result<u64, Failure>| -> Deferred<u64> {
            let side = if on_value { "cb" } else { "eb" };
            world.note(&format!("{side}{at} {}", told(&got)));
            match step {
                Step::Give(n) => Deferred::succeed(got.map_or(n, |value| value + n)),
                Step::Fail(code) => Deferred::fail(Broken(code)),
                Step::Pass => Deferred::ready(got),
                Step::Return(_) => inner.unwrap_or_else(|| Deferred::ready(got)),
                Step::Fire(other, value) => {
                    world.fire(other, Ok(value));
                    Deferred::ready(got)
                }
                Step::Cancel(other) => {
                    world.cancel(other);
                    Deferred::ready(got)
                }
            }
        };
        let chain = if on_value {
            chain.add_callback(move |value| act(Ok(value)))
        } else {
            chain.add_errback(move |failure| act(Err(failure)))
        };
        self.chains[slot].set(Some(chain));
    }

    fn fire(&self, slot: usize, result: Result<u64, Broken>) {
        if let Some(promise) = self.promises[slot].take() {
            promise.fire(result);
        }
    }

    fn cancel(&self, slot: usize) {
        let Some(chain) = self.chains[slot].take() else { return };
        let canceller = chain.canceller();
        self.chains[slot].set(Some(chain));
        canceller.cancel();
    }

    /// Lets go of all that still waits, so that nothing keeps the world.
    fn dismantle(&self) {
        for promise in &self.promises {
            drop(promise.take());
        }
        self.clock.advance(Duration::from_mins(1));
    }
}

/// Counts what is logged: failures that nobody took.
struct Counter(Arc<AtomicUsize>);

impl Subscriber for Counter {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
