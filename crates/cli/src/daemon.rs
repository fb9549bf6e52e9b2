//! The habits of daemons.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use nix::unistd::{Gid, Group, Uid, User, initgroups, setgid, setuid};
use rustix::fs::Mode;
use rustix::process::{Pid, Signal, getppid, test_kill_process};

use crate::sandbox::Needs;
use crate::sink::{LogOptions, LogTo, Sink};

/// The variable by which a daemon knows that it is to be one: the process that started it.
const VARIABLE: &str = "ROPEWALK_DAEMON";
/// The last line that a daemon says to who started it.
const READY: &str = "\u{1}ready";

/// What a program that serves for long is told.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Daemon")]
pub(crate) struct DaemonOptions {
    /// Go to the background once everything is served
    #[arg(long)]
    daemon: bool,

    /// Keep the number of the process in a file
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Work in this directory
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,

    /// What others may not do with files that are made, in octal: 027
    #[arg(long, value_name = "OCTAL", value_parser = octal)]
    umask: Option<u32>,

    /// Become this user once the places are taken, by name or number; only root can
    #[arg(long, value_name = "USER")]
    uid: Option<String>,

    /// Become one of this group then; the user's own if left out
    #[arg(long, value_name = "GROUP")]
    gid: Option<String>,

    /// Never gain privileges by starting a program
    #[arg(long)]
    no_new_privileges: bool,

    /// How long connections get to finish when the program stops, in seconds; 10 if left out
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86400))]
    drain: Option<u64>,
}

/// The same with where the log goes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Daemon {
    #[command(flatten)]
    pub(crate) options: DaemonOptions,

    #[command(flatten)]
    pub(crate) log: LogOptions,
}

fn octal(text: &str) -> Result<u32, String> {
    let number = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    number.ok_or_else(|| "write three digits from 0 to 7, as in 027".to_owned())
}

/// What a program is once it has begun.
pub(crate) enum Begun {
    /// Another process is the daemon; this one is to end so.
    Elsewhere(ExitCode),
    /// This process serves; what is to be done once it does.
    Here(Here),
}

/// A process that is to serve.
pub(crate) struct Here {
    options: DaemonOptions,
    sink: Sink,
    is_daemon: bool,
    /// Where it was started.
    pub(crate) started_in: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

impl Daemon {
    /// These, and what `others` say where they say nothing.
    pub(crate) fn or(self, others: Self) -> Self {
        let (one, other) = (self.options, others.options);
        let options = DaemonOptions {
            daemon: one.daemon || other.daemon,
            pid_file: one.pid_file.or(other.pid_file),
            directory: one.directory.or(other.directory),
            umask: one.umask.or(other.umask),
            uid: one.uid.or(other.uid),
            gid: one.gid.or(other.gid),
            no_new_privileges: one.no_new_privileges || other.no_new_privileges,
            drain: one.drain.or(other.drain),
        };
        Self { options, log: self.log.or(others.log) }
    }

    /// Says that none of this is for what is asked for.
    pub(crate) fn refuse(&self, why: &str) -> Result<(), String> {
        let options = &self.options;
        let is_asked_for = options.daemon
            || options.pid_file.is_some()
            || options.uid.is_some()
            || options.gid.is_some()
            || self.log.log_to.is_some();
        if is_asked_for { Err(format!("{why}: leave the options of daemons out")) } else { Ok(()) }
    }

    /// Says which of this is not for several processes.
    pub(crate) fn check_for_processes(&self) -> Result<(), String> {
        if self.log.is_put_aside() {
            return Err("several processes cannot put one log file aside: leave --log-size out, move the file away \
                        and send SIGUSR1, or log to journald or syslog"
                .to_owned());
        }
        Ok(())
    }

    /// Begins as one of several processes, whose first is the daemon and has become whom it is to be.
    pub(crate) fn begin_as_one(&self) -> Result<(), String> {
        self.log.open()?.choose();
        self.surroundings()
    }

