//! A site of HTTP that says goodbye, on sockets, with each driver that there is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use ropewalk_deferred::{Failure, deferred};
use ropewalk_http::{Request, Site};
use ropewalk_protocol::call_later;
use ropewalk_reactor::{DriverKind, Reactor};
use ropewalk_service::{Drained, Service as _, StreamServer};

use crate::sockets::Tcp;

/// How many clients have a connection that is kept.
const CLIENTS: usize = 50;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Connects and is answered once.
fn greeted(place: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(REQUEST).unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"hello") {
        let mut some = [0; 1024];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0, "{}", heard.escape_ascii());
        heard.extend(&some[..count]);
    }
    stream
}

/// Serves, has all clients ask within the very call that drains it, and answers what they heard.
fn ask_at_the_end(reactor: &Reactor) -> (Drained, Vec<String>) {
    let site = Site::new(|_: Request| "hello");
    let server = Rc::new(StreamServer::new(Tcp(reactor.clone()), reactor.clone(), site));
    reactor.run_until(server.start()).unwrap();
    let place = server.address().unwrap().ip().unwrap();
    let greet = move || Ok::<_, Failure>((0..CLIENTS).map(|_| greeted(place)).collect::<Vec<_>>());
    let greeting = reactor.defer_to_thread(greet);
    let streams = reactor.run_until(greeting).unwrap();
    let (promise, drained) = deferred();
    let leaving = Rc::clone(&server);
    let (asked, all_asked) = mpsc::channel::<TcpStream>();
    call_later(reactor, Duration::ZERO, move || {
        // The loop has looked at its sockets in this turn: they lie in the system's buffers.
        for stream in streams {
            (&stream).write_all(REQUEST).unwrap();
            asked.send(stream).unwrap();
        }
        leaving.drain(Duration::from_mins(1)).on_result(move |drained| promise.fire(drained));
    });
    let hearing = reactor.defer_to_thread(move || {
        let answers = all_asked.into_iter().map(|mut stream| {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        });
        answers.collect::<Result<Vec<_>, _>>()
    });
    let drained = reactor.run_until(drained).unwrap();
    (drained, reactor.run_until(hearing).unwrap())
}

#[test]
fn a_request_that_lies_in_the_buffer_when_a_site_drains_is_answered() {
    for kind in DriverKind::ALL.into_iter().filter(|kind| kind.is_available()) {
        let reactor = Reactor::with_driver(kind).unwrap();
        let (drained, answers) = ask_at_the_end(&reactor);
        assert_eq!((drained.found, drained.cut), (CLIENTS, 0), "{kind}");
        for answer in answers {
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{kind}: {answer:?}");
            assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nhello"), "{kind}: {answer:?}");
        }
        assert_eq!(reactor.census().connections, 0, "{kind}");
    }
}
