//! TLS in memory: both ends are ours, the clock is the test's.

mod certificates;
mod common;
mod files;
mod handshake;
mod hostile;
mod raw;
mod records;
mod simulated;
mod upgrade;
