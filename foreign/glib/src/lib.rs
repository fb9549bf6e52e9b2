//! A reactor in glib's main loop: windows of GTK and our protocols on one thread.
//!
//! ```no_run
//! use ropewalk_reactor::Reactor;
//!
//! let reactor = Reactor::new()?;
//! let attached = ropewalk_glib::attach(&reactor)?;
//! glib::MainLoop::new(None, false).run();
//! drop(attached);
//! # Ok::<(), ropewalk_reactor::ReactorError>(())
//! ```
//!
//! The example `window` has a button that asks a page which the same thread serves.

#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::os::fd::AsRawFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

use glib::{ControlFlow, IOCondition, SourceId};
use ropewalk_foreign::{Next, Watched};
use ropewalk_reactor::{Reactor, ReactorError};

/// Keeps a reactor in the main loop; dropped, it takes the reactor out again and leaves it as it is.
#[must_use = "dropped, it takes the reactor out of the main loop"]
pub struct Attachment(Rc<Host>);

struct Host {
    watched: Watched,
    watch: RefCell<Option<SourceId>>,
    timer: RefCell<Option<SourceId>>,
    over: Cell<bool>,
}

/// Has the default main context, which is GTK's, run `reactor`.
///
/// A reactor that is [stopped](Reactor::stop) is taken apart and out of the loop, which goes on. A loop
/// inside one of the reactor's callbacks, as a dialogue has it, runs without the reactor.
///
/// # Errors
///
/// If the system gives no descriptor to watch.
///
/// # Panics
///
/// In another thread than that of the default main context.
pub fn attach(reactor: &Reactor) -> Result<Attachment, ReactorError> {
    let host = Rc::new(Host {
        watched: Watched::new(reactor)?,
        watch: RefCell::default(),
        timer: RefCell::default(),
        over: Cell::new(false),
    });
    // What is there already, and the first deadline.
    host.wait_for(Some(0));
    Ok(Attachment(host))
}

impl Attachment {
    /// Whether the reactor is still run by the loop.
    pub fn is_attached(&self) -> bool {
        !self.0.over.get()
    }

    /// Why the reactor is no longer in the loop, if it was not stopped.
    pub fn take_error(&self) -> Option<ReactorError> {
        self.0.watched.take_error()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("watched", &self.0.watched).finish_non_exhaustive()
    }
}

impl Host {
    fn turn(self: &Rc<Self>) {
        if self.over.get() {
            return;
        }
        // A loop inside a callback would be told of the descriptor without end.
        if let Some(watch) = self.watch.take() {
            watch.remove();
        }
        match self.watched.turn() {
            Next::Busy => (),
            Next::Ended => self.let_go(),
            next => self.wait_for(next.wait_ms()),
        }
    }

    /// Has glib call when the descriptor is readable, and at the latest after so many milliseconds.
    fn wait_for(self: &Rc<Self>, wait_ms: Option<u32>) {
        if self.over.get() {
            return;
        }
        let host = Rc::downgrade(self);
        let watch = glib::source::unix_fd_add_local(
            self.watched.as_raw_fd(),
            IOCondition::IN,
            move |_, _| {
                // It is removed by being told so.
                turn(&host, |host| drop(host.watch.take()));
                ControlFlow::Break
            },
        );
        self.watch.replace(Some(watch));
        let timer = wait_ms.map(|wait_ms| {
            let (host, wait) = (Rc::downgrade(self), Duration::from_millis(wait_ms.into()));
            glib::timeout_add_local_once(wait, move || {
                turn(&host, |host| drop(host.timer.take()));
            })
        });
        if let Some(former) = self.timer.replace(timer) {
            former.remove();
        }
    }

    fn let_go(&self) {
        self.over.set(true);
        for source in [self.watch.take(), self.timer.take()].into_iter().flatten() {
            source.remove();
        }
    }
}

/// A turn by a source that `forget` takes off the books, as glib removes it by itself.
fn turn(host: &Weak<Host>, forget: impl FnOnce(&Host)) {
    if let Some(host) = host.upgrade() {
        forget(&host);
        host.turn();
    }
}
