//! Reactors in other loops, and other runtimes beside reactors.

#[path = "foreign/hosted.rs"]
mod hosted;
#[path = "foreign/island.rs"]
mod island;
#[path = "foreign/kit.rs"]
mod kit;
#[path = "foreign/runtime.rs"]
mod runtime;
