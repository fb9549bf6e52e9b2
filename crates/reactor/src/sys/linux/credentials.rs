//! Who is at the other end of a Unix socket.

use std::os::fd::{AsRawFd, BorrowedFd};

use ropewalk_protocol::Credentials;

/// The process that connected, if the system vouches for it.
///
/// The structure is read as plain numbers: a process that this one cannot see is number 0.
pub(crate) fn credentials(socket: BorrowedFd<'_>) -> Option<Credentials> {
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes, which is the structure's size, and any bytes are
    // numbers; the descriptor is open.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut size,
        )
    };
    // A socket that knows no peer names nobody.
    let is_known =
        result == 0 && size as usize == size_of::<libc::ucred>() && found.uid != u32::MAX;
    is_known.then(|| Credentials {
        process: u32::try_from(found.pid).ok().filter(|&process| process != 0),
        user: found.uid,
        group: found.gid,
    })
}
