//! Which promises of a thread have not been fired.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How many links of a chain are followed to its end.
const LINKS_MAX: usize = 1_000;

/// A place on a thread's list; nought is none.
pub(crate) type Ticket = u32;

/// A node of a chain, as it is told of.
pub(crate) trait Node {
    fn created(&self) -> &'static Location<'static>;

    /// The node that its result goes to, as far as that is known.
    fn next(&self) -> Option<Rc<dyn Node>>;
}

/// A deferred that has no result yet: what [`unfired`] tells of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Unfired {
    /// Where it was made.
    pub made_at: &'static Location<'static>,
    /// Where the last link was added to it, if any was: who waits for it.
    pub heard_at: Option<&'static Location<'static>>,
    /// How long ago it was made, by the clock of [`follow_unfired`].
    pub age: Duration,
}

impl fmt::Display for Unfired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a deferred without a result for {:?}", self.age)?;
        if let Some(place) = self.heard_at {
            write!(f, ", listened to at {place}")?;
        }
        write!(f, ", made at {}", self.made_at)
    }
}

struct Entry {
    node: Weak<dyn Node>,
    since: Duration,
}

enum Place {
    Taken(Entry),
    /// The next free place, if any.
    Free(Ticket),
}

struct List {
    clock: Option<Box<dyn Fn() -> Duration>>,
    places: Vec<Place>,
    /// The first free place.
    free: Ticket,
}

thread_local! {
    static FOLLOWED: Cell<bool> = const { Cell::new(false) };
    static LIST: RefCell<List> = const {
        RefCell::new(List { clock: None, places: Vec::new(), free: 0 })
    };
}

/// Keeps a list of this thread's deferreds that have no result, from now on; `clock` tells their age.
///
/// That there could be a list costs a deferred about twenty instructions, that there is one a hundred more (a
/// deferred that is made and fired costs about 370). Called again, the clock is replaced and the list goes on.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_deferred::{deferred, follow_unfired, unfired};
///
/// assert!(unfired().is_none(), "nobody has asked for a list");
/// follow_unfired(|| Duration::ZERO);
/// let (promise, answer) = deferred::<u32>();
/// let waiting = unfired().unwrap();
/// assert_eq!(waiting.len(), 1);
/// assert_eq!(waiting[0].made_at.file(), file!());
/// promise.succeed(1);
/// assert!(unfired().unwrap().is_empty());
/// # drop(answer);
/// ```
pub fn follow_unfired(clock: impl Fn() -> Duration + 'static) {
    // A thread on its way out has no list, and nobody who reads it.
    let before = LIST.try_with(|list| list.borrow_mut().clock.replace(Box::new(clock)));
    drop(before);
    let _ = FOLLOWED.try_with(|followed| followed.set(true));
}

/// Ends what [`follow_unfired`] began.
pub fn unfollow_unfired() {
    let _ = FOLLOWED.try_with(|followed| followed.set(false));
    // Those that are on the list leave their places as they are fired.
    let before = LIST.try_with(|list| list.borrow_mut().clock.take());
    drop(before);
}

/// This thread's deferreds that were made since [`follow_unfired`] and have no result yet, the oldest first;
/// nothing where nobody called that.
pub fn unfired() -> Option<Vec<Unfired>> {
    let told = LIST.try_with(|list| {
        let list = list.borrow();
        let now = list.clock.as_ref()?();
        let taken = |place: &Place| match place {
            Place::Taken(entry) => Some((entry.node.upgrade()?, entry.since)),
            Place::Free(_) => None,
        };
        Some((now, list.places.iter().filter_map(taken).collect::<Vec<_>>()))
    });
    let (now, mut nodes) = told.ok()??;
    nodes.sort_by_key(|(_, since)| *since);
    let tell = |(node, since): (Rc<dyn Node>, Duration)| {
        let made_at = node.created();
        let mut heard_at = None;
        let mut next = node.next();
        for _ in 0..LINKS_MAX {
            let Some(link) = next else { break };
            heard_at = Some(link.created());
            next = link.next();
        }
        Unfired { made_at, heard_at, age: now.saturating_sub(since) }
    };
    Some(nodes.into_iter().map(tell).collect())
}

#[inline]
pub(crate) fn is_followed() -> bool {
    FOLLOWED.try_with(Cell::get).unwrap_or(false)
}

/// Puts a node on the list.
#[inline(never)]
pub(crate) fn enter(node: Weak<dyn Node>) -> Ticket {
    let entered = LIST.try_with(|list| {
        let Ok(mut list) = list.try_borrow_mut() else { return 0 };
        let Some(clock) = &list.clock else { return 0 };
        let entry = Entry { node, since: clock() };
        let ticket = list.free;
        let at = (ticket as usize).wrapping_sub(1);
        match list.places.get(at) {
            Some(Place::Free(next)) => {
                list.free = *next;
                list.places[at] = Place::Taken(entry);
                ticket
            }
            _ => {
                // A list too long for its tickets tells of no more.
                let Ok(ticket) = Ticket::try_from(list.places.len() + 1) else { return 0 };
                list.places.push(Place::Taken(entry));
                ticket
            }
        }
    });
    entered.unwrap_or(0)
}

/// Takes a node off the list.
#[inline(never)]
pub(crate) fn leave(ticket: Ticket) {
    let left = LIST.try_with(|list| {
        let mut list = list.try_borrow_mut().ok()?;
        let free = list.free;
        let place = list.places.get_mut((ticket as usize).wrapping_sub(1))?;
        let left = std::mem::replace(place, Place::Free(free));
        list.free = ticket;
        Some(left)
    });
    drop(left);
}
