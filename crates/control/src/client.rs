//! Asking a program.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// How long a program may take to answer: longer than its loops are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotAsk {
    /// Nobody answers there.
    Link(io::Error),
    /// What came is no answer.
    Garbled(String),
    /// The program does not do it, for this reason.
    Refused(String),
}

impl fmt::Display for CannotAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "its socket is another user's")
            }
            Self::Link(error) => write!(f, "it does not answer: {error}"),
            Self::Garbled(line) => write!(f, "it answers what is no answer: {line:?}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl Error for CannotAsk {}

impl From<io::Error> for CannotAsk {
    fn from(error: io::Error) -> Self {
        Self::Link(error)
    }
}

/// A connection to a program, for more than one question.
#[derive(Debug)]
pub struct Line {
    stream: BufReader<UnixStream>,
}

impl Line {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// If nobody answers there, or it is another user's.
    pub fn to(path: &Path) -> Result<Self, CannotAsk> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks one question; answers the object that came.
    ///
    /// # Errors
    ///
    /// If there is no answer, or it is a refusal.
    pub fn ask(&mut self, question: &Value) -> Result<Value, CannotAsk> {
        // Who is refused has heard so before the question.
        let asked = self.stream.get_mut().write_all(format!("{question}\n").as_bytes());
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => asked?,
            Ok(_) => (),
            Err(error) => return Err(error.into()),
        }
        let answer: Value =
            serde_json::from_str(&line).map_err(|_| CannotAsk::Garbled(line.clone()))?;
        match (answer["ok"].as_bool(), answer["error"].as_str()) {
            (Some(true), _) => Ok(answer),
            (_, Some(why)) => Err(CannotAsk::Refused(why.to_owned())),
            _ => Err(CannotAsk::Garbled(line)),
        }
    }

    /// Waits until the program hangs up, as it does at its end.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn until_over(mut self) -> Result<(), CannotAsk> {
        self.stream.get_ref().set_read_timeout(None)?;
        io::copy(&mut self.stream, &mut io::sink())?;
        Ok(())
    }
}

/// Asks the program at `path` one question.
///
/// # Errors
///
/// If there is no answer, or it is a refusal.
pub fn ask(path: &Path, question: &Value) -> Result<Value, CannotAsk> {
    Line::to(path)?.ask(question)
}
