//! The client against a server that is the test.

#[path = "memcached/calls.rs"]
mod calls;
#[path = "memcached/enemies.rs"]
mod enemies;
#[path = "memcached/limits.rs"]
mod limits;
#[path = "memcached/replies.rs"]
mod replies;

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
