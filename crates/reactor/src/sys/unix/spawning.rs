//! How Unixes start processes: by `fork` and `exec`, where the system has nothing quicker that will do.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use ropewalk_protocol::process::{Grouping, Signal};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::super::os;

/// A program that can be started as it is: nothing is looked up or allocated any more.
pub(crate) struct Plan {
    pub(crate) program: CString,
    pub(crate) arguments: Vec<CString>,
    /// Its variables, if they are not this process's.
    pub(crate) environment: Option<Vec<CString>>,
    pub(crate) directory: Option<CString>,
    pub(crate) grouping: Grouping,
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) groups: Option<Vec<u32>>,
    /// The descriptor of this process that the child has under each number, in order of numbers. Each is
    /// itself above all of these, so that none is in another's way.
    pub(crate) descriptors: Vec<(OwnedFd, u32)>,
    /// The number under which the child has the terminal that is to control it.
    pub(crate) terminal: Option<u32>,
}

/// What went wrong, and at which step.
pub(crate) struct Failed {
    pub(crate) step: Step,
    pub(crate) error: io::Error,
}

/// A step on the way to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    /// Making the process.
    Fork,
    /// Its group or session.
    Group,
    /// Its terminal.
    Terminal,
    /// Its descriptors.
    Descriptors,
    /// Its user and groups.
    Identity,
    /// Its directory.
    Directory,
    /// The program itself, or a step that the system does not tell.
    Exec,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Fork,
        Self::Group,
        Self::Terminal,
        Self::Descriptors,
        Self::Identity,
        Self::Directory,
        Self::Exec,
    ];

    pub(crate) fn failed(self, error: impl Into<io::Error>) -> Failed {
        Failed { step: self, error: error.into() }
    }
}

impl Plan {
    /// The first number above all that the child has.
    pub(crate) fn first_free(&self) -> RawFd {
        self.descriptors.last().map_or(0, |(_, number)| *number as RawFd + 1)
    }

    /// The numbers in between that the child has nothing at.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = RawFd> {
        let is_taken =
            |number: RawFd| self.descriptors.iter().any(|(_, taken)| *taken as RawFd == number);
        (0..self.first_free()).filter(move |number| !is_taken(*number))
    }
}

/// Pointers to strings, with the end that the system looks for.
pub(crate) fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    let each = strings.iter().map(|string| string.as_ptr().cast_mut());
    each.chain([ptr::null_mut()]).collect()
}

/// Hands `start` the list of variables that a child is to have.
pub(crate) fn with_environment<T>(
    plan: &Plan,
    start: impl FnOnce(*const *mut libc::c_char) -> T,
) -> T {
    let Some(strings) = &plan.environment else { return start(os::environment()) };
    start(pointers(strings).as_ptr())
}

/// Every signal.
pub(crate) fn all_signals() -> libc::sigset_t {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call fills the set that it is given, and cannot fail for one.
    #[expect(unsafe_code, reason = "a set is made by the system")]
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        all.assume_init()
    }
}

/// No signal.
pub(crate) fn no_signals() -> libc::sigset_t {
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call empties the set that it is given, and cannot fail for one.
    #[expect(unsafe_code, reason = "a set is made by the system")]
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        none.assume_init()
    }
}

/// Starts a process by `fork`; answers its number once its program runs.
pub(crate) fn start_by_fork(plan: &Plan) -> Result<u32, Failed> {
    let first_free = plan.first_free();
    let (reader, low_writer) = os::pipe().map_err(|error| Step::Fork.failed(error))?;
    // Not where the child's own descriptors are to be.
    let moved = fcntl_dupfd_cloexec(&low_writer, first_free);
    let writer = moved.map_err(|error| Step::Fork.failed(error))?;
    // The pipe ends with the only writer that is left.
    drop(low_writer);
    let arguments = pointers(&plan.arguments);
    let gaps: Vec<RawFd> = plan.gaps().collect();
    // SAFETY: asking for a limit touches no memory.
    #[expect(unsafe_code, reason = "a plain question to the system")]
    let open_max = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    let forked = with_environment(plan, |environment| {
        let child = Child {
            plan,
            arguments: &arguments,
            environment,
            gaps: &gaps,
            first_free,
            open_max: RawFd::try_from(open_max).unwrap_or(1 << 16).clamp(256, 1 << 16),
            signals: no_signals(),
            report: writer.as_raw_fd(),
        };
        fork(&child)
    });
    let id = forked.map_err(|error| Step::Fork.failed(error))?;
    drop(writer);
    let mut report = [0; 5];
    let mut length = 0;
    while length < report.len() {
        match rustix::io::read(&reader, &mut report[length..]) {
            // The program runs: `exec` has closed the other end.
            Ok(0) => return Ok(id),
            Ok(count) => length += count,
            Err(Errno::INTR) => (),
            Err(error) => return Err(Step::Fork.failed(error)),
        }
    }
    reap_failed(id);
    let [step, error @ ..] = report;
    let step = Step::ALL.get(usize::from(step)).copied().unwrap_or(Step::Exec);
    Err(step.failed(io::Error::from_raw_os_error(i32::from_ne_bytes(error))))
}

