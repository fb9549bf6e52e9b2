//! Which system calls are left, by seccomp.

use std::collections::BTreeMap;

use libc::{c_long, c_ulong};
use ropewalk::reactor::DriverKind;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter_all_threads,
};

use super::Needs;

/// Reading and writing what is open.
const STREAMS: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_copy_file_range,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_pipe2,
];
/// Files by their names: Landlock decides which.
const FILES: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_utimensat,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
];
/// Sockets that are there, and those that are accepted. Making others is allowed with conditions.
const SOCKETS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_socketpair,
];
/// Waiting.
const WAITING: &[c_long] = &[
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
];
/// Memory, threads and signals of its own, and questions about itself.
const ITSELF: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    // Refused in a way of its own: see `without_clone3`.
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getcpu,
    libc::SYS_getrandom,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_umask,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
/// What older names of these are called by.
#[cfg(target_arch = "x86_64")]
const OLD: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_unlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_link,
    libc::SYS_chmod,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_dup2,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[c_long] = &[];
/// What the ring of `io_uring` is driven by. What is asked for in the ring itself no filter sees; Landlock does.
const RING: &[c_long] = &[libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
/// What is asked of a descriptor: how much waits on either side, and what a terminal is.
const QUESTIONS: [c_ulong; 6] =
    [libc::FIONBIO, libc::FIONREAD, libc::FIOCLEX, libc::TIOCOUTQ, libc::TCGETS, libc::TIOCGWINSZ];
/// Names of threads, and of their memory.
const NAMING: [i32; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

/// Calls by their numbers, each with the conditions under any of which it is allowed; none where it always is.
type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// What is to be left.
pub(super) struct Calls {
    connects: bool,
    /// A service manager is told of how it goes.
    notifies: bool,
    has_ring: bool,
}

impl Calls {
    /// What a program with these needs is to be left.
    pub(super) fn of(needs: &Needs, driver: DriverKind) -> Self {
        Self {
            connects: needs.connects,
            notifies: std::env::var_os("NOTIFY_SOCKET").is_some(),
            has_ring: driver == DriverKind::IoUring,
        }
    }

    /// Leaves all threads of the process these; answers how many they are.
    pub(super) fn allow(&self) -> Result<usize, Error> {
        let rules = self.rules()?;
        let count = rules.len();
        let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let filter = compile(rules, refuse, SeccompAction::Allow)?;
        apply_filter_all_threads(&without_clone3()?)?;
        // The last one: another could not be laid on after it.
        apply_filter_all_threads(&filter)?;
        Ok(count)
    }

    fn rules(&self) -> Result<Rules, Error> {
        let always = [STREAMS, FILES, SOCKETS, WAITING, ITSELF, OLD];
        let always =
            always.into_iter().flatten().chain(self.has_ring.then_some(RING).into_iter().flatten());
        let mut rules: Rules = always.map(|call| (*call, Vec::new())).collect();
        let own = u64::from(std::process::id());
        rules.insert(libc::SYS_kill, vec![rule(&[is(0, own)])?]);
        rules.insert(libc::SYS_tgkill, vec![rule(&[is(0, own)])?]);
        rules.insert(libc::SYS_prlimit64, vec![rule(&[is(0, 0)])?, rule(&[is(0, own)])?]);
        // Threads are more of this process; anything else would be another.
        let thread = libc::CLONE_THREAD.cast_unsigned().into();
        rules.insert(libc::SYS_clone, vec![rule(&[masked(0, thread, thread)])?]);
        rules.insert(libc::SYS_ioctl, any(1, QUESTIONS)?);
        rules.insert(libc::SYS_prctl, any(0, NAMING.map(|name| u64::from(name.cast_unsigned())))?);
        let code = libc::PROT_EXEC.cast_unsigned().into();
        let no_code = || Ok::<_, Error>(vec![rule(&[masked(2, code, 0)])?]);
        // What looks names up is loaded when the first is.
        let mapping = if self.connects { Vec::new() } else { no_code()? };
        rules.insert(libc::SYS_mmap, mapping);
        rules.insert(libc::SYS_mprotect, if self.connects { Vec::new() } else { no_code()? });
        self.make_sockets(&mut rules)?;
        Ok(rules)
    }

    /// New sockets: with nobody to connect to, only those by which logs and service managers are told.
    fn make_sockets(&self, rules: &mut Rules) -> Result<(), Error> {
        if self.connects {
            let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
            let families = families.map(|family| u64::from(family.cast_unsigned()));
            rules.insert(libc::SYS_socket, any(0, families)?);
            rules.insert(libc::SYS_connect, Vec::new());
            // Looking names up asks the kernel which addresses there are.
            rules.insert(libc::SYS_bind, Vec::new());
            return Ok(());
        }
        let (unix, datagrams) = (libc::AF_UNIX.cast_unsigned(), libc::SOCK_DGRAM.cast_unsigned());
        // The kind is in the lowest four bits, flags above.
        let told = rule(&[is(0, unix.into()), masked(1, 0xf, datagrams.into())])?;
        rules.insert(libc::SYS_socket, vec![told]);
        if self.notifies {
            rules.insert(libc::SYS_connect, Vec::new());
        }
        Ok(())
    }
}

/// `clone3` tells its flags where no filter sees them. Who is told that there is no such call takes `clone`.
fn without_clone3() -> Result<BpfProgram, Error> {
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let unknown = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    compile(rules, SeccompAction::Allow, unknown)
}

fn compile(rules: Rules, others: SeccompAction, these: SeccompAction) -> Result<BpfProgram, Error> {
    let filter = SeccompFilter::new(rules, others, these, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

/// A condition on an argument: its place, the bits that are looked at, and what they are to be.
type Condition = (u8, u64, u64);

/// An argument of 32 bits is just this.
fn is(argument: u8, value: u64) -> Condition {
    (argument, u64::from(u32::MAX), value)
}

/// Some bits of an argument are just these.
fn masked(argument: u8, mask: u64, value: u64) -> Condition {
    (argument, mask, value)
}

/// All of these.
fn rule(conditions: &[Condition]) -> Result<SeccompRule, Error> {
    let conditions = conditions.iter().map(|(argument, mask, value)| {
        let comparison = SeccompCmpOp::MaskedEq(*mask);
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, comparison, *value)
    });
    Ok(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?)
}

/// An argument is any of these.
fn any<const N: usize>(argument: u8, values: [u64; N]) -> Result<Vec<SeccompRule>, Error> {
    values.into_iter().map(|value| rule(&[is(argument, value)])).collect()
}
