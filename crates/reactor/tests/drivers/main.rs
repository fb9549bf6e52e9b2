//! What every driver must do, tried on each that this machine has.

mod choice;
mod conformance;
mod connecting;
mod io_uring;
mod kit;
mod scarcity;
