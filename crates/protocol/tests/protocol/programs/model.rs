//! Programs, run by a model that is written from the numbered statements, in the plainest way.

use std::collections::VecDeque;

use super::program::{CHAINS, Canceller, Op, Program, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Value(u64),
    Broken(u64),
    Cancelled,
    Late,
}

impl End {
    fn told(self) -> String {
        match self {
            Self::Value(value) => format!("v{value}"),
            Self::Broken(code) => format!("e{code}"),
            Self::Cancelled => "cancelled".to_owned(),
            Self::Late => "late".to_owned(),
        }
    }
}

#[derive(Clone, Copy)]
enum Link {
    Callback(usize, Step),
    Errback(usize, Step),
    Both(usize),
    Timeout(usize),
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "a model says each thing by itself")]
struct Chain {
    canceller: Option<Canceller>,
    /// Its promise is gone: it was fired.
    fired: bool,
    /// What comes from its promise now is not wanted.
    cancelled: bool,
    result: Option<End>,
    links: VecDeque<Link>,
    running: bool,
    waits_for: Option<usize>,
    /// The chain that waits for this one.
    outer: Option<usize>,
    /// It went into another chain's link.
    consumed: bool,
    /// The link that it went into was passed by.
    dropped: bool,
}

struct Timer {
    due: u64,
    chain: usize,
    expired: bool,
    over: bool,
}

struct Model {
    chains: Vec<Chain>,
    timers: Vec<Timer>,
    now: u64,
    trace: Vec<String>,
    unhandled: usize,
    /// A link returned a chain whose own links were running.
    returned_running: bool,
}

/// What a program comes to, and whether a link in it returned a chain whose own links were running.
pub(crate) fn run(program: &Program) -> (Vec<String>, bool) {
    let mut model = Model {
        chains: (0..CHAINS).map(|_| Chain::default()).collect(),
        timers: Vec::new(),
        now: 0,
        trace: Vec::new(),
        unhandled: 0,
        returned_running: false,
    };
    for (at, op) in program.ops.iter().enumerate() {
        model.step(at, *op);
    }
    for (slot, chain) in model.chains.iter().enumerate().filter(|(_, chain)| !chain.consumed) {
        let end = chain.result.map_or("waiting".to_owned(), End::told);
        model.trace.push(format!("{slot}={end}"));
    }
    model.trace.push(format!("unhandled {}", model.unhandled));
    (model.trace, model.returned_running)
}

impl Model {
    fn step(&mut self, at: usize, op: Op) {
        match op {
            Op::Canceller(slot, canceller) => self.chains[slot].canceller = Some(canceller),
            Op::Callback(slot, step) => self.add(slot, Link::Callback(at, step), Some(step)),
            Op::Errback(slot, step) => self.add(slot, Link::Errback(at, step), Some(step)),
            Op::Both(slot) => self.add(slot, Link::Both(at), None),
            Op::Fire(slot, value) => self.fire(slot, End::Value(value)),
            Op::Fail(slot, code) => self.fire(slot, End::Broken(code)),
            Op::Cancel(slot) => self.cancel_named(slot),
            Op::Timeout(slot, time) => self.add_timeout(slot, time),
            Op::Advance(time) => self.advance(time),
        }
    }

    /// Statement 1: a link added to a chain that has its result runs at once.
    fn add(&mut self, slot: usize, link: Link, step: Option<Step>) {
        if self.chains[slot].consumed {
            return;
        }
        if let Some(Step::Return(other)) = step {
            if other == slot || self.chains[other].consumed {
                return;
            }
            self.chains[other].consumed = true;
        }
        self.chains[slot].links.push_back(link);
        self.run_links(slot);
    }

    fn add_timeout(&mut self, slot: usize, time: u64) {
        let chain = &self.chains[slot];
        if chain.consumed || chain.result.is_some() {
            return;
        }
        let timer = self.timers.len();
        self.timers.push(Timer { due: self.now + time, chain: slot, expired: false, over: false });
        self.add(slot, Link::Timeout(timer), None);
    }

    /// Statements 5 and 12: a promise fires once; what comes after cancelling is swallowed.
    fn fire(&mut self, slot: usize, end: End) {
        let chain = &mut self.chains[slot];
        if std::mem::replace(&mut chain.fired, true) || chain.cancelled {
            return;
        }
        self.settle(slot, end);
    }

    fn settle(&mut self, slot: usize, end: End) {
        self.chains[slot].result = Some(end);
        self.run_links(slot);
    }

