//! Ports for datagrams.

mod groups;
mod ports;
mod udp;

pub(crate) use groups::{change, settings};
pub(crate) use ports::Datagrams;
pub use udp::{UdpEndpoint, UdpOptions};
