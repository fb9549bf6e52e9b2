//! Ours under a kernel that fails and a network that loses.
//!
//! What is tried runs in a process of its own ([`scenes`]), so that what fails there fails for nobody
//! else: the other side is this process, or one that nothing is done to.

#![allow(clippy::disallowed_methods, reason = "outside programs keep the time of the world")]

#[path = "faults/calls.rs"]
mod calls;
#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/exchange.rs"]
mod exchange;
#[path = "faults/idle.rs"]
mod idle;
#[path = "faults/matrix.rs"]
mod matrix;
#[path = "faults/networks.rs"]
mod networks;
#[path = "faults/scenes.rs"]
mod scenes;
mod support;
