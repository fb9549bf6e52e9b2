//! What every driver must do, tried on each that this machine has.

mod accepting;
mod adopting;
mod behind;
mod choice;
mod conformance;
mod connecting;
mod datagrams;
mod descriptors;
mod io_uring;
mod kit;
mod lingering;
mod processes;
mod resets;
mod scarcity;
mod watching;