/// Another descriptor for what one of this process's numbers stands for, which does not outlive an `exec`.
pub(crate) fn duplicate_number(number: RawFd) -> Result<OwnedFd, Errno> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the number is not -1, and it is only asked to be duplicated: were it closed, the system says
    // so.
    #[expect(unsafe_code, reason = "a number may be no descriptor")]
    let found = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_dupfd_cloexec(found, 0)
}

/// Fetches the end of a child that never became its program.
fn reap_failed(id: u32) {
    let Some(id) = Pid::from_raw(id as i32) else { return };
    while let Err(Errno::INTR) = waitpid(Some(id), WaitOptions::empty()) {}
}

/// All that a child needs between `fork` and `exec`.
struct Child<'a> {
    plan: &'a Plan,
    arguments: &'a [*mut libc::c_char],
    environment: *const *mut libc::c_char,
    gaps: &'a [RawFd],
    first_free: RawFd,
    open_max: RawFd,
    signals: libc::sigset_t,
    report: RawFd,
}

/// Forks; the child does as it was told and never comes back.
fn fork(child: &Child<'_>) -> io::Result<u32> {
    let all = all_signals();
    let mut before = no_signals();
    // SAFETY: both sets are whole. No signal comes until the mask is put back, so that no handler runs in
    // the child, which shares what handlers write to with this process.
    #[expect(unsafe_code, reason = "the mask is the system's")]
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
    }
    // SAFETY: other threads may have held any lock at this moment, so that the child may call nothing but
    // what POSIX calls async-signal-safe, and may allocate nothing. `become_program` keeps to that: all
    // that it needs is in `child`, made before.
    #[expect(unsafe_code, reason = "there is no other way to have a user of its own")]
    let id = unsafe { libc::fork() };
    if id == 0 {
        // SAFETY: this is the child of a fork, which is what it asks for.
        #[expect(unsafe_code, reason = "the child of a fork")]
        unsafe {
            become_program(child)
        }
    }
    let error = io::Error::last_os_error();
    // SAFETY: `before` is what the system wrote there above.
    #[expect(unsafe_code, reason = "the mask is the system's")]
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
    }
    if id < 0 { Err(error) } else { Ok(id as u32) }
}

/// # Safety
///
/// Only in the child of a fork, all of whose signals are blocked. Nothing here but system calls that are
/// async-signal-safe, reads of memory that the parent has prepared and writes on the stack; no pointer is
/// handed over that is not one of `child`, which the parent keeps until the program runs.
#[expect(unsafe_code, reason = "the child of a fork")]
unsafe fn become_program(child: &Child<'_>) -> ! {
    let Child { plan, report, .. } = child;
    // SAFETY: see above; the strings end with a zero, and the lists with a null.
    unsafe {
        let step = prepare(child);
        if step == Step::Exec {
            libc::execve(
                plan.program.as_ptr(),
                child.arguments.as_ptr().cast(),
                child.environment.cast(),
            );
        }
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        let mut message = [step as u8, 0, 0, 0, 0];
        message[1..].copy_from_slice(&error.to_ne_bytes());
        libc::write(*report, message.as_ptr().cast(), message.len());
        libc::_exit(127)
    }
}

