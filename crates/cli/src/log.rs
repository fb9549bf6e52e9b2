//! What the program says on standard error.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::{SystemTime, UNIX_EPOCH};

use ropewalk::http::Access;
use ropewalk::http::auth::Authorization;
use ropewalk::protocol::Address;
use ropewalk_control::logs::{Form, Log};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::inside::{self, LogFormat};
use crate::sink::Sink;

/// What is worth saying unless told otherwise: trouble, how long certificates are good for, and what was changed.
const DEFAULT: &str = "warn,ropewalk::tls=info,ropewalk_cli=info";

/// Sends what the rooms have to say to standard error; `ROPEWALK_LOG` chooses how much.
pub(crate) fn start() {
    let sink = Sink::chosen();
    let is_terminal = matches!(sink, Sink::Stderr) && io::stderr().is_terminal();
    let form = match inside::log_format() {
        LogFormat::Json => Form::Json,
        LogFormat::Text if sink.is_structured() => Form::Bare,
        LogFormat::Text if is_terminal && !is_set("NO_COLOR") => Form::Coloured,
        LogFormat::Text => Form::Text,
    };
    let filter = std::env::var("ROPEWALK_LOG").unwrap_or_else(|_| DEFAULT.to_owned());
    let log = into(sink, form, &filter);
    // Who logs in another way already keeps to it.
    if let Ok((levels, spans)) = log.start() {
        inside::set_logs(levels, spans);
    }
}

/// A log whose lines go there.
fn into(sink: Sink, form: Form, filter: &str) -> Log {
    Log::new(form, filter).to_leveled(move |level, line| {
        sink.put_line(level, line);
    })
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The date as the combined log format has it, and as JSON readers like it.
const COMMON: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Writes a line a request to standard error.
pub(crate) struct AccessLog {
    format: fn(&mut String, &Access, Option<&str>),
    has_users: bool,
    line: RefCell<String>,
}

impl AccessLog {
    /// In the combined log format: what web servers have written for decades.
    pub(crate) fn combined() -> Self {
        Self { format: combined, has_users: false, line: RefCell::default() }
    }

    /// An object a line.
    pub(crate) fn json() -> Self {
        Self { format: json, has_users: false, line: RefCell::default() }
    }

    /// Tells who was let in, where somebody was asked.
    pub(crate) fn with_users(self, has_users: bool) -> Self {
        Self { has_users, ..self }
    }

    pub(crate) fn into_sink(self) -> impl Fn(&Access) {
        let sink = Sink::chosen();
        move |access| {
            let mut line = self.line.borrow_mut();
            line.clear();
            let user = user(access).filter(|_| self.has_users);
            (self.format)(&mut line, access, user.as_deref());
            line.push('\n');
            sink.put_line(tracing::Level::INFO, line.as_bytes());
        }
    }
}

fn combined(line: &mut String, access: &Access, user: Option<&str>) {
    let field = |name: &str| access.headers.get(name).map(http_text);
    let (referer, agent) = (field("referer"), field("user-agent"));
    line.push_str(&peer(&access.peer));
    line.push_str(" - ");
    // Blanks end the name for whoever reads the line.
    quote(line, &user.unwrap_or("-").replace(' ', "_"));
    line.push_str(" [");
    line.push_str(&now(COMMON));
    line.push_str("] \"");
    match (&access.method, &access.uri) {
        (Some(method), Some(uri)) => {
            quote(line, &format!("{method} {uri} {:?}", access.version));
        }
        _ => line.push('-'),
    }
    let _ = write!(line, "\" {} ", access.status.as_u16());
    match access.sent {
        0 => line.push('-'),
        sent => {
            let _ = write!(line, "{sent}");
        }
    }
    for value in [referer, agent] {
        line.push_str(" \"");
        quote(line, value.as_deref().unwrap_or("-"));
        line.push('"');
    }
}

fn json(line: &mut String, access: &Access, user: Option<&str>) {
    let field = |name: &str| access.headers.get(name).map(http_text);
    let mut object = serde_json::Map::new();
    let mut put = |name: &str, value: serde_json::Value| object.insert(name.to_owned(), value);
    put("time", now(ISO).into());
    put("peer", peer(&access.peer).into());
    put("user", user.into());
    put("method", access.method.as_ref().map(ToString::to_string).into());
    put("target", access.uri.as_ref().map(ToString::to_string).into());
    put("version", format!("{:?}", access.version).into());
    put("status", access.status.as_u16().into());
    put("bytes", access.sent.into());
    put("seconds", access.took.as_secs_f64().into());
    put("host", field("host").into());
    put("referer", field("referer").into());
    put("user_agent", field("user-agent").into());
    let _ = write!(line, "{}", serde_json::Value::Object(object));
}

/// Who was let in. What the others say of themselves is not worth a line.
fn user(access: &Access) -> Option<String> {
    let is_refused = matches!(access.status.as_u16(), 400 | 401 | 429 | 499 | 503);
    let field = access.headers.get("authorization").filter(|_| !is_refused)?;
    let said = Authorization::read(field.as_bytes()).ok()?;
    said.username().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn peer(address: &Address) -> String {
    match address {
        Address::Ip(address) => address.ip().to_string(),
        other => other.to_string(),
    }
}

/// What a field holds.
fn http_text(value: &ropewalk::http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Adds text from a stranger that cannot end its quotes or its line.
fn quote(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(line, "\\x{:02x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

fn now(format: &[BorrowedFormatItem<'_>]) -> String {
    #[expect(clippy::disallowed_methods, reason = "a log tells the time of day")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let moment = OffsetDateTime::UNIX_EPOCH + since;
    moment.format(format).unwrap_or_default()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
