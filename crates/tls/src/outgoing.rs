//! Output on its way into records.

use std::cell::Cell;
use std::io;

use ropewalk_protocol::{Below, Disconnect, Outbox};

use crate::sealed::{Sealed, Spares};
use crate::session::{RECORD_MAX, Session};
use crate::{Reason, Tls, TlsError};

/// How much may be encrypted ahead of what the transport takes, in bytes: the rest stays plaintext,
/// and files stay files, until there is room. A protocol that stops at its high mark has mostly written one
/// record more than that, which then leaves with the others.
pub(crate) const AHEAD_MAX: u64 = 80 * 1024;

/// From how much plaintext on records have memory of their own, which need not be cleared: less would
/// leave too much of it unused while it waits.
const OWN_MIN: u64 = RECORD_MAX as u64;

/// How little, in bytes, is not left behind for want of room: whole records that follow would have to be put
/// together with it, one after the other.
const SCRAP_MAX: u64 = 1024;

/// What the protocol wrote and nobody has encrypted yet.
#[derive(Default)]
pub(crate) struct Outgoing {
    waiting: Option<Box<Outbox>>,
}

impl Outgoing {
    pub(crate) fn len(&self) -> u64 {
        self.waiting.as_ref().map_or(0, |waiting| waiting.len())
    }

    pub(crate) fn add(&mut self, mut out: Box<Outbox>) {
        match &mut self.waiting {
            Some(waiting) => waiting.append(&mut out),
            None => self.waiting = Some(out),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.waiting = None;
    }

    /// Encrypts as far as there is room.
    pub(crate) fn send(
        &mut self,
        session: &mut dyn Session,
        rest: &mut [u8],
        below: &Below<Tls>,
        gathered: &Cell<Vec<u8>>,
        spares: &Spares,
    ) -> Result<(), Disconnect> {
        while let Some(waiting) = &mut self.waiting {
            if waiting.is_empty() {
                if let Some(used) = self.waiting.take() {
                    below.give_back(used);
                }
                return Ok(());
            }
            let room = AHEAD_MAX.saturating_sub(below.waiting()) as usize;
            if room == 0 {
                return Ok(());
            }
            // Whole records, and at least one.
            let room = (room / RECORD_MAX).max(1) * RECORD_MAX;
            let length = waiting.len().min(room as u64 + SCRAP_MAX);
            let mut fill = |out: &mut Sealed| seal(waiting, room, session, rest, gathered, out);
            if length >= OWN_MIN {
                let mut records = spares.take(length as usize + RECORD_MAX);
                let sealed = fill(&mut records);
                below.write_bytes(spares.leaving(records));
                sealed?;
            } else {
                let mut sealed = Ok(());
                below.write_with(|out| {
                    let mut records = Sealed::behind(std::mem::take(out));
                    sealed = fill(&mut records);
                    *out = records.into_vec();
                });
                sealed?;
            }
        }
        Ok(())
    }
}

/// Encrypts what comes first, at most `room` bytes of it, and takes it off.
fn seal(
    waiting: &mut Outbox,
    room: usize,
    session: &mut dyn Session,
    rest: &mut [u8],
    gathered: &Cell<Vec<u8>>,
    out: &mut Sealed,
) -> Result<(), Disconnect> {
    let mut left = room;
    while !waiting.is_empty() && (left >= RECORD_MAX || waiting.len() <= SCRAP_MAX) {
        let whole = (left / RECORD_MAX).max(1) * RECORD_MAX;
        let sent = piece(waiting, whole, gathered, |plaintext| session.send(plaintext, rest, out))
            .map_err(|error| Disconnect::from(&error))?
            .map_err(|reason| TlsError::from(reason).disconnect())?;
        waiting.advance(sent as u64);
        left = left.saturating_sub(sent);
    }
    Ok(())
}

/// Lets `send` have what comes first, at most `room` bytes of it; answers how much that was.
fn piece(
    waiting: &Outbox,
    room: usize,
    lent: &Cell<Vec<u8>>,
    send: impl FnOnce(&[u8]) -> Result<(), Reason>,
) -> io::Result<Result<usize, Reason>> {
    let front = waiting.front();
    if waiting.front_file().is_none() && (waiting.is_one_slice() || front.len() >= RECORD_MAX) {
        let plaintext = &front[..front.len().min(room)];
        return Ok(send(plaintext).map(|()| plaintext.len()));
    }
    let mut gathered = lent.take();
    gathered.clear();
    let outcome = match waiting.front_file() {
        Some(slice) => slice.read_into(room, &mut gathered),
        None => {
            gather(waiting, &mut gathered);
            Ok(())
        }
    };
    let outcome = outcome.map(|()| send(&gathered).map(|()| gathered.len()));
    lent.set(gathered);
    outcome
}

/// Puts the beginning together, up to one record or the next file.
fn gather(waiting: &Outbox, gathered: &mut Vec<u8>) {
    /// How many pieces are looked at: more than fill a record, where they are worth sharing.
    const PIECES_MAX: usize = 8;
    let mut slices = [io::IoSlice::new(&[]); PIECES_MAX];
    let count = waiting.gather(&mut slices);
    for slice in &slices[..count] {
        let left = RECORD_MAX - gathered.len();
        gathered.extend_from_slice(&slice[..slice.len().min(left)]);
    }
}
