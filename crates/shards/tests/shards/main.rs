//! Shards and workers, from outside.

mod counts;
mod dealing;
mod kit;
mod messages;
mod running;
#[cfg(unix)]
mod workers;
#[cfg(unix)]
mod workers_in_memory;
