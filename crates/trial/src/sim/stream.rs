//! Streams, as TCP carries them: in order, late, or not at all.

use std::collections::VecDeque;
use std::io;

use ropewalk_protocol::{Address, Descriptor, DescriptorsLost, FileSlice, Outbox};
use rustix::io::Errno;

use super::log::What;
use super::world::{EndId, Event, Held, World, nanos};
use crate::memory::read_slice;

/// How long TCP waits before it sends again, at first.
const RETRY_FIRST: u64 = 200_000_000;
/// The same for the first packet of a connection.
const RETRY_SYN: u64 = 1_000_000_000;
/// How long TCP waits before it sends again, at last.
const RETRY_LAST: u64 = 60_000_000_000;
/// How often TCP sends again before it gives up.
const RETRIES_MAX: u32 = 15;
/// The same for the first packet.
const SYN_RETRIES_MAX: u32 = 6;

/// A connection between two ends.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) serial: u64,
    /// The end that connected, and the one that listened.
    pub(super) ends: [End; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    /// Waits to be accepted.
    Queued {
        listener: usize,
        serial: u64,
    },
    Open,
    Closed,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the two directions end independently")]
pub(super) struct End {
    pub(super) host: usize,
    pub(super) local: Address,
    pub(super) peer: Address,
    pub(super) stage: Stage,
    pub(super) key: Option<usize>,
    /// It stands in its host's list of what has something to tell.
    pub(super) ready: bool,
    pub(super) reading: bool,
    /// How connecting went, to be told.
    pub(super) outcome: Option<Result<(), Errno>>,
    pub(super) failure: Option<Errno>,
    /// What arrived and was not received.
    pub(super) unread: Vec<u8>,
    /// Descriptors among it, each with how many bytes are before it since the beginning.
    passed: VecDeque<(u64, Descriptor)>,
    /// How many bytes arrived, and were received, since the beginning.
    arrived: u64,
    received: u64,
    /// How many descriptors one receive may bring.
    pub(super) at_once: usize,
    /// The peer's end of stream arrived.
    pub(super) ended: bool,
    pub(super) ended_told: bool,
    /// What the driver keeps, as there is no room for it.
    pub(super) pending: Option<Box<Outbox>>,
    /// Room for more output has come about.
    pub(super) output_ready: bool,
    pub(super) write_ended: bool,
    room: u64,
    /// How much of the stream out has been sent.
    carried: u64,
    /// What this end has sent and the other has not got.
    under_way: VecDeque<Item>,
    last_arrival: u64,
}

#[derive(Debug)]
struct Item {
    arrives: u64,
    tries: u32,
    what: Carried,
}

#[derive(Debug)]
enum Carried {
    /// The first packet, its answer, and the answer's.
    Syn,
    SynAck,
    Ack,
    /// Bytes, and the descriptors that the first of them goes with.
    Bytes(Vec<u8>, Vec<Descriptor>),
    Fin,
    Reset,
}

/// What a ready end has to tell.
pub(super) enum Told {
    Connected(io::Result<()>),
    Sent(u64),
    Received,
    Passed(Descriptor),
    Ended,
    Failed(io::Error),
}

impl End {
    fn new(host: usize, local: Address, peer: Address, stage: Stage, room: u64) -> Self {
        Self {
            host,
            local,
            peer,
            stage,
            key: None,
            ready: false,
            reading: false,
            outcome: None,
            failure: None,
            unread: Vec::new(),
            passed: VecDeque::new(),
            arrived: 0,
            received: 0,
            at_once: 0,
            ended: false,
            ended_told: false,
            pending: None,
            output_ready: false,
            write_ended: false,
            room,
            carried: 0,
            under_way: VecDeque::new(),
            last_arrival: 0,
        }
    }
}

impl End {
    /// The first of the descriptors that the next byte goes with.
    fn next_descriptor(&mut self) -> Result<Option<Descriptor>, DescriptorsLost> {
        let count = self.passed.iter().take_while(|(at, _)| *at <= self.received).count();
        if self.at_once == 0 {
            // Nobody has asked for them.
            self.passed.drain(..count);
            return Ok(None);
        }
        if count > self.at_once {
            return Err(DescriptorsLost);
        }
        Ok(self.passed.pop_front_if(|(at, _)| *at <= self.received).map(|passed| passed.1))
    }
}

impl World {
    /// A connection that `host` begins to `target`, from `local`.
    pub(super) fn begin(&mut self, host: usize, to: usize, local: Address, peer: Address) -> EndId {
        let serial = self.next_serial();
        let room = [self.way(host, to).link.window, self.way(to, host).link.window];
        let ends = [
            End::new(host, local.clone(), peer.clone(), Stage::Connecting, room[0]),
            End::new(to, peer, local, Stage::Closed, room[1]),
        ];
        let connection = self.connections.insert(Connection { serial, ends });
        EndId { connection, serial, side: 0 }
    }

    /// The driver holds the connecting end: its first packet leaves.
    pub(super) fn start_connecting(&mut self, id: EndId) {
        let Some(end) = self.end(id) else { return };
        let host = end.host;
        self.note(host, What::Connecting, id.serial, 0);
        self.push(id, Carried::Syn);
    }

    fn push(&mut self, id: EndId, what: Carried) {
        let Some(connection) = self.connection(id) else { return };
        let (from, to) = (connection.ends[id.side].host, connection.ends[1 - id.side].host);
        if self.hosts[from].crashing {
            return;
        }
        let size = match &what {
            Carried::Bytes(bytes, _) => bytes.len() as u64 + 40,
            _ => 40,
        };
        let arrives = self.arrival(from, to, size);
        let Some(end) = self.end(id) else { return };
        let arrives = arrives.max(end.last_arrival);
        end.last_arrival = arrives;
        let is_first = end.under_way.is_empty();
        end.under_way.push_back(Item { arrives, tries: 0, what });
        if is_first {
            self.schedule(arrives, Event::Arrival { end: id.other() });
        }
    }

    /// The front of what is under way to an end arrives, or is lost once more.
    pub(super) fn arrive(&mut self, to: EndId) {
        let (from, now) = (to.other(), self.now);
        let Some(connection) = self.connection(to) else { return };
        let (sender, receiver) = (connection.ends[from.side].host, connection.ends[to.side].host);
        let under_way = &mut connection.ends[from.side].under_way;
        // Something else may stand there by now, with an arrival of its own.
        if under_way.front().is_none_or(|item| item.arrives > now) {
            return;
        }
        let Some(item) = under_way.pop_front() else { return };
        let way = self.way(sender, receiver);
        let (up, loss, reset_after) = (way.up, way.link.loss, way.link.reset_after);
        if !up || self.random.chance(loss) || self.hosts[receiver].crashing {
            self.try_again(from, item);
        } else if let Some(limit) = reset_after {
            self.deliver_up_to(to, item.what, limit);
        } else {
            self.deliver(to, item.what);
        }
        if let Some(end) = self.end(from)
            && let Some(next) = end.under_way.front()
        {
            let at = next.arrives.max(now);
            self.schedule(at, Event::Arrival { end: to });
        }
    }

    /// A packet was lost: it is sent again, and all behind it waits.
    fn try_again(&mut self, from: EndId, mut item: Item) {
        let is_syn = matches!(item.what, Carried::Syn | Carried::SynAck);
        let (first, most) =
            if is_syn { (RETRY_SYN, SYN_RETRIES_MAX) } else { (RETRY_FIRST, RETRIES_MAX) };
        let wait = (first << item.tries.min(20)).min(RETRY_LAST);
        item.tries += 1;
        item.arrives = self.now + wait;
        let gives_up = item.tries > most;
        let Some(end) = self.end(from) else { return };
        let host = end.host;
        if !gives_up {
            end.under_way.push_front(item);
            return self.note(host, What::Delayed, from.serial, 0);
        }
        end.under_way.clear();
        match end.stage {
            Stage::Connecting => end.outcome = Some(Err(Errno::TIMEDOUT)),
            _ => end.failure = Some(Errno::TIMEDOUT),
        }
        self.make_ready(Held::Stream(from));
    }

    /// Delivers on a link that resets after so many bytes.
    fn deliver_up_to(&mut self, to: EndId, what: Carried, limit: u64) {
        let from = to.other();
        let Some(sender) = self.end(from) else { return };
        let passed = sender.carried;
        let (bytes, descriptors) = match what {
            Carried::Bytes(mut bytes, descriptors) => {
                sender.carried += bytes.len() as u64;
                if sender.carried < limit {
                    return self.deliver(to, Carried::Bytes(bytes, descriptors));
                }
                bytes.truncate((limit - passed.min(limit)) as usize);
                (bytes, descriptors)
            }
            other => return self.deliver(to, other),
        };
        if !bytes.is_empty() {
            self.deliver(to, Carried::Bytes(bytes, descriptors));
        }
        for id in [from, to] {
            if let Some(end) = self.end(id) {
                end.under_way.clear();
            }
            self.deliver(id, Carried::Reset);
        }
    }

    fn deliver(&mut self, to: EndId, what: Carried) {
        let Some(end) = self.end(to) else { return };
        let (host, stage) = (end.host, end.stage);
        match what {
            Carried::Syn => self.answer(to),
            Carried::SynAck => {
                if stage == Stage::Connecting {
                    end.stage = Stage::Open;
                    end.outcome = Some(Ok(()));
                    self.push(to, Carried::Ack);
                    self.make_ready(Held::Stream(to));
                } else {
                    self.push(to, Carried::Reset);
                }
            }
            Carried::Ack => self.queue(to),
            Carried::Bytes(..) if stage == Stage::Closed => self.push(to, Carried::Reset),
            Carried::Bytes(bytes, descriptors) => {
                end.unread.extend_from_slice(&bytes);
                let at = end.arrived;
                end.passed.extend(descriptors.into_iter().map(|descriptor| (at, descriptor)));
                end.arrived += bytes.len() as u64;
                self.note(host, What::Arrived, to.serial, bytes.len() as u64);
                self.make_ready(Held::Stream(to));
            }
            Carried::Fin => {
                end.ended = true;
                self.make_ready(Held::Stream(to));
            }
            Carried::Reset => {
                if stage == Stage::Connecting {
                    end.outcome = Some(Err(Errno::CONNREFUSED));
                } else if stage != Stage::Closed && end.failure.is_none() {
                    end.failure = Some(Errno::CONNRESET);
                }
                end.under_way.clear();
                self.make_ready(Held::Stream(to));
            }
        }
    }

    /// The first packet of a connection has come to its host.
    fn answer(&mut self, to: EndId) {
        let Some(end) = self.end(to) else { return };
        let (host, place) = (end.host, end.local.clone());
        let Some(index) = self.listener_at(host, &place) else {
            return self.push(to, Carried::Reset);
        };
        let listener = &self.hosts[host].listeners[index];
        let (serial, is_full) = (listener.serial, listener.queue.len() >= listener.backlog);
        if is_full {
            // As if it had been lost: the other side tries again.
            let item = Item { arrives: 0, tries: 0, what: Carried::Syn };
            return self.try_again(to.other(), item);
        }
        if let Some(end) = self.end(to) {
            end.stage = Stage::Queued { listener: index, serial };
        }
        self.push(to, Carried::SynAck);
    }

    /// A connection is made: it waits to be accepted.
    fn queue(&mut self, to: EndId) {
        let Some(end) = self.end(to) else { return };
        let host = end.host;
        let Stage::Queued { listener, serial } = end.stage else { return };
        let listeners = &mut self.hosts[host].listeners;
        if let Some(found) = listeners.get_mut(listener).filter(|found| found.serial == serial) {
            found.queue.push(to);
            self.make_listener_ready(host, listener);
        } else {
            // It stopped listening meanwhile.
            self.close_end(to, true);
        }
    }

    /// Takes what there is room for from `out`; answers how much that was.
    fn take_output(&mut self, id: EndId, out: &mut Outbox) -> io::Result<u64> {
        let Some(connection) = self.connection(id) else { return Err(Errno::BADF.into()) };
        let (from, to) = (connection.ends[id.side].host, connection.ends[1 - id.side].host);
        let end = &connection.ends[id.side];
        if let Some(failure) = end.failure {
            return Err(failure.into());
        }
        let room = end.room;
        let link = &self.way(from, to).link;
        let (segment, cut) = (link.segment, link.cut);
        let mut limit = out.len().min(room);
        if limit > 1 && self.random.chance(cut) {
            limit = self.random.between(1, limit);
        }
        let mut taken = 0;
        while taken < limit {
            let size = segment.min(limit - taken);
            let descriptors = out.take_front_descriptors();
            let bytes = take_front(out, size)?;
            taken += bytes.len() as u64;
            self.push(id, Carried::Bytes(bytes, descriptors));
        }
        if let Some(end) = self.end(id) {
            end.room -= taken;
        }
        if taken > 0 {
            self.note(from, What::Sent, id.serial, taken);
        }
        Ok(taken)
    }

    pub(super) fn send(&mut self, id: EndId, out: &mut Option<Box<Outbox>>) -> io::Result<u64> {
        let Some(output) = out else { return Ok(0) };
        if let Some(pending) = self.end(id).and_then(|end| end.pending.as_mut()) {
            pending.append(output);
            return Ok(pending.len());
        }
        self.take_output(id, output)?;
        let left = output.len();
        if left > 0
            && let Some(end) = self.end(id)
        {
            end.pending = out.take();
            if end.room > 0 {
                end.output_ready = true;
                self.make_ready(Held::Stream(id));
            }
        }
        Ok(left)
    }

    /// The peer has taken so many bytes, and this end hears of it.
    pub(super) fn give_room(&mut self, id: EndId, bytes: u64) {
        let Some(end) = self.end(id) else { return };
        end.room += bytes;
        if end.pending.is_some() {
            end.output_ready = true;
            self.make_ready(Held::Stream(id));
        }
    }

    pub(super) fn end_stream(&mut self, id: EndId) {
        let Some(end) = self.end(id) else { return };
        if !std::mem::replace(&mut end.write_ended, true) {
            self.push(id, Carried::Fin);
        }
    }

    /// One thing that a ready end has to tell; what was received goes to `buffer`.
    pub(super) fn tell(&mut self, id: EndId, buffer: &mut Vec<u8>) -> Option<Told> {
        let (serial, now_host) = (id.serial, self.end(id)?.host);
        let end = self.end(id)?;
        if let Some(outcome) = end.outcome.take() {
            end.reading = outcome.is_ok();
            let what = if outcome.is_ok() { What::Connected } else { What::Refused };
            self.note(now_host, what, serial, 0);
            return Some(Told::Connected(outcome.map_err(io::Error::from)));
        }
        if std::mem::take(&mut end.output_ready)
            && let Some(mut out) = end.pending.take()
        {
            let sent = self.take_output(id, &mut out);
            let left = out.len();
            let end = self.end(id)?;
            if left > 0 {
                end.pending = Some(out);
                end.output_ready = sent.is_ok() && end.room > 0;
            }
            return Some(match sent {
                Ok(_) => Told::Sent(left),
                Err(error) => Told::Failed(error),
            });
        }
        self.receive(id, buffer)
    }

    fn receive(&mut self, id: EndId, buffer: &mut Vec<u8>) -> Option<Told> {
        let connection = self.connection(id)?;
        let (here, there) = (connection.ends[id.side].host, connection.ends[1 - id.side].host);
        let end = &mut connection.ends[id.side];
        if end.reading && !end.unread.is_empty() {
            match end.next_descriptor() {
                Ok(Some(descriptor)) => {
                    self.note(here, What::Passed, id.serial, 1);
                    return Some(Told::Passed(descriptor));
                }
                Ok(None) => (),
                Err(lost) => {
                    self.note(here, What::Failed, id.serial, 0);
                    return Some(Told::Failed(lost.into()));
                }
            }
            let next = end.passed.front().map_or(u64::MAX, |(at, _)| at - end.received);
            let waiting = (end.unread.len() as u64).min(next);
            let cut = self.way(there, here).link.cut;
            let mut count = waiting.min(super::driver::READ_SIZE);
            if count > 1 && self.random.chance(cut) {
                count = self.random.between(1, count);
            }
            buffer.clear();
            let end = self.end(id)?;
            buffer.extend(end.unread.drain(..count as usize));
            end.received += count;
            self.log.add_bytes(buffer);
            self.note(here, What::Received, id.serial, count);
            let link = &self.way(here, there).link;
            let (latency, jitter) = (nanos(link.latency), nanos(link.jitter));
            let at = self.now + latency + self.random.below(jitter + 1);
            self.schedule(at, Event::Room { end: id.other(), bytes: count });
            return Some(Told::Received);
        }
        if let Some(failure) = end.failure {
            self.note(here, What::Failed, id.serial, 0);
            return Some(Told::Failed(failure.into()));
        }
        if end.reading && end.ended && !end.ended_told {
            end.ended_told = true;
            end.reading = false;
            self.note(here, What::Ended, id.serial, 0);
            return Some(Told::Ended);
        }
        None
    }

    /// Whether there is more to tell of an end.
    pub(super) fn has_more(&mut self, id: EndId) -> bool {
        self.end(id).is_some_and(|end| {
            let input = !end.unread.is_empty() || (end.ended && !end.ended_told);
            end.outcome.is_some()
                || end.output_ready
                || end.failure.is_some()
                || (end.reading && input)
        })
    }

    /// Closes one end.
    pub(super) fn close_end(&mut self, id: EndId, reset: bool) {
        let Some(end) = self.end(id) else { return };
        let (host, stage) = (end.host, std::mem::replace(&mut end.stage, Stage::Closed));
        if stage == Stage::Closed {
            return;
        }
        end.key = None;
        end.pending = None;
        end.outcome = None;
        end.unread = Vec::new();
        end.passed.clear();
        let is_broken = end.failure.is_some();
        let ended = std::mem::replace(&mut end.write_ended, true);
        let what = if reset { What::Reset } else { What::Closed };
        self.note(host, what, id.serial, 0);
        if !is_broken && (reset || stage == Stage::Connecting) {
            self.forget_some(id);
            self.push(id, Carried::Reset);
        } else if !is_broken && !ended {
            self.push(id, Carried::Fin);
        }
        let Some(connection) = self.connections.get(id.connection) else { return };
        if connection.ends.iter().all(|end| end.stage == Stage::Closed) {
            self.connections.remove(id.connection);
        }
    }

    /// What is under way when a connection is reset may never arrive.
    fn forget_some(&mut self, id: EndId) {
        let Some(end) = self.end(id) else { return };
        let count = end.under_way.len() as u64;
        let kept = self.random.between(0, count).max(1) as usize;
        if let Some(end) = self.end(id) {
            // The front has its arrival arranged already.
            end.under_way.truncate(kept);
        }
    }
}

/// Takes at most `size` bytes off the front.
fn take_front(out: &mut Outbox, size: u64) -> io::Result<Vec<u8>> {
    let bytes = if let Some(slice) = out.front_file() {
        read_slice(&FileSlice { len: slice.len.min(size), ..slice.clone() })?
    } else {
        let front = out.front();
        front[..front.len().min(size as usize)].to_vec()
    };
    out.advance(bytes.len() as u64);
    Ok(bytes)
}
