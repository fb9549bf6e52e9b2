//! What both the protocol and its owner's handle know of a connection: calls under way, and whether
//! anything may be sent.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::time::Duration;

use ropewalk_protocol::{CannotPass, Conn, ConnCall, DESCRIPTORS_WAITING_MAX, Disconnect};

use crate::amp::Amp;
use crate::codec::{BadBox, BoxWriter, Fields};
use crate::command::key;
use crate::responders::Handover;
use crate::value::DescriptorsOut;
use crate::{BadField, CallError, Limits, Record};

/// The two ends of one connection's bookkeeping meet here.
pub(crate) struct Link {
    book: RefCell<Book>,
}

struct Book {
    phase: Phase,
    conn: Option<Conn<Amp>>,
    limits: Limits,
    /// Boxes that may not be sent yet.
    held: Vec<u8>,
    /// Where those begin that wait for the connection to be encrypted, if it was asked for before it
    /// was made.
    clear_end: Option<usize>,
    /// Whether TLS was asked for by either side.
    has_tls: bool,
    last_tag: u64,
    /// How many descriptors were sent.
    passed: u64,
    /// How long calls wait for an answer that do not say.
    patience: Option<Duration>,
    calls: HashMap<u64, Call>,
    /// When calls run out of time, the first one first.
    deadlines: BTreeSet<(Duration, u64)>,
    /// The timer for the first of them, or for one that was answered since.
    alarm: Option<(ConnCall, Duration)>,
}

/// Whether boxes may be sent.
enum Phase {
    /// The connection is not made yet: calls are held.
    Early,
    Open,
    /// Asked to switch: nothing may be sent before the answer.
    Locked,
    /// Asked to encrypt: calls and answers wait for that.
    Encrypting,
    Over(CallError),
}

struct Call {
    /// Absent where nobody wants the answer any more; it must be told apart from one that was never
    /// asked for all the same.
    finish: Option<Finish>,
    due: Due,
    manner: Manner,
}

/// When a call runs out of time.
#[derive(Clone, Copy)]
pub(crate) enum Due {
    Never,
    /// This long after the connection is made.
    After(Duration),
    At(Duration),
}

/// Takes the end of a call, and says who has the connection then.
pub(crate) type Finish = Box<dyn FnOnce(Ending<'_>) -> Option<Handover>>;

/// How a call ends.
pub(crate) enum Ending<'d> {
    Answer(Fields<'d>),
    Error { code: &'d str, description: &'d str },
    Failed(CallError),
}

/// What a call looks like on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Ask,
    /// Asks, and sends nothing more before the answer.
    AskToSwitch,
    /// Asks, and keeps all that follows until the connection is encrypted.
    AskToEncrypt,
    Tell,
}

impl Manner {
    /// Whether the connection changes with the answer.
    fn changes(self) -> bool {
        matches!(self, Self::AskToSwitch | Self::AskToEncrypt)
    }
}

