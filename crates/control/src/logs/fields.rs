//! The fields of an event, whatever they hold.

use std::error::Error;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Number, Value};
use tracing::field::{Field, Visit};

/// How long one field may be, in bytes.
pub const FIELD_MAX: usize = 16 * 1024;
/// How many causes of an error are told.
const CAUSES_MAX: usize = 16;

/// Fields as they are logged.
#[derive(Clone, Default)]
pub(super) struct Fields {
    pub(super) message: Option<String>,
    /// In the order in which they came.
    pub(super) all: Vec<(String, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if name == "message" && self.message.is_none() {
            self.message = Some(match value {
                Value::String(text) => text,
                other => other.to_string(),
            });
            return;
        }
        let mut free = name.to_owned();
        let mut count = 2;
        while self.all.iter().any(|(known, _)| *known == free) {
            free = format!("{name}#{count}");
            count += 1;
        }
        self.all.push((free, value));
    }

    fn put_shown(&mut self, field: &Field, show: impl FnOnce(&mut Bounded) -> fmt::Result) {
        self.put(field, shown(show).into());
    }
}

/// What `show` writes, as far as it goes: it may fail, panic, or never end.
fn shown(show: impl FnOnce(&mut Bounded) -> fmt::Result) -> String {
    let mut text = Bounded::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| show(&mut text)));
    let Bounded { mut text, is_full } = text;
    match outcome {
        Ok(Ok(())) => (),
        _ if is_full => text.push_str("… (cut)"),
        Ok(Err(_)) => text.push_str("(could not be shown)"),
        Err(_) => text.push_str("(panicked when it was to be shown)"),
    }
    text
}

/// Text that ends when it is long.
#[derive(Default)]
struct Bounded {
    text: String,
    is_full: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = FIELD_MAX - self.text.len();
        if more.len() <= room {
            self.text.push_str(more);
            return Ok(());
        }
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        self.is_full = true;
        Err(fmt::Error)
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        let number = Number::from_f64(value).map(Value::Number);
        self.put(field, number.unwrap_or_else(|| value.to_string().into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        // Readers of JSON would round it.
        self.put(
            field,
            i64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from),
        );
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(
            field,
            u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from),
        );
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_shown(field, |text| text.write_str(value));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.put_shown(field, |text| write!(text, "{}", value.escape_ascii()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put_shown(field, |text| {
            write!(text, "{value}")?;
            let mut cause = value.source();
            for _ in 0..CAUSES_MAX {
                let Some(error) = cause else { break };
                write!(text, ": {error}")?;
                cause = error.source();
            }
            Ok(())
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_shown(field, |text| write!(text, "{value:?}"));
    }
}

/// Writes text so that it neither begins a line nor drives a terminal.
pub(super) fn write_plain(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\t' => line.push('\t'),
            c if c.is_control() => {
                let _ = write!(line, "\\x{:02x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}
