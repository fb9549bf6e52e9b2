//! Dialogues that a person can read, and a protocol must keep to.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use ropewalk_protocol::{Disconnect, Protocol, Seat, seat};

use crate::chunked::feed;
use crate::{Clock, Cut, Difference, Memory, Side};

/// A dialogue between a client and a server, a line each, as RFCs print them.
///
/// | line | means |
/// |---|---|
/// | `C: text` | the client sends this and CR LF |
/// | `S: text` | the server sends this and CR LF |
/// | `C: text\` | without the CR LF |
/// | `C.` or `S.` | that side sends no more: it closes, or ends its stream |
/// | `+ 30s` | so much time passes; `ms`, `s`, `m` and `h` are known |
/// | `# text` | is for readers |
///
/// Within the text, `\r`, `\n`, `\t`, `\0`, `\\` and `\x1b` stand for what they stand for in Rust. What a
/// side sends must be said in full, where it is sent: nothing may come that is not there.
///
/// ```
/// use ropewalk_protocol::{Conn, Protocol};
/// use ropewalk_trial::{Side, Transcript};
///
/// struct Greeter;
/// impl Protocol for Greeter {
///     fn connection_made(&mut self, conn: &Conn<Self>) {
///         conn.write(b"hello\r\n");
///     }
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         if data.ends_with(b"\n") {
///             conn.write(b"goodbye\r\n");
///             conn.close();
///         }
///     }
/// }
///
/// let transcript: Transcript = "
///     S: hello
///     C: quit
///     S: goodbye
///     S.
/// ".parse()?;
/// transcript.check(Side::Server, || Greeter);
/// # Ok::<(), ropewalk_trial::BadTranscript>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Says(Side, Vec<u8>),
    Ends(Side),
    Passes(Duration),
}

impl Transcript {
    /// Plays the dialogue with what `make` makes as one side, in every way of cutting what it is sent.
    ///
    /// # Panics
    ///
    /// Where it does not keep to the dialogue, with the line, and both sides shown where they part.
    #[track_caller]
    pub fn check<P: Protocol>(&self, side: Side, mut make: impl FnMut() -> P) {
        self.check_seats(side, |_| seat(make()));
    }

    /// The same for what is seated already, on a clock that others may share.
    ///
    /// # Panics
    ///
    /// As [`check`](Self::check) does.
    #[track_caller]
    pub fn check_seats(&self, side: Side, mut make: impl FnMut(&Clock) -> Box<dyn Seat>) {
        for cut in Cut::all() {
            let clock = Clock::new();
            let memory = Memory::take_seat(make(&clock), &clock);
            if let Err(fault) = self.play(side, memory, cut) {
                panic!("with input given {cut}: {fault}");
            }
        }
    }

    /// Plays the dialogue with a protocol that is seated as one side.
    ///
    /// # Errors
    ///
    /// Where it does not keep to the dialogue.
    pub fn play(&self, side: Side, mut memory: Memory, cut: Cut) -> Result<(), Departure> {
        let mut expected: Vec<u8> = Vec::new();
        let mut line = self.steps.first().map_or(1, |step| step.line);
        for step in &self.steps {
            match &step.what {
                What::Says(speaker, text) if *speaker == side => {
                    if expected.is_empty() {
                        line = step.line;
                    }
                    expected.extend_from_slice(text);
                }
                What::Says(_, text) => {
                    compare(&mut memory, &mut expected, line)?;
                    for piece in cut.cut(text) {
                        if feed(&mut memory, piece) < piece.len() {
                            return Err(Departure::new(step.line, Fault::Deaf(memory.ended())));
                        }
                    }
                }
                What::Ends(speaker) if *speaker == side => {
                    compare(&mut memory, &mut expected, line)?;
                    if memory.ended().is_none() && !memory.is_write_closed() {
                        return Err(Departure::new(step.line, Fault::GoesOn));
                    }
                }
                What::Ends(_) => {
                    compare(&mut memory, &mut expected, line)?;
                    memory.eof();
                }
                What::Passes(time) => {
                    compare(&mut memory, &mut expected, line)?;
                    memory.advance(*time);
                }
            }
            line = if expected.is_empty() { step.line } else { line };
        }
        compare(&mut memory, &mut expected, line)
    }
}

/// Compares what came by now with what was said.
fn compare(memory: &mut Memory, expected: &mut Vec<u8>, line: usize) -> Result<(), Departure> {
    let came = memory.take_sent();
    match Difference::between(expected, &came) {
        Some(difference) => Err(Departure::new(line, Fault::Differs(difference))),
        None => {
            expected.clear();
            Ok(())
        }
    }
}

/// How a protocol departed from a [`Transcript`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    line: usize,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Differs(Difference),
    Deaf(Option<Disconnect>),
    GoesOn,
}

impl Departure {
    fn new(line: usize, fault: Fault) -> Self {
        Self { line, fault }
    }

    /// The line of the transcript, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.fault {
            Fault::Differs(difference) => difference.fmt(f),
            Fault::Deaf(Some(why)) => write!(f, "the connection has ended before this: {why}"),
            Fault::Deaf(None) => f.write_str("this is not read"),
            Fault::GoesOn => f.write_str("the connection goes on"),
        }
    }
}

impl Error for Departure {}

/// What is no transcript, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTranscript {
    line: usize,
    what: &'static str,
}

impl fmt::Display for BadTranscript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of a transcript {}", self.line, self.what)
    }
}

impl Error for BadTranscript {}

impl std::str::FromStr for Transcript {
    type Err = BadTranscript;

    fn from_str(text: &str) -> Result<Self, BadTranscript> {
        let mut steps = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if let Some(what) =
                step(line.trim()).map_err(|what| BadTranscript { line: number, what })?
            {
                steps.push(Step { line: number, what });
            }
        }
        Ok(Self { steps })
    }
}

fn step(line: &str) -> Result<Option<What>, &'static str> {
    let side = match line.as_bytes().first() {
        None | Some(b'#') => return Ok(None),
        Some(b'+') => return duration(line[1..].trim()).map(|time| Some(What::Passes(time))),
        Some(b'C') => Side::Client,
        Some(b'S') => Side::Server,
        Some(_) => return Err("begins with none of C, S, + and #"),
    };
    match &line[1..] {
        "." => Ok(Some(What::Ends(side))),
        ":" => Ok(Some(What::Says(side, b"\r\n".to_vec()))),
        rest => {
            let text = rest.strip_prefix(": ").ok_or("has no colon and space after its side")?;
            unescape(text).map(|text| Some(What::Says(side, text)))
        }
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..split].parse().map_err(|_| "has no number of a time")?;
    Ok(match text[split..].trim() {
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        "m" => Duration::from_secs(count.saturating_mul(60)),
        "h" => Duration::from_secs(count.saturating_mul(3600)),
        _ => return Err("has no unit of a time: ms, s, m or h"),
    })
}

/// The bytes of a line, CR LF included unless it ends in a backslash.
fn unescape(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let Some((&escape, after)) = rest.split_first() else { return Ok(bytes) };
        rest = after;
        bytes.push(match escape {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                rest = rest.get(2..).unwrap_or_default();
                digits
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                    .ok_or("has an \\x without two digits")?
            }
            _ => return Err("has an escape that nobody knows"),
        });
    }
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes)
}
