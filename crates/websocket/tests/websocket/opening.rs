//! The handshake, from both sides.

use ropewalk_http::{Request, Site};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory, Side, Wire};
use ropewalk_websocket::{
    self as websocket, BadRequest, NotOpened, Opening, Options, Origins, Patience,
    WebSocketResource,
};

use crate::kit::{Book, KEY, Scribe, Server, Told, just_under, opening, secs, text};

fn site(options: Options) -> Site {
    Site::new(WebSocketResource::new(|_: &Request| Scribe::echoing()).options(options))
}

fn answer(options: Options, request: &[u8]) -> String {
    let mut memory = Memory::seat(site(options).server(), &Clock::new());
    memory.push(request);
    String::from_utf8(memory.take_sent()).expect("it is ASCII")
}

/// RFC 6455 1.3.
#[test]
fn the_example_of_the_rfc_is_answered() {
    let options = Options::new().protocols(["superchat", "chat"]);
    let fields = ["Origin: http://server.example.com", "Sec-WebSocket-Protocol: chat, superchat"];
    assert_eq!(
        answer(options, &opening(&fields)),
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: superchat\r\n\r\n"
    );
}

#[test]
fn a_subprotocol_that_was_not_offered_is_not_chosen() {
    let options = Options::new().protocols(["chat"]);
    assert!(!answer(options.clone(), &opening(&[])).contains("sec-websocket-protocol"));
    let other = opening(&["Sec-WebSocket-Protocol: Chat, other"]);
    assert!(!answer(options, &other).contains("sec-websocket-protocol"));
}

