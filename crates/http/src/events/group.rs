use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;

use super::{Event, EventOptions, EventSender, Slow, last_event_id};
use crate::{IntoReply as _, Reply, Request, SendError};

/// How many clients a group has at most unless told otherwise.
const MEMBERS_MAX: usize = 65_536;

/// How many clients an event went to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reached {
    /// To so many.
    pub to: usize,
    /// So many missed it for being slow.
    pub missed: usize,
    /// So many were cut off for being slow.
    pub cut: usize,
}

/// Clients that are told the same. Clones are the same group.
///
/// An event is encoded once, however many they are.
#[derive(Clone)]
pub struct EventGroup {
    shared: Rc<Shared>,
}

struct Shared {
    options: Cell<EventOptions>,
    members_max: Cell<usize>,
    members: RefCell<Vec<EventSender>>,
    /// From how many members on it is looked who is gone.
    sweep_at: Cell<usize>,
    kept: RefCell<Kept>,
}

/// Events for those who come back.
#[derive(Default)]
struct Kept {
    most: usize,
    bytes_max: usize,
    bytes: usize,
    events: VecDeque<(String, Bytes)>,
}

impl Default for EventGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl EventGroup {
    /// A group without anybody in it.
    pub fn new() -> Self {
        let shared = Shared {
            options: Cell::default(),
            members_max: Cell::new(MEMBERS_MAX),
            members: RefCell::default(),
            sweep_at: Cell::new(16),
            kept: RefCell::default(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// The same; who joins from now on is sent events so.
    pub fn options(self, options: EventOptions) -> Self {
        self.shared.options.set(options);
        self
    }

    /// The same; with so many clients, the next is answered 503.
    pub fn members_max(self, most: usize) -> Self {
        self.shared.members_max.set(most);
        self
    }

    /// The same; the last `most` events that have an id are kept, up to `bytes` in all. A client that comes
    /// back and names one of them gets those that followed it; one that names another gets all of them.
    pub fn keeping(self, most: usize, bytes: usize) -> Self {
        let mut kept = self.shared.kept.borrow_mut();
        (kept.most, kept.bytes_max) = (most, bytes);
        drop(kept);
        self
    }

    /// The endless answer to a client that joins.
    pub fn join(&self, request: &Request) -> Reply {
        let shared = &*self.shared;
        let mut members = shared.members.borrow_mut();
        if members.len() >= shared.sweep_at.get().min(shared.members_max.get()) {
            members.retain(|member| !member.is_gone());
            shared.sweep_at.set((members.len() * 2).max(16));
        }
        if members.len() >= shared.members_max.get() {
            return StatusCode::SERVICE_UNAVAILABLE.into_reply();
        }
        let (member, answer) = EventSender::open(request, shared.options.get());
        if let Some(last) = last_event_id(request)
            && let Some(missed) = shared.kept.borrow().after(last)
            // In one piece, which is taken however long it is: what is kept has its own bound.
            && let Err(error) = member.send_encoded(missed)
        {
            tracing::debug!(target: "ropewalk::http", "events were not sent again: {error}");
        }
        members.push(member);
        answer.into_reply()
    }

    /// Tells all of them of an event.
    pub fn send(&self, event: &Event) -> Reached {
        let encoded = event.encode();
        if let Some(id) = event.id() {
            self.shared.kept.borrow_mut().keep(id, &encoded);
        }
        let mut reached = Reached::default();
        let is_cut = self.shared.options.get().slow == Slow::Cut;
        // Out of the group meanwhile: whoever is told may join or send in turn.
        let mut members = self.shared.members.take();
        members.retain(|member| match member.send_encoded(encoded.clone()) {
            Ok(()) => {
                reached.to += 1;
                true
            }
            Err(SendError::Full { .. }) if is_cut => {
                reached.cut += 1;
                false
            }
            Err(SendError::Full { .. }) => {
                reached.missed += 1;
                true
            }
            Err(SendError::Gone) => false,
        });
        let joined = self.shared.members.replace(members);
        self.shared.members.borrow_mut().extend(joined);
        reached
    }

    /// How many clients there are; some may be gone without its having been noticed.
    pub fn len(&self) -> usize {
        self.shared.members.borrow().len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends all streams. Who joins later is told again.
    pub fn finish(&self) {
        drop(self.shared.members.take());
    }
}

impl Kept {
    fn keep(&mut self, id: &str, event: &Bytes) {
        if self.most == 0 || event.len() > self.bytes_max {
            // What cannot be kept breaks the chain: nobody can be told all that followed.
            self.events.clear();
            self.bytes = 0;
            return;
        }
        self.bytes += event.len();
        self.events.push_back((id.to_owned(), event.clone()));
        while self.events.len() > self.most || self.bytes > self.bytes_max {
            if let Some((_, oldest)) = self.events.pop_front() {
                self.bytes -= oldest.len();
            }
        }
    }

    /// What followed the event `last`, in one piece; all that is kept where it is not.
    fn after(&self, last: &str) -> Option<Bytes> {
        let found = self.events.iter().rposition(|(id, _)| id == last);
        let missed = self.events.iter().skip(found.map_or(0, |place| place + 1));
        let missed: Vec<u8> = missed.flat_map(|(_, event)| event.iter().copied()).collect();
        (!missed.is_empty()).then(|| missed.into())
    }
}

impl fmt::Debug for EventGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventGroup").field("members", &self.len()).finish_non_exhaustive()
    }
}
