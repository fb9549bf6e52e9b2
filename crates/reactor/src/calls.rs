//! Calls that the reactor makes later.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{DelayedCall, Timers, Transport};

use crate::carrier::Carrier;
use crate::inner::{Due, Purpose};
use crate::lowest::Lowest;
use crate::wheel::{TimerKey, Wheel};

/// What is to be called.
type Made = Box<dyn FnOnce()>;

pub(crate) struct Calls {
    wheel: Rc<RefCell<Wheel<Due>>>,
    carrier: Rc<Carrier>,
    calls: RefCell<Waiting>,
    last_generation: Cell<u32>,
}

/// The calls that wait.
#[derive(Default)]
struct Waiting {
    calls: Vec<Option<Call>>,
    places: Lowest,
    count: usize,
}

impl Waiting {
    fn insert(&mut self, index: u32, call: Call) {
        let index = index as usize;
        if self.calls.len() <= index {
            self.calls.resize_with(index + 1, || None);
        }
        self.calls[index] = Some(call);
        self.count += 1;
    }

    fn get(&self, index: usize) -> Option<&Call> {
        self.calls.get(index)?.as_ref()
    }

    fn remove(&mut self, index: usize) -> Option<Call> {
        let call = self.calls.get_mut(index)?.take()?;
        self.places.give_back(index as u32);
        self.count -= 1;
        Some(call)
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &Call)> {
        let places = self.calls.iter().enumerate();
        places.filter_map(|(index, call)| Some((index, call.as_ref()?)))
    }
}

struct Call {
    /// Tells this use of the place from earlier ones.
    generation: u32,
    timer: TimerKey,
    call: Box<dyn FnOnce()>,
    /// Where it was asked for.
    at: &'static Location<'static>,
}

impl Calls {
    pub(crate) fn new(wheel: Rc<RefCell<Wheel<Due>>>, carrier: Rc<Carrier>) -> Self {
        Self { wheel, carrier, calls: RefCell::default(), last_generation: Cell::new(0) }
    }

    pub(crate) fn schedule(
        self: &Rc<Self>,
        at: &'static Location<'static>,
        delay: Duration,
        call: Box<dyn FnOnce()>,
    ) -> DelayedCall {
        let generation = self.last_generation.get().wrapping_add(1);
        self.last_generation.set(generation);
        let now = self.carrier.now();
        let due = now.saturating_add(delay);
        let mut calls = self.calls.borrow_mut();
        let index = calls.places.take();
        let timer = self.wheel.borrow_mut().add(now, due, Purpose::Call(index as usize).into());
        calls.insert(index, Call { generation, timer, call, at });
        let id = u64::from(generation) << 32 | u64::from(index);
        self.carrier.touch();
        DelayedCall::new(Rc::clone(self) as Rc<dyn Timers>, id)
    }

    /// Takes the call whose timer came due.
    pub(crate) fn take(&self, index: usize) -> Option<(Made, &'static Location<'static>)> {
        self.calls.borrow_mut().remove(index).map(|call| (call.call, call.at))
    }

    /// Forgets every call.
    pub(crate) fn clear(&self) {
        let calls = std::mem::take(&mut *self.calls.borrow_mut());
        let mut wheel = self.wheel.borrow_mut();
        for (_, call) in calls.iter() {
            wheel.remove(call.timer);
        }
        drop(wheel);
        drop(calls);
    }

    /// Each call, when it is due, and where it was asked for.
    pub(crate) fn all(&self) -> Vec<(usize, Duration, &'static Location<'static>)> {
        let (calls, wheel) = (self.calls.borrow(), self.wheel.borrow());
        calls.iter().map(|(key, call)| (key, wheel.due(call.timer), call.at)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.borrow().count
    }

    fn with_timer<T>(&self, id: u64, ask: impl FnOnce(TimerKey) -> T) -> Option<T> {
        let calls = self.calls.borrow();
        let call = calls.get((id & 0xffff_ffff) as usize)?;
        (u64::from(call.generation) == id >> 32).then(|| ask(call.timer))
    }
}

impl Timers for Calls {
    fn cancel(&self, id: u64) -> bool {
        let removed = self.with_timer(id, |timer| self.wheel.borrow_mut().remove(timer));
        if removed.is_none() {
            return false;
        }
        let call = self.calls.borrow_mut().remove((id & 0xffff_ffff) as usize);
        call.is_some()
    }

    fn reset(&self, id: u64, delay: Duration) -> bool {
        let now = self.carrier.now();
        let due = now.saturating_add(delay);
        self.carrier.touch();
        self.with_timer(id, |timer| self.wheel.borrow_mut().reset(timer, now, due)).is_some()
    }

    fn deadline(&self, id: u64) -> Option<Duration> {
        self.with_timer(id, |timer| self.wheel.borrow().due(timer))
    }
}
