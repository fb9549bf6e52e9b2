//! The event loop.
mod wheel;
