//! From a command to a process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::metadata;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ropewalk_protocol::process::{
    CHILD_NUMBER_MAX, ChildDescriptor, Command, Grouping, PipeKind, STDERR, STDIN, STDOUT,
    SpawnError, SpawnFault, TerminalSize,
};
use rustix::fs::{Access, Mode, OFlags, access};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd, ioctl_fionbio};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::sys::os::{self, Failed, Plan, Step};

/// Where programs are looked for when nobody says.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// A process that runs, and this side's ends of its pipes.
pub(super) struct Started {
    pub(super) id: u32,
    pub(super) pipes: Vec<(u32, PipeKind, OwnedFd)>,
    /// The terminal's, which is read and written.
    pub(super) terminal: Option<OwnedFd>,
}

/// Starts a command.
pub(super) fn start(command: &Command) -> Result<Started, SpawnError> {
    let failed = |fault| SpawnError { program: command.program().to_owned(), fault };
    check(command).map_err(failed)?;
    let program = find(command).map_err(failed)?;
    let mut ends = Ends::make(command).map_err(failed)?;
    let descriptors = ends.child_descriptors().map_err(failed)?;
    let strings = |strings: Vec<OsString>| -> Result<Vec<_>, SpawnFault> {
        let c_strings: Option<Vec<_>> = strings.into_iter().map(os::c_string).collect();
        c_strings.ok_or(SpawnFault::BadCommand("a zero byte in an argument or a variable"))
    };
    let names = [command.name().to_owned()].into_iter();
    let arguments = strings(names.chain(command.arguments().iter().cloned()).collect());
    let directory = command.directory().map(|directory| directory.as_os_str().to_owned());
    let plan = Plan {
        program: strings(vec![program.clone().into_os_string()]).map_err(failed)?.remove(0),
        arguments: arguments.map_err(failed)?,
        environment: if os::HAS_ENVIRONMENT && command.inherits_environment() {
            None
        } else {
            Some(strings(environment(command)).map_err(failed)?)
        },
        directory: strings(directory.into_iter().collect()).map_err(failed)?.pop(),
        grouping: command.grouping(),
        user: command.user(),
        group: command.group(),
        groups: command.further_groups().map(<[u32]>::to_vec),
        descriptors,
        terminal: ends.terminal_number,
    };
    let id = os::start(&plan).map_err(|error| failed(fault_of(command, &program, error)))?;
    Ok(Started { id, pipes: ends.ours, terminal: ends.terminal })
}

fn check(command: &Command) -> Result<(), SpawnFault> {
    if command.program().is_empty() {
        return Err(SpawnFault::BadCommand("the program has no name"));
    }
    if command.descriptors().keys().any(|number| *number > CHILD_NUMBER_MAX) {
        return Err(SpawnFault::BadCommand("a descriptor has a number above 255"));
    }
    Ok(())
}

/// The program's file.
fn find(command: &Command) -> Result<PathBuf, SpawnFault> {
    let program = command.program();
    if program.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(program));
    }
    let name = OsStr::new("PATH");
    let folders = command.variable(name, env::var_os(name));
    let folders = folders.unwrap_or_else(|| PATH_DEFAULT.into());
    let mut is_there = false;
    for folder in env::split_paths(&folders) {
        let path = if folder.as_os_str().is_empty() {
            Path::new(".").join(program)
        } else {
            folder.join(program)
        };
        match access(&path, Access::EXEC_OK) {
            Ok(()) if metadata(&path).is_ok_and(|found| found.is_file()) => return Ok(path),
            Err(Errno::ACCESS) => is_there = true,
            Ok(()) | Err(_) => (),
        }
    }
    Err(if is_there { SpawnFault::NotExecutable } else { SpawnFault::NotFound })
}

fn environment(command: &Command) -> Vec<OsString> {
    let line = |(name, value): (OsString, OsString)| {
        let mut line = name.into_vec();
        line.push(b'=');
        line.extend_from_slice(value.as_bytes());
        OsString::from_vec(line)
    };
    command.environment(env::vars_os()).into_iter().map(line).collect()
}

/// The pipes and files between this process and the child.
struct Ends {
    ours: Vec<(u32, PipeKind, OwnedFd)>,
    /// The child's, in order of numbers.
    theirs: Vec<(OwnedFd, u32)>,
    terminal: Option<OwnedFd>,
    terminal_number: Option<u32>,
}

impl Ends {
    fn make(command: &Command) -> Result<Self, SpawnFault> {
        let mut ends =
            Self { ours: Vec::new(), theirs: Vec::new(), terminal: None, terminal_number: None };
        let mut far_terminal = None;
        if command.has_terminal() {
            let (near, far) = terminal(command.terminal_size())
                .map_err(|errno| fault(errno, SpawnFault::Terminal))?;
            ends.terminal = Some(near);
            far_terminal = Some(far);
        }
        for (number, what) in command.descriptors() {
            let number = *number;
            let made = ends.add(number, what, far_terminal.as_ref());
            made.map_err(|errno| fault(errno, |kind| SpawnFault::Descriptor { number, kind }))?;
        }
        for number in STDIN..=STDERR {
            if !command.descriptors().contains_key(&number) {
                let null = null().map_err(|errno| {
                    fault(errno, |kind| SpawnFault::Descriptor { number, kind })
                })?;
                ends.theirs.push((null, number));
            }
        }
        ends.theirs.sort_by_key(|(_, number)| *number);
        Ok(ends)
    }

