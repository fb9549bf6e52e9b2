//! Events with whatever fields, by way of each kind of log.

use std::fmt;
use std::io::Read as _;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use ropewalk_control::logs::Form;

use super::into;
use crate::sink::{LogOptions, Sink};

/// A value that somebody logs.
#[derive(Clone, Debug)]
enum Odd {
    Text(String),
    Float(f64),
    Wide(u128),
    Long(usize),
    Fails(String),
    Panics,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Float(number) => write!(f, "{number}"),
            Self::Wide(number) => write!(f, "{number}"),
            Self::Long(length) => (0..*length).try_for_each(|_| f.write_str("long ")),
            Self::Fails(text) => f.write_str(text).and(Err(fmt::Error)),
            Self::Panics => std::panic::panic_any("no"),
        }
    }
}

fn odd() -> impl Strategy<Value = Odd> {
    prop_oneof![
        any::<String>().prop_map(Odd::Text),
        any::<f64>().prop_map(Odd::Float),
        any::<u128>().prop_map(Odd::Wide),
        (0_usize..100_000).prop_map(Odd::Long),
        any::<String>().prop_map(Odd::Fails),
        proptest::strategy::Just(Odd::Panics),
    ]
}

/// Logs an event for each, numbered, with odd values where values can be.
fn say(sink: Sink, form: Form, all: &[(Odd, Odd)]) {
    let (subscriber, ..) = into(sink, form, "info").into_parts();
    tracing::subscriber::with_default(subscriber, || {
        for (number, (one, other)) in all.iter().enumerate() {
            let span = tracing::info_span!("around", odd = display(other));
            let _span = span.entered();
            tracing::warn!(
                target: "odd",
                number,
                one = display(one),
                again = display(one),
                one = display(other),
                "event {number} of them: {}",
                Quiet(other),
            );
        }
    });
}

/// The message itself cannot panic: it is shown where it is logged.
struct Quiet<'a>(&'a Odd);

impl fmt::Display for Quiet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Odd::Fails(text) | Odd::Text(text) => f.write_str(text),
            other @ (Odd::Float(_) | Odd::Wide(_) | Odd::Long(_)) => other.fmt(f),
            Odd::Panics => Ok(()),
        }
    }
}

fn for_odd_events(check: impl Fn(&[(Odd, Odd)])) {
    // What is meant to panic says nothing.
    let hook = Arc::new(Mutex::new(std::panic::take_hook()));
    let usual = Arc::clone(&hook);
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"no") {
            (usual.lock().unwrap())(info);
        }
    }));
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let events = proptest::collection::vec((odd(), odd()), 1..6);
    let ran = TestRunner::new(config).run(&events, |all| {
        check(&all);
        Ok(())
    });
    let _ = std::panic::take_hook();
    ran.unwrap();
}

/// A place in the file system, gone when dropped.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn sink(to: &str) -> Sink {
    let log_to = Some(to.parse().unwrap());
    LogOptions { log_to, ..LogOptions::default() }.open().unwrap()
}

/// The lines that reach a file.
fn written(form: Form, all: &[(Odd, Odd)]) -> Vec<String> {
    let folder = folder();
    let path = folder.path().join("log");
    say(sink(&format!("file:{}", path.display())), form, all);
    let mut text = String::new();
    std::fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The datagrams that reach a socket; each is taken before the next is sent.
fn sent(kind: &str, form: Form, all: &[(Odd, Odd)]) -> Vec<Vec<u8>> {
    let folder = folder();
    let path = folder.path().join("socket");
    let taker = UnixDatagram::bind(&path).unwrap();
    let sink = sink(&format!("{kind}:{}", path.display()));
    let mut some = vec![0; 1 << 20];
    let mut heard = Vec::new();
    for one in all {
        say(sink.clone(), form, std::slice::from_ref(one));
        taker.set_nonblocking(true).unwrap();
        while let Ok(count) = taker.recv(&mut some) {
            heard.push(some[..count].to_vec());
        }
    }
    heard
}

#[test]
fn a_file_has_each_event_as_one_line_however_odd_its_fields_are() {
    for_odd_events(|all| {
        let lines = written(Form::Text, all);
        assert_eq!(lines.len(), all.len(), "{lines:#?}");
        for (number, line) in lines.iter().enumerate() {
            assert!(line.contains(&format!("odd: event {number} of them: ")), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        let lines = written(Form::Json, all);
        assert_eq!(lines.len(), all.len(), "{lines:#?}");
        for (number, line) in lines.iter().enumerate() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            let message = object["message"].as_str().unwrap();
            assert!(message.starts_with(&format!("event {number} of them: ")), "{message}");
            assert_eq!(object["fields"]["number"], number);
            for name in ["one", "again", "one#2"] {
                assert!(object["fields"][name].is_string(), "{name}: {line}");
            }
            assert!(object["spans"][0]["fields"]["odd"].is_string(), "{line}");
        }
    });
}

#[test]
fn journald_has_each_event_as_one_entry_however_odd_its_fields_are() {
    for_odd_events(|all| {
        let entries = sent("journald", Form::Bare, all);
        assert_eq!(entries.len(), all.len());
        for entry in entries {
            let head = b"PRIORITY=4\nSYSLOG_IDENTIFIER=ropewalk\nSYSLOG_PID=";
            assert!(entry.starts_with(head), "{}", String::from_utf8_lossy(&entry));
            // The one field that may hold anything is told with its length.
            let name = b"\nMESSAGE\n";
            let at = entry.windows(name.len()).position(|some| some == name).unwrap() + name.len();
            let (length, text) = entry[at..].split_first_chunk::<8>().unwrap();
            assert_eq!(u64::from_le_bytes(*length) as usize + 1, text.len());
            let text = std::str::from_utf8(text).unwrap();
            assert!(
                text.starts_with("around{") && text.contains(" odd: event 0 of them: "),
                "{text}"
            );
        }
    });
}

#[test]
fn syslog_has_each_event_as_one_line_however_odd_its_fields_are() {
    for_odd_events(|all| {
        let lines = sent("syslog", Form::Bare, all);
        assert_eq!(lines.len(), all.len());
        for line in lines {
            let line = String::from_utf8(line).unwrap();
            assert!(line.starts_with("<28>ropewalk[") && line.contains(" odd: event 0 "), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    });
}

#[test]
fn a_line_that_no_datagram_holds_is_cut() {
    let folder = folder();
    let path = folder.path().join("socket");
    let taker = UnixDatagram::bind(&path).unwrap();
    for (kind, start) in [("journald", "PRIORITY=3\n"), ("syslog", "<27>")] {
        let line = format!("{}\n", "x".repeat(4 << 20));
        sink(&format!("{kind}:{}", path.display()))
            .write_line(tracing::Level::ERROR, line.as_bytes())
            .unwrap();
        let mut some = vec![0; 1 << 20];
        let count = taker.recv(&mut some).unwrap();
        let text = String::from_utf8_lossy(&some[..count]);
        assert!(text.starts_with(start) && text.trim_end().ends_with("x… (cut)"), "{count}");
        assert!(count > 10_000, "{count}");
    }
}