#[test]
fn a_request_that_opens_nothing_is_told_why() {
    let whole = String::from_utf8(opening(&[])).expect("it is ASCII");
    let check = |from: &str, to: &str, status: &str, field: &str| {
        let request = whole.replace(from, to);
        assert_ne!(request, whole, "{from} is in it");
        let answer = answer(Options::new(), request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{to}: {answer}");
        assert!(answer.contains(field), "{to}: {answer}");
    };
    check("GET", "POST", "405", "allow: GET\r\n");
    check("Upgrade: websocket\r\n", "", "426", "upgrade: websocket\r\n");
    check("Upgrade: websocket", "Upgrade: h2c", "426", "upgrade: websocket\r\n");
    check("Connection: Upgrade", "Connection: keep-alive", "426", "");
    check("HTTP/1.1", "HTTP/1.0", "426", "");
    check("Version: 13", "Version: 8", "426", "sec-websocket-version: 13\r\n");
    check(KEY, "dGhlIHNhbXBsZQ==", "400", "");
    check(KEY, "not base64", "400", "");
    check("\r\n\r\n", &format!("\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"), "400", "");
    check("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx", "400", "");
}

#[test]
fn pages_of_other_origins_may_not_connect_unless_listed() {
    let check = |origins: Origins, origin: &str, status: &str| {
        let options = Options::new().origins(origins);
        let answer = answer(options, &opening(&[&format!("Origin: {origin}")]));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {answer}");
    };
    let listed = || Origins::Listed(vec!["https://pages.example".to_owned()]);
    check(Origins::Same, "https://Server.example.com", "101");
    check(Origins::Same, "https://server.example.com:8443", "403");
    check(Origins::Same, "https://evil.example", "403");
    check(Origins::Same, "null", "403");
    check(listed(), "https://pages.example", "101");
    check(listed(), "http://pages.example", "403");
    check(listed(), "http://server.example.com", "101");
    check(Origins::Any, "null", "101");
}

#[test]
fn a_client_and_a_server_find_together_however_the_bytes_are_cut() {
    for chunk in [1, 2, 3, 7, 100, 4096] {
        let book = Book::default();
        let request = websocket::Request::new("ws://a.example:81/path?query").expect("it is one");
        let options = Options::new().protocols(["v1"]);
        let (client, opened) = Opening::new(&request, &options, Scribe::new(&book));
        let server = site(Options::new().protocols(["v2", "v1"])).server();
        let mut wire = Wire::join(client, server).in_chunks_of(chunk);
        wire.run();
        let asked = String::from_utf8_lossy(wire.sent_by(Side::Client));
        assert!(asked.starts_with("GET /path?query HTTP/1.1\r\nHost: a.example:81\r\n"), "{asked}");
        let socket = opened.now_or_never().expect("it is open").expect("it has not failed");
        assert_eq!(socket.protocol(), Some("v1"));
        socket.send_text("hello");
        wire.run();
        assert_eq!(book.take(), [Told::Opened, text("hello")]);
    }
}

#[test]
fn what_a_server_sends_behind_its_answer_is_received() {
    let (book, mut client, _) = asking(&Options::new());
    let answer = accepting(&mut client, "");
    client.push(&[answer.as_bytes(), b"\x81\x02hi"].concat());
    assert_eq!(book.take(), [Told::Opened, text("hi")]);
}

type Opened = ropewalk_deferred::Deferred<ropewalk_websocket::WebSocket<Scribe>>;

fn asking(options: &Options) -> (Book, Memory, Opened) {
    let book = Book::default();
    let request = websocket::Request::new("ws://a/").expect("it is one");
    let (client, opened) = Opening::new(&request, options, Scribe::new(&book));
    (book, Memory::seat(client, &Clock::new()), opened)
}

/// The answer that this client's request should get, with more fields.
fn accepting(client: &mut Memory, fields: &str) -> String {
    let asked = client.take_sent();
    let mut server = Memory::seat(site(Options::new()).server(), &Clock::new());
    server.push(&asked);
    let answer = String::from_utf8(server.take_sent()).expect("it is ASCII");
    answer.replace("\r\n\r\n", &format!("\r\n{fields}\r\n"))
}

#[track_caller]
fn check_not_opened(change: impl Fn(String) -> String, why: &NotOpened) {
    let (_, mut client, opened) = asking(&Options::new());
    let answer = change(accepting(&mut client, ""));
    client.push_in_pieces(answer.as_bytes(), 1000);
    let failure = opened.now_or_never().expect("it has failed").expect_err("it has failed");
    assert_eq!(failure.check::<NotOpened>(), Some(why));
    assert_eq!(client.ended(), Some(Disconnect::Aborted));
}

#[test]
fn a_client_believes_no_wrong_answer() {
    let status = http::StatusCode::NOT_FOUND;
    check_not_opened(|a| a.replace("101 Switching", "404 Not"), &NotOpened::Status(status));
    check_not_opened(|a| a.replace("HTTP/1.1", "HTTP/1.0"), &NotOpened::NotHttp);
    check_not_opened(|_| "SSH-2.0-x\r\n\r\n".to_owned(), &NotOpened::NotHttp);
    check_not_opened(|a| a.replace("websocket\r\n", "h2c\r\n"), &NotOpened::NoUpgrade);
    check_not_opened(|a| a.replace("connection: upgrade\r\n", ""), &NotOpened::NoUpgrade);
    check_not_opened(|a| a.replace("accept: ", "accept: x"), &NotOpened::Key);
    let with = |field: &'static str| move |a: String| a.replace("\r\n\r\n", field);
    check_not_opened(with("\r\nSec-WebSocket-Protocol: v1\r\n\r\n"), &NotOpened::Protocol);
    let extension = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    check_not_opened(with(extension), &NotOpened::Extension);
    let long = |_: String| format!("HTTP/1.1 101 x\r\nx: {}", "x".repeat(20_000));
    check_not_opened(long, &NotOpened::TooLong);
    let many = |_: String| format!("HTTP/1.1 101 x\r\n{}\r\n", "x: x\r\n".repeat(101));
    check_not_opened(many, &NotOpened::TooLong);
}

#[test]
fn a_client_waits_no_longer_than_its_patience() {
    let patience = Patience::default().with_opening(secs(3));
    let (_, mut client, opened) = asking(&Options::new().patience(patience));
    client.advance(just_under(3));
    assert_eq!(client.ended(), None);
    client.advance(secs(1));
    let failure = opened.now_or_never().expect("it has failed").expect_err("it has failed");
    assert_eq!(failure.check::<NotOpened>(), Some(&NotOpened::TimedOut));
}

#[test]
fn a_connection_that_ends_opens_nothing() {
    let (_, mut client, opened) = asking(&Options::new());
    client.lose(Disconnect::Reset);
    let failure = opened.now_or_never().expect("it has failed").expect_err("it has failed");
    assert_eq!(failure.check::<NotOpened>(), Some(&NotOpened::Lost(Disconnect::Reset)));
}

#[test]
fn an_opening_that_is_given_up_ends_its_connection() {
    let (_, mut client, opened) = asking(&Options::new());
    opened.cancel();
    client.run();
    assert_eq!(client.ended(), Some(Disconnect::Aborted));
    opened.on_result(drop);
}

#[test]
fn addresses_are_read() {
    let request = |uri| websocket::Request::new(uri).map(|r| (r.is_secure(), r.port()));
    assert_eq!(request("ws://a"), Ok((false, 80)));
    assert_eq!(request("wss://a/b"), Ok((true, 443)));
    assert_eq!(request("wss://[::1]:8443/b"), Ok((true, 8443)));
    for bad in ["http://a", "/a", "ws:///a", "ws://user@a/", "a b"] {
        assert_eq!(request(bad), Err(BadRequest::Uri), "{bad}");
    }
    assert_eq!(request("ws://a/#b"), Err(BadRequest::Fragment));
    let plain = websocket::Request::new("ws://a").expect("it is one");
    for (name, value) in [("host", "b"), ("Sec-WebSocket-Key", "x"), ("a b", ""), ("x", "a\r\nb")] {
        let bad = plain.clone().header(name, value);
        assert_eq!(bad.err(), Some(BadRequest::Header), "{name}");
    }
}

#[test]
fn the_open_socket_knows_its_connection() {
    let server = Server::plain();
    assert!(server.socket.is_open() && !server.socket.is_over());
    assert_eq!(server.socket.tls(), None);
    assert_eq!(server.socket.protocol(), None);
    assert!(!server.socket.is_compressed());
}
