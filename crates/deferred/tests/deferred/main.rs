//! Deferreds, through their public interface.
//!
//! The numbers of statements are those of the list in the crate's documentation.

mod chains;
mod combine;
mod context;
mod kit;
mod scale;
mod shared;
mod turns;
