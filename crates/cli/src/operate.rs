//! What an operator says to a program that runs.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use ropewalk_control::{Found, Line, Places, ask};
use serde_json::{Value, json};

use crate::inside::Inside;
use crate::serving::print_line;
use crate::tables::{Table, bytes, milliseconds, span, thousands};

/// Which program.
#[derive(Args)]
pub(crate) struct Which {
    /// The program, by the verb that it was started with or the number of its process; needed only
    /// where several run
    #[arg(value_name = "NAME|PID")]
    program: Option<String>,
}

impl Which {
    /// Its socket.
    pub(crate) fn find(&self, inside: &Inside) -> Result<PathBuf, String> {
        if let Some(path) = &inside.control {
            return Ok(path.clone());
        }
        let places = Places::from_environment().ok_or(
            "there is no folder of yours where programs could be found (XDG_RUNTIME_DIR names it); \
             name the program's socket with --control",
        )?;
        let folder = places.folder().display();
        let found =
            places.programs().map_err(|error| format!("cannot look in {folder}: {error}"))?;
        let wanted = |program: &&Found| match &self.program {
            Some(which) => program.name == *which || program.pid.to_string() == *which,
            None => true,
        };
        let mut fitting: Vec<&Found> = found.iter().filter(wanted).collect();
        match (fitting.len(), &self.program) {
            (1, _) => Ok(fitting.remove(0).path.clone()),
            (0, None) => Err(format!("no program of yours runs: there is none in {folder}")),
            (0, Some(which)) => Err(format!("no {which:?} runs; {}", listed(&found))),
            _ => Err(format!("several run: name one by its process. {}", listed(&fitting))),
        }
    }
}

