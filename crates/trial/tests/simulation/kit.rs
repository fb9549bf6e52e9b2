//! What the tests share.

use std::net::SocketAddr;

use ropewalk_protocol::{Conn, Port as _, Protocol, seat};
use ropewalk_reactor::{ConnectOptions, ListeningPort, Reactor, TcpListenOptions};
pub(crate) use ropewalk_trial::Note;
use ropewalk_trial::{Notes, Witness};

pub(crate) fn witness(react: impl FnMut(&Conn<Witness>, &Note) + 'static) -> (Witness, Notes) {
    Witness::new(react)
}

/// Says back what it hears, and closes when nothing more comes.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

pub(crate) fn echo_at(reactor: &Reactor, address: SocketAddr) -> ListeningPort {
    let factory = Box::new(|_: &ropewalk_protocol::Address| Some(Echo));
    let options = TcpListenOptions::default();
    let port = reactor.listen_tcp(address, options, factory).expect("it listens");
    assert_eq!(port.address().ip().map(|bound| bound.ip()), Some(address.ip()));
    port
}

pub(crate) fn connect(reactor: &Reactor, address: SocketAddr, protocol: impl Protocol) {
    reactor.connect_tcp(address, ConnectOptions::default(), seat(protocol));
}

/// Bytes of which no two places look alike.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
