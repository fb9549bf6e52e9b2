//! What a callback may give.

use std::panic::Location;

use crate::{Deferred, Failure, node};

/// What a callback may give: a `Result`, another [`Deferred`], or `()`.
///
/// A bare value of any other type goes through [`Deferred::map`]: were every type an outcome, the
/// compiler could not tell a `Result` that is a value from one that is a verdict.
#[diagnostic::on_unimplemented(
    message = "a callback gives a `Result`, a `Deferred` or `()`, not `{Self}`",
    note = "for a plain value use `.map(…)`, or give `Ok::<_, Failure>(value)`"
)]
pub trait Outcome {
    /// What the next callback gets.
    type Value;

    /// The outcome as a deferred, which may have its result already.
    fn into_deferred(self) -> Deferred<Self::Value>;
}

impl Outcome for () {
    type Value = ();

    fn into_deferred(self) -> Deferred<()> {
        Deferred::ready(Ok(()))
    }
}

impl<T, E: Into<Failure>> Outcome for Result<T, E> {
    type Value = T;

    #[track_caller]
    fn into_deferred(self) -> Deferred<T> {
        Deferred::ready(self.map_err(Into::into))
    }
}

impl<T> Outcome for Deferred<T> {
    type Value = T;

    fn into_deferred(self) -> Self {
        self
    }
}

/// Calls `f`; whatever it gives, an error and a panic included, is a deferred.
///
/// For code that takes part in a chain before there is any: a plug-in's function, say, which may
/// have its answer at once or later.
///
/// ```
/// use ropewalk_deferred::{Deferred, Failure, Panicked, maybe_deferred};
///
/// let now = maybe_deferred(|| "12".parse::<u32>());
/// assert_eq!(now.now_or_never().unwrap().unwrap(), 12);
/// let later = maybe_deferred(|| Deferred::succeed(12));
/// assert_eq!(later.now_or_never().unwrap().unwrap(), 12);
/// let never = maybe_deferred(|| -> Result<u32, Failure> { panic!("no") });
/// assert!(never.now_or_never().unwrap().unwrap_err().check::<Panicked>().is_some());
/// ```
#[track_caller]
pub fn maybe_deferred<R: Outcome<Value: 'static>>(f: impl FnOnce() -> R) -> Deferred<R::Value> {
    let give = |_: Result<(), Failure>| f().into_deferred().into_inner();
    Deferred::from_inner(node::attempt(give, Ok(()), Location::caller()))
}
