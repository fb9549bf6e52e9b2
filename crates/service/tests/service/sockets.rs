//! The same on sockets, with each driver in turn.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{
    Address, Conn, Factory, Goodbye, Leaving, Port, Protocol, SeatFactory, ServerEndpoint, sleep,
};
use ropewalk_reactor::{DriverKind, Reactor, TcpListenOptions};
use ropewalk_service::{Service as _, StreamServer, Tree};

/// Answers a byte with a byte, a little later, and ends.
#[derive(Default)]
struct Late {
    is_leaving: bool,
}

impl Protocol for Late {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let answer = data.to_vec();
        conn.call_later(Duration::from_millis(5), move |_, conn| {
            conn.write(&answer);
            conn.close();
        });
    }
}

impl Goodbye for Late {
    fn goodbye(&mut self, _: &Conn<Self>) {
        // Each client asks once, and is answered: nobody is idle.
        self.is_leaving = true;
    }
}

struct Counted(Arc<AtomicUsize>);

impl Factory for Counted {
    type Protocol = Late;

    fn build(&mut self, _: &Address) -> Option<Late> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Some(Late::default())
    }
}

struct Tcp(Reactor);

impl ServerEndpoint for Tcp {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        match self.0.listen_tcp(anywhere, TcpListenOptions::default(), factory) {
            Ok(port) => Deferred::succeed(Box::new(port) as Box<dyn Port>),
            Err(error) => Deferred::fail(error),
        }
    }
}

#[test]
fn a_drain_under_load_loses_nothing_that_was_accepted() {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    let reactor = Reactor::with_driver(kind).unwrap();
    let made = Arc::<AtomicUsize>::default();
    let leaving = Leaving::new(Counted(Arc::clone(&made)));
    let server = Rc::new(StreamServer::new(Tcp(reactor.clone()), reactor.clone(), leaving));
    let tree = Tree::new(reactor.clone());
    tree.add("late", Rc::clone(&server)).unwrap().detach();
    reactor.run_until(tree.start()).unwrap();
    let place = server.address().unwrap().ip().unwrap();
    let (served, done) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let (served, done) = (Arc::clone(&served), Arc::clone(&done));
            let client = move || {
                while !done.load(Ordering::SeqCst) {
                    ask(place, &served);
                }
            };
            std::thread::Builder::new().spawn(client).unwrap()
        })
        .collect();
    let (clock, counter) = (reactor.clone(), Arc::clone(&served));
    let whole = reactor.spawn(async move {
        while counter.load(Ordering::SeqCst) < 50 {
            sleep(&clock, Duration::from_millis(5)).await?;
        }
        let drained = tree.drain(Duration::from_secs(20)).await?;
        tree.stop().await?;
        Ok::<_, Failure>(drained)
    });
    let drained = reactor.run_until(whole).unwrap();
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(drained.cut, 0);
    assert_eq!(made.load(Ordering::SeqCst), served.load(Ordering::SeqCst));
    assert_eq!((reactor.census().connections, reactor.census().listeners), (0, 0));
}

fn ask(place: SocketAddr, served: &AtomicUsize) {
    let Ok(mut stream) = TcpStream::connect(place) else { return };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = [0];
    if stream.write_all(b"?").is_ok() && stream.read_exact(&mut answer).is_ok() {
        served.fetch_add(1, Ordering::SeqCst);
    }
}
