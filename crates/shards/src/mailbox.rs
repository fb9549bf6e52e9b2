//! Messages from any thread to one reactor.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use ropewalk_deferred::{Failure, Panicked};
use ropewalk_reactor::Reactor;

/// A bounded queue of messages of one type, from any thread to one reactor. Clones are the same queue.
///
/// However many messages are sent before the reactor looks, it is woken once.
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use ropewalk_reactor::Reactor;
/// use ropewalk_shards::Mailbox;
///
/// let reactor = Reactor::new()?;
/// let mailbox = Mailbox::new(16);
/// let (sender, stopper) = (mailbox.clone(), reactor.clone());
/// let heard = Rc::new(RefCell::new(Vec::new()));
/// let hears = Rc::clone(&heard);
/// mailbox.deliver(&reactor, move |word: &str| {
///     hears.borrow_mut().push(word);
///     stopper.stop();
/// });
/// let other = std::thread::spawn(move || sender.send("hello"));
/// reactor.run()?;
/// assert_eq!(*heard.borrow(), ["hello"]);
/// other.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Mailbox<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    bound: usize,
    queue: Mutex<Queue<M>>,
}

struct Queue<M> {
    messages: VecDeque<M>,
    /// Who looks, once somebody does.
    reader: Option<Waker>,
    is_closed: bool,
}

impl<M> Mailbox<M> {
    /// A mailbox for so many messages that nobody has looked at yet.
    pub fn new(bound: usize) -> Self {
        let queue = Queue { messages: VecDeque::new(), reader: None, is_closed: false };
        Self { shared: Arc::new(Shared { bound, queue: Mutex::new(queue) }) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<M>> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many messages nobody has looked at yet.
    pub fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Whether all messages have been looked at.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends a message. One that comes before anybody [looks](Self::deliver) waits.
    ///
    /// # Errors
    ///
    /// If as many wait already as may, or the mailbox is closed; the message is given back.
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        let mut queue = self.lock();
        if queue.is_closed {
            return Err(SendError { message, why: Unsent::Closed });
        }
        if queue.messages.len() >= self.shared.bound {
            return Err(SendError { message, why: Unsent::Full(self.shared.bound) });
        }
        queue.messages.push_back(message);
        // Who was woken before has not looked yet.
        let reader = if queue.messages.len() == 1 { queue.reader.take() } else { None };
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Takes no more messages, and gives back what nobody has looked at.
    pub fn close(&self) -> Vec<M> {
        let mut queue = self.lock();
        queue.is_closed = true;
        let (left, reader) = (std::mem::take(&mut queue.messages), queue.reader.take());
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
        left.into()
    }
}

impl<M: 'static> Mailbox<M> {
    /// Calls `told` on the reactor with each message, in order. A panic in it is logged, and the next
    /// message comes all the same. It ends when the mailbox is closed or the reactor stops; a mailbox is
    /// for one reactor.
    #[track_caller]
    pub fn deliver(&self, reactor: &Reactor, told: impl FnMut(M) + 'static) {
        let (mailbox, mut told) = (self.clone(), told);
        let looking = reactor.spawn(poll_fn(move |context| {
            let mut queue = mailbox.lock();
            let messages = std::mem::take(&mut queue.messages);
            if !queue.is_closed {
                queue.reader = Some(context.waker().clone());
            }
            let is_closed = queue.is_closed;
            drop(queue);
            for message in messages {
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| told(message))) {
                    let panicked = Panicked::from_payload(&*payload);
                    tracing::error!(target: "ropewalk::shards", "who reads a message {panicked}");
                }
            }
            if is_closed { Poll::Ready(Ok::<_, Failure>(())) } else { Poll::Pending }
        }));
        // A reactor that stops gives its tasks up, which is no failure here.
        looking.on_result(drop);
    }
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("waiting", &self.len()).finish_non_exhaustive()
    }
}

/// A message that was not sent.
pub struct SendError<M> {
    /// The message.
    pub message: M,
    /// Why not.
    pub why: Unsent,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsent {
    /// So many wait already, and no more may.
    Full(usize),
    /// Nobody will look any more.
    Closed,
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Unsent::Full(bound) => write!(f, "{bound} messages wait already, and no more may"),
            Unsent::Closed => f.write_str("nobody looks at messages any more"),
        }
    }
}

impl<M> Error for SendError<M> {}
