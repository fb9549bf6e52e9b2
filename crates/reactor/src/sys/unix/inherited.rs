//! Descriptors that this process was started with.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

/// One at a time looks and takes.
static TAKING: Mutex<()> = Mutex::new(());

/// Takes the descriptor of that number, if it came with the process and nobody has taken it yet;
/// `None` if it is somebody's in this process.
pub(crate) fn take(number: i32) -> Result<Option<OwnedFd>, Errno> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    let _one = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the number is not -1, and it is only asked about: were it closed, the system says so.
    let found = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(found)?;
    if flags.contains(FdFlags::CLOEXEC) {
        return Ok(None);
    }
    fcntl_setfd(found, flags | FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and without close-on-exec: so it came through `exec`, or was made to be handed
    // on. What the standard library and this crate open has that flag, so it is none of theirs; those
    // that were taken here have it from the line above, and the lock keeps two from passing the check
    // at once. So nobody else owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}
