//! The simulated network, and what a reactor on it does.

mod crowd;
mod datagrams;
mod descriptors;
mod groups;
mod kit;
mod replay;
mod streams;
