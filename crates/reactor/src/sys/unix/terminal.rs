//! Terminals that are raw, and are put back whatever becomes of the process.
//!
//! Signal handlers put them back too, so all that they look at is in atomics, and what those point to lives for
//! as long as a handler may look.

use std::hint::spin_loop;
use std::io;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use rustix::fd::{AsFd, OwnedFd};
use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use signal_hook::consts::{SIGABRT, SIGCONT, SIGHUP, SIGQUIT, SIGTSTP};
use signal_hook::low_level::{emulate_default_handler, register};

use super::disposition;

/// How many terminals may be raw at once.
const TERMINALS_MAX: usize = 8;

static TERMINALS: [AtomicPtr<State>; TERMINALS_MAX] =
    [const { AtomicPtr::new(ptr::null_mut()) }; TERMINALS_MAX];

/// How many threads look at the terminals without having them locked.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

struct State {
    terminal: OwnedFd,
    before: Termios,
    raw: Termios,
}

/// A terminal that is raw; dropped, it is as it was before.
pub(crate) struct Raw {
    place: &'static AtomicPtr<State>,
}

impl Raw {
    pub(crate) fn new(terminal: OwnedFd) -> io::Result<Self> {
        watch_the_process()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        let set = raw.clone();
        let state = Box::into_raw(Box::new(State { terminal, before, raw }));
        let free = TERMINALS.iter().find(|place| {
            let null = ptr::null_mut();
            place.compare_exchange(null, state, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        let Some(place) = free else {
            // SAFETY: it was made above, and nobody else has come to know of it.
            drop(unsafe { Box::from_raw(state) });
            let full = "as many terminals are raw as may be";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, full));
        };
        let this = Self { place };
        // SAFETY: only the drop of `this` frees it.
        let terminal = unsafe { (*state).terminal.as_fd() };
        tcsetattr(terminal, OptionalActions::Now, &set)?;
        Ok(this)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let state = self.place.swap(ptr::null_mut(), Ordering::AcqRel);
        // Who has found it before may still look at it, for no longer than a system call takes.
        while LOOKING.load(Ordering::Acquire) > 0 {
            spin_loop();
        }
        // SAFETY: a `Raw` alone takes its state out, once, and nobody looks at it any more.
        let state = unsafe { Box::from_raw(state) };
        // A terminal that is gone is not set to anything any more.
        let _ = tcsetattr(&state.terminal, OptionalActions::Now, &state.before);
    }
}

/// Sets all terminals that are this process's to set now. It is called in signal handlers.
fn set_all(choose: fn(&State) -> &Termios) {
    LOOKING.fetch_add(1, Ordering::AcqRel);
    for place in &TERMINALS {
        // SAFETY: what stands in a place lives until it is taken out and nobody looks any more.
        let Some(state) = (unsafe { place.load(Ordering::Acquire).as_ref() }) else { continue };
        // Of a job in the background, the terminal is somebody else's.
        if tcgetpgrp(&state.terminal).is_ok_and(|foreground| foreground != getpgrp()) {
            continue;
        }
        let _ = tcsetattr(&state.terminal, OptionalActions::Now, choose(state));
    }
    LOOKING.fetch_sub(1, Ordering::AcqRel);
}

/// Puts all terminals back for as long as this process may be gone.
pub(crate) fn restore_all() {
    set_all(|state| &state.before);
}

extern "C" fn restore_at_exit() {
    restore_all();
}

/// Has whatever ends or stops this process put the terminals back first.
fn watch_the_process() -> io::Result<()> {
    static ONCE: Once = Once::new();
    let mut outcome = crate::sys::signals::begin();
    ONCE.call_once(|| {
        // SAFETY: the function is one, and does not unwind.
        if unsafe { libc::atexit(restore_at_exit) } != 0 {
            outcome = Err(io::ErrorKind::OutOfMemory.into());
        }
        for signal in [SIGABRT, SIGHUP, SIGQUIT, SIGTSTP] {
            let (is_ignored, is_default) = disposition(signal);
            if !is_ignored && let Err(error) = on_signal(signal, move || is_default) {
                outcome = Err(error);
            }
        }
        let come_back = || set_all(|state| &state.raw);
        // SAFETY: it makes system calls and looks at atomics, which is safe in a handler.
        if let Err(error) = unsafe { register(SIGCONT, come_back) } {
            outcome = Err(error);
        }
    });
    outcome
}

/// Has a signal put the terminals back, and then do what it does by default, if `is_default` says so.
pub(crate) fn on_signal(
    signal: i32,
    is_default: impl Fn() -> bool + Send + Sync + 'static,
) -> io::Result<()> {
    let action = move || {
        restore_all();
        if is_default() {
            // What cannot be done so is not done otherwise either.
            let _ = emulate_default_handler(signal);
        }
    };
    // SAFETY: it makes system calls and looks at atomics, which is safe in a handler.
    unsafe { register(signal, action) }.map(drop)
}
