//! Where the program's log goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::Args;
use rustix::io::Errno;
use tracing::Level;

use crate::inside;

/// Where journald takes entries.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Where syslog takes lines.
const SYSLOG: &str = "/dev/log";
/// Syslog's number for daemons, as it stands before a severity.
const FACILITY: u8 = 3 << 3;
/// How long a line is that fits into any datagram, in bytes.
const SHORT: usize = 512;
/// How a line ends that was cut.
const CUT: &str = "… (cut)";
/// How small a bound of a log file may be, in bytes.
const SIZE_MIN: u64 = 1024;

/// Where the log goes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogOptions {
    #[arg(
        long,
        value_name = "WHERE",
        help = "Where the log goes: stderr, file:PATH, journald or syslog"
    )]
    pub(crate) log_to: Option<LogTo>,

    /// Begin a new log file when one would be longer than so many bytes; SIGUSR1 opens it anew at any time
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(SIZE_MIN..))]
    pub(crate) log_size: Option<u64>,

    /// How many old log files to keep, as PATH.1, PATH.2 and so on; 5 if left out
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) log_keep: Option<u32>,
}

/// One of the places for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogTo {
    Stderr,
    File(PathBuf),
    Journald(PathBuf),
    Syslog(PathBuf),
}

impl FromStr for LogTo {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let (kind, path) = word.split_once(':').unwrap_or((word, ""));
        let or = |usual: &str| PathBuf::from(if path.is_empty() { usual } else { path });
        match kind {
            "stderr" if path.is_empty() => Ok(Self::Stderr),
            "file" if !path.is_empty() => Ok(Self::File(path.into())),
            "journald" => Ok(Self::Journald(or(JOURNAL))),
            "syslog" => Ok(Self::Syslog(or(SYSLOG))),
            "file" => Err("write file:PATH".to_owned()),
            _ => Err("write stderr, file:PATH, journald or syslog".to_owned()),
        }
    }
}

impl LogOptions {
    /// These, and what `others` say where they say nothing.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            log_to: self.log_to.or(others.log_to),
            log_size: self.log_size.or(others.log_size),
            log_keep: self.log_keep.or(others.log_keep),
        }
    }

    /// Whether it is a file that is put aside by its size.
    pub(crate) fn is_put_aside(&self) -> bool {
        self.log_size.is_some()
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Result<Sink, String> {
        let to = self.log_to.as_ref().unwrap_or(&LogTo::Stderr);
        if (self.log_size.is_some() || self.log_keep.is_some()) && !matches!(to, LogTo::File(_)) {
            return Err(
                "--log-size and --log-keep are for files: add --log-to file:PATH".to_owned()
            );
        }
        Ok(match to {
            LogTo::Stderr => Sink::Stderr,
            LogTo::File(path) => {
                let keep = self.log_keep.unwrap_or(5);
                let file = LogFile::open(path, self.log_size, keep)
                    .map_err(|error| format!("cannot write the log {}: {error}", path.display()))?;
                Sink::File(Arc::new(Mutex::new(file)))
            }
            LogTo::Journald(path) => Sink::Journald(Arc::new(connect(path, "journald")?)),
            LogTo::Syslog(path) => Sink::Syslog(Arc::new(connect(path, "syslog")?)),
        })
    }
}

