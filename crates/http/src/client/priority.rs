use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use ropewalk_http2::Priority;

/// How a request is to be preferred to others on its connection (RFC 9218), while it is under way.
///
/// It goes out as the `Priority` field, in any version. Clones are the same. What is [set](Self::set) while an
/// answer is waited for is told to a server of HTTP/2 that has said that it goes by such priorities.
///
/// ```
/// # fn example(agent: &ropewalk_http::Agent) {
/// use ropewalk_http::{Priority, RequestPriority};
///
/// let image = RequestPriority::new(Priority { urgency: 5, is_incremental: true });
/// let answer = agent.get("https://example.org/image").priority(&image).send();
/// // It has come into view.
/// image.set(Priority { urgency: 1, is_incremental: true });
/// # drop(answer);
/// # }
/// ```
#[derive(Clone, Default)]
pub struct RequestPriority(Rc<Inner>);

/// Tells whoever carries the request.
type Tell = Box<dyn Fn(Priority)>;

#[derive(Default)]
struct Inner {
    priority: Cell<Priority>,
    tell: RefCell<Option<Tell>>,
}

impl RequestPriority {
    /// Begins with this one.
    pub fn new(priority: Priority) -> Self {
        Self(Rc::new(Inner { priority: Cell::new(priority), tell: RefCell::default() }))
    }

    /// What it is now.
    pub fn get(&self) -> Priority {
        self.0.priority.get()
    }

    /// Changes it. Where it goes out, it does so once the caller has returned.
    pub fn set(&self, priority: Priority) {
        let before = self.0.priority.replace(priority);
        if before != priority
            && let Some(tell) = &*self.0.tell.borrow()
        {
            tell(priority);
        }
    }

    /// Has whoever carries the request hear of changes, in place of who did before.
    pub(super) fn carried_by(&self, tell: impl Fn(Priority) + 'static) {
        self.0.tell.replace(Some(Box::new(tell)));
    }

    /// Nobody carries the request any more.
    pub(super) fn is_over(&self) {
        self.0.tell.replace(None);
    }
}

impl From<Priority> for RequestPriority {
    fn from(priority: Priority) -> Self {
        Self::new(priority)
    }
}

impl From<&RequestPriority> for RequestPriority {
    fn from(priority: &RequestPriority) -> Self {
        priority.clone()
    }
}

impl fmt::Debug for RequestPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestPriority").field(&self.get()).finish()
    }
}
