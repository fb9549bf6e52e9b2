//! Closed connections whose peers have not heard of it yet.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Conn, Disconnect, Protocol, seat};
use ropewalk_reactor::{DriverKind, Reactor};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::kit::{
    Seen, Witness, bytes, come_to_rest, descriptors, in_thread, listen, on_each_driver, reactor,
    read_all, turn_until,
};

on_each_driver! {
    an_answer_in_the_middle_of_an_upload_arrives,
    a_protocol_hears_of_its_end_before_its_peer_does,
    a_peer_that_never_ends_is_not_waited_for_for_ever,
    a_peer_that_resets_is_waited_for_no_longer,
    nothing_is_waited_for_where_nothing_can_be_lost,
    who_has_said_that_no_more_comes_is_not_waited_for,
    those_that_linger_end_with_the_reactor,
}

mod counted {
    crate::kit::on_each_driver! {
        alone
        so_many_linger_and_no_more,
        those_that_linger_make_way_where_descriptors_run_out,
    }

    use super::{so_many_linger_and_no_more, those_that_linger_make_way_where_descriptors_run_out};
}

const ANSWER: usize = 300_000;

/// Refuses whatever is uploaded, at its first bytes.
struct Refuse;

impl Protocol for Refuse {
    fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
        conn.write(&bytes(ANSWER));
        conn.close();
    }
}

fn upload(reactor: &Reactor, address: SocketAddr) -> (std::io::Result<()>, Vec<u8>) {
    let client = in_thread(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let sent = stream.write_all(&vec![b'u'; 32_000_000]);
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received);
        (sent, received)
    });
    let handle = reactor.handle();
    let watcher = in_thread(move || {
        let outcome = client.join().unwrap();
        handle.stop().unwrap();
        outcome
    });
    reactor.run_without_signals().unwrap();
    watcher.join().unwrap()
}

/// Law 4. Without the wait, TCP answers the rest of the upload with a reset, and much of the answer
/// goes with it.
fn an_answer_in_the_middle_of_an_upload_arrives(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, || Refuse);
    let (sent, received) = upload(&reactor, address);
    sent.unwrap();
    assert!(received == bytes(ANSWER), "{} of {ANSWER} bytes came", received.len());

    if kind == DriverKind::IoUring {
        // The kernel is quick to receive, and slow to close.
        return;
    }
    reactor.set_linger(Duration::ZERO);
    let (_port, address) = listen(&reactor, || Refuse);
    let (sent, _) = upload(&reactor, address);
    let error = sent.expect_err("it is what the wait is for");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

/// A connection that was closed while bytes lay there which nobody had read; where its peer `is_done`, after
/// that was noted.
fn closed_with_unread_bytes(
    reactor: &Reactor,
    address: SocketAddr,
    seen: &Rc<Seen>,
    is_done: bool,
) -> TcpStream {
    let made = seen.made.get();
    let mut stream = TcpStream::connect(address).unwrap();
    turn_until(reactor, || seen.made.get() == made + 1);
    seen.conn().pause_reading();
    come_to_rest(reactor);
    stream.write_all(b"unread").unwrap();
    come_to_rest(reactor);
    seen.conn().write(b"the last word");
    if is_done {
        seen.conn().expect_no_more();
    }
    seen.conn().close();
    seen.lost.set(None);
    turn_until(reactor, || seen.lost.get().is_some());
    assert_eq!(seen.lost.get(), Some(Disconnect::Closed));
    stream
}

fn who_has_said_that_no_more_comes_is_not_waited_for(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address, seen) = witness(&reactor);
    let _waited_for = closed_with_unread_bytes(&reactor, address, &seen, false);
    assert_eq!(reactor.census().lingering, 1);
    let _done = closed_with_unread_bytes(&reactor, address, &seen, true);
    assert_eq!(reactor.census().lingering, 1);
}

/// Listens with witnesses that all write down in one place.
fn witness(reactor: &Reactor) -> (impl Sized, SocketAddr, Rc<Seen>) {
    let seen: Rc<Seen> = Rc::default();
    let sees = Rc::clone(&seen);
    let (port, address) = listen(reactor, move || {
        sees.lost.set(None);
        Witness::new(&sees)
    });
    (port, address, seen)
}

fn a_protocol_hears_of_its_end_before_its_peer_does(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address, seen) = witness(&reactor);
    let mut stream = closed_with_unread_bytes(&reactor, address, &seen, false);
    let census = reactor.census();
    assert_eq!((census.connections, census.lingering), (0, 1));
    // Whatever comes is thrown away, and nobody hears of it.
    stream.write_all(&bytes(1_000_000)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || reactor.census().lingering == 0);
    assert_eq!(read_all(stream).unwrap(), b"the last word");
    assert_eq!((seen.count(), reactor.next_deadline()), (0, None));
}

