use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ropewalk_deferred::Deferred;
use ropewalk_http::{AgentError, BadBody, Body, BodyError, BodyPiece, BodyStream, Options};
use ropewalk_protocol::Disconnect;

use super::{World, error, heard, ok, text, value};

#[test]
fn a_body_ends_where_its_framing_says() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ];
    for bytes in answers {
        for size in 1..=bytes.len() {
            let world = World::new();
            let answer = world.agent.get("http://a/").send();
            let (mut server, _) = world.accept();
            assert_eq!(server.push_in_pieces(bytes.as_bytes(), size), bytes.len(), "{bytes}");
            server.eof();
            assert_eq!(text(answer), "hello", "{bytes} by {size}");
        }
    }
}

#[test]
fn an_unknown_status_is_one_of_its_class() {
    for (status, class) in [(299, 2), (399, 3), (499, 4), (599, 5)] {
        let world = World::new();
        let answer = world.agent.get("http://a/").send();
        let (mut server, _) = world.accept();
        let told = format!("HTTP/1.1 {status} ?\r\nLocation: /b\r\nContent-Length: 5\r\n\r\nhello");
        server.push(told.as_bytes());
        let answer = value(answer);
        assert_eq!(
            answer.status().as_u16(),
            status,
            "a redirect that nobody knows is not followed"
        );
        assert_eq!(answer.status().is_success(), class == 2);
        assert_eq!(answer.status().is_server_error(), class == 5);
        assert_eq!(&value(answer.bytes())[..], b"hello");
    }
}

#[test]
fn some_answers_have_no_body_whatever_they_say() {
    let heads = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ];
    for (method, bytes) in heads {
        let world = World::new();
        let answer = world.agent.request(method.parse().expect("one"), "http://a/").send();
        let (mut server, _) = world.accept();
        server.push(bytes.as_bytes());
        assert!(value(answer).body().is_none(), "{bytes}");
        assert_eq!(world.agent.connections(), (1, 1), "{bytes}");
    }
}

#[test]
fn a_body_that_breaks_off_says_so() {
    let broken = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", Disconnect::Closed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", Disconnect::Closed),
    ];
    for (bytes, why) in broken {
        let world = World::new();
        let answer = world.agent.get("http://a/").send();
        let (mut server, _) = world.accept();
        server.push(bytes.as_bytes());
        server.eof();
        assert_eq!(error::<BodyError, _>(value(answer).text()), BodyError::Lost(why), "{bytes}");
    }
    let world = World::new();
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(b"HTTP/1.1 200 OK\r\n\r\nhel");
    server.lose(Disconnect::Reset);
    let lost = BodyError::Lost(Disconnect::Reset);
    assert_eq!(error::<BodyError, _>(value(answer).text()), lost);
}

#[test]
fn trailers_come_behind_the_body() {
    let world = World::new();
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let mut answer = value(answer);
    while value(answer.body_mut().next_piece()).is_some() {}
    assert_eq!(answer.body().trailers()["x-sum"], "1");
}

#[test]
fn a_server_waits_where_nobody_takes_the_body() {
    let world = World::new();
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    let mut answer = value(answer);
    let mut sent = 0;
    while server.is_reading() {
        sent += server.push(&[b'x'; 16 * 1024]);
    }
    assert!(sent <= 128 * 1024, "{sent} bytes were taken");
    let mut read = 0;
    while read < sent {
        read += value(answer.body_mut().next_piece()).expect("there is more").len();
        server.run();
    }
    assert!(server.is_reading());
}

#[test]
fn a_short_rest_that_nobody_wants_is_read_and_a_long_one_ends_the_connection() {
    for (length, is_kept) in [(1000_usize, true), (1_000_000, false)] {
        let world = World::new();
        let answer = world.agent.get("http://a/").send();
        let (mut server, _) = world.accept();
        server.push(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        drop(value(answer));
        server.run();
        for _ in 0..length / 1000 {
            server.push(&[b'x'; 1000]);
        }
        assert_eq!(server.ended().is_none(), is_kept, "{length}");
        assert_eq!(world.agent.connections().1, usize::from(is_kept));
    }
}

#[test]
fn a_stream_goes_out_in_chunks_as_the_server_takes_it() {
    let world = World::new();
    let (mut sender, body) = Body::channel();
    let answer = world.agent.post("http://a/", body).send();
    let (mut server, request) = world.accept();
    assert!(request.ends_with("transfer-encoding: chunked\r\n\r\n"), "{request}");
    sender.write("one").expect("room");
    assert_eq!(heard(&mut server), "3\r\none\r\n");
    server.set_room(0);
    let piece = Bytes::from(vec![b'x'; 32 * 1024]);
    let mut given = 0;
    while sender.ready().now_or_never().is_some_and(|ready| ready.is_ok()) {
        sender.write(piece.clone()).expect("room");
        server.run();
        given += piece.len();
        assert!(given < 1 << 20, "nobody holds the sender back");
    }
    server.set_room(u64::MAX);
    server.run();
    assert!(sender.ready().now_or_never().is_some(), "there is room again");
    sender.finish();
    assert!(heard(&mut server).ends_with("\r\n0\r\n\r\n"));
    server.push(ok("done").as_bytes());
    assert_eq!(text(answer), "done");
}

#[test]
fn a_stream_that_lies_about_its_length_or_breaks_off_fails_the_request() {
    let stream = |length, pieces: &'static [&'static str]| {
        let mut pieces = pieces.iter();
        let next = move || {
            Deferred::succeed(
                pieces.next().map(|piece| BodyPiece::Bytes(Bytes::from_static(piece.as_bytes()))),
            )
        };
        Body::stream_of(length, BodyStream::new(next))
    };
    let world = World::new();
    let cases = [
        (stream(3, &["four"]), AgentError::BadBody(BadBody::TooLong { over: 1 })),
        (stream(3, &["2b"]), AgentError::BadBody(BadBody::TooShort { under: 1 })),
    ];
    for (body, wanted) in cases {
        let answer = world.agent.post("http://a/", body).send();
        let (server, _) = world.accept();
        assert_eq!(error::<AgentError, _>(answer), wanted);
        assert_eq!(server.ended(), Some(Disconnect::Aborted));
    }
    let (sender, body) = Body::channel();
    let answer = world.agent.post("http://a/", body).send();
    let (mut server, _) = world.accept();
    drop(sender);
    server.run();
    assert_eq!(error::<AgentError, _>(answer), AgentError::BodyFailed);
}

