//! Other protocols on streams that the client asks for (RFC 9113 8.5, RFC 8441), or on connections of their own.

use std::fmt;
use std::time::Duration;

use http::Method;
use http::uri::{Authority, PathAndQuery};
use ropewalk_deferred::Deferred;
use ropewalk_http::tunnel::Target;
use ropewalk_http::{AgentError, Options, Upgrade, Wait};
use ropewalk_http2::frame::{ErrorCode, Setting, Settings, write_go_away};
use ropewalk_http2::hpack::Pseudo;
use ropewalk_http2::{Limits, ResetBy};
use ropewalk_protocol::{Conn, Disconnect};
use ropewalk_trial::{Note, Notes, Witness};

use super::server::{Server, clear};
use crate::{World, error, heard, text, value};

/// Asks for the protocol `witness`, which only takes notes.
fn ask(world: &World, url: &str) -> (Deferred<Upgrade<Witness>>, Notes) {
    let (witness, notes) = Witness::new(|_, _| ());
    (world.agent.get(url).upgrade("witness", |_| Ok::<_, fmt::Error>(witness)), notes)
}

#[track_caller]
fn made(asked: Deferred<Upgrade<Witness>>) -> Conn<Witness> {
    match value(asked) {
        Upgrade::Made(conn) => conn,
        Upgrade::Refused(answer) => panic!("{answer:?}"),
    }
}

/// A stream that is the protocol's, its server, and what the protocol is told.
fn open(world: &World) -> (Server, u32, Conn<Witness>, Notes) {
    let (asked, notes) = ask(world, "http://a/");
    let (mut server, stream) = Server::asked(world);
    server.answer_head(stream, "200", false);
    (server, stream, made(asked), notes)
}

#[test]
fn a_protocol_is_asked_for_on_a_stream() {
    let world = World::with(clear());
    let (witness, notes) = Witness::new(|_, _| ());
    let request = world.agent.get("http://a/chat?room=1").header("x-mine", "yes");
    let request = request.header("sec-websocket-key", "AAAA");
    let asked = request.upgrade("witness", |head| {
        assert_eq!(head.headers()["x-told"], "yes");
        Ok::<_, fmt::Error>(witness)
    });
    let (mut server, stream) = Server::asked(&world);
    let head = server.head(stream);
    assert_eq!((&head.method, head.protocol.as_deref()), (&Method::CONNECT, Some(&b"witness"[..])));
    assert_eq!(head.path.as_ref().map(PathAndQuery::as_str), Some("/chat?room=1"));
    assert_eq!(head.fields["x-mine"], "yes");
    for absent in ["sec-websocket-key", "connection", "upgrade", "content-length"] {
        assert!(!head.fields.contains_key(absent), "{absent}");
    }
    server.answer_with(stream, false, |head| {
        head.pseudo(Pseudo::Status, b"200");
        head.field(&"x-told".parse().expect("a name"), &"yes".parse().expect("a value"));
    });
    let conn = made(asked);
    conn.write(b"hello");
    server.send(stream, b"and back", false);
    assert_eq!(
        (&server.asked[&stream].body[..], &notes.data()[..]),
        (&b"hello"[..], &b"and back"[..])
    );
    // Others go on beside it.
    let other = world.agent.get("http://a/other").send();
    server.listen();
    assert_eq!(server.serve("plain"), "GET /other");
    assert_eq!(text(other), "plain");
    assert_eq!(world.agent.connections(), (1, 0));
    // Each half ends by itself.
    server.send(stream, b"", true);
    assert_eq!(notes.all()[2..], [Note::Eof]);
    conn.write(b"!");
    conn.close();
    server.listen();
    assert_eq!(
        (&server.asked[&stream].body[..], server.asked[&stream].is_whole),
        (&b"hello!"[..], true)
    );
    assert_eq!(notes.lost(), Some(Disconnect::Closed));
    assert_eq!(notes.disorder(), None);
    assert_eq!((world.agent.connections(), server.engine.streams()), ((1, 1), 0));
}

#[test]
fn however_the_octets_are_cut_it_hears_the_same() {
    for piece in [1, 2, 3, 5, 9, 64, usize::MAX] {
        let world = World::with(clear());
        let (asked, notes) = ask(&world, "http://a/");
        let (mut server, stream) = Server::asked(&world);
        server.piece = piece;
        server.answer_head(stream, "200", false);
        let conn = made(asked);
        conn.write(&[b'x'; 3000]);
        for part in [&b"one"[..], &[7; 300], b"three"] {
            server.send(stream, part, false);
        }
        server.send(stream, b"", true);
        conn.close();
        server.listen();
        let expected = [&b"one"[..], &[7; 300], b"three"].concat();
        assert_eq!(notes.data(), expected, "in pieces of {piece}");
        assert_eq!(server.asked[&stream].body, [b'x'; 3000], "in pieces of {piece}");
        assert_eq!((notes.lost(), notes.disorder()), (Some(Disconnect::Closed), None));
    }
}

