//! What every driver must do, tried on each that this machine has.

mod conformance;
mod kit;
mod scarcity;