fn coded(mut into: impl Write, text: &str) {
    into.write_all(text.as_bytes()).expect("a Vec takes all");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    coded(&mut encoder, text);
    encoder.finish().expect("a Vec takes all")
}

fn decoded(coding: &str, body: &[u8], options: Options) -> Deferred<String> {
    let world = World::with(options);
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    server.push(head.as_bytes());
    let text = value(answer).text();
    for piece in body.chunks(7) {
        server.push(piece);
        server.run();
    }
    text
}

fn brotlied(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.into_inner()
}

#[test]
fn codings_are_undone() {
    let text = "hello ".repeat(1000);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    coded(&mut zlib, &text);
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::best());
    coded(&mut raw, &text);
    let bodies = [
        ("gzip", gzip(&text)),
        ("x-gzip", gzip(&text)),
        ("deflate", zlib.finish().expect("a Vec")),
        ("deflate", raw.finish().expect("a Vec")),
        ("zstd", zstd::encode_all(text.as_bytes(), 3).expect("a Vec")),
        ("br", brotlied(text.as_bytes())),
    ];
    for (coding, body) in bodies {
        assert_eq!(value(decoded(coding, &body, Options::default())), text, "{coding}");
    }
    // What is not known is left as it is.
    assert_eq!(value(decoded("lzw", b"as it is", Options::default())), "as it is");
}

#[test]
fn a_coding_that_is_broken_or_blows_up_is_refused() {
    let mut body = gzip("hello");
    let whole = body.clone();
    body.truncate(body.len() - 4);
    let bad = BodyError::BadCoding("gzip");
    assert_eq!(error::<BodyError, _>(decoded("gzip", &body, Options::default())), bad);
    assert_eq!(error::<BodyError, _>(decoded("gzip", b"no gzip", Options::default())), bad);
    let mut wrong = whole;
    let end = wrong.len() - 6;
    wrong[end] ^= 1;
    assert_eq!(error::<BodyError, _>(decoded("gzip", &wrong, Options::default())), bad);

    let zeros = vec![b'0'; 1_000_000];
    for (coding, bomb) in
        [("br", brotlied(&zeros)), ("zstd", zstd::encode_all(&zeros[..], 3).expect("a Vec"))]
    {
        let options = Options { decoded_max: 999_999, ..Options::default() };
        let too_long = BodyError::DecodedTooLong { max: 999_999 };
        assert_eq!(error::<BodyError, _>(decoded(coding, &bomb, options)), too_long, "{coding}");
    }
    let bomb = gzip(&"0".repeat(1_000_000));
    let options = Options { decoded_max: 999_999, ..Options::default() };
    let too_long = BodyError::DecodedTooLong { max: 999_999 };
    assert_eq!(error::<BodyError, _>(decoded("gzip", &bomb, options)), too_long);
    let options = Options { decoded_max: 1_000_000, ..Options::default() };
    assert_eq!(value(decoded("gzip", &bomb, options)).len(), 1_000_000);
    let options = Options { collect_max: 999_999, ..Options::default() };
    let too_long = BodyError::TooLong { max: 999_999 };
    assert_eq!(error::<BodyError, _>(decoded("gzip", &bomb, options)), too_long);
}

#[test]
fn no_chunks_go_to_a_server_that_is_known_to_be_old() {
    let world = World::new();
    let ask = |origin: &str| {
        let (mut sender, body) = Body::channel();
        sender.write("one").expect("room");
        sender.finish();
        world.agent.post(&format!("http://{origin}/"), body).send()
    };
    let answer = |reply: &str| {
        let (mut server, request) = world.accept();
        server.push(reply.as_bytes());
        request
    };
    world.agent.get("http://old/").send().detach();
    answer("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(error::<AgentError, _>(ask("old")), AgentError::NeedsLength);
    assert_eq!(world.dialling(), 0);
    // Others may be asked so, and so may it with a length.
    let other = ask("new");
    assert!(answer(&ok("")).contains("transfer-encoding: chunked"));
    value(other);
    let told = world.agent.post("http://old/", "three").send();
    assert!(answer(&ok("")).contains("content-length: 5"));
    value(told);
    // It has got on.
    assert!(ask("old").now_or_never().is_none(), "it is under way");
}