    fn add(
        &mut self,
        number: u32,
        what: &ChildDescriptor,
        far_terminal: Option<&OwnedFd>,
    ) -> Result<(), Errno> {
        let theirs = match what {
            ChildDescriptor::Input => {
                let (reader, writer) = os::pipe()?;
                ioctl_fionbio(&writer, true)?;
                self.ours.push((number, PipeKind::Input, writer));
                reader
            }
            ChildDescriptor::Output => {
                let (reader, writer) = os::pipe()?;
                ioctl_fionbio(&reader, true)?;
                self.ours.push((number, PipeKind::Output, reader));
                writer
            }
            ChildDescriptor::Null => null()?,
            ChildDescriptor::Inherit(ours) => {
                let ours = RawFd::try_from(*ours).map_err(|_| Errno::BADF)?;
                os::duplicate_number(ours)?
            }
            ChildDescriptor::Given(file) => duplicate(file.as_fd(), 0)?,
            ChildDescriptor::Terminal => {
                self.terminal_number.get_or_insert(number);
                duplicate(far_terminal.ok_or(Errno::NOTTY)?.as_fd(), 0)?
            }
            _ => return Err(Errno::INVAL),
        };
        self.theirs.push((theirs, number));
        Ok(())
    }

    /// What the child gets, moved out of the way of the numbers that it gets.
    fn child_descriptors(&mut self) -> Result<Vec<(OwnedFd, u32)>, SpawnFault> {
        let first_free = self.theirs.last().map_or(0, |(_, number)| *number as RawFd + 1);
        let each = std::mem::take(&mut self.theirs).into_iter();
        each.map(|(descriptor, number)| {
            if std::os::fd::AsRawFd::as_raw_fd(&descriptor) >= first_free {
                return Ok((descriptor, number));
            }
            let moved = duplicate(descriptor.as_fd(), first_free);
            moved
                .map(|moved| (moved, number))
                .map_err(|errno| fault(errno, |kind| SpawnFault::Descriptor { number, kind }))
        })
        .collect()
    }
}

fn fault(errno: Errno, of: impl FnOnce(io::ErrorKind) -> SpawnFault) -> SpawnFault {
    let error = io::Error::from(errno);
    if os::is_exhausted(&error) { SpawnFault::Exhausted(error.kind()) } else { of(error.kind()) }
}

fn duplicate(descriptor: BorrowedFd<'_>, least: RawFd) -> Result<OwnedFd, Errno> {
    fcntl_dupfd_cloexec(descriptor, least)
}

fn null() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// The two sides of a new terminal.
fn terminal(size: TerminalSize) -> Result<(OwnedFd, OwnedFd), Errno> {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    fcntl_setfd(&near, FdFlags::CLOEXEC)?;
    grantpt(&near)?;
    unlockpt(&near)?;
    let path = ptsname(&near, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let far = rustix::fs::open(path.as_c_str(), flags, Mode::empty())?;
    resize(near.as_fd(), size)?;
    ioctl_fionbio(&near, true)?;
    Ok((near, far))
}

/// Tells a terminal how large it is; its processes hear of it by a signal.
pub(super) fn resize(terminal: BorrowedFd<'_>, size: TerminalSize) -> Result<(), Errno> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size)
}

/// What a failed start means; where the system did not tell the step, it is looked for.
fn fault_of(command: &Command, program: &Path, failed: Failed) -> SpawnFault {
    let Failed { step, error } = failed;
    let kind = error.kind();
    let directory = |path: &Path, kind| SpawnFault::Directory { path: path.to_owned(), kind };
    match step {
        Step::Group => SpawnFault::Group(kind),
        Step::Terminal => SpawnFault::Terminal(kind),
        Step::Identity => SpawnFault::Identity(kind),
        Step::Descriptors => SpawnFault::Descriptor { number: STDOUT, kind },
        Step::Directory => directory(command.directory().unwrap_or(Path::new("")), kind),
        Step::Fork if os::is_exhausted(&error) => SpawnFault::Exhausted(kind),
        Step::Fork => SpawnFault::Failed(kind),
        Step::Exec => {
            if os::is_exhausted(&error) {
                return SpawnFault::Exhausted(kind);
            }
            if let Some(path) = command.directory() {
                match metadata(path) {
                    Ok(found) if !found.is_dir() => {
                        return directory(path, io::ErrorKind::NotADirectory);
                    }
                    Err(error) => return directory(path, error.kind()),
                    Ok(_) if access(path, Access::EXEC_OK).is_err() => {
                        return directory(path, io::ErrorKind::PermissionDenied);
                    }
                    Ok(_) => (),
                }
            }
            if matches!(command.grouping(), Grouping::Of(_))
                && access(program, Access::EXEC_OK).is_ok()
                && !os::is_no_program(&error)
            {
                return SpawnFault::Group(kind);
            }
            match kind {
                _ if os::is_no_program(&error) => SpawnFault::NotAProgram,
                _ if os::is_too_long(&error) => SpawnFault::TooLong,
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SpawnFault::NotFound,
                io::ErrorKind::PermissionDenied => SpawnFault::NotExecutable,
                kind => SpawnFault::Failed(kind),
            }
        }
    }
}
