//! Unix sockets' names and files.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ropewalk_protocol::Address;
use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::UnixListenOptions;
use crate::sys::os;

/// How often a lock's file may be replaced by another before this one gives up.
const LOCK_ATTEMPTS_MAX: usize = 16;

/// A Unix address as the system takes it.
pub(crate) fn unix_address(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Unix(path) if !path.as_os_str().as_bytes().starts_with(&[0]) => {
            SockAddr::unix(path)
        }
        Address::Abstract(name) => {
            let name = [&[0], name.as_slice()].concat();
            SockAddr::unix(OsStr::from_bytes(&name))
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Makes a socket that listens at `path`, in place of one that was left behind there.
///
/// Looking whether somebody listens there, removing what was left and putting one's own in its place
/// happen under a lock, so that of two that begin at once one is refused, and neither takes the
/// other's socket for an old one.
pub(crate) fn listen_at(
    path: &Path,
    options: UnixListenOptions,
) -> io::Result<(Socket, SocketFile)> {
    let address = unix_address(&Address::Unix(path.to_owned()))?;
    let _lock = Lock::take(path)?;
    remove_stale_socket(path, &address, Type::STREAM)?;
    let socket = os::socket(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&address)?;
    let place = SocketFile::new(path)?;
    // Nobody can connect before it listens.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(options.mode))?;
    socket.listen(options.backlog)?;
    Ok((socket, place))
}

/// Makes a socket that receives datagrams at `path`, in the same way.
pub(crate) fn receive_at(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    let address = unix_address(&Address::Unix(path.to_owned()))?;
    let _lock = Lock::take(path)?;
    remove_stale_socket(path, &address, Type::DGRAM)?;
    let socket = datagram_socket()?;
    // The file gets its permissions from the descriptor, less what the process's mask forbids: there is
    // no moment in which others may send. A system that does it otherwise leaves them that moment.
    let mut own = Mode::empty();
    for (bit, flag) in [(0o400, Mode::RUSR), (0o200, Mode::WUSR), (0o100, Mode::XUSR)] {
        own.set(flag, mode & bit != 0);
    }
    let _ = rustix::fs::fchmod(&socket, own);
    socket.bind(&address)?;
    let place = SocketFile::new(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok((socket, place))
}

/// A socket for datagrams that neither blocks nor outlives an `exec`.
pub(crate) fn datagram_socket() -> io::Result<Socket> {
    os::socket(Domain::UNIX, Type::DGRAM, None)
}

/// Makes a socket that listens at a name that is no file.
pub(crate) fn listen_at_name(name: &[u8], backlog: i32) -> io::Result<Socket> {
    let socket = os::socket(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&unix_address(&Address::Abstract(name.to_owned()))?)?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// A Unix socket's place among the files, which is left when this is dropped.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number: somebody else's socket may stand in its place by then.
    file: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: file_at(path)? })
    }

    /// Leaves the file where it is: somebody else listens there.
    pub(crate) fn hand_on(mut self) {
        self.path.clear();
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if file_at(&self.path).is_ok_and(|file| file == self.file) {
            // Somebody may be quicker, and nobody is left to be told.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Device and number of the file at `path`.
fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// A lock beside a socket, held while the socket is put there: `PATH.lock`.
///
/// It is the kernel's lock on the file that counts, not the file: one that a process left behind when
/// it died is nobody's. A lock of Twisted's in that place is respected while its process lives.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock.
    fn take(socket: &Path) -> io::Result<Self> {
        let mut path = socket.as_os_str().to_owned().into_vec();
        path.extend_from_slice(b".lock");
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        for _ in 0..LOCK_ATTEMPTS_MAX {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            let file = match options.custom_flags(libc::O_NOFOLLOW).open(&path) {
                Err(_) if break_foreign_lock(&path)? => continue,
                opened => opened?,
            };
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => (),
                Err(Errno::WOULDBLOCK) => return Err(io::ErrorKind::AddrInUse.into()),
                Err(error) => return Err(error.into()),
            }
            let locked = file.metadata()?;
            if file_at(&path).is_ok_and(|file| file == (locked.dev(), locked.ino())) {
                return Ok(Self { path, _file: file });
            }
            // Its last holder has removed it meanwhile, and the next has another.
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held: whoever opens the file later finds that it is another.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Twisted's lock is a link to the number of the process that has it. True if one stood there whose
/// process is no more, which is removed.
fn break_foreign_lock(path: &Path) -> io::Result<bool> {
    let Ok(owner) = std::fs::read_link(path) else { return Ok(false) };
    let number = owner.to_str().and_then(|number| number.parse().ok());
    let Some(process) = number.and_then(rustix::process::Pid::from_raw) else { return Ok(false) };
    match rustix::process::test_kill_process(process) {
        Err(Errno::SRCH) => std::fs::remove_file(path).map(|()| true),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Removes a socket at `path` that nobody answers at. One of another kind than `kind` is somebody's as
/// long as it is open.
fn remove_stale_socket(path: &Path, address: &SockAddr, kind: Type) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => (),
        // Binding will say what is wrong with anything else.
        _ => return Ok(()),
    }
    let probe = os::socket(Domain::UNIX, kind, None)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Ok(()),
    }
}
