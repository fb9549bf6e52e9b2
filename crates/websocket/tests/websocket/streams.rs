//! Any protocol's bytes in WebSocket messages.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_http::Site;
use ropewalk_protocol::{
    Address, Conn, Disconnect, Factory, Layered, Protocol, connect, listen, seat,
};
use ropewalk_trial::{Attack, Clock, Hostile, Memory, MemoryNetwork, Note, Notes, Witness};
use ropewalk_websocket::{
    BadFrame, CloseCode, Compression, Decoder, Encoder, Limits, Message, NotOpened, Options,
    Received, Request, Role, Stream, StreamClient, StreamError, StreamResource, StreamServer,
};

const OPENING: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n\r\n";

/// Says back what it hears, and says more once the peer's stream has ended.
#[derive(Default)]
struct Echo(Option<Rc<RefCell<Vec<String>>>>);

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        conn.write(b"!");
        conn.close();
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        if let Some(told) = &self.0 {
            let cause = conn.cause().map(|cause| cause.to_string()).unwrap_or_default();
            told.borrow_mut().push(format!("{why:?} {cause}"));
        }
    }
}

fn echo() -> impl Factory {
    |_: &Address| Some(Echo::default())
}

/// What a client hears whose bytes go through messages, however the network cuts them.
fn converse(size: usize, options: &Options, said: &'static [u8]) -> Notes {
    let network = MemoryNetwork::new(&Clock::new()).in_chunks_of(size);
    let server = StreamServer::new(network.endpoint("web"), options).at("/chat");
    let port = listen(&server, echo()).now_or_never().unwrap().unwrap();
    assert_eq!(port.address().to_string(), "memory:web");
    let request = Request::new("ws://localhost/chat?room=1").unwrap();
    let client = StreamClient::new(network.endpoint("web"), &request, options);
    let (witness, notes) = Witness::new(move |conn, note| {
        if *note == Note::Made {
            conn.write(said);
            conn.close_write();
        }
    });
    connect(&client, witness).detach();
    network.run();
    assert_eq!(network.connections(), 0, "both ends have hung up");
    notes
}

#[test]
fn a_stream_goes_there_and_back_and_ends_at_each_end_by_itself() {
    let compressed = Options::new().compression(Compression::default());
    let long: &[u8] = vec![b'x'; 300_000].leak();
    for options in [Options::new(), compressed] {
        for (size, said) in [(1, &b"hello there"[..]), (7, b"hello"), (usize::MAX, long)] {
            let notes = converse(size, &options, said);
            let mut heard = notes.data();
            assert_eq!(heard.pop(), Some(b'!'), "this end may be written to after it has ended");
            assert!(heard == said, "{size}");
            assert_eq!(notes.lost(), Some(Disconnect::Closed));
            assert_eq!(notes.disorder(), None);
        }
    }
}

/// A server in memory that has opened a stream, and why that ends.
fn opened(options: &Options) -> (Memory, Rc<RefCell<Vec<String>>>) {
    let told = Rc::<RefCell<Vec<String>>>::default();
    let tells = Rc::clone(&told);
    let factory = move |_: &Address| Some(Echo(Some(Rc::clone(&tells))));
    let site = Site::new(StreamResource::new(factory, options));
    let mut server = Memory::seat(site.server(), &Clock::new());
    server.push(OPENING);
    assert!(server.take_sent().starts_with(b"HTTP/1.1 101 "));
    (server, told)
}

/// What a server has sent, put shortly.
fn heard(server: &mut Memory) -> Vec<String> {
    let sent = server.take_sent();
    let (mut data, mut all) = (&sent[..], Vec::new());
    let mut decoder = Decoder::new(Role::Client, Limits::default());
    while let Some(received) = decoder.next(&mut data).expect("a server's frames") {
        all.push(match received {
            Received::Close(code, _) => format!("close {}", code.number()),
            Received::Message(message) => {
                format!("data {}", String::from_utf8_lossy(message.as_bytes()))
            }
            Received::Ping(_) => "ping".to_owned(),
            Received::Pong(payload) => format!("pong {}", String::from_utf8_lossy(payload)),
        });
    }
    all
}

fn framed(fill: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut Encoder::new(Role::Client), &mut out);
    out
}

#[test]
fn texts_are_bytes_too_and_pings_are_answered_between_them() {
    let (mut server, _) = opened(&Options::new());
    server.push(&framed(|encoder, out| {
        encoder.message(out, Message::Text("a text")).unwrap();
        encoder.ping(out, b"there?").unwrap();
        encoder.message(out, Message::Binary(b"bytes")).unwrap();
    }));
    let mut all = heard(&mut server);
    // What one turn echoes may go in one message.
    all.sort();
    assert!(all.contains(&"pong there?".to_owned()), "{all:?}");
    let data: String = all.iter().filter_map(|each| each.strip_prefix("data ")).collect();
    assert!(data == "a textbytes" || data == "bytesa text", "{all:?}");
}

#[track_caller]
fn ends(bytes: &[u8], options: &Options, said: &[&str], why: &str) {
    for size in [1, 3, usize::MAX] {
        let (mut server, told) = opened(options);
        if size == usize::MAX {
            server.push(bytes);
        } else {
            server.push_in_pieces(bytes, size);
        }
        if server.ended().is_none() {
            server.eof();
        }
        assert_eq!(heard(&mut server), said, "{size}");
        assert_eq!(*told.borrow(), [why], "{size}");
        assert!(server.ended().is_some());
    }
}

