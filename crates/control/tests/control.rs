//! What operators may ask, who may ask, and what is logged.

#[path = "control/logs.rs"]
mod logs;
#[cfg(unix)]
#[path = "control/socket.rs"]
mod socket;
