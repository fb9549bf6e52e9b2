//! The connection: calls in flight, and the protocol that has them answered.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Conn, ConnCall, Disconnect, Protocol};

use crate::codec::{Decoder, Reply};
use crate::{BadReply, CallError};

/// How much there may be of what a server, or a caller, can make much of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls that wait for their answers; 1,024.
    pub calls_max: usize,
    /// Bytes that wait to be sent, with what is held before the connection is made; 64 MiB.
    pub output_max: u64,
    /// Keys in one call; 1,000.
    pub keys_max: usize,
    /// Bytes of one value, sent or received; 1 MiB, which is what servers take unless told otherwise.
    pub value_max: usize,
    /// Bytes of all values in one answer; 64 MiB.
    pub answer_max: usize,
    /// Lines of statistics in one answer; 10,000.
    pub stats_max: usize,
    /// How long nothing may come while calls wait for their answers; 60 seconds.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_max: 1024,
            output_max: 64 << 20,
            keys_max: 1000,
            value_max: 1 << 20,
            answer_max: 64 << 20,
            stats_max: 10_000,
            patience: Duration::from_mins(1),
        }
    }
}

/// Which replies answer a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Values,
    ValuesWithCas,
    Set,
    Store,
    Cas,
    Delete,
    Touch,
    Count,
    Stats,
    Version,
    Ok,
}

enum Step {
    More,
    Last,
}

impl Kind {
    /// What a reply is to a call of this kind.
    fn step(self, reply: &Reply) -> Result<Step, BadReply> {
        match (self, reply) {
            (Self::Values, Reply::Value { cas_unique: None, .. })
            | (Self::ValuesWithCas, Reply::Value { cas_unique: Some(_), .. })
            | (Self::Stats, Reply::Stat { .. }) => Ok(Step::More),
            (_, Reply::Error | Reply::ClientError(_) | Reply::ServerError(_))
            | (Self::Values | Self::ValuesWithCas | Self::Stats, Reply::End)
            | (Self::Stats, Reply::Reset | Reply::Ok)
            | (Self::Set | Self::Store | Self::Cas, Reply::Stored)
            | (Self::Store, Reply::NotStored)
            | (Self::Cas, Reply::Exists | Reply::NotFound)
            | (Self::Delete, Reply::Deleted | Reply::NotFound)
            | (Self::Touch, Reply::Touched | Reply::NotFound)
            | (Self::Count, Reply::Number(_) | Reply::NotFound)
            | (Self::Version, Reply::Version(_))
            | (Self::Ok, Reply::Ok) => Ok(Step::Last),
            _ => Err(BadReply::OutOfPlace),
        }
    }
}

/// A call to be made: its line, and a value for those that have one.
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) line: Vec<u8>,
    pub(crate) value: Option<Bytes>,
    /// Those that may be answered, each once.
    pub(crate) keys: HashSet<Vec<u8>>,
}

/// A call that waits for its answer.
struct Call {
    kind: Kind,
    keys: HashSet<Vec<u8>>,
    /// What has come of the answer, and how many bytes of values are in it.
    replies: Vec<Reply>,
    size: usize,
    asker: Promise<Vec<Reply>>,
}

impl Call {
    /// Adds a reply to the answer; whether it is the last.
    fn take(&mut self, reply: Reply, limits: &Limits) -> Result<bool, BadReply> {
        let step = self.kind.step(&reply)?;
        match &reply {
            Reply::Value { key, value, .. } => {
                if !self.keys.remove(key) {
                    return Err(BadReply::OtherKey);
                }
                self.size += value.len();
                if self.size > limits.answer_max {
                    return Err(BadReply::LongAnswer);
                }
            }
            Reply::Stat { .. } if self.replies.len() >= limits.stats_max => {
                return Err(BadReply::LongAnswer);
            }
            _ => (),
        }
        self.replies.push(reply);
        Ok(matches!(step, Step::Last))
    }

    /// Tells the asker what came.
    fn finish(mut self) {
        match self.replies.pop() {
            Some(Reply::Error) => self.asker.fail(CallError::UnknownCommand),
            Some(Reply::ClientError(why)) => self.asker.fail(CallError::Client(why)),
            Some(Reply::ServerError(why)) => self.asker.fail(CallError::Server(why)),
            last => {
                self.replies.extend(last);
                self.asker.succeed(self.replies);
            }
        }
    }
}

/// What a connection and its [`Client`](crate::Client)s share. It is never borrowed while anybody is told
/// anything.
pub(crate) struct Link {
    limits: Limits,
    state: RefCell<State>,
}

struct State {
    phase: Phase,
    calls: VecDeque<Call>,
    /// The call for when patience ends.
    deadline: Option<ConnCall>,
    /// Nobody can ask any more.
    is_finishing: bool,
}

enum Phase {
    /// Not connected yet: what is to be sent.
    Before(Vec<u8>),
    Up(Conn<Memcached>),
    Over(CallError),
}

impl Link {
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sends a request; the deferred gives the replies that answer it.
    #[track_caller]
    pub(crate) fn call(&self, request: Request) -> Deferred<Vec<Reply>> {
        match self.send(request) {
            Ok(answer) => answer,
            Err(error) => Deferred::fail(error),
        }
    }

