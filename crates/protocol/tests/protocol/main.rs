//! The core interface, in memory and on a clock that stands still.
//!
//! The numbers of statements are those of the list in the documentation of `ropewalk-deferred`.

mod laws;
mod programs;
mod scope;
mod time;
