//! Connections that listeners are told of early, late, and many at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use ropewalk_protocol::{Address, Port, Protocol};
use ropewalk_reactor::{DriverKind, ListeningPort, Reactor, TcpListenOptions};

use crate::kit::{
    Echo, Seen, Witness, anywhere, come_to_rest, in_thread, listen, on_each_driver, reactor,
    turn_until,
};

on_each_driver! {
    who_is_waited_for_is_told_of_with_what_he_sent,
    who_says_nothing_is_told_of_all_the_same,
    a_crowd_is_accepted_as_one_client_after_the_other_is,
}

/// Listens for clients who speak first.
fn listen_deferred<P: Protocol>(
    reactor: &Reactor,
    mut make: impl FnMut() -> P + 'static,
) -> (ListeningPort, SocketAddr) {
    let options = TcpListenOptions::default().defer_accept(true);
    let factory = Box::new(move |_: &Address| Some(make()));
    let port = reactor.listen_tcp(anywhere(), options, factory).unwrap();
    let address = port.address().ip().unwrap();
    (port, address)
}

fn who_is_waited_for_is_told_of_with_what_he_sent(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let made = Rc::clone(&seen);
    let (_port, address) = listen_deferred(&reactor, move || Witness::new(&made));
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"first").unwrap();
    turn_until(&reactor, || seen.count() == 5);
    client.write_all(b", second").unwrap();
    turn_until(&reactor, || seen.count() == 13);
    assert_eq!(*seen.data.borrow(), b"first, second");
    drop(client);
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(seen.made.get(), 1);
}

/// Linux waits a second; who is not deferred is told of at once.
fn who_says_nothing_is_told_of_all_the_same(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let made = Rc::clone(&seen);
    let (_port, address) = listen_deferred(&reactor, move || Witness::new(&made));
    let client = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 1);
    come_to_rest(&reactor);
    assert_eq!((seen.count(), seen.lost.get()), (0, None));
    drop(client);
    turn_until(&reactor, || seen.lost.get().is_some());
}

fn a_crowd_is_accepted_as_one_client_after_the_other_is(kind: DriverKind) {
    const CROWD: u8 = 100;
    for is_deferred in [false, true] {
        let reactor = reactor(kind);
        let (_port, address) = if is_deferred {
            listen_deferred(&reactor, || Echo)
        } else {
            listen(&reactor, || Echo)
        };
        let handle = reactor.handle();
        let crowd = in_thread(move || {
            let mut crowd: Vec<_> =
                (0..CROWD).map(|_| TcpStream::connect(address).unwrap()).collect();
            for round in 0..2 {
                for (index, client) in (0..).zip(&mut crowd) {
                    client.write_all(&[index, round]).unwrap();
                }
                for (index, client) in (0..).zip(&mut crowd) {
                    let mut answer = [0; 2];
                    client.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, [index, round]);
                }
            }
            drop(crowd);
            for _ in 0..CROWD {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(b"alone").unwrap();
                let mut answer = [0; 5];
                client.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"alone");
            }
            handle.stop().unwrap();
        });
        reactor.run_without_signals().unwrap();
        crowd.join().unwrap();
    }
}
