use std::fmt;
use std::mem;
use std::time::Duration;

/// How long an event may be unless [`EventDecoder::with_max`] says otherwise, in bytes.
pub const EVENT_MAX: usize = 1024 * 1024;

/// An event as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Told {
    /// Its name; `message` where it has none of its own.
    pub name: String,
    /// Its text.
    pub data: String,
    /// The last id that came, with this event or before it; empty before any.
    pub id: String,
}

/// An event is longer than a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLong {
    /// How many bytes it may have.
    pub max: usize,
}

impl fmt::Display for EventTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an event of at most {} bytes, got more", self.max)
    }
}

impl std::error::Error for EventTooLong {}

/// Takes events out of a `text/event-stream` that arrives in any pieces (HTML, 9.2.6).
///
/// ```
/// use ropewalk_http::events::EventDecoder;
///
/// let mut decoder = EventDecoder::default();
/// decoder.push(b": welcome\n\nid: 7\nda")?;
/// assert_eq!(decoder.next(), None);
/// decoder.push(b"ta: it rains\n\n")?;
/// let event = decoder.next().expect("an event");
/// assert_eq!((&*event.name, &*event.data), ("message", "it rains"));
/// assert_eq!(decoder.last_event_id(), "7");
/// # Ok::<(), ropewalk_http::events::EventTooLong>(())
/// ```
#[derive(Debug)]
pub struct EventDecoder {
    max: usize,
    /// A line that is not whole.
    line: Vec<u8>,
    /// The last byte was a CR, so that an LF that follows is none of its own.
    after_cr: bool,
    /// Nothing has come yet but what may be a byte order mark.
    at_start: bool,
    name: String,
    data: String,
    id: String,
    /// The last id that an event has been told with.
    told_id: String,
    retry: Option<Duration>,
    ready: std::collections::VecDeque<Told>,
}

impl Default for EventDecoder {
    fn default() -> Self {
        Self::with_max(EVENT_MAX)
    }
}

impl EventDecoder {
    /// A decoder of events of at most `max` bytes each.
    pub fn with_max(max: usize) -> Self {
        Self {
            max,
            line: Vec::new(),
            after_cr: false,
            at_start: true,
            name: String::new(),
            data: String::new(),
            id: String::new(),
            told_id: String::new(),
            retry: None,
            ready: std::collections::VecDeque::new(),
        }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    ///
    /// [`EventTooLong`]; push nothing more then.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), EventTooLong> {
        while !bytes.is_empty() {
            if mem::take(&mut self.after_cr)
                && let [b'\n', rest @ ..] = bytes
            {
                bytes = rest;
                continue;
            }
            let end = memchr::memchr2(b'\r', b'\n', bytes);
            let (text, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            let held = self.line.len() + self.data.len() + self.name.len() + text.len();
            if held > self.max {
                return Err(EventTooLong { max: self.max });
            }
            self.line.extend_from_slice(text);
            let [end, rest @ ..] = rest else { return Ok(()) };
            self.after_cr = *end == b'\r';
            bytes = rest;
            let line = mem::take(&mut self.line);
            self.take_line(&line);
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) {
        let line = if mem::take(&mut self.at_start) {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|digit| digit.is_ascii_digit()) => {
                self.retry = Some(Duration::from_millis(value.parse().unwrap_or(u64::MAX)));
            }
            // A comment, or a field of another time.
            _ => (),
        }
    }

    fn dispatch(&mut self) {
        self.told_id.clone_from(&self.id);
        let name = mem::take(&mut self.name);
        let mut data = mem::take(&mut self.data);
        // The line end that the last line brought.
        if data.pop().is_none() {
            return;
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        self.ready.push_back(Told { name, data, id: self.told_id.clone() });
    }

    /// The next event that is whole. One that the stream ended in the middle of is none.
    #[expect(clippy::should_implement_trait, reason = "there may be more after None")]
    pub fn next(&mut self) -> Option<Told> {
        self.ready.pop_front()
    }

    /// What to send as `Last-Event-ID` when the client comes back; empty where there is none.
    pub fn last_event_id(&self) -> &str {
        &self.told_id
    }

    /// How long the server asked its clients to wait before they come back.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }
}
