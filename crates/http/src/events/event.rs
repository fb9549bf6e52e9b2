use std::fmt;
use std::time::Duration;

use bytes::Bytes;

/// Something that happened, as a client is told of it.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_http::events::Event;
///
/// let event = Event::new("two\nlines").with_id("7")?.retry(Duration::from_secs(3));
/// assert_eq!(&event.encode()[..], b"id: 7\nretry: 3000\ndata: two\ndata: lines\n\n");
/// # Ok::<(), ropewalk_http::events::BadEvent>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    id: Option<String>,
    name: Option<String>,
    retry: Option<Duration>,
    data: String,
}

/// Text that cannot stand where it was to: a client would read something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEvent {
    field: &'static str,
    text: String,
}

impl fmt::Display for BadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, text } = self;
        write!(f, "an event's {field}: expected one line without NUL, got {text:?}")
    }
}

impl std::error::Error for BadEvent {}

fn one_line(field: &'static str, text: String) -> Result<String, BadEvent> {
    // Readers drop an id that has a NUL in it; of a name it is a letter like others.
    let is_bad = text.contains(['\r', '\n']) || (field == "id" && text.contains('\0'));
    if is_bad { Err(BadEvent { field, text }) } else { Ok(text) }
}

impl Event {
    /// An event with this text, which may have several lines. A client sees every line end as one line feed.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// The same with an id: what a client that comes back says that it saw last.
    ///
    /// # Errors
    ///
    /// [`BadEvent`] if it is more than one line, or has a NUL in it.
    pub fn with_id(self, id: impl Into<String>) -> Result<Self, BadEvent> {
        Ok(Self { id: Some(one_line("id", id.into())?), ..self })
    }

    /// The same with a name, by which a page listens for it; `message` is that of events without one.
    ///
    /// # Errors
    ///
    /// [`BadEvent`] if it is more than one line.
    pub fn named(self, name: impl Into<String>) -> Result<Self, BadEvent> {
        Ok(Self { name: Some(one_line("name", name.into())?), ..self })
    }

    /// The same, and the client is to wait so long before it comes back from now on; told in milliseconds.
    pub fn retry(self, after: Duration) -> Self {
        Self { retry: Some(after), ..self }
    }

    /// The id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How long the client is to wait before it comes back.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry
    }

    /// The text.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The event as it is sent.
    pub fn encode(&self) -> Bytes {
        let mut out = String::with_capacity(self.data.len() + 64);
        let mut line = |field: &str, value: &str| {
            out.push_str(field);
            out.push_str(": ");
            out.push_str(value);
            out.push('\n');
        };
        if let Some(id) = &self.id {
            line("id", id);
        }
        if let Some(name) = &self.name {
            line("event", name);
        }
        if let Some(retry) = self.retry {
            line("retry", &retry.as_millis().to_string());
        }
        for text in lines(&self.data) {
            line("data", text);
        }
        out.push('\n');
        Bytes::from(out)
    }
}

/// The lines of a text, which end in CR LF, LF or CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            rest = None;
            return Some(text);
        };
        let width = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}
