//! Places to receive datagrams.

use ropewalk_deferred::Deferred;

use super::seat::seat_datagrams_and_tell;
use super::{DatagramPort, DatagramProtocol, DatagramSeat};
use crate::Address;

/// A place to receive datagrams; [`open_datagrams`] and [`connect_datagrams`] are how it is used.
///
/// It may be one port, to be opened once, or any free one, to be opened as often as one likes: a
/// resolver takes another for each question.
pub trait DatagramEndpoint {
    /// Opens a port there, connected to `peer` if that is given; a failure reaches the protocol as
    /// its [`stopped`](DatagramProtocol::stopped).
    fn open_seat(&self, peer: Option<&Address>, seat: Box<dyn DatagramSeat>);
}

/// Opens a port at `endpoint`; the deferred gives its handle once it is open.
///
/// Where it is not, the deferred fails with the [`Disconnect`](crate::Disconnect) that the protocol is
/// told too. Cancelling it gives the port up.
#[track_caller]
pub fn open_datagrams<P: DatagramProtocol>(
    endpoint: &(impl DatagramEndpoint + ?Sized),
    protocol: P,
) -> Deferred<DatagramPort<P>> {
    let (seat, opened) = seat_datagrams_and_tell(protocol);
    endpoint.open_seat(None, seat);
    opened
}

/// The same with a port that is connected to `peer`: it sends to that one and hears nobody else, and
/// is told when nobody receives there.
#[track_caller]
pub fn connect_datagrams<P: DatagramProtocol>(
    endpoint: &(impl DatagramEndpoint + ?Sized),
    peer: &Address,
    protocol: P,
) -> Deferred<DatagramPort<P>> {
    let (seat, opened) = seat_datagrams_and_tell(protocol);
    endpoint.open_seat(Some(peer), seat);
    opened
}
