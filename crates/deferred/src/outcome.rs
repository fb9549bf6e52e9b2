//! What a callback may give.

use crate::{Deferred, Failure};

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
