//! What every driver must do, tried on each that this machine has.

mod accepting;
mod adopting;
mod behind;
mod choice;
mod conformance;
mod connecting;
mod datagrams;
mod descriptors;
#[cfg(unix)]
mod files;
mod hosting;
mod io_uring;
mod kit;
mod lingering;
#[cfg(target_os = "linux")]
mod links;
mod processes;
mod relaying;
mod resets;
mod scarcity;
#[cfg(unix)]
mod serial;
mod watching;
