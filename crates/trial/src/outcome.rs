//! What came of work that must be over.

use std::error::Error;
use std::fmt::Debug;

use ropewalk_deferred::Deferred;

/// What came of work that must be over by now, and must have gone well.
///
/// ```
/// use ropewalk_deferred::Deferred;
///
/// assert_eq!(ropewalk_trial::value_of(Deferred::succeed(5)), 5);
/// ```
///
/// # Panics
///
/// If it is not over, or failed.
#[track_caller]
pub fn value_of<T: 'static>(work: Deferred<T>) -> T {
    let outcome = work.now_or_never().expect("it is over");
    outcome.unwrap_or_else(|failure| panic!("it failed: {failure:?}"))
}

/// Why work failed that must be over by now: the first cause of this type.
///
/// ```
/// use ropewalk_deferred::{Deferred, Failure};
///
/// let parsed = "x".parse::<u8>().map_err(Failure::from);
/// let work = parsed.map_or_else(Deferred::fail, Deferred::succeed);
/// let error = ropewalk_trial::error_of::<u8, std::num::ParseIntError>(work);
/// assert_eq!(error.kind(), &std::num::IntErrorKind::InvalidDigit);
/// ```
///
/// # Panics
///
/// If it is not over, went well, or failed of something else.
#[track_caller]
pub fn error_of<T: Debug + 'static, E: Error + Clone + 'static>(work: Deferred<T>) -> E {
    let failure = work.now_or_never().expect("it is over").expect_err("it failed");
    failure
        .check::<E>()
        .unwrap_or_else(|| panic!("it failed of something else: {failure:?}"))
        .clone()
}
