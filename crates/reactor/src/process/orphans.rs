//! Children that have outlived their reactor: reaped when there is an occasion.

use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Those that no reactor looks after. They are all of this program's, whichever thread they come from.
static ORPHANS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Takes care of a child from now on.
pub(super) fn adopt(id: Pid) {
    ORPHANS.lock().unwrap_or_else(PoisonError::into_inner).push(id);
}

/// Reaps those that have exited.
pub(super) fn reap() {
    let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
    orphans.retain(|id| {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        matches!(waitid(WaitId::Pid(*id), options), Ok(None) | Err(Errno::INTR))
    });
}
