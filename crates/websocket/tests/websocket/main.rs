//! WebSockets in memory, on a clock that the tests move.

mod kit;

mod closing;
mod compression;
mod frames;
mod groups;
mod opening;
mod patience;
mod properties;
mod streams;
