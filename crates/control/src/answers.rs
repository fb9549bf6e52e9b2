//! What operators ask, and what they are answered.

use std::time::Duration;

use ropewalk_metrics::{Process, Report};
use ropewalk_reactor::{Histogram, Reactor};
use serde_json::{Map, Value, json};

use crate::subject::Subject;

/// How long a loop is waited for before it is said to be stuck.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// How many connections, or things under way, are told of in one answer.
pub const ROWS_MAX: usize = 10_000;

/// What may be asked.
const QUESTIONS: &str = "status, connections, kill, log-level, drain, reload or dump";

/// The answer to a question; a refusal says why.
pub(crate) fn answer(subject: &Subject, question: &Value) -> Result<Value, String> {
    let asked = question["ask"].as_str().ok_or_else(|| format!("\"ask\" is to be {QUESTIONS}"))?;
    match asked {
        "status" => Ok(status(subject)),
        "connections" => Ok(connections(subject)),
        "kill" => kill(subject, question),
        "log-level" => log_level(subject, question),
        "drain" => drain(subject),
        "reload" => match &subject.reload {
            Some(reload) => reload().map(|said| json!({ "ok": true, "said": said })),
            None => Err("this program has nothing to read again".to_owned()),
        },
        "dump" => dump(subject, question),
        other => Err(format!("{other:?} is nothing to ask: ask {QUESTIONS}")),
    }
}

fn program(subject: &Subject) -> Value {
    let process = Process::now();
    json!({
        "name": subject.name,
        "version": subject.version,
        "pid": std::process::id(),
        "memory": process.resident,
        "descriptors": process.descriptors,
        "threads": process.threads,
        "cpu_seconds": process.cpu.as_secs_f64(),
        "log": subject.levels.as_ref().map(crate::logs::Levels::shown),
        "lost_lines": subject.loops.lost_lines(),
    })
}

fn milliseconds(time: Option<Duration>) -> Value {
    time.map_or(Value::Null, |time| json!((time.as_secs_f64() * 1e6).round() / 1e3))
}

fn quantiles(histogram: &Histogram) -> Value {
    json!({
        "count": histogram.count(),
        "p50_ms": milliseconds(histogram.quantile(0.5)),
        "p90_ms": milliseconds(histogram.quantile(0.9)),
        "p99_ms": milliseconds(histogram.quantile(0.99)),
        "max_ms": milliseconds((histogram.count() > 0).then(|| histogram.max())),
    })
}

/// What holds a loop up, as far as it can be told from outside.
fn stuck(subject: &Subject, report: &Report) -> Value {
    let Some(turn) = &report.stuck else { return Value::Null };
    let mut told = Map::new();
    told.insert("turn".to_owned(), turn.number.into());
    told.insert("for_ms".to_owned(), milliseconds(Some(turn.lasts)));
    told.insert("runs".to_owned(), turn.runs.clone().into());
    if let Some(thread) = report.thread {
        told.insert("thread".to_owned(), thread.into());
        told.insert("thread_is".to_owned(), thread_is(thread).into());
        let spans = subject.spans.as_ref().map(|spans| spans.of(thread)).unwrap_or_default();
        if !spans.is_empty() {
            told.insert("spans".to_owned(), spans.into());
        }
    }
    told.into()
}

/// What the system says that a thread of this process is at.
fn thread_is(thread: u32) -> String {
    let read = |what: &str| std::fs::read_to_string(format!("/proc/self/task/{thread}/{what}"));
    let stat = read("stat").unwrap_or_default();
    // The name before it may hold anything, and ends in the last parenthesis.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    let waits_in = read("wchan").ok().filter(|place| !matches!(place.as_str(), "" | "0"));
    let place = waits_in.map(|place| format!(", in the kernel's {place}")).unwrap_or_default();
    match state {
        Some('R') => "at work on a processor".to_owned(),
        Some('S') => format!("asleep{place}"),
        Some('D') => format!("asleep, and not to be woken{place}"),
        Some('T' | 't') => "stopped".to_owned(),
        Some(other) => format!("in state {other}"),
        None => "unknown".to_owned(),
    }
}

fn status(subject: &Subject) -> Value {
    let reports = subject.loops.ask(PATIENCE);
    let loops: Vec<Value> = reports.iter().map(|report| loop_of(subject, report)).collect();
    let listeners: Vec<Value> = reports
        .iter()
        .flat_map(|report| {
            report.statistics.sources.iter().map(|source| {
                json!({
                    "loop": report.number,
                    "listener": source.listener,
                    "protocol": source.protocol,
                    "open": source.open,
                    "opened": source.opened,
                    "received": source.received,
                    "sent": source.sent,
                })
            })
        })
        .collect();
    json!({ "ok": true, "program": program(subject), "loops": loops, "listeners": listeners })
}

