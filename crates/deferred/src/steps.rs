//! Steps that are put together before they are added.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;

use crate::deferred::Inner;
use crate::root::{Giver, Root, Through};
use crate::{Deferred, Failure, Promise};

/// Steps from a `T` to a `U`, to be taken one after another: as one link, however many they are.
///
/// Each verb of a [`Deferred`] adds a link, which costs an allocation and a call through a pointer, and
/// may be added anywhere and at any time. Where the steps are known in one place, they are put together
/// by the compiler instead, as an iterator's adapters are. None of them can wait: what does is a
/// [callback](Deferred::add_callback) behind them. A panic in one fails all, with
/// [`Panicked`](crate::Panicked).
///
/// ```
/// use ropewalk_deferred::{Deferred, steps};
///
/// let parse = steps::<String>()
///     .map(|text| text.trim().to_owned())
///     .and_then(|text| text.parse::<u32>())
///     .or_else(|_| Ok::<_, std::fmt::Error>(0));
/// let number = Deferred::succeed(" 17\n".to_owned()).through(parse);
/// assert_eq!(number.now_or_never().unwrap().unwrap(), 17);
/// ```
#[must_use = "steps are taken where they are given to `Deferred::through` or `deferred_through`"]
pub struct Steps<T, U, F> {
    run: F,
    types: PhantomData<fn(T) -> U>,
}

/// A closure from one result to the next: what [`Steps`] are made of.
pub trait Step<T, U>: FnOnce(Result<T, Failure>) -> Result<U, Failure> {}

impl<T, U, F: FnOnce(Result<T, Failure>) -> Result<U, Failure>> Step<T, U> for F {}

/// No steps yet, on the way from a `T`.
pub fn steps<T>() -> Steps<T, T, impl Step<T, T>> {
    Steps::of(|result| result)
}

/// A promise of what goes into `steps`, and the deferred of what comes out of them: all of it in one
/// allocation.
///
/// The steps run when the promise is fired, in the [`Context`](crate::Context) of this call; they see
/// the failure of one that was dropped or cancelled.
///
/// ```
/// use ropewalk_deferred::{deferred_through, steps};
///
/// let (reply, length) = deferred_through(steps().map(|line: String| line.len()));
/// reply.succeed("250 ready".to_owned());
/// assert_eq!(length.now_or_never().unwrap().unwrap(), 9);
/// ```
#[track_caller]
pub fn deferred_through<T, U, F>(steps: Steps<T, U, F>) -> (Promise<T>, Deferred<U>)
where
    T: 'static,
    U: 'static,
    F: Step<T, U> + 'static,
{
    let root = Root::make(Through::new(steps.run), Location::caller());
    (Promise::new(Rc::clone(&root) as Rc<dyn Giver<T>>), Deferred::waiting(root))
}

impl<T, U, F: Step<T, U>> Steps<T, U, F> {
    fn of(run: F) -> Self {
        Self { run, types: PhantomData }
    }

    /// And then `f` makes another value of the value.
    pub fn map<V>(self, f: impl FnOnce(U) -> V) -> Steps<T, V, impl Step<T, V>> {
        Steps::of(|result| (self.run)(result).map(f))
    }

    /// And then `f` makes another value of the value, or fails.
    pub fn and_then<V, E: Into<Failure>>(
        self,
        f: impl FnOnce(U) -> Result<V, E>,
    ) -> Steps<T, V, impl Step<T, V>> {
        Steps::of(|result| (self.run)(result).and_then(|value| f(value).map_err(Into::into)))
    }

    /// And then `f` makes a value of a failure, or another failure.
    pub fn or_else<E: Into<Failure>>(
        self,
        f: impl FnOnce(Failure) -> Result<U, E>,
    ) -> Steps<T, U, impl Step<T, U>> {
        Steps::of(|result| (self.run)(result).or_else(|failure| f(failure).map_err(Into::into)))
    }
}

impl<T> Deferred<T> {
    /// Takes `steps` with the result, all of them as one link.
    #[track_caller]
    pub fn through<U>(self, steps: Steps<T, U, impl Step<T, U> + 'static>) -> Deferred<U> {
        self.link(move |result| Inner::Ready((steps.run)(result)))
    }
}

impl<T, U, F> fmt::Debug for Steps<T, U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").finish_non_exhaustive()
    }
}
