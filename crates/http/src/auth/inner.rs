//! A resource that is asked some time after its request has come.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use ropewalk_deferred::{Deferred, Promise, deferred};

use crate::server::BodyKind;
use crate::{Body, BodyStream, Reply, Request, Resource, Response};

/// A resource that may be asked from elsewhere than within its site. Clones are the same.
#[derive(Clone)]
pub(crate) struct Inner(Rc<Shared>);

struct Shared {
    resource: RefCell<Box<dyn Resource>>,
    /// Requests that came while it was answering another: what it does then may bring a login to its end.
    waiting: RefCell<VecDeque<(Request, Promise<Response>)>>,
}

impl Inner {
    pub(crate) fn new(resource: impl Resource) -> Self {
        let resource: RefCell<Box<dyn Resource>> = RefCell::new(Box::new(resource));
        Self(Rc::new(Shared { resource, waiting: RefCell::default() }))
    }

    pub(crate) fn render(&self, request: Request) -> Reply {
        let Ok(mut resource) = self.0.resource.try_borrow_mut() else {
            let (promise, waiting) = deferred();
            self.0.waiting.borrow_mut().push_back((request, promise));
            return Reply::Later(waiting);
        };
        let reply = resource.render(request);
        drop(resource);
        self.go_on();
        reply
    }

    /// Answers those who had to wait.
    fn go_on(&self) {
        loop {
            let next = self.0.waiting.borrow_mut().pop_front();
            let Some((request, promise)) = next else { return };
            let Ok(mut resource) = self.0.resource.try_borrow_mut() else {
                self.0.waiting.borrow_mut().push_front((request, promise));
                return;
            };
            let reply = resource.render(request);
            drop(resource);
            Deferred::from(reply).on_result(move |result| promise.fire(result));
        }
    }
}

/// A body as long as which something lasts: until it is out or, where another protocol speaks then, until the
/// connection is over.
pub(crate) fn keeping<T: 'static>(mut body: Body, kept: T) -> Body {
    body.kind = match std::mem::take(&mut body.kind) {
        BodyKind::Stream { mut pieces, length } => {
            let pieces = BodyStream::new(move || {
                let _ = &kept;
                pieces.next()
            });
            BodyKind::Stream { pieces, length }
        }
        BodyKind::Switch(mut takeover) => {
            takeover.keep(kept);
            BodyKind::Switch(takeover)
        }
        whole => whole,
    };
    body
}