#[test]
fn windows_hold_back_who_writes_and_who_sends() {
    let world = World::with(clear());
    let (mut server, stream, conn, notes) = open(&world);
    server.releases = false;
    let sent = vec![b'x'; 600_000];
    conn.write(&sent);
    server.listen();
    assert!(notes.has(&Note::Paused));
    let first = server.asked[&stream].body.len();
    assert!(first < sent.len(), "{first}");
    // What was not let through goes on as soon as there is room.
    server.releases = true;
    let mut out = Vec::new();
    server.engine.release(stream, first, &mut out);
    server.push(&out);
    assert_eq!(server.asked[&stream].body, sent);
    assert!(notes.has(&Note::Resumed));
    // The other way it is the protocol that reads no further.
    conn.pause_reading();
    server.listen();
    let mut sent = 0;
    while server.engine.room(stream) > 0 {
        let room = server.engine.room(stream);
        server.send(stream, &vec![b'y'; room], false);
        sent += room;
    }
    assert_eq!(notes.data().len(), 0);
    conn.resume_reading();
    server.listen();
    assert_eq!(notes.data().len(), sent);
    assert!(server.engine.room(stream) > 0);
}

#[test]
fn who_gives_up_takes_the_stream_back_and_nothing_else() {
    let world = World::with(clear());
    let (mut server, stream, conn, notes) = open(&world);
    conn.abort();
    server.listen();
    assert_eq!(server.asked[&stream].reset, Some(ResetBy::Peer(ErrorCode::Cancel)));
    assert_eq!(notes.lost(), Some(Disconnect::Aborted));
    let (asked, notes) = ask(&world, "http://a/");
    let (stream, _) = server.next();
    server.answer_head(stream, "200", false);
    let _conn = made(asked);
    server.reset(stream, ErrorCode::InternalError);
    assert_eq!(notes.lost(), Some(Disconnect::Reset));
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_server_that_does_not_end_a_stream_is_not_waited_for_long() {
    let world = World::with(clear());
    let (mut server, stream, conn, notes) = open(&world);
    conn.close();
    server.listen();
    assert_eq!(notes.lost(), Some(Disconnect::Closed));
    assert!(server.asked[&stream].is_whole && server.asked[&stream].reset.is_none());
    assert_eq!(world.agent.connections(), (1, 0));
    server.advance(world.agent.options().patience.goodbye);
    assert_eq!(server.asked[&stream].reset, Some(ResetBy::Peer(ErrorCode::Cancel)));
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_refusal_is_an_answer() {
    let world = World::with(clear());
    let (asked, notes) = ask(&world, "http://a/");
    let (mut server, stream) = Server::asked(&world);
    server.answer(stream, "403", "no");
    let Upgrade::Refused(answer) = value(asked) else { panic!("it is refused") };
    assert_eq!((answer.status().as_u16(), &value(answer.text())[..]), (403, "no"));
    assert!(notes.is_empty());
    server.listen();
    // The stream is over at both ends, and its place another's.
    assert_eq!((world.agent.connections(), server.engine.streams()), ((1, 1), 0));
}

#[test]
fn who_cannot_go_by_the_answer_takes_the_stream_back() {
    let world = World::with(clear());
    let asked = world.agent.get("http://a/").upgrade("witness", |_| Err::<Witness, _>(fmt::Error));
    let (mut server, stream) = Server::asked(&world);
    server.answer_head(stream, "200", false);
    let failure = asked.now_or_never().expect("it is over").expect_err("it failed");
    assert!(failure.check::<fmt::Error>().is_some(), "{failure:?}");
    assert_eq!(server.asked[&stream].reset, Some(ResetBy::Peer(ErrorCode::Cancel)));
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_server_that_takes_no_protocols_on_streams_is_asked_in_http_1_1() {
    let world = World::with(clear());
    let (asked, notes) = ask(&world, "http://a/chat");
    let mut server = Server::silent(&world, Limits::default());
    // RFC 8441 3: nothing is asked for before the word.
    server.memory.run();
    server.set(&Settings::new().with(Setting::EnableConnectProtocol, 0));
    server.listen();
    assert!(server.new.is_empty());
    let (mut old, request) = world.accept();
    assert!(request.starts_with("GET /chat HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nconnection: upgrade\r\nupgrade: witness\r\n"), "{request}");
    old.push(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: Witness\r\n\r\nearly");
    let conn = made(asked);
    conn.write(b"hello");
    assert_eq!((heard(&mut old), notes.data()), ("hello".to_owned(), b"early".to_vec()));
    assert_eq!(world.agent.connections(), (2, 1));
    conn.close();
    old.eof();
    assert_eq!(notes.lost(), Some(Disconnect::Closed));
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn who_speaks_http_1_1_alone_is_asked_so() {
    let world = World::new();
    let (asked, notes) = ask(&world, "http://a/");
    let (mut server, _) = world.accept();
    server.push(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: witness\r\n\r\n");
    let _conn = made(asked);
    assert_eq!(notes.all(), [Note::Made]);
    // It is nobody else's connection.
    let other = world.agent.get("http://a/").send();
    let (mut second, _) = world.accept();
    second.push(crate::ok("x").as_bytes());
    assert_eq!(text(other), "x");
    // Something else is not what was asked for.
    let (asked, notes) = ask(&world, "http://b/");
    let (mut server, _) = world.accept();
    server.push(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n");
    assert_eq!(error::<AgentError, _>(asked), AgentError::Upgraded);
    assert!(notes.is_empty() && server.ended().is_some());
}

#[test]
fn a_server_that_says_nothing_of_itself_is_not_waited_for_longer_than_for_a_connection() {
    let mut options: Options = clear();
    options.patience.connect = Some(Duration::from_secs(7));
    let world = World::with(options);
    let (asked, notes) = ask(&world, "http://a/");
    let mut server = Server::silent(&world, Limits::default());
    server.memory.advance(Duration::from_secs(7));
    let wait = Wait::Connect(Duration::from_secs(7));
    assert_eq!(error::<AgentError, _>(asked), AgentError::TimedOut(wait));
    assert!(notes.is_empty());
}

#[test]
fn what_was_not_processed_is_asked_for_again() {
    let world = World::with(clear());
    let (asked, notes) = ask(&world, "http://a/");
    let (mut server, stream) = Server::asked(&world);
    server.reset(stream, ErrorCode::RefusedStream);
    let (stream, _) = server.next();
    // Now the connection goes, and this stream with it.
    let mut out = Vec::new();
    write_go_away(stream - 2, ErrorCode::NoError, b"", &mut out);
    server.push(&out);
    let (mut second, stream) = Server::asked(&world);
    second.answer_head(stream, "200", false);
    let conn = made(asked);
    conn.write(b"here");
    second.listen();
    assert_eq!(second.asked[&stream].body, b"here");
    assert_eq!(notes.all(), [Note::Made]);
}

#[test]
fn a_protocol_outlives_the_farewell_of_its_connection_and_not_its_end() {
    let world = World::with(clear());
    let (mut server, stream, conn, notes) = open(&world);
    let mut out = Vec::new();
    write_go_away(stream, ErrorCode::NoError, b"", &mut out);
    server.push(&out);
    conn.write(b"still here");
    server.listen();
    assert_eq!(server.asked[&stream].body, b"still here");
    server.memory.eof();
    assert_eq!(notes.lost(), Some(Disconnect::Reset));
    assert_eq!(world.agent.connections(), (0, 0));
}

#[test]
fn cancelling_leaves_nothing() {
    let world = World::with(clear());
    let (asked, notes) = ask(&world, "http://a/");
    let (mut server, stream) = Server::asked(&world);
    asked.cancel();
    server.listen();
    assert_eq!(server.asked[&stream].reset, Some(ResetBy::Peer(ErrorCode::Cancel)));
    assert!(notes.is_empty());
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_tunnel_is_asked_for_by_its_target() {
    let world = World::with(clear());
    let (witness, notes) = Witness::quiet();
    let target = Target::new("example.org", 443).expect("a target");
    let request = world.agent.request(Method::CONNECT, "http://proxy/");
    let asked = request.tunnel(&target, |_| Ok::<_, fmt::Error>(witness));
    let mut server = Server::accept(&world);
    let (stream, _) = server.next();
    let head = server.head(stream);
    assert_eq!((&head.method, head.protocol.as_deref()), (&Method::CONNECT, None));
    assert_eq!(head.authority.as_ref().map(Authority::as_str), Some("example.org:443"));
    assert!(head.path.is_none() && head.scheme.is_none());
    server.answer_head(stream, "200", false);
    let conn = made(asked);
    conn.write(b"through");
    server.send(stream, b"and back", false);
    assert_eq!(
        (&server.asked[&stream].body[..], &notes.data()[..]),
        (&b"through"[..], &b"and back"[..])
    );
}

#[test]
fn fields_on_a_stream_of_a_protocol_end_it() {
    let world = World::with(clear());
    let (mut server, stream, _conn, notes) = open(&world);
    server.answer_with(stream, true, |head| {
        head.field(&"x-trailer".parse().expect("a name"), &"x".parse().expect("a value"));
    });
    assert_eq!(notes.lost(), Some(Disconnect::Aborted));
    assert_eq!(world.agent.connections(), (1, 1));
}
