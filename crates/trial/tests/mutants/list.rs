//! The faults, and what finds them.

/// A fault that is written into a copy of the sources.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    /// Where, below `crates/`.
    pub(crate) file: &'static str,
    /// What stands there, once.
    pub(crate) from: &'static str,
    /// What is to stand there; `MUTANT` is whether this fault is awake.
    pub(crate) to: &'static str,
    pub(crate) found: Where,
}

/// Where a fault shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Where {
    /// In a simulation, with this seed or an earlier one.
    Seed(u64),
    /// On sockets, with this driver.
    Driver(&'static str),
}

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "lost wake-up",
        file: "reactor/src/carrier.rs",
        from: "self.woken.borrow_mut().push(key);",
        to: "if !MUTANT { self.woken.borrow_mut().push(key); }",
        found: Where::Seed(0),
    },
    Mutant {
        name: "dropped tail on close",
        file: "reactor/src/streams.rs",
        from: "if !stream.backlogged {",
        to: "if !stream.backlogged || (MUTANT && wishes.ending == Some(Ending::Close)) {",
        found: Where::Seed(0),
    },
    Mutant {
        name: "double connection_lost",
        file: "protocol/src/seat.rs",
        from: "guard(|| protocol.connection_lost(conn, why));",
        to: "if MUTANT { guard(|| protocol.connection_lost(conn, why)); }
             guard(|| protocol.connection_lost(conn, why));",
        found: Where::Seed(0),
    },
    Mutant {
        name: "forgotten connection_made",
        file: "reactor/src/streams.rs",
        from: "seat.handle(Event::Made);",
        to: "if !MUTANT { seat.handle(Event::Made); }",
        found: Where::Seed(0),
    },
    Mutant {
        name: "write reordering",
        file: "protocol/src/outbox.rs",
        from: "self.queue.append(&mut other.queue);",
        to: "if MUTANT { std::mem::swap(&mut self.queue, &mut other.queue); }
             self.queue.append(&mut other.queue);",
        found: Where::Seed(0),
    },
    Mutant {
        name: "timer off by one turn",
        file: "reactor/src/turn.rs",
        from: "wheel.advance(now, &mut expired);",
        to: "thread_local!(static LAST: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) });
             let last = LAST.replace(now);
             wheel.advance(if MUTANT { last.min(now) } else { now }, &mut expired);",
        found: Where::Seed(0),
    },
    Mutant {
        name: "descriptor leak",
        file: "reactor/src/streams.rs",
        from: "driver.close(key, how);",
        to: "if !(MUTANT && how != Closing::Reset) {
                 driver.close(key, how);
             }",
        found: Where::Seed(0),
    },
    Mutant {
        name: "deaf to a pause",
        file: "reactor/src/streams.rs",
        from: "let reading = wishes.reading && !stream.ended;",
        to: "let reading = (wishes.reading || MUTANT) && !stream.ended;",
        found: Where::Seed(0),
    },
    Mutant {
        name: "lost resume",
        file: "reactor/src/streams.rs",
        from: "if reading != stream.reading {",
        to: "if reading != stream.reading && !(MUTANT && reading) {",
        found: Where::Seed(0),
    },
    Mutant {
        name: "a writer is not told that its output has gone",
        file: "reactor/src/streams.rs",
        from: "self.told(key, Event::Sent { left })",
        to: "if MUTANT && left == 0 { After::Nothing } else { self.told(key, Event::Sent { left }) }",
        found: Where::Seed(0),
    },
    Mutant {
        name: "a panic ends nothing",
        file: "protocol/src/seat.rs",
        from: "if !survived {",
        to: "if !survived && !MUTANT {",
        found: Where::Seed(0),
    },
    Mutant {
        name: "an abort is a close",
        file: "reactor/src/streams.rs",
        from: "if why == Disconnect::Closed { Closing::InOrder }",
        to: "if why == Disconnect::Closed || MUTANT { Closing::InOrder }",
        found: Where::Seed(0),
    },
    Mutant {
        name: "one end is taken for both",
        file: "reactor/src/streams.rs",
        from: "if stream.write_ended && stream.ended && wishes.reading {",
        to: "if stream.write_ended && (stream.ended || MUTANT) && wishes.reading {",
        found: Where::Seed(0),
    },
    Mutant {
        name: "accepting never goes on",
        file: "reactor/src/listener.rs",
        from: "if was_paused == Some(true)",
        to: "if was_paused == Some(!MUTANT)",
        found: Where::Seed(0),
    },
    Mutant {
        name: "output without bound",
        file: "protocol/src/page.rs",
        from: "if waiting > marks.max {",
        to: "if waiting > marks.max && !MUTANT {",
        found: Where::Seed(0),
    },
    Mutant {
        name: "a byte of each receive is lost",
        file: "reactor/src/sys/readiness/streams.rs",
        from: "Ok((count, _)) => Some(Found::Received(key, count)),",
        to: "Ok((count, _)) => Some(Found::Received(key, count - usize::from(MUTANT && count > 1))),",
        found: Where::Driver("poll"),
    },
    Mutant {
        name: "an abort on sockets is a close",
        file: "reactor/src/sys/readiness/mod.rs",
        from: "Closing::Reset => make_reset(&socket),",
        to: "Closing::Reset if MUTANT => (),
             Closing::Reset => make_reset(&socket),",
        found: Where::Driver("poll"),
    },
];
