//! The client against a server that is the test.

#[path = "memcached/calls.rs"]
mod calls;
#[path = "memcached/enemies.rs"]
mod enemies;
#[path = "memcached/limits.rs"]
mod limits;
#[path = "memcached/replies.rs"]
mod replies;

use std::error::Error;
use std::fmt::Debug;

use ropewalk_deferred::Deferred;
use ropewalk_memcached::{Client, Limits};
use ropewalk_trial::{Clock, Memory};

/// A client whose server is the test.
fn client() -> (Memory, Client) {
    client_with(Limits::default())
}

fn client_with(limits: Limits) -> (Memory, Client) {
    let (protocol, client) = Client::new(limits);
    (Memory::seat(protocol, &Clock::new()), client)
}

/// What came of a call that must be over.
#[track_caller]
fn value<T: 'static>(answer: Deferred<T>) -> T {
    answer.now_or_never().expect("it is over").expect("it went well")
}

/// Why a call that must be over failed.
#[track_caller]
fn error<T: Debug + 'static, E: Error + Clone + 'static>(answer: Deferred<T>) -> E {
    let failure = answer.now_or_never().expect("it is over").expect_err("it failed");
    failure.check::<E>().unwrap_or_else(|| panic!("{failure:?}")).clone()
}
