//! Ports for datagrams.

mod groups;
mod ports;
mod udp;
mod unix;

pub(crate) use groups::{change, settings};
pub(crate) use ports::Datagrams;
pub use udp::{UdpEndpoint, UdpOptions};
pub use unix::{UnixDatagramEndpoint, UnixDatagramOptions};
