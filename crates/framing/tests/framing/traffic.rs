//! What is logged of what goes to and fro.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use ropewalk_framing::policy::{Policy, TrafficLog};
use ropewalk_protocol::{Address, Conn, Factory, Protocol};
use ropewalk_trial::{Clock, Memory};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// Keeps what is logged of traffic.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<String>>>);

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ropewalk::traffic"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().expect("no test has failed").push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        }
        .expect("a string grows");
    }
}

/// What is logged of one connection that says two words.
fn logged(log: TrafficLog) -> Vec<String> {
    let ear = Ear::default();
    tracing::subscriber::with_default(ear.clone(), || {
        let mut factory = log.wrap(|_: &Address| Some(Echo));
        let server = factory.build(&Address::Memory("peer".to_owned())).expect("there is room");
        let mut memory = Memory::seat(server, &Clock::new());
        memory.push(b"secret\n");
        memory.eof();
        memory.run();
    });
    ear.0.lock().expect("no test has failed").clone()
}

#[test]
fn traffic_is_counted_and_not_shown_unless_told_so() {
    let lines = logged(TrafficLog::default());
    let of = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!((of("made"), of("lost"), of("secret")), (1, 1, 0), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("TRACE") && line.contains("bytes=7")));
    let end = lines.iter().find(|line| line.contains("lost")).expect("an end");
    assert!(end.starts_with("DEBUG") && end.contains("received=7"), "{end}");
    assert!(end.contains("written=7"), "{end}");
}

#[test]
fn so_much_is_shown_as_is_wanted() {
    let lines = logged(TrafficLog { shown_max: 3 });
    let shown = lines.iter().filter(|line| line.contains("data=sec")).count();
    assert_eq!(shown, 2, "in and out: {lines:?}");
    assert!(!lines.iter().any(|line| line.contains("secret")), "{lines:?}");
}
