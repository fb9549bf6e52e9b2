//! Places to listen and places to connect to.

use ropewalk_deferred::Deferred;

use crate::seat::seat_and_tell;
use crate::{Address, Conn, Factory, Protocol, Seat, seat};

/// A [`Factory`] whose protocols are seated: what a listening transport asks for each connection.
pub trait SeatFactory: 'static {
    /// The seat for a new connection from `peer`, or `None` to turn it away.
    fn seat(&mut self, peer: &Address) -> Option<Box<dyn Seat>>;

    /// What is spoken there: see [`Factory::alpn`].
    fn alpn(&self) -> &'static [&'static str] {
        &[]
    }
}

impl<F: Factory> SeatFactory for F {
    fn seat(&mut self, peer: &Address) -> Option<Box<dyn Seat>> {
        self.build(peer).map(seat)
    }

    fn alpn(&self) -> &'static [&'static str] {
        Factory::alpn(self)
    }
}

impl SeatFactory for Box<dyn SeatFactory> {
    fn seat(&mut self, peer: &Address) -> Option<Box<dyn Seat>> {
        (**self).seat(peer)
    }

    fn alpn(&self) -> &'static [&'static str] {
        (**self).alpn()
    }
}

/// A place to listen; [`listen`] is how it is used.
pub trait ServerEndpoint {
    /// Listens, and seats each connection with what `factory` makes.
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>>;
}

/// A place to connect to; [`connect`] is how it is used.
pub trait ClientEndpoint {
    /// Connects; a failure reaches the protocol as its `connection_lost`.
    fn connect_seat(&self, seat: Box<dyn Seat>);
}

impl<E: ServerEndpoint + ?Sized> ServerEndpoint for Box<E> {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        (**self).listen_seats(factory)
    }
}

impl<E: ClientEndpoint + ?Sized> ClientEndpoint for Box<E> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        (**self).connect_seat(seat);
    }
}

/// A place where somebody listens. Dropping it changes nothing.
pub trait Port {
    /// Where it listens: with the port number that the system chose, if it was asked to.
    fn address(&self) -> Address;

    /// Stops listening; connections that are up stay up, and on a reactor who waits to be accepted is, first.
    /// The deferred tells when the place is free: until then the factory may still be asked for a protocol, so
    /// that who waits for all connections to end waits for this before.
    fn stop_listening(&self) -> Deferred<()>;

    /// Where no more than one connection can ever come, such as the one on standard input and output:
    /// tells when that is over, to whoever asks first.
    fn over(&self) -> Option<Deferred<()>> {
        None
    }
}

/// Listens at `endpoint` with what `factory` makes.
#[track_caller]
pub fn listen(
    endpoint: &(impl ServerEndpoint + ?Sized),
    factory: impl Factory,
) -> Deferred<Box<dyn Port>> {
    endpoint.listen_seats(Box::new(factory))
}

/// Connects `protocol` to `endpoint`; the deferred gives its handle once the connection is made.
///
/// Where it is not made, the deferred fails for the [`Disconnect`](crate::Disconnect) that the
/// protocol is told too; where several addresses were tried, with a
/// [`CannotConnect`](crate::CannotConnect) that names them all. Cancelling it gives up the attempt.
#[track_caller]
pub fn connect<P: Protocol>(
    endpoint: &(impl ClientEndpoint + ?Sized),
    protocol: P,
) -> Deferred<Conn<P>> {
    let (seat, made) = seat_and_tell(protocol);
    endpoint.connect_seat(seat);
    made
}
