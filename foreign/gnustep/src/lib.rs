//! A reactor in the run loop of GNUstep, on which programs written for Cocoa run elsewhere.
//!
//! The run loop watches the reactor's descriptor and keeps its deadline by an `NSTimer`; [`attach`] has it do
//! so. The example `page` serves a page from a run loop. On macOS itself, `ropewalk-foreign` has the same over
//! Core Foundation.

use std::fmt;
use std::os::fd::AsRawFd;

use cxx::UniquePtr;
use ropewalk_foreign::{Next, Watched};
use ropewalk_reactor::{Reactor, ReactorError};

#[cxx::bridge(namespace = "ropewalk")]
mod ffi {
    /// What the run loop is to do.
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
        include!("ropewalk-gnustep/src/attachment.h");
        type Attachment;
        fn attach_host(host: Box<Host>) -> UniquePtr<Attachment>;
        fn run(self: &Attachment);
    }
}

/// Keeps a reactor in the run loop; dropped, it takes the reactor out again and leaves it as it is.
#[must_use = "dropped, it takes the reactor out of the run loop"]
pub struct Attachment {
    attached: UniquePtr<ffi::Attachment>,
}

/// What the other side calls.
struct Host(Watched);

/// Has this thread's run loop run `reactor`, in its default mode.
///
/// A reactor that is [stopped](Reactor::stop) is taken apart and out of the loop, which goes on. A loop
/// inside one of the reactor's callbacks runs without the reactor.
///
/// # Errors
///
/// If the system gives no descriptor to watch.
pub fn attach(reactor: &Reactor) -> Result<Attachment, ReactorError> {
    let host = Host(Watched::new(reactor)?);
    Ok(Attachment { attached: ffi::attach_host(Box::new(host)) })
}

impl Attachment {
    /// Runs this thread's run loop until the reactor is [stopped](Reactor::stop).
    pub fn run(&self) {
        self.attached.run();
    }
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
