//! The simulated network, and what a reactor on it does.

mod kit;
mod replay;
mod streams;
