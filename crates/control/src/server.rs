//! The thread that answers operators.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::{Mode, fchmod};
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, bind, listen, shutdown,
    socket_with, sockopt,
};
use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::answers;
use crate::subject::Subject;

/// How many operators may be connected at once.
pub const OPERATORS_MAX: usize = 16;
/// How long a question may be, in bytes.
pub const QUESTION_MAX: u64 = 64 * 1024;
/// How long an operator may be silent.
const SILENCE_MAX: Duration = Duration::from_mins(5);

/// How long a program that ends waits for answers that are being given.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(1);

/// A program's socket, which answers until it is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    /// The file, to remove no other.
    file: (u64, u64),
    /// What its thread waits at.
    waker: UnixListener,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    subject: Subject,
    operators: AtomicUsize,
    is_over: AtomicBool,
    /// How many answers are being given.
    answering: Mutex<usize>,
    answered: Condvar,
}

impl Control {
    /// Answers at `path` for `subject`, in a thread of its own. A socket that nobody answers at any more is
    /// replaced.
    ///
    /// # Errors
    ///
    /// If anything else is there, somebody answers there, or the system refuses.
    pub fn start(path: &Path, subject: Subject) -> io::Result<Self> {
        clear(path)?;
        Self::answer_at(path, path, subject)
    }

    /// The same in the place of the program that answers at `path`, such as the one that this one succeeds: who comes
    /// from now on is answered here, and nobody finds the place empty in between.
    ///
    /// # Errors
    ///
    /// If what is there is no socket, or the system refuses.
    pub fn take_over(path: &Path, subject: Subject) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return Self::start(path, subject);
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        clear(&beside)?;
        let taken = Self::answer_at(&beside, path, subject)?;
        fs::rename(&beside, path)?;
        Ok(taken)
    }

    /// Answers at a socket whose file is made at `made` and is to be at `path`.
    fn answer_at(made: &Path, path: &Path, subject: Subject) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Before it has a name, so that nobody else can come in between.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, &SocketAddrUnix::new(made)?)?;
        listen(&socket, 16)?;
        let listener = UnixListener::from(socket);
        let waker = listener.try_clone()?;
        let found = fs::symlink_metadata(made)?;
        let shared = Arc::new(Shared {
            subject,
            operators: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            answering: Mutex::default(),
            answered: Condvar::new(),
        });
        let answering = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("ropewalk-control".to_owned())
            .spawn(move || answering.answer_all(&listener))?;
        let file = (found.dev(), found.ino());
        Ok(Self { path: path.to_owned(), file, waker, shared, thread: Some(thread) })
    }

    /// Where it answers.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes room at `path`, if what is there is a socket at which nobody answers.
fn clear(path: &Path) -> io::Result<()> {
    let taken = |why: &str| {
        let why = format!("{} {why}", path.display());
        Err(io::Error::new(io::ErrorKind::AddrInUse, why))
    };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => taken("is there, and is no socket"),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            _ => taken("is another program's: it answers there"),
        },
        Err(_) => Ok(()),
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.finish_answers();
        // The thread waits for somebody to come. Where that does not wake it, somebody comes, if the file is still its own.
        let mut is_told = shutdown(&self.waker, Shutdown::Read).is_ok();
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.file) {
            is_told |= UnixStream::connect(&self.path).is_ok();
            let _ = fs::remove_file(&self.path);
        }
        if let Some(thread) = self.thread.take()
            && is_told
        {
            // It does nothing that could panic past it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn answer_all(self: Arc<Self>, listener: &UnixListener) {
        for stream in listener.incoming() {
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            let Ok(stream) = stream else {
                // Out of descriptors, as a rule: not to spin is all that can be done.
                thread::park_timeout(Duration::from_millis(100));
                continue;
            };
            self.begin(stream);
        }
    }

    fn begin(self: &Arc<Self>, stream: UnixStream) {
        if let Err(why) = admit(&stream) {
            tracing::warn!(target: "ropewalk::control", "an operator was turned away: {why}");
            return say(&stream, &refusal(&why));
        }
        if self.operators.fetch_add(1, Ordering::AcqRel) >= OPERATORS_MAX {
            self.operators.fetch_sub(1, Ordering::AcqRel);
            return say(&stream, &refusal("too many operators are here already"));
        }
        let here = Arc::clone(self);
        let conversation = move || {
            // An operator who hangs up is none the worse for it.
            let _ = here.converse(&stream);
            here.operators.fetch_sub(1, Ordering::AcqRel);
        };
        let name = "ropewalk-operator".to_owned();
        if thread::Builder::new().name(name).spawn(conversation).is_err() {
            self.operators.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            (&mut reader).take(QUESTION_MAX).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            if line.last() != Some(&b'\n') && line.len() as u64 == QUESTION_MAX {
                say(stream, &refusal(&format!("a question has at most {QUESTION_MAX} bytes")));
                return Ok(());
            }
            let _answering = self.asked();
            let answer = match serde_json::from_slice::<Value>(&line) {
                Ok(question) => answers::answer(&self.subject, &question),
                Err(error) => Err(format!("that is no JSON: {error}")),
            };
            let answer = answer.unwrap_or_else(|why| refusal(&why));
            let mut text = answer.to_string();
            text.push('\n');
            (&*stream).write_all(text.as_bytes())?;
        }
    }

    /// Somebody has asked, and is to have the answer also if the program ends over it.
    fn asked(&self) -> Answering<'_> {
        *lock(&self.answering) += 1;
        Answering(self)
    }

    /// Waits for the answers that are being given.
    fn finish_answers(&self) {
        let answering = lock(&self.answering);
        let waited = self.answered.wait_timeout_while(answering, LAST_ANSWERS_MAX, |it| *it > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// An answer that is being given.
struct Answering<'a>(&'a Shared);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        *lock(&self.0.answering) -= 1;
        self.0.answered.notify_all();
    }
}

fn lock(count: &Mutex<usize>) -> MutexGuard<'_, usize> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who may ask: whom the program belongs to, and the superuser.
fn admit(stream: &UnixStream) -> Result<(), String> {
    let own = geteuid().as_raw();
    let peer = peer(stream).map_err(|error| format!("nobody knows who that is: {error}"))?;
    if peer == own || peer == 0 {
        return Ok(());
    }
    Err(format!("this program is user {own}'s, and you are user {peer}"))
}

#[cfg(target_os = "linux")]
fn peer(stream: &UnixStream) -> io::Result<u32> {
    Ok(sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// Where the system does not tell, the file's mode alone decides.
#[cfg(not(target_os = "linux"))]
fn peer(_: &UnixStream) -> io::Result<u32> {
    Ok(geteuid().as_raw())
}

fn refusal(why: &str) -> Value {
    json!({ "ok": false, "error": why })
}

/// Says it to somebody whom nobody waits for.
fn say(mut stream: &UnixStream, answer: &Value) {
    let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
    let _ = stream.write_all(format!("{answer}\n").as_bytes());
}