#[test]
fn each_end_has_its_reason() {
    let options = Options::new();
    let close = |code| framed(|encoder, out| encoder.close(out, code, "so be it").unwrap());
    ends(&close(CloseCode::NORMAL), &options, &["data !", "close 1000"], "Closed ");
    ends(&close(CloseCode::GOING_AWAY), &options, &["data !", "close 1000"], "Closed ");
    let own = CloseCode::new(4001).unwrap();
    let told = "Reset the peer closed its WebSocket with 4001: so be it";
    ends(&close(own), &options, &["close 4001"], told);
    let truncated = "Failed(UnexpectedEof) the connection ended without a close of the WebSocket";
    ends(b"", &options, &[], truncated);
    let half = framed(|encoder, out| encoder.message(out, Message::Binary(b"half")).unwrap());
    ends(&half[..half.len() - 1], &options, &[], truncated);
    // Not masked.
    let broken = "Failed(InvalidData) the peer's WebSocket broke a rule";
    ends(b"\x82\x02hi", &options, &["close 1002"], broken);
    let small = Options::new().limits(Limits { message_max: 3, ..Limits::default() });
    ends(&half, &small, &["close 1009"], broken);
}

#[test]
fn a_silent_peer_is_asked_and_then_left() {
    let (mut server, told) = opened(&Options::new());
    server.advance(Duration::from_secs(31));
    assert_eq!(heard(&mut server), ["ping"]);
    server.advance(Duration::from_secs(21));
    assert_eq!(*told.borrow(), ["TimedOut the peer was silent for too long"]);
}

#[test]
fn a_peer_that_does_not_close_is_left() {
    struct Brief;
    impl Protocol for Brief {
        fn connection_made(&mut self, conn: &Conn<Self>) {
            conn.write(b"bye");
            conn.close();
        }
        fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
    }
    let brief = StreamResource::new(|_: &Address| Some(Brief), &Options::new());
    let mut server = Memory::seat(Site::new(brief).server(), &Clock::new());
    server.push(OPENING);
    let sent = server.take_sent();
    assert!(sent.ends_with(b"\x82\x03bye\x88\x02\x03\xe8"), "{sent:?}");
    // What still comes is nobody's.
    server.push(&framed(|encoder, out| encoder.message(out, Message::Text("no")).unwrap()));
    assert_eq!(server.ended(), None);
    server.advance(Duration::from_secs(6));
    assert_eq!(server.ended(), Some(Disconnect::TimedOut));
}

/// Why a client gets no stream from a server that answers so.
fn refused(answer: &[u8]) -> (Option<Disconnect>, Option<StreamError>) {
    struct Hears(Rc<RefCell<(Option<Disconnect>, Option<StreamError>)>>);
    impl Protocol for Hears {
        fn connection_made(&mut self, _: &Conn<Self>) {
            panic!("there is no stream");
        }
        fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
        fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
            let cause = conn.cause().and_then(|cause| cause.check::<StreamError>().cloned());
            *self.0.borrow_mut() = (Some(why), cause);
        }
    }
    let told = Rc::default();
    let request = Request::new("ws://a/").unwrap();
    let stream = Stream::client(&request, &Options::new());
    let client = Layered::seat(stream, seat(Hears(Rc::clone(&told))));
    let mut client = Memory::take_seat(client, &Clock::new());
    assert!(client.take_sent().starts_with(b"GET / HTTP/1.1\r\nHost: a\r\n"));
    client.push(answer);
    client.advance(Duration::from_secs(11));
    told.take()
}

#[test]
fn a_stream_that_is_not_opened_is_never_made() {
    let (why, cause) = refused(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(why, Some(Disconnect::Refused));
    let status = http::StatusCode::NOT_FOUND;
    assert_eq!(cause, Some(StreamError::NotOpened(NotOpened::Status(status))));
    let (why, cause) = refused(b"");
    assert_eq!(why, Some(Disconnect::TimedOut));
    assert_eq!(cause, Some(StreamError::NotOpened(NotOpened::TimedOut)));
    let (why, cause) = refused(b"SSH-2.0-OpenSSH\r\n");
    assert_eq!(why, Some(Disconnect::Failed(std::io::ErrorKind::InvalidData)));
    assert_eq!(cause, Some(StreamError::NotOpened(NotOpened::NotHttp)));
}

#[test]
fn other_paths_and_other_requests_are_answered_in_http() {
    let network = MemoryNetwork::new(&Clock::new());
    let server = StreamServer::new(network.endpoint("web"), &Options::new()).at("/chat");
    listen(&server, echo()).detach();
    let ask = |request: &'static [u8]| {
        let (witness, notes) = Witness::new(move |conn, note| {
            if *note == Note::Made {
                conn.write(request);
            }
        });
        connect(&network.endpoint("web"), witness).detach();
        network.run();
        String::from_utf8(notes.data()).unwrap()
    };
    assert!(ask(b"GET /else HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask(b"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 426 "));
}

#[test]
fn clients_that_mean_no_good_get_nowhere() {
    let half = framed(|encoder, out| encoder.message(out, Message::Binary(b"half")).unwrap());
    let request = [OPENING, &half].concat();
    Hostile::against(|_| seat(Site::new(StreamResource::new(echo(), &Options::new())).server()))
        .request(&request)
        // Whoever sends a byte now and then of a message may take as long as he likes, as over TCP.
        .spare(Attack::Slowloris)
        .assert();
}

#[test]
fn what_is_wrong_with_a_frame_is_a_cause() {
    let error = StreamError::BadFrame(BadFrame::Text);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), BadFrame::Text.to_string());
}
