//! How Linux starts processes: by `posix_spawn`, which copies nothing of this process, wherever it can do
//! what is asked.

#[cfg(target_env = "gnu")]
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::super::unix::{Failed, Plan, close_on_exec_one_by_one, start_by_fork};

/// Starts a process; answers its number once its program runs.
pub(crate) fn start(plan: &Plan) -> Result<u32, Failed> {
    #[cfg(target_env = "gnu")]
    if plan.user.is_none()
        && plan.group.is_none()
        && plan.groups.is_none()
        && plan.terminal.is_none()
    {
        return start_by_spawn(plan);
    }
    start_by_fork(plan)
}

/// Whether [`environment`] knows this process's variables.
pub(crate) const HAS_ENVIRONMENT: bool = cfg!(target_env = "gnu");

/// This process's variables, as the C library keeps them.
pub(crate) fn environment() -> *const *mut libc::c_char {
    // SAFETY: the list is whole at any time but while some thread changes the environment. Whoever does
    // that with `std::env::set_var` has promised that nobody reads it at that time by other means than the
    // standard library's, as `posix_spawn`, `execve` and many more do.
    #[cfg(target_env = "gnu")]
    return unsafe { libc::environ };
    #[cfg(not(target_env = "gnu"))]
    std::ptr::null()
}

/// A descriptor that is readable once a child, which nobody has reaped, has ended.
pub(crate) fn exit_descriptor(id: u32) -> std::io::Result<OwnedFd> {
    let id = Pid::from_raw(id as i32).ok_or(std::io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(id, PidfdFlags::empty())?)
}

/// A pipe, neither of whose ends outlives an `exec`.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    pipe_with(PipeFlags::CLOEXEC)
}

/// Has what is open in a forked child from `first` on be closed by `exec`.
///
/// # Safety
///
/// Only in the child of a fork.
pub(crate) unsafe fn close_on_exec_from(first: RawFd, open_max: RawFd) {
    const CLOSE_ON_EXEC: libc::c_uint = 4;
    // SAFETY: the flags of the child's own descriptors are all that is changed.
    unsafe {
        let all = libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            libc::c_uint::MAX,
            CLOSE_ON_EXEC,
        );
        if all < 0 {
            close_on_exec_one_by_one(first, open_max);
        }
    }
}

/// What is to be done in the child, as the system keeps it.
#[cfg(target_env = "gnu")]
struct Actions(libc::posix_spawn_file_actions_t);

#[cfg(target_env = "gnu")]
impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: it was initialized, and is used no more.
        unsafe {
            libc::posix_spawn_file_actions_destroy(&raw mut self.0);
        }
    }
}

#[cfg(target_env = "gnu")]
fn check(result: libc::c_int) -> std::io::Result<()> {
    if result == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(result)) }
}

#[cfg(target_env = "gnu")]
fn start_by_spawn(plan: &Plan) -> Result<u32, Failed> {
    use super::super::unix::spawning::{Step, pointers, with_environment};

    let failed = |error: std::io::Error| Step::Fork.failed(error);
    let actions = actions(plan).map_err(failed)?;
    let attributes = Attributes::new(plan).map_err(failed)?;
    let arguments = pointers(&plan.arguments);
    let mut id: libc::pid_t = 0;
    // SAFETY: every pointer is to something that lives until the call returns, which is after the child
    // has read it all; the lists end with a null and the strings with a zero. The descriptors that the
    // actions name are owned by the plan.
    let result = with_environment(plan, |environment| unsafe {
        libc::posix_spawn(
            &raw mut id,
            plan.program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            arguments.as_ptr(),
            environment,
        )
    });
    check(result).map(|()| id as u32).map_err(|error| Step::Exec.failed(error))
}

#[cfg(target_env = "gnu")]
fn actions(plan: &Plan) -> std::io::Result<Actions> {
    use std::os::fd::AsRawFd;

    let mut made = MaybeUninit::uninit();
    // SAFETY: the call initializes what it is given, if it says so.
    let mut actions = unsafe {
        check(libc::posix_spawn_file_actions_init(made.as_mut_ptr()))?;
        Actions(made.assume_init())
    };
    let all = &raw mut actions.0;
    // SAFETY: `all` is initialized, and the path that is copied ends with a zero.
    unsafe {
        for (source, number) in &plan.descriptors {
            let (source, number) = (source.as_raw_fd(), *number as libc::c_int);
            check(libc::posix_spawn_file_actions_adddup2(all, source, number))?;
        }
        for gap in plan.gaps() {
            check(libc::posix_spawn_file_actions_addclose(all, gap))?;
        }
        check(libc::posix_spawn_file_actions_addclosefrom_np(all, plan.first_free()))?;
        if let Some(directory) = &plan.directory {
            check(libc::posix_spawn_file_actions_addchdir_np(all, directory.as_ptr()))?;
        }
    }
    Ok(actions)
}

#[cfg(target_env = "gnu")]
struct Attributes(libc::posix_spawnattr_t);

#[cfg(target_env = "gnu")]
impl Attributes {
    fn new(plan: &Plan) -> std::io::Result<Self> {
        use super::super::unix::spawning::{all_signals, no_signals};
        use ropewalk_protocol::process::Grouping;

        let mut made = MaybeUninit::uninit();
        // SAFETY: the call initializes what it is given, if it says so.
        let mut attributes = unsafe {
            check(libc::posix_spawnattr_init(made.as_mut_ptr()))?;
            Self(made.assume_init())
        };
        let mut flags = libc::POSIX_SPAWN_SETSIGDEF as libc::c_short
            | libc::POSIX_SPAWN_SETSIGMASK as libc::c_short;
        let leader = match plan.grouping {
            Grouping::Own => Some(0),
            Grouping::Of(leader) => Some(leader as libc::pid_t),
            _ => None,
        };
        if plan.grouping == Grouping::Session {
            flags |= libc::POSIX_SPAWN_SETSID;
        }
        let (all, none) = (all_signals(), no_signals());
        let each = &raw mut attributes.0;
        // SAFETY: `each` is initialized, and both sets are whole.
        unsafe {
            if let Some(leader) = leader {
                flags |= libc::POSIX_SPAWN_SETPGROUP as libc::c_short;
                check(libc::posix_spawnattr_setpgroup(each, leader))?;
            }
            check(libc::posix_spawnattr_setsigdefault(each, &raw const all))?;
            check(libc::posix_spawnattr_setsigmask(each, &raw const none))?;
            check(libc::posix_spawnattr_setflags(each, flags))?;
        }
        Ok(attributes)
    }
}

#[cfg(target_env = "gnu")]
impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it was initialized, and is used no more.
        unsafe {
            libc::posix_spawnattr_destroy(&raw mut self.0);
        }
    }
}
