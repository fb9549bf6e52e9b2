//! What stays on one thread, where an interface asks for more.

use std::error::Error;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use send_wrapper::SendWrapper;

/// A value that may be carried by an interface that asks for `Send` and `Sync`, and is used on the thread on
/// which it was made.
///
/// Many interfaces ask for `Send` because they might be used with several threads, and are used here with
/// one. Each use of the value looks whether it is on its own thread: [`get`](Self::get) and its like say no
/// with an error, `*value` and polling it as a future panic. A value that is dropped on another thread panics
/// too, unless that thread panics already: it cannot be dropped there.
///
/// ```
/// use std::rc::Rc;
/// use ropewalk_adapters::SameThread;
///
/// fn asks_for_more(value: impl Send + Sync + 'static) -> Box<dyn std::any::Any + Send> {
///     Box::new(value)
/// }
///
/// let shared = SameThread::new(Rc::new(5));
/// assert_eq!(**shared, 5);
/// let refused = std::thread::scope(|scope| {
///     scope.spawn(|| shared.get().is_err()).join().unwrap()
/// });
/// assert!(refused);
/// drop(asks_for_more(shared));
/// ```
pub struct SameThread<T>(SendWrapper<T>);

/// A [`SameThread`] was used on another thread than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongThread;

impl fmt::Display for WrongThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what belongs to one thread was used on another")
    }
}

impl Error for WrongThread {}

impl<T> SameThread<T> {
    /// Binds a value to this thread.
    pub fn new(value: T) -> Self {
        Self(SendWrapper::new(value))
    }

    /// Whether this is its thread.
    pub fn is_here(&self) -> bool {
        self.0.valid()
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// On another thread.
    pub fn get(&self) -> Result<&T, WrongThread> {
        if self.is_here() { Ok(&self.0) } else { Err(WrongThread) }
    }

    /// The value, to be changed.
    ///
    /// # Errors
    ///
    /// On another thread.
    pub fn get_mut(&mut self) -> Result<&mut T, WrongThread> {
        if self.is_here() { Ok(&mut self.0) } else { Err(WrongThread) }
    }

    /// Takes the value out.
    ///
    /// # Errors
    ///
    /// On another thread; it is handed back then, to be carried home.
    pub fn into_inner(self) -> Result<T, Self> {
        if self.is_here() { Ok(self.0.take()) } else { Err(self) }
    }
}

impl<T> Deref for SameThread<T> {
    type Target = T;

    /// # Panics
    ///
    /// On another thread.
    #[track_caller]
    fn deref(&self) -> &T {
        self.get().unwrap_or_else(|wrong| panic!("{wrong}"))
    }
}

impl<T> DerefMut for SameThread<T> {
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        self.get_mut().unwrap_or_else(|wrong| panic!("{wrong}"))
    }
}

impl<F: Future + Unpin> Future for SameThread<F> {
    type Output = F::Output;

    /// # Panics
    ///
    /// On another thread.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut **self).poll(cx)
    }
}

impl<T: Clone> Clone for SameThread<T> {
    fn clone(&self) -> Self {
        Self::new(T::clone(self))
    }
}

impl<T> fmt::Debug for SameThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SameThread").field("here", &self.is_here()).finish_non_exhaustive()
    }
}
