//! A client that writes what it likes and believes nothing it reads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_http::{Resource, Site};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory};

/// Sunday morning.
pub(crate) const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

pub(crate) fn wall_clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// A site at a moment that stands still.
pub(crate) fn site(resource: impl Resource) -> Site {
    Site::new(resource).wall_clock(wall_clock)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const A_MOMENT: Duration = Duration::from_nanos(1);

/// A moment less than so many seconds.
pub(crate) fn just_under(seconds: u64) -> Duration {
    secs(seconds).saturating_sub(A_MOMENT)
}

/// So many bytes of nothing in particular.
pub(crate) fn filler(length: usize) -> Vec<u8> {
    vec![b'x'; length]
}

/// A request for `path`, without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

/// A request with a body.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The head of a request with more fields.
pub(crate) fn head(line: &str, fields: &[&str]) -> Vec<u8> {
    let mut text = format!("{line}\r\nHost: a\r\n");
    for field in fields {
        text += field;
        text += "\r\n";
    }
    text += "\r\n";
    text.into_bytes()
}

/// One chunk of a chunked body.
pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// A client of a site.
pub(crate) struct Client {
    pub(crate) memory: Memory,
    /// Which of the requests that are not answered yet have no body in their answer.
    heads: VecDeque<bool>,
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn of(site: &Site, clock: &Clock) -> Self {
        Self {
            memory: Memory::seat(site.server(), clock),
            heads: VecDeque::new(),
            read: Vec::new(),
        }
    }

    /// A client of a new site.
    pub(crate) fn new(resource: impl Resource) -> Self {
        Self::of(&site(resource), &Clock::new())
    }

    /// Sends in one piece what has to be taken whole.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        assert_eq!(self.memory.push(bytes), bytes.len(), "the server does not listen");
        self
    }

    /// Says that the next request to be answered is one whose answer has no body.
    pub(crate) fn expect_no_body(&mut self) -> &mut Self {
        self.heads.push_back(true);
        self
    }

    /// Says whether the answer to the next request has a body.
    pub(crate) fn expect_body(&mut self, has_body: bool) {
        self.heads.push_back(!has_body);
    }

    /// The answers that came since the last time, all of them whole.
    #[track_caller]
    pub(crate) fn answers(&mut self) -> Vec<Answer> {
        self.read.extend(self.memory.take_sent());
        let bytes = std::mem::take(&mut self.read);
        let mut rest = &bytes[..];
        let mut answers = Vec::new();
        while !rest.is_empty() {
            let Some(answer) = Answer::take(&mut rest, &mut self.heads) else {
                panic!("a broken answer: {}", rest.escape_ascii());
            };
            answers.push(answer);
        }
        answers
    }

    /// The only answer that came since the last time.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1, "one answer: {answers:?}");
        answers.remove(0)
    }

    /// What the request gets that is sent now.
    #[track_caller]
    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes).answer()
    }

    #[track_caller]
    pub(crate) fn assert_silent(&mut self) {
        let sent = self.memory.take_sent();
        assert!(sent.is_empty(), "not a word was expected: {}", sent.escape_ascii());
    }

    pub(crate) fn advance(&mut self, time: Duration) -> &mut Self {
        self.memory.advance(time);
        self
    }

    /// The connection goes on: the server neither ended nor half-ended it.
    #[track_caller]
    pub(crate) fn assert_open(&mut self) {
        self.memory.run();
        assert_eq!(self.memory.ended(), None);
        assert!(!self.memory.is_write_closed());
    }

    /// The server has said that it will say no more, hears the client out, and goes with it.
    #[track_caller]
    pub(crate) fn assert_over(&mut self) {
        self.memory.run();
        assert_eq!(self.memory.ended(), None);
        assert!(self.memory.is_write_closed(), "the server would say more");
        assert!(self.memory.is_reading(), "the server does not hear the client out");
        self.memory.eof();
        assert_eq!(self.memory.ended(), Some(Disconnect::Closed));
    }

    #[track_caller]
    pub(crate) fn assert_ended(&mut self, how: Disconnect) {
        self.memory.run();
        assert_eq!(self.memory.ended(), Some(how));
    }
}

/// What a client reads.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Answer {
    /// What a field says; panics where it is there twice.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(other, _)| other == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }

    fn take(rest: &mut &[u8], heads: &mut VecDeque<bool>) -> Option<Self> {
        let mut lines = Lines(rest);
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let fields = lines.fields()?;
        let mut answer = Self { status, fields, body: Vec::new(), trailers: Vec::new() };
        let mut after = lines.0;
        let has_none = status < 200 || matches!(status, 204 | 304);
        let is_head = status >= 200 && heads.pop_front().unwrap_or(false);
        if has_none || is_head {
        } else if answer.field("transfer-encoding") == Some("chunked") {
            let mut lines = Lines(after);
            loop {
                let size = usize::from_str_radix(lines.next()?, 16).ok()?;
                if size == 0 {
                    answer.trailers = lines.fields()?;
                    break;
                }
                answer.body.extend(lines.0.get(..size)?);
                lines.0 = lines.0.get(size..)?.strip_prefix(b"\r\n")?;
            }
            after = lines.0;
        } else if let Some(length) = answer.field("content-length") {
            let length = length.parse().ok()?;
            answer.body.extend(after.get(..length)?);
            after = &after[length..];
        } else {
            answer.body.extend(after);
            after = &[];
        }
        *rest = after;
        Some(answer)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = &self.body[..self.body.len().min(200)];
        write!(f, "{} {:?} \"{}\"", self.status, self.fields, body.escape_ascii())
    }
}

struct Lines<'b>(&'b [u8]);

impl<'b> Lines<'b> {
    fn next(&mut self) -> Option<&'b str> {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&self.0[..end]).ok()?;
        self.0 = &self.0[end + 2..];
        Some(line)
    }

    fn fields(&mut self) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            match self.next()? {
                "" => return Some(fields),
                line => {
                    let (name, value) = line.split_once(": ")?;
                    fields.push((name.to_owned(), value.to_owned()));
                }
            }
        }
    }
}

/// Results that come when the test says so, the one first that was asked for first.
pub(crate) struct Held<T: 'static>(Rc<RefCell<VecDeque<Promise<T>>>>);

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Held<T> {
    pub(crate) fn new() -> Self {
        Self(Rc::default())
    }

    pub(crate) fn wait(&self) -> Deferred<T> {
        let (promise, waiting) = deferred();
        self.0.borrow_mut().push_back(promise);
        waiting
    }

    pub(crate) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    #[track_caller]
    pub(crate) fn take(&self) -> Promise<T> {
        let promise = self.0.borrow_mut().pop_front();
        promise.expect("somebody waits")
    }

    #[track_caller]
    pub(crate) fn release(&self, value: T) {
        self.take().succeed(value);
    }
}

/// A place where a resource leaves what a test wants to see.
pub(crate) struct Seen<T>(Rc<RefCell<Vec<T>>>);

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Seen<T> {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(Vec::new())))
    }

    pub(crate) fn push(&self, value: T) {
        self.0.borrow_mut().push(value);
    }

    pub(crate) fn take(&self) -> Vec<T> {
        self.0.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}
