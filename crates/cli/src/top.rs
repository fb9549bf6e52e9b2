//! `ropewalk top`: a program on the whole screen.

use std::cmp::Ordering;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll, read};
use crossterm::style::{Attribute, Print, SetAttribute};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{cursor, execute, queue};
use ropewalk_control::Line;
use serde_json::{Value, json};

use crate::operate;
use crate::tables::{Table, bytes, plain, span};

/// By what connections are sorted, and whether large comes first.
const COLUMNS: [(&str, bool); 7] = [
    ("PEER", false),
    ("LISTENER", false),
    ("PROTOCOL", false),
    ("AGE", true),
    ("RECEIVED", true),
    ("SENT", true),
    ("STATE", false),
];

/// Puts the terminal back as it was.
struct Screen;

impl Screen {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody left to tell of a terminal that is gone.
        let _ = execute!(io::stdout(), cursor::Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// What is on the screen.
struct View {
    line: Line,
    status: Value,
    connections: Vec<Value>,
    left_out: u64,
    sort: usize,
    reversed: bool,
    filter: String,
    mode: Mode,
    chosen: usize,
    note: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Looking,
    Filtering,
    /// Asked whether to cut the chosen connection.
    Cutting,
}

/// Shows the program that `line` leads to until somebody has seen enough.
pub(crate) fn run(line: Line, every: Duration) -> Result<ExitCode, String> {
    let mut view = View {
        line,
        status: Value::Null,
        connections: Vec::new(),
        left_out: 0,
        sort: 3,
        reversed: false,
        filter: String::new(),
        mode: Mode::Looking,
        chosen: 0,
        note: String::new(),
    };
    view.look()?;
    let failed = |error: io::Error| format!("the terminal: {error}");
    let screen = Screen::take().map_err(failed)?;
    let outcome = view.show(every);
    drop(screen);
    outcome.map(|()| ExitCode::SUCCESS)
}

impl View {
    fn show(&mut self, every: Duration) -> Result<(), String> {
        let failed = |error: io::Error| format!("the terminal: {error}");
        #[expect(clippy::disallowed_methods, reason = "a person looks on, and no loop runs")]
        let now = Instant::now;
        let mut next = now() + every;
        loop {
            self.draw().map_err(failed)?;
            if poll(next.saturating_duration_since(now())).map_err(failed)? {
                if let Event::Key(key) = read().map_err(failed)?
                    && key.kind != KeyEventKind::Release
                    && !self.press(key)?
                {
                    return Ok(());
                }
            } else {
                self.look()?;
                next = now() + every;
            }
        }
    }

    /// Asks the program anew.
    fn look(&mut self) -> Result<(), String> {
        let gone = |error| format!("the program is gone: {error}");
        self.status = self.line.ask(&json!({ "ask": "status" })).map_err(gone)?;
        let answer = self.line.ask(&json!({ "ask": "connections" })).map_err(gone)?;
        self.left_out = answer["left_out"].as_u64().unwrap_or(0);
        self.connections = answer["connections"].as_array().cloned().unwrap_or_default();
        Ok(())
    }

    /// Those that the filter lets through, in order.
    fn rows(&self) -> Vec<&Value> {
        let fits = |one: &&Value| {
            let words = ["peer", "listener", "protocol", "state"];
            self.filter.is_empty()
                || words
                    .iter()
                    .any(|word| one[word].as_str().is_some_and(|has| has.contains(&self.filter)))
        };
        let mut rows: Vec<&Value> = self.connections.iter().filter(fits).collect();
        let (_, largest_first) = COLUMNS[self.sort];
        rows.sort_by(|one, other| {
            let order = compare(self.sort, one, other);
            let order = if largest_first == self.reversed { order } else { order.reverse() };
            order.then_with(|| one["id"].as_str().cmp(&other["id"].as_str()))
        });
        rows
    }

    /// Does what a key says; false if that is to end.
    fn press(&mut self, key: KeyEvent) -> Result<bool, String> {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Ok(false);
        }
        self.note.clear();
        match (self.mode, key.code) {
            (Mode::Filtering, KeyCode::Char(c)) => self.filter.push(c),
            (Mode::Filtering, KeyCode::Backspace) => drop(self.filter.pop()),
            (Mode::Filtering, KeyCode::Esc) => {
                self.filter.clear();
                self.mode = Mode::Looking;
            }
            (Mode::Cutting, KeyCode::Char('y')) => {
                self.mode = Mode::Looking;
                self.cut()?;
            }
            (Mode::Filtering, KeyCode::Enter) | (Mode::Cutting, _) => self.mode = Mode::Looking,
            (_, KeyCode::Char('q') | KeyCode::Esc) => return Ok(false),
            (_, KeyCode::Char('s')) => self.sort = (self.sort + 1) % COLUMNS.len(),
            (_, KeyCode::Char('r')) => self.reversed = !self.reversed,
            (_, KeyCode::Char('/')) => {
                self.filter.clear();
                self.mode = Mode::Filtering;
            }
            (_, KeyCode::Char('k')) if !self.rows().is_empty() => self.mode = Mode::Cutting,
            (_, KeyCode::Up) => self.chosen = self.chosen.saturating_sub(1),
            (_, KeyCode::Down) => self.chosen = self.chosen.saturating_add(1),
            _ => (),
        }
        self.chosen = self.chosen.min(self.rows().len().saturating_sub(1));
        Ok(true)
    }

    fn cut(&mut self) -> Result<(), String> {
        let Some(row) = self.rows().get(self.chosen).map(|row| (*row).clone()) else {
            return Ok(());
        };
        let question = json!({ "ask": "kill", "loop": row["loop"], "id": row["id"] });
        let peer = row["peer"].as_str().unwrap_or_default();
        self.note = match self.line.ask(&question) {
            Ok(_) => format!("{peer} is cut"),
            Err(error) => format!("{peer}: {error}"),
        };
        self.look()
    }

    fn draw(&self) -> io::Result<()> {
        let (width, height) = size()?;
        // Terminals that do not say how large they are are as they always were.
        let or = |said: u16, usual| if said == 0 { usual } else { usize::from(said) };
        let (width, height) = (or(width, 80), or(height, 24));
        let mut lines: Vec<(String, bool)> = Vec::new();
        lines.extend(operate::show(&self.status).into_iter().map(|line| (line, false)));
        // Half of the screen is for connections, whatever there is to say before.
        lines.truncate((height / 2).max(height.saturating_sub(8)));
        lines.push((String::new(), false));
        let rows = self.rows();
        let mut table = Table::new(&COLUMNS.map(|(name, _)| name));
        for row in &rows {
            table.row(cells(row));
        }
        let mut table = table.lines().into_iter();
        lines.push((table.next().unwrap_or_default(), false));
        let room = height.saturating_sub(lines.len() + 1);
        let first = self.chosen.saturating_sub(room.saturating_sub(1));
        let shown = table.enumerate().skip(first).take(room);
        lines.extend(shown.map(|(index, line)| (line, index == self.chosen)));
        let mut out = io::stdout().lock();
        queue!(out, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for index in 0..height.saturating_sub(1) {
            let (line, is_chosen) =
                lines.get(index).map_or(("", false), |(line, chosen)| (line, *chosen));
            let cut: String = plain(line).chars().take(width).collect();
            queue!(out, cursor::MoveTo(0, index as u16))?;
            if is_chosen {
                queue!(out, SetAttribute(Attribute::Reverse))?;
            }
            queue!(
                out,
                Print(cut),
                SetAttribute(Attribute::Reset),
                Clear(ClearType::UntilNewLine)
            )?;
        }
        let foot: String = plain(&self.foot(rows.len())).chars().take(width).collect();
        queue!(
            out,
            cursor::MoveTo(0, height.saturating_sub(1) as u16),
            SetAttribute(Attribute::Bold),
            Print(foot),
            SetAttribute(Attribute::Reset),
            Clear(ClearType::UntilNewLine),
            EndSynchronizedUpdate,
        )?;
        out.flush()
    }

    fn foot(&self, count: usize) -> String {
        match self.mode {
            Mode::Filtering => format!("filter: {}_", self.filter),
            Mode::Cutting => {
                let rows = self.rows();
                let peer = rows.get(self.chosen).and_then(|row| row["peer"].as_str());
                format!("cut the connection of {}? y, or any other key", peer.unwrap_or_default())
            }
            Mode::Looking => {
                let left_out = match self.left_out {
                    0 => String::new(),
                    left_out => format!(" and {left_out} more"),
                };
                let filter = match self.filter.as_str() {
                    "" => String::new(),
                    filter => format!(", with {filter:?}"),
                };
                let (column, _) = COLUMNS[self.sort];
                let note = match self.note.as_str() {
                    "" => String::new(),
                    note => format!("{note}  "),
                };
                format!(
                    "{note}{count} connections{left_out}{filter}, by {column}  q ends  s sorts  \
                     r reverses  / filters  k cuts"
                )
            }
        }
    }
}

fn cells(row: &Value) -> [String; 7] {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let count = |name: &str| bytes(row[name].as_u64().unwrap_or(0));
    [
        text("peer"),
        text("listener"),
        text("protocol"),
        span(row["age_seconds"].as_f64().unwrap_or(0.0)),
        count("received"),
        count("sent"),
        text("state"),
    ]
}

fn compare(column: usize, one: &Value, other: &Value) -> Ordering {
    let name = ["peer", "listener", "protocol", "age_seconds", "received", "sent", "state"][column];
    match (one[name].as_f64(), other[name].as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        _ => one[name].as_str().cmp(&other[name].as_str()),
    }
}
