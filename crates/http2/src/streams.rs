//! The streams of a connection that are not over (RFC 9113 5.1).

use std::collections::VecDeque;

use crate::frame::StreamId;
use crate::priority::Priority;

/// How many streams that this end reset are remembered: what the peer had sent before it heard is
/// no fault of its own. As many as are open at a time by default.
const RESET_MAX: usize = 128;

/// What may still come for a stream that this end reset.
#[derive(Debug)]
pub(crate) struct Late {
    id: StreamId,
    /// Octets that the peer was allowed to send when it was reset.
    window: i64,
    /// Header sections that are read for nothing.
    sections: u32,
}

/// A stream that is open, or half closed.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one step that an end has taken, in any order"
)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    /// What this end may send still; negative where the peer took some of it back.
    pub(crate) send_window: i64,
    /// What the peer may send still.
    pub(crate) receive_window: i64,
    /// What came and was not dealt with.
    pub(crate) unreleased: u32,
    /// What was dealt with and the peer was not told of.
    pub(crate) credit: u32,
    /// This end has said all.
    pub(crate) is_sent: bool,
    /// The peer has said all.
    pub(crate) is_received: bool,
    /// The message's head came, so that fields are trailers.
    pub(crate) has_head: bool,
    /// What came is not looked at.
    pub(crate) is_dropped: bool,
    /// The answer has no body, whatever its fields say.
    pub(crate) is_bodiless: bool,
    /// What is to come of a body of known length.
    pub(crate) left: Option<u64>,
    pub(crate) priority: Priority,
    /// There is something to send.
    pub(crate) wants_to_send: bool,
    /// When its turn was, among streams that share.
    pub(crate) turn: u32,
}

/// All of them, by number. Empty, it owns nothing but what is known of those that were reset, and of
/// those that are yet to be opened.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    live: VecDeque<Stream>,
    reset: VecDeque<Late>,
    /// How streams are preferred that the peer has not opened yet.
    #[expect(clippy::box_collection, reason = "hardly any has one, and each idle connection pays")]
    early: Option<Box<Vec<(StreamId, Priority)>>>,
}

impl Streams {
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.live.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.live.iter()
    }

    /// Numbers only grow, so the newest goes last.
    pub(crate) fn add(&mut self, stream: Stream) {
        self.live.push_back(stream);
    }

    #[inline]
    fn place(&self, id: StreamId) -> Option<usize> {
        // Mostly it is the newest that is meant.
        let last = self.live.len().checked_sub(1)?;
        if self.live[last].id == id {
            return Some(last);
        }
        self.live.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.live.get(self.place(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let place = self.place(id)?;
        self.live.get_mut(place)
    }

    pub(crate) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let place = self.place(id)?;
        if place + 1 < self.live.len() {
            return self.live.remove(place);
        }
        let stream = self.live.pop_back();
        if self.live.is_empty() {
            self.live = VecDeque::new();
        }
        stream
    }

    /// Keeps how a stream is preferred that is yet to be opened, in place of what was said of it before;
    /// whether no more than `max` streams are open or spoken of so.
    pub(crate) fn prefer_early(&mut self, id: StreamId, priority: Priority, max: usize) -> bool {
        let live = self.live.len();
        let early = self.early.get_or_insert_default();
        if let Some((_, before)) = early.iter_mut().find(|(early, _)| *early == id) {
            *before = priority;
            return true;
        }
        let has_room = early.len() + live < max;
        if has_room {
            early.push((id, priority));
        }
        has_room
    }

    /// How a stream is preferred that is opened now, where that was said before; with it go those that
    /// are passed over.
    pub(crate) fn take_early(&mut self, id: StreamId) -> Option<Priority> {
        let early = self.early.as_mut()?;
        let found = early.iter().find(|(early, _)| *early == id).map(|(_, priority)| *priority);
        early.retain(|(early, _)| *early > id);
        if early.is_empty() {
            self.early = None;
        }
        found
    }

    /// Remembers that this end reset a stream, on which `window` octets and so many header sections
    /// may be under way.
    pub(crate) fn remember(&mut self, id: StreamId, window: i64, sections: u32) {
        if self.reset.len() == RESET_MAX {
            self.reset.pop_front();
        }
        self.reset.push_back(Late { id, window, sections });
    }

    fn late(&mut self, id: StreamId) -> Option<&mut Late> {
        self.reset.iter_mut().rev().find(|late| late.id == id)
    }

    /// Takes `len` octets that came for a stream that this end reset; whether they were allowed, and
    /// `None` where nothing is known of such a stream.
    pub(crate) fn take_late_data(&mut self, id: StreamId, len: u32) -> Option<bool> {
        let late = self.late(id)?;
        late.window -= i64::from(len);
        Some(late.window >= 0)
    }

    /// Takes a header section that came for a stream that this end reset; whether it may come.
    pub(crate) fn take_late_section(&mut self, id: StreamId) -> bool {
        let Some(late) = self.late(id) else { return false };
        let is_allowed = late.sections > 0;
        late.sections = late.sections.saturating_sub(1);
        is_allowed
    }

    /// The peer has ended a stream that this end reset: nothing more is to come. Whether there was one.
    pub(crate) fn forget(&mut self, id: StreamId) -> bool {
        let Some(place) = self.reset.iter().rposition(|late| late.id == id) else { return false };
        self.reset.remove(place);
        if self.reset.is_empty() {
            self.reset = VecDeque::new();
        }
        true
    }

    pub(crate) fn remembers(&self) -> bool {
        !self.reset.is_empty()
    }

    /// Forgets all of them.
    pub(crate) fn forget_all(&mut self) {
        self.reset = VecDeque::new();
    }

    /// What is allocated for streams, and for those that were reset, in octets.
    pub(crate) fn memory(&self) -> (usize, usize) {
        let live = self.live.capacity() * size_of::<Stream>();
        let early = |early: &Vec<_>| {
            size_of_val(early) + early.capacity() * size_of::<(StreamId, Priority)>()
        };
        let early = self.early.as_deref().map_or(0, early);
        (live + early, self.reset.capacity() * size_of::<Late>())
    }

    /// The stream whose turn it is to send: the most urgent; among those the ones that go one after
    /// another before those that share (RFC 9218 10).
    pub(crate) fn next_sender(&self) -> Option<StreamId> {
        self.live
            .iter()
            .filter(|stream| stream.wants_to_send && stream.send_window > 0)
            .min_by_key(|stream| {
                let Priority { urgency, is_incremental } = stream.priority;
                (urgency, is_incremental, if is_incremental { stream.turn } else { 0 }, stream.id)
            })
            .map(|stream| stream.id)
    }
}