impl Link {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            book: RefCell::new(Book {
                phase: Phase::Early,
                conn: None,
                limits,
                held: Vec::new(),
                clear_end: None,
                has_tls: false,
                last_tag: 0,
                passed: 0,
                patience: None,
                calls: HashMap::new(),
                deadlines: BTreeSet::new(),
                alarm: None,
            }),
        }
    }

    pub(crate) fn conn(&self) -> Option<Conn<Amp>> {
        self.book.borrow().conn.clone()
    }

    /// Whether anybody waits for an answer of the peer's.
    pub(crate) fn has_calls(&self) -> bool {
        self.book.borrow().calls.values().any(|call| call.finish.is_some())
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.book.borrow_mut().limits = limits;
    }

    pub(crate) fn set_patience(&self, patience: Duration) {
        self.book.borrow_mut().patience = Some(patience);
    }

    pub(crate) fn patience(&self) -> Option<Duration> {
        self.book.borrow().patience
    }

    /// The connection is made.
    pub(crate) fn open(&self, conn: &Conn<Amp>) {
        let mut book = self.book.borrow_mut();
        conn.set_marks(conn.marks().at_most(book.limits.output_max));
        let encrypted = book.clear_end.take().map(|end| book.held.split_off(end));
        conn.write(&mem::take(&mut book.held));
        book.conn = Some(conn.clone());
        book.phase = match encrypted {
            Some(encrypted) => {
                book.held = encrypted;
                Phase::Encrypting
            }
            None if book.is_switching() => Phase::Locked,
            None => Phase::Open,
        };
        let now = conn.now();
        let mut waiting = Vec::new();
        for (tag, call) in &mut book.calls {
            if let Due::After(limit) = call.due {
                let at = now.saturating_add(limit);
                call.due = Due::At(at);
                waiting.push((at, *tag));
            }
        }
        book.deadlines.extend(waiting);
        book.arm();
    }

    /// Sends a request; the answer is its tag.
    pub(crate) fn request(
        &self,
        name: &str,
        manner: Manner,
        arguments: &impl Record,
    ) -> Result<u64, CallError> {
        let mut book = self.book.borrow_mut();
        let is_full = book.held.len() as u64 > book.limits.output_max;
        if is_full || (manner != Manner::Tell && book.calls.len() >= book.limits.calls_max) {
            return Err(CallError::TooMany);
        }
        let is_blocked = match &book.phase {
            Phase::Early => book.is_switching(),
            Phase::Open | Phase::Encrypting if book.conn.as_ref().is_some_and(Conn::is_closing) => {
                return Err(CallError::Lost(Disconnect::Closed));
            }
            Phase::Open | Phase::Encrypting => false,
            Phase::Locked => true,
            Phase::Over(why) => return Err(why.clone()),
        };
        if is_blocked {
            return Err(CallError::Switched);
        }
        if manner == Manner::AskToEncrypt && book.is_encrypted() {
            return Err(CallError::OnlyOneTls);
        }
        let tag = book.last_tag + 1;
        book.put(|writer| {
            if manner != Manner::Tell {
                let mut digits = [0; 16];
                writer.raw(key::ASK, hex(tag, &mut digits));
            }
            writer.raw(key::COMMAND, name.as_bytes());
            arguments.put(writer);
        })
        .map_err(CallError::BadArgument)?;
        book.last_tag = tag;
        match (manner, &book.phase) {
            (Manner::AskToSwitch, Phase::Open) => book.phase = Phase::Locked,
            (Manner::AskToEncrypt, Phase::Open) => book.phase = Phase::Encrypting,
            (Manner::AskToEncrypt, _) => book.clear_end = Some(book.held.len()),
            _ => (),
        }
        book.has_tls |= manner == Manner::AskToEncrypt;
        Ok(tag)
    }

    /// Waits for the answer to a request.
    pub(crate) fn wait(&self, tag: u64, limit: Option<Duration>, manner: Manner, finish: Finish) {
        let mut book = self.book.borrow_mut();
        let due = match (limit, &book.conn) {
            (None, _) => Due::Never,
            (Some(limit), None) => Due::After(limit),
            (Some(limit), Some(conn)) => Due::At(conn.now().saturating_add(limit)),
        };
        book.calls.insert(tag, Call { finish: Some(finish), due, manner });
        if let Due::At(at) = due {
            book.deadlines.insert((at, tag));
            book.arm();
        }
    }

    /// Sends an answer or an error. While a switch is asked for, it is held.
    pub(crate) fn reply(&self, fill: impl Fn(&mut BoxWriter<'_>)) -> Result<(), BadField> {
        let mut book = self.book.borrow_mut();
        match book.phase {
            Phase::Over(_) => Ok(()),
            Phase::Early | Phase::Open | Phase::Locked | Phase::Encrypting => book.put(fill),
        }
    }

    /// The peer answered, or says that it does not.
    pub(crate) fn settle(
        &self,
        tag: &[u8],
        ending: Ending<'_>,
    ) -> Result<Option<Handover>, BadBox> {
        let mut book = self.book.borrow_mut();
        let number = from_hex(tag).ok_or(BadBox::UnknownTag)?;
        let call = book.calls.remove(&number).ok_or(BadBox::UnknownTag)?;
        if let Due::At(at) = call.due {
            book.deadlines.remove(&(at, number));
        }
        let is_answer = matches!(ending, Ending::Answer(_));
        match call.manner {
            Manner::AskToSwitch if is_answer => book.phase = Phase::Over(CallError::Switched),
            Manner::AskToSwitch if matches!(book.phase, Phase::Locked) => book.unlock(),
            Manner::AskToEncrypt if !is_answer => book.phase = Phase::Over(CallError::NotEncrypted),
            _ => (),
        }
        // What the peer does next can be answered by a handover only; and nothing that was to be
        // encrypted goes out in the clear.
        let must_hand_over = match call.manner {
            Manner::AskToSwitch => is_answer,
            Manner::AskToEncrypt => true,
            Manner::Ask | Manner::Tell => false,
        };
        let conn = book.conn.clone();
        drop(book);
        let handover = call.finish.and_then(|finish| finish(ending));
        if let Some(conn) = conn.filter(|_| must_hand_over && handover.is_none()) {
            conn.close();
        }
        Ok(handover)
    }

    /// The connection encrypts from here on: what waited for that is sent.
    pub(crate) fn encrypted(&self) {
        let mut book = self.book.borrow_mut();
        if matches!(book.phase, Phase::Encrypting) {
            book.unlock();
        }
    }

    /// The peer wants to encrypt. False if that was asked for before, by either side.
    pub(crate) fn take_tls(&self) -> bool {
        let mut book = self.book.borrow_mut();
        !book.is_encrypted() && !mem::replace(&mut book.has_tls, true)
    }

    /// What the peer wanted to encrypt is not to be: it may ask again.
    pub(crate) fn refuse_tls(&self) {
        self.book.borrow_mut().has_tls = false;
    }

    /// Whether this side has asked to encrypt and has no answer.
    pub(crate) fn is_encrypting(&self) -> bool {
        matches!(self.book.borrow().phase, Phase::Encrypting)
    }

    /// Nobody wants the answer to this call any more.
    pub(crate) fn forget(&self, tag: u64) {
        let finish = self.give_up(tag);
        // Dropped where nothing is borrowed: what hangs on it may do anything.
        drop(finish);
    }

    /// Nobody wants the connection any more that was to be encrypted.
    pub(crate) fn give_up_tls(&self, tag: u64) {
        self.forget(tag);
        if let Some(conn) = self.conn() {
            conn.close();
        }
    }

    fn give_up(&self, tag: u64) -> Option<Finish> {
        let mut book = self.book.borrow_mut();
        let call = book.calls.get_mut(&tag)?;
        let (finish, due, manner) = (call.finish.take(), call.due, call.manner);
        if let Due::At(at) = due {
            book.deadlines.remove(&(at, tag));
        }
        if manner.changes()
            && let Some(conn) = &book.conn
        {
            // The peer may switch at any moment, and nobody here would take the connection.
            conn.close();
        }
        finish
    }

    /// Ends the calls that have run out of time.
    fn expire(&self, now: Duration) {
        self.book.borrow_mut().alarm = None;
        loop {
            let first = self.book.borrow().deadlines.first().copied();
            let Some((_, tag)) = first.filter(|(due, _)| *due <= now) else { break };
            if let Some(finish) = self.give_up(tag) {
                finish(Ending::Failed(CallError::TimedOut));
            }
        }
        self.book.borrow_mut().arm();
    }

    /// From now on nothing is sent, for this reason. The first reason stays.
    pub(crate) fn doom(&self, why: CallError) {
        let mut book = self.book.borrow_mut();
        if !matches!(book.phase, Phase::Over(_)) {
            book.phase = Phase::Over(why);
        }
    }

    /// The connection is over: so is every call.
    pub(crate) fn end(&self, why: CallError) {
        self.doom(why.clone());
        let mut book = self.book.borrow_mut();
        let why = if let Phase::Over(why) = &book.phase { why.clone() } else { why };
        let conn = book.conn.take();
        let mut calls: Vec<_> = mem::take(&mut book.calls).into_iter().collect();
        book.deadlines.clear();
        book.held = Vec::new();
        drop(book);
        drop(conn);
        calls.sort_unstable_by_key(|(tag, _)| *tag);
        for finish in calls.into_iter().filter_map(|(_, call)| call.finish) {
            finish(Ending::Failed(why.clone()));
        }
    }
}