fn loop_of(subject: &Subject, report: &Report) -> Value {
    let statistics = &report.statistics;
    let census = &statistics.census;
    let named = |numbers: &[(&'static str, u64)]| {
        let some = numbers.iter().filter(|(_, count)| *count > 0);
        some.map(|(name, count)| ((*name).to_owned(), Value::from(*count))).collect::<Map<_, _>>()
    };
    let gauges: Vec<Value> = statistics
        .gauges
        .iter()
        .map(|gauge| json!({ "name": gauge.name, "of": gauge.of, "value": gauge.value }))
        .collect();
    json!({
        "loop": report.number,
        "driver": report.driver,
        "age_seconds": statistics.age.as_secs_f64(),
        "stuck": stuck(subject, report),
        "turns": statistics.turns,
        "turn_time": quantiles(&statistics.turn_time),
        "lag": quantiles(&statistics.lag),
        "connections": census.connections,
        "lingering": census.lingering,
        "listeners": census.listeners,
        "timers": census.timers,
        "tasks": census.tasks,
        "processes": census.processes,
        "pool": {
            "threads": census.threads,
            "busy": statistics.pool_busy,
            "queue": statistics.pool_queue,
            "waits": quantiles(&statistics.pool_waits),
        },
        "accept_errors": statistics.accept_errors,
        "turned_away": statistics.turned_away,
        "ended": named(&statistics.ended),
        "events": named(&statistics.counts),
        "gauges": gauges,
        "requests": {
            "by_class": report.requests.by_class,
            "took": quantiles(&report.requests.took),
        },
    })
}

fn connections(subject: &Subject) -> Value {
    let found = subject.loops.each(PATIENCE, Reactor::connections);
    let mut rows = Vec::new();
    let mut left_out = 0;
    let mut held_up = Vec::new();
    for (report, connections) in &found {
        let Some(connections) = connections else {
            held_up.push(json!({ "loop": report.number, "stuck": stuck(subject, report) }));
            continue;
        };
        for connection in connections {
            if rows.len() == ROWS_MAX {
                left_out += 1;
                continue;
            }
            rows.push(json!({
                "loop": report.number,
                "id": connection.id.to_string(),
                "listener": connection.listener,
                "protocol": connection.protocol,
                "peer": connection.peer.to_string(),
                "age_seconds": connection.age.as_secs_f64(),
                "received": connection.received,
                "sent": connection.sent,
                "state": connection.state,
            }));
        }
    }
    json!({ "ok": true, "connections": rows, "left_out": left_out, "held_up": held_up })
}

fn kill(subject: &Subject, question: &Value) -> Result<Value, String> {
    let id = question["id"].as_str().and_then(|id| id.parse::<u64>().ok());
    let id = id.ok_or("\"id\" is to be a connection's, as \"connections\" tells them")?;
    let number = question["loop"].as_u64().ok_or("\"loop\" is to be the number of its loop")?;
    let found = subject.loops.each(PATIENCE, move |reactor| {
        // Each loop is asked for what it has, and only one is told.
        reactor.connections().iter().any(|connection| connection.id == id)
    });
    let report = found.iter().find(|(report, _)| report.number as u64 == number);
    match report {
        None => Err(format!("there is no loop {number}")),
        Some((_, None)) => Err(format!("loop {number} is stuck, and hears of nothing")),
        Some((_, Some(false))) => Err("that connection is gone already".to_owned()),
        Some((_, Some(true))) => {
            subject.loops.call_one(number as usize, move |reactor| {
                reactor.abort_connection(id);
            });
            Ok(json!({ "ok": true, "said": "it is cut" }))
        }
    }
}

fn log_level(subject: &Subject, question: &Value) -> Result<Value, String> {
    let levels = subject.levels.as_ref().ok_or("this program's logs are not ours to change")?;
    match &question["set"] {
        Value::Null => (),
        Value::String(change) => {
            let before = levels.shown();
            levels.change(change)?;
            tracing::info!(
                target: "ropewalk::control",
                "an operator changed what is logged from {before} to {}",
                levels.shown(),
            );
        }
        _ => return Err("\"set\" is to be such as \"ropewalk::http=debug\"".to_owned()),
    }
    Ok(json!({ "ok": true, "log": levels.shown() }))
}

fn drain(subject: &Subject) -> Result<Value, String> {
    tracing::info!(target: "ropewalk::control", "an operator wants this program to end in order");
    match subject.loops.call(Reactor::stop) {
        0 => Err("no loop runs".to_owned()),
        count => {
            Ok(json!({ "ok": true, "said": "it ends what it is at, and goes", "loops": count }))
        }
    }
}

fn dump(subject: &Subject, question: &Value) -> Result<Value, String> {
    let follow = match &question["deferreds"] {
        Value::Null => None,
        Value::Bool(follow) => Some(*follow),
        _ => return Err("\"deferreds\" is to be true or false".to_owned()),
    };
    let found = subject.loops.each(PATIENCE, move |reactor| {
        if let Some(follow) = follow {
            reactor.follow_deferreds(follow);
        }
        let mut all: Vec<String> = reactor.under_way().iter().map(ToString::to_string).collect();
        let deferreds = reactor.deferreds();
        let are_followed = deferreds.is_some();
        all.extend(deferreds.unwrap_or_default().iter().map(ToString::to_string));
        let left_out = all.len().saturating_sub(ROWS_MAX);
        all.truncate(ROWS_MAX);
        (all, left_out, are_followed)
    });
    let loops: Vec<Value> = found
        .into_iter()
        .map(|(report, under_way)| match under_way {
            Some((all, left_out, are_followed)) => json!({
                "loop": report.number,
                "under_way": all,
                "left_out": left_out,
                "deferreds": are_followed,
            }),
            None => json!({ "loop": report.number, "stuck": stuck(subject, &report) }),
        })
        .collect();
    Ok(json!({ "ok": true, "program": program(subject), "loops": loops }))
}
