//! Lines that hold whatever an event has.

use std::fmt;
use std::sync::{Arc, Mutex};

use ropewalk_control::logs::{FIELD_MAX, Form, Levels, Log};
use serde_json::Value;

/// What `say` logs in this form, line by line.
fn lines(form: Form, filter: &str, say: impl FnOnce(&Levels)) -> Vec<String> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let log = Log::new(form, filter).to(move |line| heard.lock().unwrap().extend_from_slice(line));
    let (subscriber, levels, _) = log.into_parts();
    tracing::subscriber::with_default(subscriber, || say(&levels));
    let said = String::from_utf8(said.lock().unwrap().clone()).unwrap();
    assert!(said.is_empty() || said.ends_with('\n'), "{said:?}");
    said.lines().map(str::to_owned).collect()
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no");
    }
}

struct Fails;

impl fmt::Debug for Fails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("so far")?;
        Err(fmt::Error)
    }
}

/// Is never done with showing itself, unless it is stopped.
struct Endless;

impl fmt::Debug for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            f.write_str("é and on, ")?;
        }
    }
}

fn say_odd_things() {
    tracing::info!(
        target: "odd",
        panics = ?Panics,
        fails = ?Fails,
        endless = ?Endless,
        nan = f64::NAN,
        infinite = f64::NEG_INFINITY,
        huge = u128::MAX,
        low = i128::MIN,
        small = 7_u128,
        text = "two\nlines\x1b[2J\u{202e}",
        empty = "",
        time = "a name of ours",
        message_of_peer = %"\"quoted\" \\",
        "all the same"
    );
    let error = std::io::Error::other("the root of it");
    tracing::warn!(target: "odd", error = &error as &dyn std::error::Error, name = 1, name = 2);
}

#[test]
fn no_event_is_lost_to_machines_because_a_field_is_odd() {
    let all = lines(Form::Json, "info", |_| say_odd_things());
    assert_eq!(all.len(), 2, "{all:?}");
    let first: Value = serde_json::from_str(&all[0]).unwrap();
    let fields = &first["fields"];
    assert_eq!((&first["message"], &first["level"]), (&"all the same".into(), &"INFO".into()));
    assert_eq!(fields["panics"], "(panicked when it was to be shown)");
    assert_eq!(fields["fails"], "so far(could not be shown)");
    let endless = fields["endless"].as_str().unwrap();
    assert!(endless.ends_with("… (cut)") && endless.len() <= FIELD_MAX + 16, "{}", endless.len());
    assert_eq!((&fields["nan"], &fields["infinite"]), (&"NaN".into(), &"-inf".into()));
    assert_eq!(fields["huge"], u128::MAX.to_string());
    assert_eq!(fields["low"], i128::MIN.to_string());
    assert_eq!((&fields["small"], &fields["empty"]), (&7.into(), &"".into()));
    assert_eq!(fields["text"], "two\nlines\x1b[2J\u{202e}");
    assert_eq!(fields["time"], "a name of ours", "it does not hide when that was");
    assert!(first["time"].as_str().unwrap().ends_with('Z'));
    let second: Value = serde_json::from_str(&all[1]).unwrap();
    assert_eq!(second["fields"]["error"], "the root of it");
    assert_eq!((&second["fields"]["name"], &second["fields"]["name#2"]), (&1.into(), &2.into()));
}

#[test]
fn no_event_is_lost_to_people_and_none_is_two() {
    let all = lines(Form::Text, "info", |_| say_odd_things());
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[0].contains("  INFO odd: all the same "), "{}", all[0]);
    assert!(!all[0].contains('\x1b') && all[0].contains("two\\nlines"), "{}", all[0]);
    assert!(all[0].contains("nan=NaN") && all[0].contains("empty=\"\""), "{}", all[0]);
    assert!(all[1].contains("  WARN odd: ") && all[1].contains("name=1 name#2=2"), "{}", all[1]);
    let coloured = lines(Form::Coloured, "info", |_| tracing::error!(target: "odd", "no\x1b[2J"));
    assert!(coloured[0].contains("\x1b[31mERROR\x1b[0m") && coloured[0].ends_with("no\\x1b[2J"));
}

#[test]
fn spans_are_told_with_what_they_hold() {
    let speak = |_: &Levels| {
        let outer = tracing::info_span!("outer", peer = 7, later = tracing::field::Empty);
        let _outer = outer.enter();
        outer.record("later", "now");
        let _inner = tracing::info_span!("inner").entered();
        tracing::info!(target: "app", "here");
    };
    let all = lines(Form::Text, "info", speak);
    assert!(all[0].contains("INFO outer{peer=7 later=now} inner app: here"), "{}", all[0]);
    let all = lines(Form::Json, "info", speak);
    let line: Value = serde_json::from_str(&all[0]).unwrap();
    assert_eq!(line["spans"][0]["fields"]["later"], "now");
    assert_eq!(line["spans"][1]["name"], "inner");
}

#[test]
fn levels_change_by_namespace_while_it_runs() {
    let all = lines(Form::Text, "warn,a::tls=info", |levels| {
        let say = |number: i32| {
            tracing::debug!(target: "a::http", number);
            tracing::debug!(target: "a::http::codec", number);
            tracing::info!(target: "a::tls", number);
            tracing::info!(target: "b", number);
        };
        say(1);
        levels.change("a::http=debug, a::tls=off").unwrap();
        assert_eq!(levels.shown(), "warn,a::tls=info,a::http=debug,a::tls=off");
        say(2);
        for wrong in ["a::http=loud", "", "a b=info", "a{x}=info", "a=info,x"] {
            let before = levels.shown();
            let told = levels.change(wrong).unwrap_err();
            assert!(told.contains("level") || told.contains("namespace"), "{wrong}: {told}");
            assert_eq!(levels.shown(), before, "{wrong} changed something");
        }
        levels.change("a::tls=,INFO").unwrap();
        say(3);
        levels.change("reset").unwrap();
        assert_eq!(levels.shown(), "warn,a::tls=info");
        say(4);
    });
    let short: Vec<String> = all
        .iter()
        .map(|line| {
            let (_, rest) = line.trim_start().split_once(": ").unwrap();
            let target = line.split_whitespace().nth(2).unwrap().trim_end_matches(':');
            format!("{target} {}", rest.trim_start_matches("number="))
        })
        .collect();
    assert_eq!(
        short,
        [
            "a::tls 1",
            "a::http 2",
            "a::http::codec 2",
            "a::http 3",
            "a::http::codec 3",
            "a::tls 3",
            "b 3",
            "a::tls 4"
        ]
    );
}