fn connect(path: &Path, name: &str) -> Result<UnixDatagram, String> {
    let socket = UnixDatagram::unbound().and_then(|socket| {
        socket.connect(path)?;
        // Whoever reads the log slowly must not stop the loop: what does not fit is lost, and counted.
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    socket.map_err(|error| format!("cannot log to {name} at {}: {error}", path.display()))
}

/// Takes lines of the log.
#[derive(Clone, Debug)]
pub(crate) enum Sink {
    Stderr,
    File(Arc<Mutex<LogFile>>),
    Journald(Arc<UnixDatagram>),
    Syslog(Arc<UnixDatagram>),
}

static CHOSEN: OnceLock<Sink> = OnceLock::new();

impl Sink {
    /// The one that was chosen for the program.
    pub(crate) fn chosen() -> Self {
        CHOSEN.get().cloned().unwrap_or(Self::Stderr)
    }

    /// Chooses this one for the program; the first choice holds.
    pub(crate) fn choose(self) -> Self {
        CHOSEN.get_or_init(|| self).clone()
    }

    /// Opens the chosen one's file anew, and says in it if that fails.
    pub(crate) fn reopen_chosen() {
        if let Err(error) = Self::chosen().reopen() {
            tracing::error!("the log file cannot be opened anew: {error}");
        }
    }

    /// Whether it knows time and level by itself.
    pub(crate) fn is_structured(&self) -> bool {
        matches!(self, Self::Journald(_) | Self::Syslog(_))
    }

    /// Opens its file anew, if it has one: somebody has moved it away.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        match self {
            Self::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).reopen(),
            _ => Ok(()),
        }
    }

    /// Gives its file to a user, who goes on with it.
    pub(crate) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        match self {
            Self::File(file) => {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner);
                std::os::unix::fs::fchown(&file.file, Some(user), Some(group))
            }
            _ => Ok(()),
        }
    }

    /// Writes a line, which has its end. A log that cannot be written has nowhere to say so: serving goes on, and the
    /// line is counted as lost.
    pub(crate) fn put_line(&self, level: Level, line: &[u8]) {
        if self.write_line(level, line).is_err() {
            inside::count_lost_line();
        }
    }

    /// Writes a line, which has its end.
    pub(crate) fn write_line(&self, level: Level, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::File(file) => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_line(line)
            }
            Self::Journald(socket) => send(socket, line, |text| {
                let mut entry = format!(
                    "PRIORITY={}\nSYSLOG_IDENTIFIER=ropewalk\nSYSLOG_PID={}\nMESSAGE\n",
                    severity(level),
                    std::process::id()
                )
                .into_bytes();
                entry.extend((text.len() as u64).to_le_bytes());
                entry.extend(text);
                entry.push(b'\n');
                entry
            }),
            Self::Syslog(socket) => send(socket, line, |text| {
                let text = String::from_utf8_lossy(text);
                let number = FACILITY + severity(level);
                let id = std::process::id();
                format!("<{number}>ropewalk[{id}]: {}", text.trim_end()).into_bytes()
            }),
        }
    }
}

/// Sends a line as one datagram; what is too long for one is cut until it is not.
fn send(socket: &UnixDatagram, line: &[u8], entry: impl Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let mut text = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
    loop {
        match socket.send(&entry(&text)) {
            Err(error) if is_too_long(&error) && text.len() > SHORT => {
                text.truncate((text.len() / 2).max(SHORT) - CUT.len());
                text.extend(CUT.as_bytes());
            }
            sent => return sent.map(drop),
        }
    }
}

fn is_too_long(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MSGSIZE | Errno::NOBUFS))
}

/// Syslog's number for a level.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// A log file that is put aside when it is too long.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
    max: Option<u64>,
    keep: u32,
}

impl LogFile {
    fn open(path: &Path, max: Option<u64>, keep: u32) -> io::Result<Self> {
        // The program may be elsewhere when it opens it anew.
        let path = std::path::absolute(path)?;
        let file = append(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, file, length, max, keep })
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = append(&self.path)?;
        self.length = self.file.metadata()?.len();
        Ok(())
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = self.length + line.len() as u64;
        if self.length > 0 && self.max.is_some_and(|max| length > max) {
            // What cannot be put aside is still better long than lost.
            let _ = self.put_aside();
        }
        self.file.write_all(line)?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn put_aside(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => (),
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.reopen()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::{LogFile, LogTo};

    #[test]
    fn places_for_a_log_are_words() {
        let read = |word: &str| word.parse::<LogTo>();
        assert_eq!(read("stderr"), Ok(LogTo::Stderr));
        assert_eq!(read("file:a:b"), Ok(LogTo::File("a:b".into())));
        assert_eq!(read("journald"), Ok(LogTo::Journald("/run/systemd/journal/socket".into())));
        assert_eq!(read("syslog:/x"), Ok(LogTo::Syslog("/x".into())));
        for wrong in ["", "file", "file:", "stdout", "stderr:x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_put_aside_before_it_is_too_long() {
        let folder = std::env::temp_dir().join(format!("ropewalk-rotation-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        let mut log = LogFile::open(&path, Some(10), 2).unwrap();
        for line in ["one\n", "two\n", "three\n", "fourteen chars\n", "five\n", "six\n"] {
            log.write_line(line.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(read("log"), "five\nsix\n");
        assert_eq!(read("log.1"), "fourteen chars\n");
        assert_eq!(read("log.2"), "three\n");
        assert!(!folder.join("log.3").exists(), "two are kept");
        std::fs::rename(&path, folder.join("moved")).unwrap();
        log.reopen().unwrap();
        log.write_line(b"new\n").unwrap();
        assert_eq!((read("moved"), read("log")), ("five\nsix\n".to_owned(), "new\n".to_owned()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
