//! Files that are read and written while the loop goes on: by the driver, or by threads.

use std::rc::Rc;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_protocol::{FileIo, FileOperation, FileOutcome, defer_to_threads};

use crate::Reactor;
use crate::inner::{Inner, Request};
use crate::reactor::guard;
use crate::sys::Driver;
use crate::under_way::Kind;

/// The kernel does it on [`IoUring`](crate::DriverKind::IoUring), up to 1,024 operations at once, and threads of
/// the pool elsewhere.
impl FileIo for Reactor {
    #[track_caller]
    fn operate(&self, operation: FileOperation) -> Deferred<FileOutcome> {
        let inner = self.inner();
        if !inner.does_files {
            return defer_to_threads(self, move || operation.perform());
        }
        let (promise, waiting) = deferred();
        let id = inner.next_id();
        inner.files.borrow_mut().insert(id, promise);
        inner.origins.note(Kind::Job, id as usize);
        inner.request(Request::File { id, operation });
        waiting
    }
}

impl Inner {
    /// Has the driver begin an operation, unless nobody waits for it any more.
    pub(crate) fn start_file(
        self: &Rc<Self>,
        driver: &mut dyn Driver,
        id: u64,
        operation: FileOperation,
    ) {
        let is_wanted = self.files.borrow().get(&id).map(Promise::is_wanted);
        if is_wanted != Some(true) {
            return self.file_done(id, Err(Failure::new(ropewalk_deferred::Cancelled)));
        }
        if let Err(operation) = driver.start_file(id, operation) {
            Reactor::of(Rc::clone(self)).do_file_in_thread(id, operation);
        }
    }

    /// Tells whoever waits for an operation.
    pub(crate) fn file_done(&self, id: u64, result: Result<FileOutcome, Failure>) {
        self.origins.forget(Kind::Job, id as usize);
        let promise = self.files.borrow_mut().remove(&id);
        if let Some(promise) = promise
            && promise.is_wanted()
        {
            guard("a result of an operation on a file", || promise.fire(result));
        }
    }
}

impl Reactor {
    /// Does in a thread what the driver does not.
    pub(crate) fn do_file_in_thread(&self, id: u64, operation: FileOperation) {
        let inner = Rc::downgrade(self.inner());
        let done = defer_to_threads(self, move || operation.perform());
        done.on_result(move |result| {
            if let Some(inner) = inner.upgrade() {
                inner.file_done(id, result);
            }
        });
    }
}
