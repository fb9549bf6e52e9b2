//! Everything at once, as a program uses it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use ropewalk_protocol::{Address, Conn, Port, Protocol, call_later};
use ropewalk_reactor::{Exit, Reactor, TcpListenOptions};

use crate::kit::reactor;

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn echo_server(reactor: &Reactor) -> SocketAddr {
    let factory = |_: &Address| Some(Echo);
    let options = TcpListenOptions::default();
    let port = reactor.listen_tcp(anywhere(), options, Box::new(factory)).unwrap();
    port.address().ip().unwrap()
}

#[test]
fn bytes_come_back_from_an_echo() {
    let reactor = reactor();
    let address = echo_server(&reactor);
    let handle = reactor.handle();
    let client = thread::Builder::new().spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let copy = sent.clone();
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::Builder::new().spawn(move || {
            writer.write_all(&copy).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        writing.unwrap().join().unwrap();
        handle.stop().unwrap();
        sent == received
    });
    assert_eq!(reactor.run().unwrap(), Exit::Stopped);
    assert!(client.unwrap().join().unwrap());
    assert_eq!(reactor.census().connections, 0);
}

#[test]
fn calls_results_and_tasks_come_in_one_run() {
    let reactor = reactor();
    let (sleeper, worker) = (reactor.clone(), reactor.clone());
    let task = reactor.spawn(async move {
        ropewalk_protocol::sleep(&sleeper, Duration::from_millis(3)).await?;
        worker.defer_to_thread(|| Ok::<_, std::io::Error>(6 * 7)).await
    });
    assert_eq!(reactor.run_until(task).unwrap(), 42);
    call_later(&reactor, Duration::ZERO, || panic!("this panic is part of the test"));
    let stopper = reactor.clone();
    call_later(&reactor, Duration::from_millis(1), move || stopper.stop());
    assert_eq!(reactor.run().unwrap(), Exit::Stopped);
}
