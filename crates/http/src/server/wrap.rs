//! Functions around resources.

use std::fmt;

use super::reply::{IntoReply, Reply};
use super::request::Request;
use super::resource::Resource;

/// A resource with a function around it; [`Resource::wrap`] makes one.
pub struct Wrapped<R, F> {
    inner: R,
    around: F,
}

impl<R, F> Wrapped<R, F> {
    pub(super) fn new(inner: R, around: F) -> Self {
        Self { inner, around }
    }
}

impl<R, F, A> Resource for Wrapped<R, F>
where
    R: Resource,
    F: FnMut(Request, &mut dyn Resource) -> A + 'static,
    A: IntoReply,
{
    fn render(&mut self, request: Request) -> Reply {
        (self.around)(request, &mut self.inner).into_reply()
    }
}

impl<R: fmt::Debug, F> fmt::Debug for Wrapped<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").field("inner", &self.inner).finish_non_exhaustive()
    }
}
