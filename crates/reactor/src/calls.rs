//! Calls that the reactor makes later.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{DelayedCall, Timers, Transport};
use slab::Slab;

use crate::carrier::Carrier;
use crate::inner::{Due, Purpose};
use crate::under_way::{Kind, Origins};
use crate::wheel::{TimerKey, Wheel};

pub(crate) struct Calls {
    wheel: Rc<RefCell<Wheel<Due>>>,
    carrier: Rc<Carrier>,
    origins: Rc<Origins>,
    calls: RefCell<Slab<Call>>,
    last_generation: Cell<u32>,
}

struct Call {
    /// Tells this use of the place from earlier ones.
    generation: u32,
    timer: TimerKey,
    call: Box<dyn FnOnce()>,
}

impl Calls {
    pub(crate) fn new(
        wheel: Rc<RefCell<Wheel<Due>>>,
        carrier: Rc<Carrier>,
        origins: Rc<Origins>,
    ) -> Self {
        Self { wheel, carrier, origins, calls: RefCell::default(), last_generation: Cell::new(0) }
    }

    #[track_caller]
    pub(crate) fn schedule(
        self: &Rc<Self>,
        delay: Duration,
        call: Box<dyn FnOnce()>,
    ) -> DelayedCall {
        let generation = self.last_generation.get().wrapping_add(1);
        self.last_generation.set(generation);
        let now = self.carrier.now();
        let due = now.saturating_add(delay);
        let mut calls = self.calls.borrow_mut();
        let place = calls.vacant_entry();
        let index = place.key() as u32;
        let timer = self.wheel.borrow_mut().add(now, due, Purpose::Call(index as usize).into());
        place.insert(Call { generation, timer, call });
        let id = u64::from(generation) << 32 | u64::from(index);
        self.origins.note(Kind::Call, index as usize, "");
        self.carrier.touch();
        DelayedCall::new(Rc::clone(self) as Rc<dyn Timers>, id)
    }

    /// Takes the call whose timer came due.
    pub(crate) fn take(&self, index: usize) -> Option<Box<dyn FnOnce()>> {
        self.calls.borrow_mut().try_remove(index).map(|call| call.call)
    }

    /// Forgets every call.
    pub(crate) fn clear(&self) {
        let calls = std::mem::take(&mut *self.calls.borrow_mut());
        let mut wheel = self.wheel.borrow_mut();
        for (_, call) in &calls {
            wheel.remove(call.timer);
        }
        drop(wheel);
        drop(calls);
    }

    /// Each call, and when it is due.
    pub(crate) fn all(&self) -> Vec<(usize, Duration)> {
        let (calls, wheel) = (self.calls.borrow(), self.wheel.borrow());
        calls.iter().map(|(key, call)| (key, wheel.due(call.timer))).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.borrow().len()
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
        let call = self.calls.borrow_mut().try_remove((id & 0xffff_ffff) as usize);
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
