//! The room through what others see of it.

mod checkers;
mod delays;
mod files;
mod portal;
mod properties;

use ropewalk_auth::LoginError;
use ropewalk_deferred::Deferred;

/// What came of a wait that must be over.
#[track_caller]
fn value<T: 'static>(deferred: Deferred<T>) -> T {
    deferred.now_or_never().expect("it is over").expect("it went well")
}

/// Why a wait that must be over came to nothing.
#[track_caller]
fn refusal<T: 'static>(deferred: Deferred<T>) -> LoginError {
    let Err(failure) = deferred.now_or_never().expect("it is over") else {
        panic!("somebody was let in")
    };
    *failure.check().unwrap_or_else(|| panic!("{failure:?}"))
}
