//! Bytes that are written as they came, which need not be copied on the way.

use std::cell::RefCell;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;

use ropewalk_protocol::{Conn, Protocol};
use ropewalk_reactor::DriverKind;

use crate::kit::{Echo, bytes, in_thread, listen, on_each_driver, reactor, read_all};

on_each_driver! {
    what_is_passed_on_arrives_as_it_came_however_long_it_waits,
    pieces_of_what_came_go_back_in_the_order_in_which_they_were_written,
}

/// Enough that no socket's buffers hold it.
const MUCH: usize = 12_000_000;

/// Passes on to the other end, which comes second.
struct End {
    others: Rc<RefCell<Vec<Conn<Self>>>>,
    turn: usize,
}

impl Protocol for End {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.others.borrow_mut().push(conn.clone());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.turn += 1;
        match conn.share(data).filter(|_| self.turn.is_multiple_of(2)) {
            Some(shared) => {
                assert_eq!(shared, data);
                self.others.borrow()[1].write_bytes(shared);
            }
            None => self.others.borrow()[1].write(data),
        }
    }

    fn eof_received(&mut self, _: &Conn<Self>) {
        self.others.borrow()[1].close();
    }
}

fn what_is_passed_on_arrives_as_it_came_however_long_it_waits(kind: DriverKind) {
    let reactor = reactor(kind);
    let others = Rc::default();
    let (_relay, relay) = listen(&reactor, move || End { others: Rc::clone(&others), turn: 0 });
    let (_echo, echo) = listen(&reactor, || Echo);
    let handle = reactor.handle();
    let clients = in_thread(move || {
        let mut first = TcpStream::connect(relay).unwrap();
        let second = TcpStream::connect(relay).unwrap();
        let sent = bytes(MUCH);
        first.write_all(&sent).unwrap();
        // Nobody has read that yet, and the buffers that are received into are used for others.
        let mut other = TcpStream::connect(echo).unwrap();
        let zeros = vec![0; MUCH / 4];
        let back = in_thread({
            let other = other.try_clone().unwrap();
            move || read_all(other).unwrap()
        });
        other.write_all(&zeros).unwrap();
        other.shutdown(Shutdown::Write).unwrap();
        assert!(back.join().unwrap() == zeros, "the echo");
        first.shutdown(Shutdown::Write).unwrap();
        let received = read_all(second).unwrap();
        handle.stop().unwrap();
        received == sent
    });
    reactor.run_without_signals().unwrap();
    assert!(clients.join().unwrap());
}

/// Sends what came back in pieces, the last first, and a mark behind each.
struct Backwards {
    /// What was received each time.
    came: Rc<RefCell<Vec<Vec<u8>>>>,
}

const PIECE: usize = 5000;
const MARK: &[u8] = b"mark";

fn backwards(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.chunks(PIECE).rev().flat_map(|piece| [piece, MARK])
}

impl Protocol for Backwards {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        backwards(data).for_each(|piece| conn.write(piece));
        self.came.borrow_mut().push(data.to_vec());
    }
}

fn pieces_of_what_came_go_back_in_the_order_in_which_they_were_written(kind: DriverKind) {
    let reactor = reactor(kind);
    let came: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
    let log = Rc::clone(&came);
    let (_port, address) = listen(&reactor, move || Backwards { came: Rc::clone(&log) });
    let handle = reactor.handle();
    let client = in_thread(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let back = in_thread({
            let stream = stream.try_clone().unwrap();
            move || read_all(stream).unwrap()
        });
        stream.write_all(&bytes(MUCH)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let back = back.join().unwrap();
        handle.stop().unwrap();
        back
    });
    reactor.run_without_signals().unwrap();
    let came = came.borrow();
    assert!(came.concat() == bytes(MUCH), "what came");
    let expected: Vec<u8> =
        came.iter().flat_map(|data| backwards(data)).flatten().copied().collect();
    assert!(client.join().unwrap() == expected, "what went back");
}