    #[track_caller]
    fn send(&self, request: Request) -> Result<Deferred<Vec<Reply>>, CallError> {
        let Request { kind, line, value, keys } = request;
        let mut state = self.state.borrow_mut();
        let size = line.len() + value.as_ref().map_or(0, |value| value.len() + 2);
        let waiting = match &state.phase {
            Phase::Before(held) => held.len() as u64,
            Phase::Up(conn) => conn.waiting(),
            Phase::Over(why) => return Err(why.clone()),
        };
        let has_room = waiting.saturating_add(size as u64) <= self.limits.output_max;
        if state.calls.len() >= self.limits.calls_max || !has_room {
            return Err(CallError::TooMany);
        }
        match &mut state.phase {
            Phase::Before(held) => {
                held.extend_from_slice(&line);
                if let Some(value) = &value {
                    held.extend_from_slice(value);
                    held.extend_from_slice(b"\r\n");
                }
            }
            Phase::Up(conn) => {
                conn.write(&line);
                if let Some(value) = value {
                    conn.write_bytes(value);
                    conn.write(b"\r\n");
                }
            }
            Phase::Over(why) => return Err(why.clone()),
        }
        let (asker, answer) = deferred();
        state.calls.push_back(Call { kind, keys, replies: Vec::new(), size: 0, asker });
        state.watch(self.limits.patience);
        Ok(answer)
    }

    fn open(&self, conn: &Conn<Memcached>) {
        let mut state = self.state.borrow_mut();
        if let Phase::Before(held) = &mut state.phase {
            conn.write(held);
            state.phase = Phase::Up(conn.clone());
        }
        state.watch(self.limits.patience);
        state.finish_if_done();
    }

    /// Gives a reply to the call that has waited longest.
    fn take(&self, reply: Reply) -> Result<(), BadReply> {
        let mut state = self.state.borrow_mut();
        let call = state.calls.front_mut().ok_or(BadReply::Unasked)?;
        let is_last = call.take(reply, &self.limits)?;
        let answered = if is_last { state.calls.pop_front() } else { None };
        drop(state);
        if let Some(call) = answered {
            call.finish();
        }
        Ok(())
    }

    /// Closes once all calls are answered, and takes no more.
    pub(crate) fn finish(&self) {
        let mut state = self.state.borrow_mut();
        state.is_finishing = true;
        state.finish_if_done();
    }

    /// Fails all calls, those that are yet to come too. The first reason counts.
    fn end(&self, why: &CallError) {
        let mut state = self.state.borrow_mut();
        state.deadline = None;
        if !matches!(state.phase, Phase::Over(_)) {
            state.phase = Phase::Over(why.clone());
        }
        let calls = std::mem::take(&mut state.calls);
        drop(state);
        for call in calls {
            call.asker.fail(why.clone());
        }
    }
}

impl State {
    /// Begins to wait, if that has not begun.
    fn watch(&mut self, patience: Duration) {
        if let Phase::Up(conn) = &self.phase
            && self.deadline.is_none()
            && !self.calls.is_empty()
        {
            self.deadline = Some(conn.call_later(patience, |this, conn| {
                this.link.end(&CallError::Late);
                conn.abort_with(Disconnect::TimedOut);
            }));
        }
    }

    /// Waits anew: something came.
    fn put_off(&mut self, patience: Duration) {
        let (Phase::Up(conn), Some(deadline)) = (&self.phase, self.deadline) else { return };
        if self.calls.is_empty() {
            conn.cancel_call(deadline);
            self.deadline = None;
        } else {
            conn.reset_call(deadline, patience);
        }
    }

    fn finish_if_done(&self) {
        if let Phase::Up(conn) = &self.phase
            && self.is_finishing
            && self.calls.is_empty()
        {
            conn.close();
        }
    }
}

/// The protocol on one connection to a server. Its [`Client`](crate::Client) is made with it.
pub struct Memcached {
    decoder: Decoder,
    link: Rc<Link>,
}

impl Memcached {
    pub(crate) fn with_limits(limits: Limits) -> Self {
        let state = State {
            phase: Phase::Before(Vec::new()),
            calls: VecDeque::new(),
            deadline: None,
            is_finishing: false,
        };
        let decoder = Decoder::new(limits.value_max);
        Self { decoder, link: Rc::new(Link { limits, state: RefCell::new(state) }) }
    }

    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    fn feed(&mut self, data: &mut &[u8]) -> Result<(), BadReply> {
        while let Some(reply) = self.decoder.feed(data)? {
            self.link.take(reply)?;
        }
        Ok(())
    }
}

impl Protocol for Memcached {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.link.open(conn);
    }

    fn data_received(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        if let Err(bad) = self.feed(&mut data) {
            self.link.end(&CallError::BadReply(bad));
            conn.abort();
        }
        let mut state = self.link.state.borrow_mut();
        state.put_off(self.link.limits.patience);
        state.finish_if_done();
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.link.end(&CallError::Lost(why));
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        // Whoever was never connected has no `connection_lost` either.
        self.link.end(&CallError::Lost(Disconnect::Stopped));
    }
}

impl fmt::Debug for Memcached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memcached").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}