    /// Statements 1 to 3, 6 and 10.
    fn run_links(&mut self, slot: usize) {
        if std::mem::replace(&mut self.chains[slot].running, true) {
            return;
        }
        while let Some(end) = self.chains[slot].result {
            let Some(link) = self.chains[slot].links.pop_front() else { break };
            self.run_link(slot, link, end);
        }
        self.chains[slot].running = false;
        self.hand_on(slot);
    }

    /// A chain at its end gives its result to whoever it went into.
    fn hand_on(&mut self, slot: usize) {
        let chain = &mut self.chains[slot];
        let Some(end) = chain.result else { return };
        if let Some(outer) = chain.outer.take() {
            chain.result = None;
            self.chains[outer].waits_for = None;
            self.settle(outer, end);
        } else if chain.dropped {
            chain.result = None;
            // Statement 15.
            self.unhandled += usize::from(!matches!(end, End::Value(_)));
        }
    }

    fn run_link(&mut self, slot: usize, link: Link, end: End) {
        let failed = !matches!(end, End::Value(_));
        match link {
            Link::Both(at) => self.trace.push(format!("both{at} {}", end.told())),
            Link::Timeout(timer) => {
                self.timers[timer].over = true;
                if self.timers[timer].expired && end == End::Cancelled {
                    self.chains[slot].result = Some(End::Late);
                }
            }
            Link::Callback(at, step) if !failed => self.act(slot, "cb", at, step, end),
            Link::Errback(at, step) if failed => self.act(slot, "eb", at, step, end),
            Link::Callback(_, step) | Link::Errback(_, step) => {
                if let Step::Return(inner) = step {
                    self.chains[inner].dropped = true;
                    if !self.chains[inner].running {
                        self.hand_on(inner);
                    }
                }
            }
        }
    }

    fn act(&mut self, slot: usize, side: &str, at: usize, step: Step, end: End) {
        self.trace.push(format!("{side}{at} {}", end.told()));
        // While a link runs, its chain has no result.
        self.chains[slot].result = None;
        let given = match (step, end) {
            (Step::Give(n), End::Value(value)) => Some(End::Value(value + n)),
            (Step::Give(n), _) => Some(End::Value(n)),
            (Step::Fail(code), _) => Some(End::Broken(code)),
            (Step::Pass, _) => Some(end),
            (Step::Return(inner), _) => {
                self.chains[inner].outer = Some(slot);
                self.chains[slot].waits_for = Some(inner);
                // It may have its result, be on its way, or not have been fired.
                let is_idle = !self.chains[inner].running;
                self.returned_running |= !is_idle;
                let ready = if is_idle { self.chains[inner].result.take() } else { None };
                if ready.is_some() {
                    self.chains[inner].outer = None;
                    self.chains[slot].waits_for = None;
                }
                ready
            }
            (Step::Fire(other, value), _) => {
                self.fire(other, End::Value(value));
                Some(end)
            }
            (Step::Cancel(other), _) => {
                self.cancel_named(other);
                Some(end)
            }
        };
        self.chains[slot].result = given;
    }

    fn cancel_named(&mut self, slot: usize) {
        if !self.chains[slot].consumed {
            self.cancel(slot);
        }
    }

    /// Statements 11 to 13.
    fn cancel(&mut self, mut slot: usize) {
        while let Some(inner) = self.chains[slot].waits_for {
            slot = inner;
        }
        let chain = &mut self.chains[slot];
        if chain.fired || chain.cancelled {
            return;
        }
        match chain.canceller {
            Some(Canceller::Value(value)) => self.fire(slot, End::Value(value)),
            Some(Canceller::Failure(code)) => self.fire(slot, End::Broken(code)),
            Some(Canceller::Ignore) | None => {
                chain.cancelled = true;
                self.settle(slot, End::Cancelled);
            }
        }
    }

    /// Statements 14 and 37.
    fn advance(&mut self, time: u64) {
        let until = self.now + time;
        loop {
            let due =
                self.timers.iter().enumerate().filter(|(_, timer)| !timer.over && !timer.expired);
            let first =
                due.min_by_key(|(at, timer)| (timer.due, *at)).map(|(at, timer)| (at, timer.due));
            let Some((at, due)) = first.filter(|(_, due)| *due <= until) else { break };
            self.now = due;
            self.timers[at].expired = true;
            self.cancel(self.timers[at].chain);
        }
        self.now = until;
    }
}
