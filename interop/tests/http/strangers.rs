//! Clients on bare sockets that take their time, or do not listen.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ropewalk_http::Patience;
use ropewalk_interop::PATIENCE;

use crate::server::Server;

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

pub(crate) fn get(stream: &mut TcpStream) -> io::Result<u16> {
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")?;
    status_of(stream, b"hello, world\n")
}

/// Reads up to the end of an answer whose body ends so.
fn status_of(stream: &mut TcpStream, end: &[u8]) -> io::Result<u16> {
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(end) {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend(&piece[..count]),
        }
    }
    Ok(status(&answer))
}

fn status(answer: &[u8]) -> u16 {
    let digits = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).expect("a status")
}

#[test]
fn a_head_that_dribbles_in_is_cut_off_while_others_are_answered() {
    let deadline = Duration::from_millis(300);
    let server = Server::with_patience(Patience::default().with_head(deadline));
    let mut quick = connect(server.address);
    let mut slow = TcpStream::connect(server.address).expect("a connection");
    // The wait for an answer that does not come is the dribbler's pace.
    slow.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out");
    let began = Instant::now();
    let head = b"GET /hello HTTP/1.1\r\nX-Dribble: ";
    let mut served = 0;
    let mut answer = Vec::new();
    for byte in head.iter().chain(std::iter::repeat(&b'x')) {
        assert!(began.elapsed() < PATIENCE, "the dribbler is not cut off");
        slow.write_all(&[*byte]).expect("the server still hears");
        let mut piece = [0; 1024];
        match slow.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                answer.extend(&piece[..count]);
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            Err(error) => panic!("the answer is lost: {error}"),
        }
        assert_eq!(get(&mut quick).expect("an answer"), 200);
        served += 1;
    }
    assert!(began.elapsed() >= deadline, "cut off after {:?}", began.elapsed());
    assert_eq!(status(&answer), 408);
    assert!(served > 1, "nobody else was served");
    assert_eq!(get(&mut quick).expect("an answer"), 200);
    slow.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    while slow.read(&mut [0; 1024]).expect("an end without a reset") > 0 {}
}

#[test]
fn an_error_is_not_lost_while_the_client_still_sends() {
    let server = Server::start();
    let mut client = connect(server.address);
    client
        .write_all(b"POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
        .expect("a socket that takes it");
    // Without a server that hears it out, this would turn the answer into a reset.
    for _ in 0..10 {
        client.write_all(&[b'x'; 12_500]).expect("a server that hears it out");
    }
    client.shutdown(Shutdown::Write).expect("a socket");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("an answer and an end");
    assert_eq!(status(&answer), 413);
}

#[test]
fn a_client_that_ends_its_stream_gets_its_answer() {
    let server = Server::start();
    for path in ["/hello", "/files/large.bin"] {
        let mut client = connect(server.address);
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).expect("a socket that takes it");
        client.shutdown(Shutdown::Write).expect("a socket");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("an answer and an end");
        assert_eq!(status(&answer), 200, "{path}");
    }
}

#[test]
fn a_long_line_of_requests_is_answered_in_full() {
    let server = Server::start();
    let mut client = connect(server.address);
    let mut writer = client.try_clone().expect("a second handle");
    let line = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50_000);
    let last = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let write = move || {
        writer.write_all(&line)?;
        writer.write_all(last)
    };
    let writing = std::thread::Builder::new().spawn(write).expect("a thread");
    let mut answers = Vec::new();
    client.read_to_end(&mut answers).expect("answers and an end");
    assert!(writing.join().expect("a thread").is_ok());
    let count = answers.windows(12).filter(|part| part == b"HTTP/1.1 200").count();
    assert_eq!(count, 50_001);
}