fn listed<T: std::borrow::Borrow<Found>>(found: &[T]) -> String {
    if found.is_empty() {
        return "nothing of yours does".to_owned();
    }
    let one = |found: &T| format!("{} {}", found.borrow().name, found.borrow().pid);
    format!("these do: {}", found.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn put(line: &str) -> Result<(), String> {
    print_line(&line).map_err(|error| format!("cannot print: {error}"))
}

fn told(question: &Value, which: &Which, inside: &Inside) -> Result<Value, String> {
    let path = which.find(inside)?;
    ask(&path, question).map_err(|error| format!("{}: {error}", path.display()))
}

/// Show how a program that serves is
#[derive(Args)]
#[command(after_long_help = "Examples:\n  \
    ropewalk status\n      \
    the one program of yours that runs\n  \
    ropewalk status web\n      \
    the one that was started by `ropewalk web`\n  \
    ropewalk status --json\n      \
    for programs\n\n\
    A loop that is stuck in one turn is shown with what holds it up: the protocol and the listener, or \
    where a call or a task was asked for.\n\n\
    Exit status: 0 if it answers, 1 if not, 2 for wrong usage.")]
pub(crate) struct Status {
    #[command(flatten)]
    which: Which,

    /// Print the answer as it is, an object
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self, inside: &Inside) -> Result<ExitCode, String> {
        let answer = told(&json!({ "ask": "status" }), &self.which, inside)?;
        if self.json {
            put(&answer.to_string())?;
        } else {
            for line in show(&answer) {
                put(&line)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A program's status, line by line.
pub(crate) fn show(answer: &Value) -> Vec<String> {
    let program = &answer["program"];
    let loops = answer["loops"].as_array().map(Vec::as_slice).unwrap_or_default();
    let age = loops.iter().filter_map(|one| one["age_seconds"].as_f64()).fold(0.0, f64::max);
    let mut lines = vec![
        format!(
            "{} {}, process {}, up {}",
            text(&program["name"]),
            text(&program["version"]),
            program["pid"],
            span(age),
        ),
        format!(
            "memory {}, {} descriptors, {} threads, {} of CPU",
            bytes(program["memory"].as_u64().unwrap_or(0)),
            program["descriptors"],
            program["threads"],
            span(program["cpu_seconds"].as_f64().unwrap_or(0.0)),
        ),
    ];
    if let Some(log) = program["log"].as_str() {
        let lost = program["lost_lines"].as_u64().filter(|count| *count > 0);
        let lost = lost.map(|count| format!("; {count} lines of it were lost")).unwrap_or_default();
        lines.push(format!("log {log}{lost}"));
    }
    lines.push(String::new());
    lines.extend(loops_table(loops).lines());
    lines.extend(loops.iter().filter_map(stuck));
    lines.push(String::new());
    let listeners = answer["listeners"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.extend(listeners_table(listeners).lines());
    for (what, name) in [("ended", "connections ended"), ("events", "events")] {
        let mut all: Vec<String> = Vec::new();
        for one in loops {
            let counts = one[what].as_object().into_iter().flatten();
            all.extend(counts.map(|(name, count)| format!("{name} {count}")));
        }
        if !all.is_empty() {
            lines.push(String::new());
            lines.push(format!("{name}: {}", all.join(", ")));
        }
    }
    lines
}

fn loops_table(loops: &[Value]) -> Table {
    let mut table = Table::new(&[
        "LOOP",
        "DRIVER",
        "CONNECTIONS",
        "TIMERS",
        "TASKS",
        "POOL",
        "TURNS",
        "TURN 99%",
        "LAG 99%",
    ]);
    for one in loops {
        let pool = &one["pool"];
        table.row([
            one["loop"].to_string(),
            text(&one["driver"]).to_owned(),
            number(&one["connections"]),
            number(&one["timers"]),
            number(&one["tasks"]),
            format!("{}+{}", pool["busy"], pool["queue"]),
            number(&one["turns"]),
            milliseconds(&one["turn_time"]["p99_ms"]),
            milliseconds(&one["lag"]["p99_ms"]),
        ]);
    }
    table
}

fn listeners_table(listeners: &[Value]) -> Table {
    let mut table = Table::new(&["LISTENER", "PROTOCOL", "OPEN", "OPENED", "RECEIVED", "SENT"]);
    for one in listeners {
        table.row([
            text(&one["listener"]).to_owned(),
            text(&one["protocol"]).to_owned(),
            number(&one["open"]),
            number(&one["opened"]),
            bytes(one["received"].as_u64().unwrap_or(0)),
            bytes(one["sent"].as_u64().unwrap_or(0)),
        ]);
    }
    table
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn number(value: &Value) -> String {
    thousands(value.as_u64().unwrap_or(0))
}

/// What holds a loop up.
fn stuck(one: &Value) -> Option<String> {
    let stuck = one["stuck"].as_object()?;
    let told = |name: &str| stuck.get(name).map(text).unwrap_or_default();
    let lasts = stuck.get("for_ms").and_then(Value::as_f64).unwrap_or(0.0) / 1e3;
    let mut line = format!(
        "loop {} is STUCK, for {} in one turn, in {}; its thread is {}",
        one["loop"],
        span(lasts),
        told("runs"),
        told("thread_is"),
    );
    let spans: Vec<&str> =
        stuck.get("spans").and_then(Value::as_array).into_iter().flatten().map(text).collect();
    if !spans.is_empty() {
        line.push_str("; in the span ");
        line.push_str(&spans.join(" > "));
    }
    Some(line)
}

/// Show or change what a program that runs logs
#[derive(Args)]
#[command(
    name = "log-level",
    after_long_help = "Examples:\n  \
    ropewalk log-level\n      \
    what is logged now\n  \
    ropewalk log-level ropewalk::tls=debug\n      \
    more of one namespace and all below it\n  \
    ropewalk log-level ropewalk::tls=\n      \
    as it was\n  \
    ropewalk log-level info,ropewalk::http=trace\n      \
    of all, and still more of one\n  \
    ropewalk log-level reset\n      \
    what the program began with\n\n\
    Levels are off, error, warn, info, debug and trace.\n\n\
    Exit status: 0 if it is done, 1 if not, 2 for wrong usage."
)]
pub(crate) struct LogLevel {
    /// What to log from now on
    #[arg(value_name = "[NAMESPACE=]LEVEL")]
    change: Option<String>,

    /// The program, where several run
    #[arg(long, value_name = "NAME|PID")]
    program: Option<String>,
}

impl LogLevel {
    pub(crate) fn run(self, inside: &Inside) -> Result<ExitCode, String> {
        let which = Which { program: self.program };
        let answer = told(&json!({ "ask": "log-level", "set": self.change }), &which, inside)?;
        put(text(&answer["log"]))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// End a program in order: it finishes what it is at
#[derive(Args)]
#[command(after_long_help = "Examples:\n  \
    ropewalk drain\n      \
    has it accept no more, say goodbye on each connection, and go\n  \
    ropewalk drain web --wait\n      \
    and waits until it is gone\n\n\
    Exit status: 0 if it is told, with --wait once it is gone; 1 if not, 2 for wrong usage.")]
pub(crate) struct Drain {
    #[command(flatten)]
    which: Which,

    /// Wait until it is gone
    #[arg(long)]
    wait: bool,
}

impl Drain {
    pub(crate) fn run(self, inside: &Inside) -> Result<ExitCode, String> {
        let path = self.which.find(inside)?;
        let failed = |error| format!("{}: {error}", path.display());
        let mut line = Line::to(&path).map_err(failed)?;
        let answer = line.ask(&json!({ "ask": "drain" })).map_err(failed)?;
        put(text(&answer["said"]))?;
        if self.wait {
            line.until_over().map_err(|error| format!("{}: {error}", path.display()))?;
            put("it is gone")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Have a program read its configuration again
#[derive(Args)]
#[command(after_long_help = "Examples:\n  \
    ropewalk reload\n      \
    the one program of yours that runs\n\n\
    Exit status: 0 if it is done, 1 if the program refuses or has nothing to read, 2 for wrong usage.")]
pub(crate) struct Reload {
    #[command(flatten)]
    which: Which,
}

impl Reload {
    pub(crate) fn run(self, inside: &Inside) -> Result<ExitCode, String> {
        let answer = told(&json!({ "ask": "reload" }), &self.which, inside)?;
        put(text(&answer["said"]))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// List all that a program has under way, and where it was asked for
#[derive(Args)]
#[command(after_long_help = "Examples:\n  \
    ropewalk dump\n      \
    connections, listeners, timers, tasks, deferreds and work in threads\n  \
    ropewalk dump --deferreds off\n      \
    the same, and deferreds are listed no more\n\n\
    Exit status: 0 if it answers, 1 if not, 2 for wrong usage.")]
pub(crate) struct Dump {
    #[command(flatten)]
    which: Which,

    /// Have deferreds listed from now on, or no more: a listed one costs some hundred instructions more, and only
    /// those that were made since can be told of. A program of ours lists them unless told otherwise
    #[arg(long, value_name = "on|off", value_parser = on_or_off)]
    deferreds: Option<bool>,

    /// Have eu-stack or gdb show the stacks of its threads, which stops it for a moment
    #[arg(long)]
    stack: bool,

    /// Print the answer as it is, an object
    #[arg(long)]
    json: bool,
}

impl Dump {
    pub(crate) fn run(self, inside: &Inside) -> Result<ExitCode, String> {
        let question = json!({ "ask": "dump", "deferreds": self.deferreds });
        let answer = told(&question, &self.which, inside)?;
        if self.json {
            put(&answer.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        for one in answer["loops"].as_array().map(Vec::as_slice).unwrap_or_default() {
            if let Some(line) = stuck(one) {
                put(&line)?;
                continue;
            }
            put(&format!("loop {}:", one["loop"]))?;
            for line in one["under_way"].as_array().map(Vec::as_slice).unwrap_or_default() {
                put(&format!("  {}", text(line)))?;
            }
            if let Some(count) = one["left_out"].as_u64().filter(|count| *count > 0) {
                put(&format!("  and {count} more"))?;
            }
            if one["deferreds"] == false {
                put("  deferreds are not listed; `ropewalk dump --deferreds on` has them listed")?;
            }
        }
        if self.stack {
            stacks(&answer["program"]["pid"].to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

/// Has another program show the stacks of a process.
fn stacks(pid: &str) -> Result<(), String> {
    let gdb = ["-batch", "-nx", "-ex", "thread apply all backtrace", "-p", pid];
    for (program, arguments) in [("eu-stack", &["-p", pid][..]), ("gdb", &gdb[..])] {
        match Command::new(program).args(arguments).stdin(Stdio::null()).status() {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => return Err(format!("{program} could not look into {pid}: {status}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(format!("{program} cannot be run: {error}")),
        }
    }
    Err("neither eu-stack nor gdb is there to show stacks".to_owned())
}

/// Watch a program: its listeners and connections, as they are
#[derive(Args)]
#[command(after_long_help = "Examples:\n  \
    ropewalk top\n      \
    the one program of yours that runs\n  \
    ropewalk top web --every 0.5\n      \
    looked at twice a second\n\n\
    Keys: up and down choose a connection, s sorts by the next column and r the other way round, / filters \
    by what is typed until Enter, k and then y cuts the chosen connection, q ends it.\n\n\
    Exit status: 0 after q, 1 if the program does not answer or there is no terminal, 2 for wrong usage.")]
pub(crate) struct Top {
    #[command(flatten)]
    which: Which,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = every)]
    every: Duration,
}

fn every(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    let seconds = seconds.ok_or("a number of seconds from 0.1 to 3600 is wanted")?;
    Ok(Duration::from_secs_f64(seconds))
}

impl Top {
    pub(crate) fn run(self, inside: &Inside) -> Result<ExitCode, String> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err("top needs a terminal; `ropewalk status` prints once".to_owned());
        }
        let path = self.which.find(inside)?;
        let line = Line::to(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        crate::top::run(line, self.every)
    }
}
