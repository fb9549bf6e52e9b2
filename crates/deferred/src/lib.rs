//! Results that have not arrived yet.
//!
//! A [`Deferred`] is the waiting end of a result, a [`Promise`] the giving end; [`deferred()`]
//! makes the pair. A deferred is passed on, chained, cancelled or awaited, and never asked
//! whether it is there yet.
//!
//! ```
//! use ropewalk_deferred::{Failure, deferred};
//!
//! let (promise, answer) = deferred::<u32>();
//! let doubled = answer.map(|n| n * 2).add_callback(|n| {
//!     u8::try_from(n) // a callback may fail with any error
//! });
//! promise.succeed(21);
//! assert_eq!(doubled.now_or_never().unwrap()?, 42);
//! # Ok::<(), Failure>(())
//! ```
//!
//! The links of a chain:
//!
//! | verb | runs on | its closure gives |
//! |---|---|---|
//! | [`Deferred::map`] | a value | a value |
//! | [`Deferred::add_callback`] | a value | a `Result`, a `Deferred` or `()` |
//! | [`Deferred::add_errback`] | a [`Failure`] | the same |
//! | [`Deferred::add_callbacks`], [`Deferred::add_both`] | either | the same |
//! | [`Deferred::through`], [`deferred_through`] | either, in [`Steps`] that are one link | a value or a `Result` |
//! | [`Deferred::on_result`] | either, as the chain's end | nothing |
//!
//! Several at once:
//!
//! | to | take |
//! |---|---|
//! | wait for all, for all the values, for the first | [`deferred_list`], [`gather`] and [`Deferred::zip`], [`race`] |
//! | let several wait for one | [`Deferred::shared`] |
//! | take turns, hand values on | [`DeferredLock`], [`DeferredSemaphore`], [`DeferredQueue`] |
//! | cross to futures and back | `await`, [`from_future`] |
//! | keep spans and values with their work | [`Context`] |
//! | see what has no result yet | [`follow_unfired`], [`unfired`] |
//!
//! What is promised:
//!
//! 1. Links run in the order in which they were added, before [`Promise::fire`] returns; a link
//!    added to a deferred that has its result runs at once. Only where firings nest more than
//!    thirty-two deep is the rest run by the outermost of them, so that no nesting overflows the stack.
//! 2. A promise is fired once: firing consumes it. Dropped, it fails its deferred with [`Abandoned`].
//! 3. Cancelling reaches the innermost wait: the operation whose result is really missing.
//! 4. A failure that nobody took is logged when its last owner lets go.
//! 5. A link that panics fails the chain with [`Panicked`].
//! 6. A link runs in the [`Context`] in which it was added.
//!
//! The limits:
//!
//! | what | how much |
//! |---|---|
//! | firings nested on the stack | 32, the rest is left to the outermost |
//! | waits searched for a deferred that waits for itself | 16 |
//! | waiters of one lock, semaphore or queue | [`WAITERS_MAX`], or as told |
//! | values in a queue | as told |
//! | links followed to tell who waits | 1,000 |
//!
//! Where this differs from Twisted, and why, is said in [`twisted`].

#![forbid(unsafe_code)]

mod combine;
mod context;
mod deferred;
mod failure;
mod future;
mod node;
mod outcome;
mod promise;
mod queue;
mod root;
mod semaphore;
mod shared;
mod steps;
mod unfired;

#[doc = include_str!("twisted.md")]
pub mod twisted {}

pub use combine::{AllFailed, FirstError, Rest, deferred_list, gather, race};
pub use context::Context;
pub use deferred::{Canceller, Deferred, take_awaited_at};
pub use failure::{Abandoned, Cancelled, Failure, Panicked, WaitsForItself};
pub use future::{Driver, from_future};
pub use outcome::{Outcome, maybe_deferred};
pub use promise::{Promise, deferred};
pub use queue::{DeferredQueue, QueueOverflow};
pub use semaphore::{Crowded, DeferredLock, DeferredSemaphore, Permit, WAITERS_MAX};
pub use shared::Shared;
pub use steps::{Step, Steps, deferred_through, steps};
pub use unfired::{Unfired, follow_unfired, unfired, unfollow_unfired};
