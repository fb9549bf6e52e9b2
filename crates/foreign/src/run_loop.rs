//! The reactor inside the run loop of Cocoa's programs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use core_foundation::base::{CFOptionFlags, TCFType};
use core_foundation::date::CFDate;
use core_foundation::filedescriptor::{
    CFFileDescriptor, CFFileDescriptorContext, CFFileDescriptorRef, kCFFileDescriptorReadCallBack,
};
use core_foundation::runloop::{
    CFRunLoop, CFRunLoopSource, CFRunLoopTimer, CFRunLoopTimerContext, CFRunLoopTimerRef,
};
use core_foundation::string::CFString;
use ropewalk_reactor::{Reactor, ReactorError};

use crate::{Next, Watched};

/// What a run loop may be at: the reactor goes on while a menu is open or a dialogue asks.
const MODES: [&str; 3] =
    ["kCFRunLoopDefaultMode", "NSEventTrackingRunLoopMode", "NSModalPanelRunLoopMode"];

thread_local! {
    /// What is attached to this thread's run loop: its callbacks are handed a number, and no pointer.
    static ATTACHED: RefCell<BTreeMap<usize, Rc<Host>>> = const { RefCell::new(BTreeMap::new()) };
    static LAST_KEY: Cell<usize> = const { Cell::new(0) };
}

/// Keeps a reactor in a run loop; dropped, it takes the reactor out again and leaves it as it is.
#[must_use = "dropped, it takes the reactor out of the run loop"]
pub struct Attachment {
    key: usize,
    host: Rc<Host>,
}

struct Host {
    key: usize,
    watched: Watched,
    run_loop: CFRunLoop,
    descriptor: CFFileDescriptor,
    source: CFRunLoopSource,
    timer: RefCell<Option<CFRunLoopTimer>>,
}

/// Has the run loop of this thread, which is AppKit's in the main thread, run `reactor`, in its default
/// mode and while it tracks events or shows a modal panel.
///
/// A reactor that is [stopped](Reactor::stop) is taken apart and out of the run loop, which goes on.
///
/// # Errors
///
/// If the system refuses to watch the reactor's descriptor.
pub fn attach_to_run_loop(reactor: &Reactor) -> Result<Attachment, ReactorError> {
    let watched = Watched::new(reactor)?;
    let key = LAST_KEY.get() + 1;
    LAST_KEY.set(key);
    let context = CFFileDescriptorContext {
        version: 0,
        info: ptr::without_provenance_mut(key),
        retain: None,
        release: None,
        copyDescription: None,
    };
    let made = CFFileDescriptor::new(watched.as_raw_fd(), false, readable, Some(&context));
    let made = made.and_then(|made| Some((made.to_run_loop_source(0)?, made)));
    let Some((source, descriptor)) = made else {
        let error = std::io::Error::other("no run loop source for a descriptor");
        return Err(ReactorError::System { doing: "watching the reactor", error });
    };
    let host = Rc::new(Host {
        key,
        watched,
        run_loop: CFRunLoop::get_current(),
        descriptor,
        source,
        timer: RefCell::default(),
    });
    for mode in MODES.map(CFString::from_static_string) {
        host.run_loop.add_source(&host.source, mode.as_concrete_TypeRef());
    }
    ATTACHED.with_borrow_mut(|attached| attached.insert(key, Rc::clone(&host)));
    // What is there already, and the first deadline.
    host.wait_for(Some(Duration::ZERO));
    Ok(Attachment { key, host })
}

impl Attachment {
    /// Why the reactor is no longer in the run loop, if it was not stopped.
    pub fn take_error(&self) -> Option<ReactorError> {
        self.host.watched.take_error()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.host.let_go();
        ATTACHED.with_borrow_mut(|attached| attached.remove(&self.key));
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("watched", &self.host.watched).finish_non_exhaustive()
    }
}

impl Host {
    fn turn(&self) {
        match self.watched.turn() {
            // The descriptor is told of once, so a loop inside a callback is not told of it again.
            Next::Busy => (),
            Next::Ended => self.let_go(),
            next => self.wait_for(next.wait()),
        }
    }

    /// Has the run loop call when the descriptor is readable, and at the latest after this long.
    fn wait_for(&self, wait: Option<Duration>) {
        self.descriptor.enable_callbacks(kCFFileDescriptorReadCallBack);
        let timer = wait.map(|wait| {
            let mut context = CFRunLoopTimerContext {
                version: 0,
                info: ptr::without_provenance_mut(self.key),
                retain: None,
                release: None,
                copyDescription: None,
            };
            let at = CFDate::now().abs_time() + wait.as_secs_f64();
            CFRunLoopTimer::new(at, 0.0, 0, 0, due, &raw mut context)
        });
        let former = self.timer.replace(timer.clone());
        for mode in MODES.map(CFString::from_static_string) {
            if let Some(former) = &former {
                self.run_loop.remove_timer(former, mode.as_concrete_TypeRef());
            }
            if let Some(timer) = &timer {
                self.run_loop.add_timer(timer, mode.as_concrete_TypeRef());
            }
        }
    }

    fn let_go(&self) {
        self.descriptor.invalidate();
        let timer = self.timer.take();
        for mode in MODES.map(CFString::from_static_string) {
            self.run_loop.remove_source(&self.source, mode.as_concrete_TypeRef());
            if let Some(timer) = &timer {
                self.run_loop.remove_timer(timer, mode.as_concrete_TypeRef());
            }
        }
    }
}

extern "C" fn readable(_: CFFileDescriptorRef, _: CFOptionFlags, key: *mut c_void) {
    turn(key.addr());
}

extern "C" fn due(_: CFRunLoopTimerRef, key: *mut c_void) {
    turn(key.addr());
}

fn turn(key: usize) {
    let host = ATTACHED.with_borrow(|attached| attached.get(&key).map(Rc::clone));
    if let Some(host) = host {
        host.turn();
    }
}
