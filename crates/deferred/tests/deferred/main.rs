//! Deferreds, through their public interface.
//!
//! The numbers of statements are those of the table in the crate's module `twisted`.

mod chains;
mod combine;
mod context;
mod kit;
mod scale;
mod shared;
mod steps;
mod turns;
mod unfired;
