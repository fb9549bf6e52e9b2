//! What the tests share.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, Conn, Port, Protocol};
use ropewalk_reactor::{DriverKind, ListeningPort, Reactor, TcpListenOptions};
use tokio::runtime::Runtime;

/// When a test gives up: far above what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn reactor() -> Reactor {
    Reactor::with_driver(DriverKind::from_environment().unwrap().unwrap_or_default()).unwrap()
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Listens somewhere, with a protocol of `make` for each connection.
pub(crate) fn listen<P: Protocol>(
    reactor: &Reactor,
    mut make: impl FnMut() -> P + 'static,
) -> (ListeningPort, SocketAddr) {
    let factory = Box::new(move |_: &Address| Some(make()));
    let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
    let port = reactor.listen_tcp(anywhere, TcpListenOptions::default(), factory).unwrap();
    let address = port.address().ip().unwrap();
    (port, address)
}

/// Sends back what comes.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// A counter that a test and what it tests share.
#[derive(Clone, Default)]
pub(crate) struct Count(Rc<Cell<usize>>);

impl Count {
    pub(crate) fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.get()
    }
}
