use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use ropewalk_deferred::{Deferred, Failure};

use super::Event;
use crate::server::{Endless, Place};
use crate::{Body, BodySender, Request, Response, SendError};

/// What is sent where nothing happens: a comment, which clients skip.
const COMMENT: &[u8] = b":\n\n";

/// What becomes of a client that reads more slowly than events come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slow {
    /// It misses events.
    Misses,
    /// It is cut off; browsers come back by themselves and say what they saw last.
    #[default]
    Cut,
}

/// How a client is sent events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventOptions {
    /// How many bytes may wait for a client that is slow, besides those in its connection; 64 KiB.
    pub waiting_max: usize,
    /// After how much silence a comment is sent, so that nobody between takes the stream for dead, and a
    /// client that is gone is noticed; 15 seconds.
    pub keep_alive: Option<Duration>,
    /// What becomes of a client that is slow; it is cut off.
    pub slow: Slow,
}

impl Default for EventOptions {
    fn default() -> Self {
        Self {
            waiting_max: 64 * 1024,
            keep_alive: Some(Duration::from_secs(15)),
            slow: Slow::default(),
        }
    }
}

impl EventOptions {
    /// The same with another bound of what waits.
    pub fn with_waiting_max(self, waiting_max: usize) -> Self {
        Self { waiting_max, ..self }
    }

    /// The same with another silence, or any length of it.
    pub fn with_keep_alive(self, keep_alive: Option<Duration>) -> Self {
        Self { keep_alive, ..self }
    }

    /// The same with another way to deal with slow clients.
    pub fn with_slow(self, slow: Slow) -> Self {
        Self { slow, ..self }
    }
}

/// Which event a client that comes back saw last: its `Last-Event-ID`, if it is UTF-8 and not empty.
pub fn last_event_id(request: &Request) -> Option<&str> {
    let value = request.headers().get(HeaderName::from_static("last-event-id"))?;
    str::from_utf8(value.as_bytes()).ok().filter(|id| !id.is_empty())
}

/// Tells one client what happens. Dropped, it ends the stream, and the client comes back; so does the stream when
/// its site says goodbye.
pub struct EventSender {
    shared: Rc<Shared>,
}

pub(super) struct Shared {
    /// Absent once the client was cut off.
    sender: RefCell<Option<BodySender>>,
    slow: Slow,
    /// Something was sent since the timer looked last.
    is_lively: Cell<bool>,
}

impl EventSender {
    /// An endless answer to `request`, and who writes it.
    ///
    /// ```
    /// use ropewalk_http::events::{Event, EventOptions, EventSender};
    /// use ropewalk_http::{Request, Site};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let site = Site::new(|request: Request| {
    ///     let (events, answer) = EventSender::open(&request, EventOptions::default());
    ///     events.send(&Event::new("hello"))?;
    ///     Ok::<_, ropewalk_http::SendError>(answer)
    /// });
    /// let mut client = Memory::seat(site.server(), &Clock::new());
    /// client.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let answer = String::from_utf8(client.take_sent()).unwrap();
    /// assert!(answer.contains("content-type: text/event-stream\r\n"));
    /// assert!(answer.contains("data: hello\n\n"));
    /// ```
    pub fn open(request: &Request, options: EventOptions) -> (Self, Response) {
        let (sender, body) = Body::channel_of(options.waiting_max);
        let shared = Rc::new(Shared {
            sender: RefCell::new(Some(sender)),
            slow: options.slow,
            is_lively: Cell::new(true),
        });
        if let Some(place) = request.body().request_place() {
            let weak = Rc::downgrade(&shared);
            place.end_at_goodbye(weak.clone());
            if let Some(period) = options.keep_alive {
                let again = place.clone();
                place.call_later(period, move || tick(&weak, &again, period));
            }
        }
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // What nginx and those who do as it does need to be told to pass events on as they come.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        (Self { shared }, response)
    }

    /// Tells of an event.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] where the client is too slow: it misses this event, or is cut off, by
    /// [`EventOptions::slow`]. [`SendError::Gone`] once it is gone.
    pub fn send(&self, event: &Event) -> Result<(), SendError> {
        self.send_encoded(event.encode())
    }

    /// Tells of an event that is [encoded](Event::encode) already, as for many clients.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_encoded(&self, event: Bytes) -> Result<(), SendError> {
        self.shared.is_lively.set(true);
        let mut place = self.shared.sender.borrow_mut();
        let Some(sender) = place.as_mut() else { return Err(SendError::Gone) };
        let sent = sender.write(event);
        if let (Err(SendError::Full { .. }), Slow::Cut) = (&sent, self.shared.slow) {
            let sender = place.take();
            drop(place);
            if let Some(sender) = sender {
                sender.fail(Failure::new("the client reads events too slowly"));
            }
        }
        sent
    }

    /// Succeeds once there is room for more; fails when the client is gone. It replaces the one that was
    /// asked for before.
    pub fn ready(&self) -> Deferred<()> {
        match self.shared.sender.borrow_mut().as_mut() {
            Some(sender) => sender.ready(),
            None => Deferred::fail(crate::client_gone()),
        }
    }

    /// Whether nobody takes events any more.
    pub fn is_gone(&self) -> bool {
        self.shared.sender.borrow().as_ref().is_none_or(BodySender::is_gone)
    }

    /// Ends the stream. A browser comes back after a while; one that is answered 204 then does not.
    pub fn finish(self) {
        self.shared.end();
    }
}

impl Endless for Shared {
    fn end(&self) {
        let sender = self.sender.borrow_mut().take();
        if let Some(sender) = sender {
            sender.finish();
        }
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl fmt::Debug for EventSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSender").field("gone", &self.is_gone()).finish_non_exhaustive()
    }
}

/// Says something where nothing was said for as long as `period`.
fn tick(shared: &Weak<Shared>, place: &Place, period: Duration) {
    let Some(strong) = shared.upgrade() else { return };
    if strong.sender.borrow().as_ref().is_none_or(BodySender::is_gone) {
        return;
    }
    if !strong.is_lively.replace(false)
        && let Some(sender) = strong.sender.borrow_mut().as_mut()
        && sender.waiting() == 0
        && let Err(error) = sender.write(COMMENT)
    {
        tracing::debug!(target: "ropewalk::http", "no comment was sent: {error}");
    }
    let (weak, again) = (shared.clone(), place.clone());
    place.call_later(period, move || tick(&weak, &again, period));
}
