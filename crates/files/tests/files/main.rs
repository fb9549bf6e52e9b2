//! Files: paths, changes, atomic writes, and what is done while the loop goes on.
#![cfg(unix)]

mod atomic;
mod changes;
mod disk;
#[cfg(target_os = "linux")]
mod events;
mod kit;
mod paths;
mod walks;