    /// What of this has to be in reach of a program in a sandbox.
    pub(crate) fn tell_needs(&self, needs: &mut Needs) {
        // The program may be elsewhere before it is in the sandbox; these do not move with it.
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if let Some(file) = &self.options.pid_file {
            needs.write_file(&absolute(file));
        }
        if let Some(LogTo::File(file)) = &self.log.log_to {
            needs.write_file(&absolute(file));
        }
        if self.options.uid.is_some() {
            needs.change_user();
        }
    }

    /// How long connections get to finish.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.options.drain.unwrap_or(10))
    }

    /// Goes to the background if that is wanted; then everything that can be done before places are taken.
    pub(crate) fn begin(&self) -> Result<Begun, String> {
        let options = self.options.clone();
        if options.gid.is_some() && options.uid.is_none() {
            return Err("--gid goes with --uid: say who to become as well".to_owned());
        }
        if let Some(user) = &options.uid {
            // A name that is wrong is told of before anything is done.
            Identity::of(user, options.gid.as_deref())?;
        }
        let is_background = matches!(&self.log.log_to, None | Some(LogTo::Stderr));
        if options.daemon && is_background {
            return Err("a daemon has no standard error: say where its log goes, as in --log-to \
                        file:/var/log/ropewalk.log, or with journald or syslog"
                .to_owned());
        }
        let is_daemon = options.daemon && was_started_as_daemon();
        // A successor is in the background already.
        if options.daemon && !is_daemon && std::env::var_os(crate::upgrade::VARIABLE).is_none() {
            return background().map(Begun::Elsewhere);
        }
        if is_daemon {
            rustix::process::setsid().map_err(|error| format!("no session of its own: {error}"))?;
        }
        let started_in = std::env::current_dir().ok();
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let pid_file = options.pid_file.clone().map(absolute);
        let sink = self.log.open()?;
        self.surroundings()?;
        if let Some(file) = &pid_file {
            check_pid_file(file)?;
        }
        let sink = sink.choose();
        Ok(Begun::Here(Here { options, sink, is_daemon, started_in, pid_file }))
    }
}

impl Daemon {
    /// What everything that the process does from now on is done in.
    fn surroundings(&self) -> Result<(), String> {
        let options = &self.options;
        if let Some(mask) = options.umask {
            rustix::process::umask(Mode::from_raw_mode(mask));
        }
        if let Some(directory) = &options.directory {
            std::env::set_current_dir(directory)
                .map_err(|error| format!("cannot work in {}: {error}", directory.display()))?;
        }
        if options.no_new_privileges {
            // Threads that are made from now on have it from this one.
            rustix::thread::set_no_new_privs(true)
                .map_err(|error| format!("privileges may still be gained: {error}"))?;
        }
        Ok(())
    }
}

/// Whether the process that started this one has made it a daemon. A daemon's children are none.
fn was_started_as_daemon() -> bool {
    let said = std::env::var(VARIABLE).ok().and_then(|said| said.parse().ok());
    said.is_some() && said == getppid().map(Pid::as_raw_nonzero).map(std::num::NonZeroI32::get)
}

/// Starts this program again behind the terminal, and waits until it serves.
fn background() -> Result<ExitCode, String> {
    let cannot = |error: io::Error| format!("no daemon was started: {error}");
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
    std::os::unix::process::CommandExt::arg0(&mut command, name);
    command.args(arguments).env(VARIABLE, std::process::id().to_string());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line.map_err(cannot)?;
            if line == READY {
                return Ok(ExitCode::SUCCESS);
            }
            crate::serving::print_line(&line).map_err(cannot)?;
        }
    }
    let status = child.wait().map_err(cannot)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, Into::into))
}

impl Here {
    /// What is done once every place is taken: the number of the process is written down, and privileges go.
    pub(crate) fn settle(&self) -> Result<(), String> {
        if let Some(file) = &self.pid_file {
            write_pid_file(file)
                .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        }
        let Some(user) = &self.options.uid else { return Ok(()) };
        let identity = Identity::of(user, self.options.gid.as_deref())?;
        if Uid::effective().is_root() {
            self.sink
                .give_to(identity.user.as_raw(), identity.group.as_raw())
                .map_err(|error| format!("the log cannot be given to {user}: {error}"))?;
            if let Some(file) = &self.pid_file {
                // It is removed by the user that this becomes, where its folder allows that.
                let _ = std::os::unix::fs::chown(
                    file,
                    Some(identity.user.as_raw()),
                    Some(identity.group.as_raw()),
                );
            }
        }
        identity.become_it()
    }

