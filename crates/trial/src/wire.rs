//! Two protocols joined in memory.

use std::collections::VecDeque;
use std::time::Duration;

use ropewalk_protocol::{Descriptor, Disconnect, Protocol};

use crate::{Clock, Memory};

/// One of the two ends of a [`Wire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that was named first.
    Client,
    /// The one that was named second.
    Server,
}

/// A client and a server joined by a wire in memory.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::{Conn, Protocol};
/// use ropewalk_trial::{Side, Wire};
///
/// struct Ask;
/// impl Protocol for Ask {
///     fn connection_made(&mut self, conn: &Conn<Self>) {
///         conn.write(b"ping");
///     }
///     fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
///         conn.close();
///     }
/// }
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
///
/// let mut wire = Wire::join(Ask, Echo);
/// wire.run();
/// assert_eq!(wire.sent_by(Side::Server), b"ping");
/// assert!(wire.ended(Side::Client).is_some());
/// ```
#[derive(Debug)]
pub struct Wire {
    clock: Clock,
    client: End,
    server: End,
    chunk: usize,
}

#[derive(Debug)]
struct End {
    memory: Memory,
    /// Sent by this end and not yet taken by the other.
    under_way: Vec<u8>,
    /// Descriptors among them, each with how many bytes are before it since the beginning.
    passed: VecDeque<(u64, Descriptor)>,
    /// How many bytes the other has taken.
    taken: u64,
    /// All that this end ever sent.
    sent: Vec<u8>,
    /// The other end has been told of this end's ending.
    told: bool,
}

impl Wire {
    /// Joins a client to a server, on a clock of their own.
    pub fn join(client: impl Protocol, server: impl Protocol) -> Self {
        Self::join_on(&Clock::new(), client, server)
    }

    /// Joins a client to a server on a clock that others may share.
    pub fn join_on(clock: &Clock, client: impl Protocol, server: impl Protocol) -> Self {
        Self::of(clock, Memory::seat(client, clock), Memory::seat(server, clock))
    }

    /// Joins two ends that are seated on `clock` already.
    pub fn of(clock: &Clock, client: Memory, server: Memory) -> Self {
        let end = |memory| End {
            memory,
            under_way: Vec::new(),
            passed: VecDeque::new(),
            taken: 0,
            sent: Vec::new(),
            told: false,
        };
        Self { clock: clock.clone(), client: end(client), server: end(server), chunk: usize::MAX }
    }

    /// Delivers in pieces of at most `size` bytes.
    ///
    /// # Panics
    ///
    /// If `size` is zero: nothing would ever arrive.
    pub fn in_chunks_of(mut self, size: usize) -> Self {
        assert!(size > 0, "a piece holds at least one byte");
        self.chunk = size;
        self
    }

    /// Moves bytes, results and endings until both ends are quiet.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// Moves a piece each way, if there is any.
    pub(crate) fn step(&mut self) -> bool {
        move_bytes(&mut self.client, &mut self.server, self.chunk)
            | move_bytes(&mut self.server, &mut self.client, self.chunk)
    }

    /// Whether both ends have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.client.memory.ended().is_some() && self.server.memory.ended().is_some()
    }

    /// Lets `time` pass, making each call at its moment.
    pub fn advance(&mut self, time: Duration) {
        use ropewalk_protocol::Clock as _;
        let until = self.clock.now() + time;
        self.run();
        while let Some(due) = self.next_due().filter(|due| *due <= until) {
            self.clock.advance(due.saturating_sub(self.clock.now()));
            self.run();
        }
        self.clock.advance(until.saturating_sub(self.clock.now()));
        self.run();
    }

    /// Breaks the wire: both ends lose the connection, and what is under way is gone.
    pub fn cut(&mut self) {
        for end in [&mut self.client, &mut self.server] {
            end.under_way.clear();
            end.passed.clear();
            end.told = true;
            end.memory.lose(Disconnect::Reset);
        }
    }

    /// All that one end ever sent.
    pub fn sent_by(&self, side: Side) -> &[u8] {
        &self.side(side).sent
    }

    /// How the connection ended for one end, if it has.
    pub fn ended(&self, side: Side) -> Option<Disconnect> {
        self.side(side).memory.ended()
    }

    /// The clock that both ends go by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn side(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        let ends = [&self.client, &self.server];
        let calls = ends.into_iter().filter_map(|end| end.memory.next_call());
        calls.chain(self.clock.next_call()).min()
    }
}

impl End {
    /// Takes the descriptors that go with the next byte; answers how many bytes go with them, up to the
    /// next descriptor.
    fn next_piece(&mut self, chunk: usize) -> (Vec<Descriptor>, usize) {
        let mut descriptors = Vec::new();
        while let Some((_, descriptor)) = self.passed.pop_front_if(|(at, _)| *at <= self.taken) {
            descriptors.push(descriptor);
        }
        let up_to = self.passed.front().map_or(usize::MAX, |(at, _)| (at - self.taken) as usize);
        (descriptors, chunk.min(self.under_way.len()).min(up_to))
    }
}

/// Moves one piece from one end to the other, or the news of its ending.
fn move_bytes(from: &mut End, to: &mut End, chunk: usize) -> bool {
    from.memory.run();
    let fresh = from.memory.take_sent();
    from.passed.extend(from.memory.take_descriptors());
    from.sent.extend_from_slice(&fresh);
    from.under_way.extend_from_slice(&fresh);
    if !from.under_way.is_empty() {
        to.memory.run();
        let taken = if to.memory.is_reading() {
            let (descriptors, size) = from.next_piece(chunk);
            to.memory.push_passing(descriptors, &from.under_way[..size])
        } else {
            0
        };
        from.under_way.drain(..taken);
        from.taken += taken as u64;
        if to.memory.ended().is_some() {
            from.under_way.clear();
            from.passed.clear();
        }
        return taken > 0;
    }
    if from.told || to.memory.ended().is_some() {
        return false;
    }
    match from.memory.ended() {
        Some(Disconnect::Closed) => {
            from.told = true;
            to.memory.eof();
        }
        Some(_) => {
            from.told = true;
            to.memory.lose(Disconnect::Reset);
        }
        None if from.memory.is_write_closed() => {
            from.told = true;
            to.memory.eof();
        }
        None => return false,
    }
    true
}
