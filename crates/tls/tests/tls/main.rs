//! TLS in memory: both ends are ours, the clock is the test's. Numbers of statements are those
//! of the table in `ropewalk_endpoint::twisted`.

mod certificates;
mod common;
mod files;
mod handshake;
mod hostile;
mod issuers;
mod keys;
mod raw;
mod records;
mod sessions;
mod simulated;
mod upgrade;
