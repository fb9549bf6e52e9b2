//! Datagrams: what a protocol and a transport agree on where bytes come in messages.

mod endpoint;
mod error;
mod multicast;
mod page;
mod port;
mod protocol;
mod queue;
mod seat;

pub use endpoint::{DatagramEndpoint, connect_datagrams, open_datagrams};
pub use error::SendError;
pub use multicast::{Interface, Membership, MulticastChange, MulticastError, MulticastSettings};
pub use page::{DATAGRAMS_HELD_MAX, SEND_QUEUE_MAX};
pub use port::DatagramPort;
pub use protocol::DatagramProtocol;
pub use queue::{DATAGRAM_OVERHEAD, DatagramQueue, Outgoing};
pub use seat::{
    DatagramEvent, DatagramSeat, DatagramWishes, seat_datagrams, seat_datagrams_and_tell,
};