/// Does all but `exec`; answers the step that failed, with the system's error still to be asked for.
///
/// # Safety
///
/// As [`become_program`].
#[expect(unsafe_code, reason = "the child of a fork")]
unsafe fn prepare(child: &Child<'_>) -> Step {
    let plan = child.plan;
    // SAFETY: as said there. Numbers of descriptors that are closed or replaced are the child's own copies.
    unsafe {
        let grouped = match plan.grouping {
            Grouping::Own => libc::setpgid(0, 0),
            Grouping::Of(leader) => libc::setpgid(0, leader as libc::pid_t),
            Grouping::Session => libc::setsid(),
            _ => 0,
        };
        if grouped < 0 {
            return Step::Group;
        }
        for (source, number) in &plan.descriptors {
            if libc::dup2(source.as_raw_fd(), *number as RawFd) < 0 {
                return Step::Descriptors;
            }
        }
        for gap in child.gaps {
            libc::close(*gap);
        }
        os::close_on_exec_from(child.first_free, child.open_max);
        if let Some(terminal) = plan.terminal
            && libc::ioctl(terminal as RawFd, libc::TIOCSCTTY as _, 0) < 0
        {
            return Step::Terminal;
        }
        if let Some(groups) = &plan.groups
            && libc::setgroups(groups.len() as _, groups.as_ptr().cast()) < 0
        {
            return Step::Identity;
        }
        if plan.group.is_some_and(|group| libc::setgid(group) < 0)
            || plan.user.is_some_and(|user| libc::setuid(user) < 0)
        {
            return Step::Identity;
        }
        if plan.directory.as_ref().is_some_and(|directory| libc::chdir(directory.as_ptr()) < 0) {
            return Step::Directory;
        }
        for signal in 1..65 {
            // What cannot be set is not there, or does what it does by default anyway.
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const child.signals, ptr::null_mut());
    }
    Step::Exec
}

/// Has what is open in a forked child from `first` on be closed by `exec`, one by one.
///
/// # Safety
///
/// Only in the child of a fork.
#[expect(unsafe_code, reason = "the child of a fork")]
pub(crate) unsafe fn close_on_exec_one_by_one(first: RawFd, open_max: RawFd) {
    for number in first..open_max {
        // SAFETY: a number that stands for nothing is told as such; the flag is the child's own.
        unsafe {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// The number that a signal has here.
pub(crate) fn signal_number(signal: Signal) -> i32 {
    match signal {
        Signal::Hangup => libc::SIGHUP,
        Signal::Interrupt => libc::SIGINT,
        Signal::Quit => libc::SIGQUIT,
        Signal::Abort => libc::SIGABRT,
        Signal::Kill => libc::SIGKILL,
        Signal::SegmentationFault => libc::SIGSEGV,
        Signal::Pipe => libc::SIGPIPE,
        Signal::Alarm => libc::SIGALRM,
        Signal::Terminate => libc::SIGTERM,
        Signal::User1 => libc::SIGUSR1,
        Signal::User2 => libc::SIGUSR2,
        Signal::Child => libc::SIGCHLD,
        Signal::Continue => libc::SIGCONT,
        Signal::Stop => libc::SIGSTOP,
        Signal::TerminalStop => libc::SIGTSTP,
        Signal::WindowChange => libc::SIGWINCH,
        Signal::Number(number) => number,
        _ => 0,
    }
}

/// The signal that has this number here.
pub(crate) fn signal_of(number: i32) -> Signal {
    let named = Signal::all_named().find(|signal| signal_number(*signal) == number);
    named.unwrap_or(Signal::Number(number))
}

/// Sends a signal to a child that has not been reaped, or to the group that it leads.
pub(crate) fn send_signal(id: u32, signal: Signal, group: bool) -> io::Result<()> {
    let id = libc::pid_t::try_from(id).map_err(|_| Errno::SRCH)?;
    if id <= 1 {
        return Err(Errno::SRCH.into());
    }
    let id = if group { -id } else { id };
    // SAFETY: the call touches no memory. The number is that of a child that nobody has reaped, so it is
    // no other process's.
    #[expect(unsafe_code, reason = "signals of any number are sent by it alone")]
    let sent = unsafe { libc::kill(id, signal_number(signal)) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A string as the system takes it; `None` if it has a zero in it.
pub(crate) fn c_string(string: OsString) -> Option<CString> {
    CString::new(string.into_vec()).ok()
}

/// The error of a program that is no program.
pub(crate) fn is_no_program(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOEXEC))
}

/// The error of arguments that are too long.
pub(crate) fn is_too_long(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::TOOBIG))
}

/// The error of a system that has no room for more processes.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE))
}