fn a_peer_that_never_ends_is_not_waited_for_for_ever(kind: DriverKind) {
    let reactor = reactor(kind);
    reactor.set_linger(Duration::from_millis(20));
    let (_port, address, seen) = witness(&reactor);
    let mut stream = closed_with_unread_bytes(&reactor, address, &seen, false);
    turn_until(&reactor, || reactor.census().lingering == 0);
    assert_eq!(reactor.next_deadline(), None);
    stream.read_exact(&mut [0; 13]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

fn a_peer_that_resets_is_waited_for_no_longer(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address, seen) = witness(&reactor);
    let stream = closed_with_unread_bytes(&reactor, address, &seen, false);
    assert_eq!(reactor.census().lingering, 1);
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    turn_until(&reactor, || reactor.census().lingering == 0);
    assert_eq!(reactor.next_deadline(), None);
}

fn nothing_is_waited_for_where_nothing_can_be_lost(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address, seen) = witness(&reactor);
    // Nothing was said.
    let _quiet = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 1);
    seen.conn().close();
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(reactor.census().lingering, 0);
    // The peer has ended already.
    let mut ended = TcpStream::connect(address).unwrap();
    ended.write_all(b"all there is").unwrap();
    ended.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || seen.made.get() == 2 && seen.lost.get().is_some());
    assert_eq!(reactor.census().lingering, 0);
    // Given up, not closed.
    let mut aborted = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 3);
    seen.conn().pause_reading();
    aborted.write_all(b"unread").unwrap();
    come_to_rest(&reactor);
    seen.conn().abort();
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(reactor.census().lingering, 0);
    // What a Unix socket has taken, it has.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    seen.lost.set(None);
    reactor.adopt_stream(ours.into(), seat(Witness::new(&seen))).unwrap();
    turn_until(&reactor, || seen.made.get() == 4);
    seen.conn().pause_reading();
    theirs.write_all(b"unread").unwrap();
    come_to_rest(&reactor);
    seen.conn().write(b"the last word");
    seen.conn().close();
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(reactor.census().lingering, 0);
    theirs.read_exact(&mut [0; 13]).unwrap();
}

fn those_that_linger_end_with_the_reactor(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address, seen) = witness(&reactor);
    let stream = closed_with_unread_bytes(&reactor, address, &seen, false);
    assert_eq!(reactor.census().lingering, 1);
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert_eq!((reactor.census().lingering, reactor.next_deadline()), (0, None));
    assert_eq!(read_all(stream).unwrap(), b"the last word");
}

fn so_many_linger_and_no_more(kind: DriverKind) {
    const LINGERING_MAX: usize = 1024;
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).unwrap();
    let reactor = reactor(kind);
    reactor.set_linger(Duration::from_mins(1));
    let seen: Vec<Rc<Seen>> = (0..LINGERING_MAX + 6).map(|_| Rc::default()).collect();
    let mut next = seen.clone().into_iter();
    let (_port, address) = listen(&reactor, move || Witness::new(&next.next().unwrap()));
    let before = descriptors();
    let mut streams = Vec::new();
    for seen in &seen {
        let mut stream = TcpStream::connect(address).unwrap();
        turn_until(&reactor, || seen.made.get() == 1);
        seen.conn().pause_reading();
        reactor.turn(Duration::ZERO).unwrap();
        stream.write_all(b"unread").unwrap();
        streams.push(stream);
    }
    come_to_rest(&reactor);
    for (index, seen) in seen.iter().enumerate() {
        seen.conn().close();
        turn_until(&reactor, || seen.lost.get().is_some());
        assert_eq!(reactor.census().lingering, LINGERING_MAX.min(index + 1));
    }
    come_to_rest(&reactor);
    assert_eq!(descriptors(), before + streams.len() + LINGERING_MAX);
    drop(streams);
    turn_until(&reactor, || reactor.census().lingering == 0);
    come_to_rest(&reactor);
    assert_eq!(descriptors(), before);
}

fn those_that_linger_make_way_where_descriptors_run_out(kind: DriverKind) {
    let reactor = reactor(kind);
    reactor.set_linger(Duration::from_mins(1));
    let (_port, address, seen) = witness(&reactor);
    let lingering: Vec<TcpStream> =
        (0..5).map(|_| closed_with_unread_bytes(&reactor, address, &seen, false)).collect();
    assert_eq!(reactor.census().lingering, 5);
    // Two more clients and another listener, and then not one descriptor more.
    let later = [(); 2].map(|()| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
    let limits = getrlimit(Resource::Nofile);
    let limit = Rlimit { current: Some(descriptors() as u64 + 8), ..limits };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    drop(taken.pop());
    let (_other_port, address, seen) = witness(&reactor);
    for client in &later {
        client.connect(&address.into()).unwrap();
    }
    turn_until(&reactor, || seen.made.get() == 2);
    assert_eq!(reactor.census().lingering, 0);
    drop((lingering, later, taken));
}