impl Book {
    fn is_switching(&self) -> bool {
        self.calls.values().any(|call| call.manner == Manner::AskToSwitch)
    }

    fn is_encrypted(&self) -> bool {
        self.has_tls || self.conn.as_ref().is_some_and(|conn| conn.tls().is_some())
    }

    /// Writes a box, to the connection or where boxes are held.
    fn put(&mut self, fill: impl Fn(&mut BoxWriter<'_>)) -> Result<(), BadField> {
        let mut probe = DescriptorsOut::probe();
        let written = self.put_plainly(|out| {
            let mut writer = BoxWriter::beside(out, Some(&mut probe));
            fill(&mut writer);
            writer.finish()
        });
        if probe.is_wanted() { self.put_passing(fill) } else { written }
    }

    /// Writes a box that has descriptors beside it, which go before its first byte.
    fn put_passing(&mut self, fill: impl Fn(&mut BoxWriter<'_>)) -> Result<(), BadField> {
        let conn = self.conn.clone().filter(|_| matches!(self.phase, Phase::Open));
        let (most, refusal) = match &conn {
            None => (0, CannotPass::NotOpen),
            Some(conn) if !conn.passes_descriptors() => (0, CannotPass::Unsupported),
            Some(conn) => {
                let waiting = conn.descriptors_waiting();
                (DESCRIPTORS_WAITING_MAX.saturating_sub(waiting), CannotPass::TooMany)
            }
        };
        let mut beside = DescriptorsOut::at_most(most, refusal, self.passed);
        let mut bytes = Vec::new();
        let mut writer = BoxWriter::beside(&mut bytes, Some(&mut beside));
        fill(&mut writer);
        writer.finish()?;
        let descriptors = beside.into_descriptors();
        self.passed += descriptors.len() as u64;
        if let Some(conn) = conn {
            // Where nothing is sent any more, nothing is passed either.
            let sent = descriptors.into_iter().try_for_each(|open| conn.send_descriptor(open));
            if sent.is_ok() {
                conn.write(&bytes);
            }
        }
        Ok(())
    }

    fn put_plainly(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), BadField>,
    ) -> Result<(), BadField> {
        match (&self.phase, &self.conn) {
            (Phase::Open, Some(conn)) => {
                let mut written = Ok(());
                conn.write_with(|out| written = write(out));
                written
            }
            (_, conn) => {
                let written = write(&mut self.held);
                let is_too_much = self.held.len() as u64 > self.limits.output_max;
                if let Some(conn) = conn.as_ref().filter(|_| is_too_much) {
                    conn.abort();
                }
                written
            }
        }
    }

    /// Goes on sending.
    fn unlock(&mut self) {
        self.phase = Phase::Open;
        if let Some(conn) = &self.conn {
            conn.write(&mem::take(&mut self.held));
        }
    }

    /// Sees to it that the first deadline is not missed.
    fn arm(&mut self) {
        let (Some(conn), Some(&(first, _))) = (&self.conn, self.deadlines.first()) else { return };
        let delay = first.saturating_sub(conn.now());
        match self.alarm {
            // An alarm that comes too early finds nothing, and sets itself again.
            Some((_, at)) if at <= first => (),
            Some((alarm, _)) if conn.reset_call(alarm, delay) => self.alarm = Some((alarm, first)),
            _ => {
                let alarm = conn.call_later(delay, |amp, conn| amp.link().expire(conn.now()));
                self.alarm = Some((alarm, first));
            }
        }
    }
}

/// A number in lower-case hexadecimal digits, without zeros in front.
fn hex(number: u64, digits: &mut [u8; 16]) -> &[u8] {
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            return &digits[at..];
        }
    }
}

/// The number that [`hex`] writes like this.
fn from_hex(tag: &[u8]) -> Option<u64> {
    if tag.len() > 16 || !matches!(tag, [b'1'..=b'9' | b'a'..=b'f', ..]) {
        return None;
    }
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(u64::from(byte - b'0')),
        b'a'..=b'f' => Some(u64::from(byte - b'a') + 10),
        _ => None,
    };
    tag.iter().try_fold(0, |number, byte| Some(number << 4 | digit(byte)?))
}
