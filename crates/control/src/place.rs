//! Where programs have their sockets.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, geteuid, test_kill_process};

/// What the files of sockets end in.
const ENDING: &str = ".sock";

/// The folder in which the programs of one user have their sockets, `NAME-PID.sock` each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places(PathBuf);

/// A program that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Its socket.
    pub path: PathBuf,
}

impl Places {
    /// A folder of one's own choice.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// Where this user's are: `$XDG_RUNTIME_DIR/ropewalk`, or else `/run/user/UID/ropewalk`, and for the
    /// superuser `/run/ropewalk`; nowhere if there is none of these.
    pub fn from_environment() -> Option<Self> {
        let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        if let Some(folder) = named.filter(|folder| folder.is_absolute()) {
            return Some(Self(folder.join("ropewalk")));
        }
        if geteuid().is_root() {
            return Some(Self("/run/ropewalk".into()));
        }
        let own = PathBuf::from(format!("/run/user/{}", geteuid().as_raw()));
        own.is_dir().then(|| Self(own.join("ropewalk")))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Where this process has its socket under this name, in a folder that is made if it has to be.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or others may write in it.
    pub fn own(&self, name: &str) -> io::Result<PathBuf> {
        match fs::DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => (),
        }
        let found = fs::symlink_metadata(&self.0)?;
        let is_own = found.is_dir() && found.uid() == geteuid().as_raw();
        if !is_own || found.mode() & 0o022 != 0 {
            let why = format!("{} is a place where others may write", self.0.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(self.0.join(format!("{name}-{}{ENDING}", std::process::id())))
    }

    /// The programs that answer there, by name and process. What a program left behind that is no more is
    /// removed.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read; that there is none means that nobody runs.
    pub fn programs(&self) -> io::Result<Vec<Found>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let parts = name.strip_suffix(ENDING).and_then(|name| name.rsplit_once('-'));
            let Some((name, Ok(pid))) = parts.map(|(name, pid)| (name, pid.parse())) else {
                continue;
            };
            match UnixStream::connect(&path) {
                Ok(_) => found.push(Found { name: name.to_owned(), pid, path }),
                // Whoever lives has it for a moment before it answers.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_over(pid) => {
                    // Nobody is behind it; that another removes it first is as well.
                    let _ = fs::remove_file(&path);
                }
                Err(_) => (),
            }
        }
        found.sort_by(|one, other| (&one.name, one.pid).cmp(&(&other.name, other.pid)));
        Ok(found)
    }
}

/// Whether there is no such process any more.
fn is_over(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}
