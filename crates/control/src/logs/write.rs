//! An event as a line.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::fields::{Fields, write_plain};
use super::{Form, Sink, Spans};

const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Writes a line an event.
pub(super) struct Writer {
    form: Form,
    sink: Sink,
    spans: Spans,
}

impl Writer {
    pub(super) fn new(form: Form, sink: Sink, spans: Spans) -> Self {
        Self { form, sink, spans }
    }

    fn json(event: &Event<'_>, fields: Fields, spans: &[(&'static str, Fields)]) -> String {
        let mut object = Map::new();
        let metadata = event.metadata();
        object.insert("time".to_owned(), now().into());
        object.insert("level".to_owned(), metadata.level().as_str().into());
        object.insert("target".to_owned(), metadata.target().into());
        if let Some(message) = fields.message {
            object.insert("message".to_owned(), message.into());
        }
        if !fields.all.is_empty() {
            object.insert("fields".to_owned(), Value::Object(fields.all.into_iter().collect()));
        }
        if !spans.is_empty() {
            let one = |(name, fields): &(&'static str, Fields)| {
                let mut span = Map::new();
                span.insert("name".to_owned(), (*name).into());
                if !fields.all.is_empty() {
                    span.insert(
                        "fields".to_owned(),
                        Value::Object(fields.all.iter().cloned().collect()),
                    );
                }
                Value::Object(span)
            };
            object.insert("spans".to_owned(), spans.iter().map(one).collect::<Vec<_>>().into());
        }
        Value::Object(object).to_string()
    }

    fn text(&self, event: &Event<'_>, fields: &Fields, spans: &[(&'static str, Fields)]) -> String {
        let metadata = event.metadata();
        let colour = match *metadata.level() {
            Level::ERROR => "31",
            Level::WARN => "33",
            Level::INFO => "32",
            Level::DEBUG => "34",
            Level::TRACE => "35",
        };
        let is_coloured = self.form == Form::Coloured;
        let paint = |line: &mut String, colour: &str, text: &str| {
            let _ = if is_coloured {
                write!(line, "\x1b[{colour}m{text}\x1b[0m")
            } else {
                line.write_str(text)
            };
        };
        let mut line = String::new();
        if self.form != Form::Bare {
            paint(&mut line, "2", &now());
            line.push(' ');
            paint(&mut line, colour, &format!("{:>5}", metadata.level().as_str()));
            line.push(' ');
        }
        for (name, fields) in spans {
            line.push_str(&span(name, fields));
            line.push(' ');
        }
        paint(&mut line, "2", &format!("{}:", metadata.target()));
        if let Some(message) = &fields.message {
            line.push(' ');
            write_plain(&mut line, message);
        }
        write_fields(&mut line, &fields.all);
        line
    }
}

fn write_fields(line: &mut String, fields: &[(String, Value)]) {
    for (name, value) in fields {
        let _ = write!(line, " {name}=");
        match value {
            Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => {
                write_plain(line, text);
            }
            other => write_plain(line, &other.to_string()),
        }
    }
}

/// A span with its fields.
fn span(name: &str, fields: &Fields) -> String {
    let mut shown = name.to_owned();
    if !fields.all.is_empty() {
        shown.push('{');
        let mut inner = String::new();
        write_fields(&mut inner, &fields.all);
        shown.push_str(inner.trim_start());
        shown.push('}');
    }
    shown
}

fn now() -> String {
    #[expect(clippy::disallowed_methods, reason = "a log tells the time of day")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (OffsetDateTime::UNIX_EPOCH + since).format(ISO).unwrap_or_default()
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Writer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut spans = Vec::new();
        for one in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            let fields = one.extensions().get::<Fields>().cloned();
            spans.push((one.name(), fields.unwrap_or_default()));
        }
        let mut line = match self.form {
            Form::Json => Self::json(event, fields, &spans),
            Form::Text | Form::Coloured | Form::Bare => self.text(event, &fields, &spans),
        };
        line.push('\n');
        (self.sink)(*event.metadata().level(), line.as_bytes());
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let Some(one) = context.span(id) else { return };
        let shown = one.extensions().get::<Fields>().map(|fields| span(one.name(), fields));
        self.spans.enter(shown.unwrap_or_else(|| one.name().to_owned()));
    }

    fn on_exit(&self, _: &Id, _: Context<'_, S>) {
        self.spans.leave();
    }
}
