//! The core interface, in memory and on a clock that stands still.
//!
//! The numbers of statements are those of the table in `ropewalk_deferred::twisted`.

mod addresses;
mod datagrams;
mod descriptors;
mod laws;
mod programs;
mod racing;
mod scope;
mod time;
