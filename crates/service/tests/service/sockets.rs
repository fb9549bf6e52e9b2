//! The same on sockets, with each driver in turn.

use std::cell::{Cell, RefCell};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{
    Address, Conn, Drain as _, Factory, Goodbye, Leaving, Port, Protocol, SeatFactory,
    ServerEndpoint, sleep,
};
use ropewalk_reactor::{DriverKind, Reactor, TcpListenOptions};
use ropewalk_service::{AnyServing, Service as _, StreamServer, Tree};

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

pub(crate) struct Tcp(pub(crate) Reactor);

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

/// Answers each line with itself, and says `BYE` when the server is to end.
struct Lines;

impl Protocol for Lines {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

#[test]
fn a_line_protocol_says_goodbye_by_a_hook_and_others_serve_on_in_its_place() {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    let reactor = Reactor::with_driver(kind).unwrap();
    let saying = |word: &'static [u8]| {
        AnyServing::new(Leaving::by(
            |_: &Address| Some(Lines),
            move |_, conn| {
                conn.write(word);
                conn.close();
            },
        ))
    };
    let server = StreamServer::new(Tcp(reactor.clone()), reactor.clone(), saying(b"BYE one\r\n"));
    reactor.run_until(server.start()).unwrap();
    let place = server.address().unwrap().ip().unwrap();
    let talk = |reactor: &Reactor, mut stream: TcpStream| {
        let talk = reactor.defer_to_thread(move || {
            let mut answer = [0; 1];
            stream.write_all(b"?").and_then(|()| stream.read_exact(&mut answer)).unwrap();
            assert_eq!(&answer, b"?");
            Ok::<_, std::io::Error>(stream)
        });
        reactor.run_until(talk).unwrap()
    };
    let connect = || {
        let stream = TcpStream::connect(place).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream
    };
    let rest = |reactor: &Reactor, mut stream: TcpStream| {
        let rest = reactor.defer_to_thread(move || {
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            Ok::<_, std::io::Error>(rest)
        });
        reactor.run_until(rest).unwrap()
    };
    let first = talk(&reactor, connect());
    let old = server.replace(saying(b"BYE two\r\n"));
    // Same place, same socket: nobody had to listen again.
    assert_eq!(server.address().unwrap().ip().unwrap(), place);
    let second = talk(&reactor, connect());
    let first = talk(&reactor, first);
    assert_eq!((old.connections(), server.connections()), (1, 1));
    reactor.run_until(old.drain()).unwrap();
    assert_eq!(rest(&reactor, first), "BYE one\r\n");
    let second = talk(&reactor, second);
    let drained = reactor.run_until(server.drain(Duration::from_mins(1))).unwrap();
    assert_eq!((drained.found, drained.cut), (1, 0));
    assert_eq!(rest(&reactor, second), "BYE two\r\n");
}

#[test]
fn who_serves_may_have_another_take_its_place_while_it_seats_somebody() {
    type Server = StreamServer<AnyServing>;
    let driver = DriverKind::from_environment().unwrap().unwrap_or_default();
    let reactor = Reactor::with_driver(driver).unwrap();
    let server: Rc<RefCell<Option<Rc<Server>>>> = Rc::default();
    let (late, second) = (Rc::clone(&server), Rc::new(Cell::new(0)));
    let counted = Rc::clone(&second);
    let next = AnyServing::new(Leaving::by(
        move |_: &Address| {
            counted.set(counted.get() + 1);
            Some(Lines)
        },
        |_, conn| conn.close(),
    ));
    let first = AnyServing::new(Leaving::by(
        move |_: &Address| {
            let server = late.borrow().clone().unwrap();
            // Once by itself, and for good by the other.
            let own = server.replace(next.clone());
            server.replace(own.clone());
            assert!(server.replace(next.clone()).is_same(&own));
            Some(Lines)
        },
        |_, conn| conn.close(),
    ));
    let made = Rc::new(StreamServer::new(Tcp(reactor.clone()), reactor.clone(), first.clone()));
    server.replace(Some(Rc::clone(&made)));
    reactor.run_until(made.start()).unwrap();
    let place = made.address().unwrap().ip().unwrap();
    for expected in [(1, 0), (1, 1)] {
        let talk = reactor.defer_to_thread(move || {
            let mut stream = TcpStream::connect(place)?;
            stream.set_read_timeout(Some(Duration::from_mins(1)))?;
            stream.write_all(b"?")?;
            stream.read_exact(&mut [0])?;
            Ok::<_, std::io::Error>(stream)
        });
        let kept = reactor.run_until(talk).unwrap();
        // The one who seats it has it still.
        assert_eq!((first.connections(), second.get()), expected);
        std::mem::forget(kept);
    }
    reactor.run_until(first.drain()).unwrap();
    reactor.run_until(made.stop()).unwrap();
    // What knows itself is let go of.
    server.take();
}
