//! A reactor in Qt's event loop: windows of Qt and our protocols on one thread.
//!
//! A `QSocketNotifier` watches the reactor's descriptor, and a `QTimer` keeps its deadline; [`attach`] makes
//! both, once there is a `QCoreApplication`, however that was made. The package `ropewalk-qt-window` is an
//! example: a button that asks a page which the same thread serves.

use std::fmt;
use std::os::fd::AsRawFd;

use cxx::UniquePtr;
use ropewalk_foreign::{Next, Watched};
use ropewalk_reactor::{Reactor, ReactorError};

#[cxx::bridge(namespace = "ropewalk")]
mod ffi {
    /// What Qt is to do.
    enum What {
        /// Watch the descriptor, and turn after so many milliseconds.
        Wait,
        /// Watch the descriptor.
        Watch,
        /// Nothing, as this was asked inside a turn.
        Busy,
        /// Nothing any more.
        Over,
    }

    struct Ahead {
        what: What,
        wait_ms: u32,
    }

    extern "Rust" {
        type Host;
        fn descriptor(self: &Host) -> i32;
        fn turn(self: &Host) -> Ahead;
    }

    // SAFETY: `attachment.h` declares just this. The attachment owns the host that it calls, only by
    // `&self`, in the thread that made it: neither is `Send`.
    unsafe extern "C++" {
        include!("ropewalk-qt/src/attachment.h");
        type Attachment;
        fn attach_host(host: Box<Host>) -> UniquePtr<Attachment>;
    }
}

/// Keeps a reactor in the event loop; dropped, it takes the reactor out again and leaves it as it is. It is
/// to be dropped before Qt's application.
#[must_use = "dropped, it takes the reactor out of the event loop"]
pub struct Attachment {
    _attached: UniquePtr<ffi::Attachment>,
}

/// What Qt's side calls.
struct Host(Watched);

/// Has this thread's event loop of Qt's run `reactor`.
///
/// A reactor that is [stopped](Reactor::stop) is taken apart and out of the loop, which goes on. A loop
/// inside one of the reactor's callbacks, as a dialogue has it, runs without the reactor.
///
/// # Errors
///
/// If the system gives no descriptor to watch.
pub fn attach(reactor: &Reactor) -> Result<Attachment, ReactorError> {
    let host = Host(Watched::new(reactor)?);
    Ok(Attachment { _attached: ffi::attach_host(Box::new(host)) })
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").finish_non_exhaustive()
    }
}

impl Host {
    fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    fn turn(&self) -> ffi::Ahead {
        let next = self.0.turn();
        let what = match next {
            Next::AtOnce | Next::Within(_) => ffi::What::Wait,
            Next::WhenReadable => ffi::What::Watch,
            Next::Busy => ffi::What::Busy,
            Next::Ended => ffi::What::Over,
        };
        ffi::Ahead { what, wait_ms: next.wait_ms().unwrap_or(0) }
    }
}