    /// Whether it is in the background.
    pub(crate) fn is_daemon(&self) -> bool {
        self.is_daemon
    }

    /// Says to who started it that it serves, and lets go of the terminal.
    pub(crate) fn ready(&self) -> io::Result<()> {
        if !self.is_daemon {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{READY}")?;
        out.flush()?;
        let nothing = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nothing)?;
        rustix::stdio::dup2_stderr(&nothing)?;
        Ok(())
    }

    /// Removes what was written down, unless a successor has written there.
    pub(crate) fn leave(&self) {
        if let Some(file) = &self.pid_file
            && read_pid(file) == Some(Pid::as_raw_nonzero(rustix::process::getpid()).get())
        {
            // In a folder that is not its own any more it stays, and names nobody.
            let _ = fs::remove_file(file);
        }
    }
}

/// The process that a file names.
pub(crate) fn read_pid(file: &Path) -> Option<i32> {
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Whether a process of that number is there.
pub(crate) fn is_alive(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return false };
    // Who may not be asked is there.
    !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

/// Asks a process for something.
pub(crate) fn signal(pid: i32, signal: Signal) -> Result<(), String> {
    let cannot = |error| format!("process {pid} cannot be asked: {error}");
    let pid = Pid::from_raw(pid).ok_or_else(|| "there is no process 0".to_owned())?;
    rustix::process::kill_process(pid, signal).map_err(cannot)
}

fn check_pid_file(file: &Path) -> Result<(), String> {
    let Some(pid) = read_pid(file).filter(|pid| is_alive(*pid)) else { return Ok(()) };
    // Its predecessor names itself until this one is ready.
    if getppid().map(Pid::as_raw_nonzero).map(std::num::NonZeroI32::get) == Some(pid) {
        return Ok(());
    }
    let file = file.display();
    Err(format!("it runs already, as process {pid} according to {file}; stop that one first"))
}

fn write_pid_file(file: &Path) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = fs::write(&beside, format!("{}\n", std::process::id()));
    // Who reads it finds one number or the other, and never half of one. Another user's may be written over alone.
    if written.and_then(|()| fs::rename(&beside, file)).is_err() {
        let _ = fs::remove_file(&beside);
        return fs::write(file, format!("{}\n", std::process::id()));
    }
    Ok(())
}

/// Whom to become.
struct Identity {
    name: String,
    user: Uid,
    group: Gid,
}

impl Identity {
    fn of(user: &str, group: Option<&str>) -> Result<Self, String> {
        let unknown = |kind: &str, name: &str| format!("there is no {kind} {name} here");
        let cannot = |error| format!("the users of this machine cannot be read: {error}");
        let found = match user.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(user),
        };
        let found = found.map_err(cannot)?.ok_or_else(|| unknown("user", user))?;
        let group = match group {
            None => found.gid,
            Some(name) => {
                let group = match name.parse() {
                    Ok(number) => Group::from_gid(Gid::from_raw(number)),
                    Err(_) => Group::from_name(name),
                };
                group.map_err(cannot)?.ok_or_else(|| unknown("group", name))?.gid
            }
        };
        Ok(Self { name: found.name, user: found.uid, group })
    }

    fn become_it(&self) -> Result<(), String> {
        if Uid::effective() == self.user && Gid::effective() == self.group {
            return Ok(());
        }
        let name = &self.name;
        if !Uid::effective().is_root() {
            return Err(format!(
                "only root can become {name}: leave --uid out, or start it as root"
            ));
        }
        let cannot = |error: nix::Error| format!("cannot become {name}: {error}");
        let c_name = std::ffi::CString::new(self.name.as_str())
            .map_err(|_| format!("{name:?} is no user's name"))?;
        initgroups(&c_name, self.group).map_err(cannot)?;
        setgid(self.group).map_err(cannot)?;
        setuid(self.user).map_err(cannot)?;
        if !self.user.is_root() && setuid(Uid::from_raw(0)).is_ok() {
            return Err("privileges did not go".to_owned());
        }
        Ok(())
    }
}
