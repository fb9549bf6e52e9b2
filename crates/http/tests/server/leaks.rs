//! What a request held is free once its connection is over.

use std::rc::Rc;

use ropewalk_http::{Body, BodyStream, IntoReply, Reply, Request, Server};
use ropewalk_protocol::Disconnect;

use crate::client::{Client, Held, get, head, post};

/// Something to be held on to.
#[derive(Clone, Default)]
struct Token(Rc<()>);

impl Token {
    fn owners(&self) -> usize {
        Rc::strong_count(&self.0)
    }
}

/// Answers with what holds a token in all the ways there are.
fn holding(request: Request, token: Token, held: &Held<()>) -> Reply {
    let (head, mut body) = request.into_parts();
    match head.uri.path() {
        "/later" => held.wait().map(move |()| drop(token)).map(|()| "later").into_reply(),
        "/collect" => body.collect(100).map(move |_| drop(token)).map(|()| "all").into_reply(),
        "/early" => {
            body.collect(100).on_result(move |_| drop(token));
            "early".into_reply()
        }
        "/kept" => {
            let piece = body.next_piece();
            piece.map(move |_| drop((token, body))).map(|()| "kept").into_reply()
        }
        "/stream" => {
            let held = held.clone();
            Body::stream(BodyStream::new(move || {
                let token = token.clone();
                held.wait().map(move |()| {
                    drop(token);
                    Some(bytes::Bytes::from("piece").into())
                })
            }))
            .into_reply()
        }
        _ => {
            let mut body = body;
            Body::stream(BodyStream::new(move || {
                let token = token.clone();
                body.next_piece().map(move |piece| {
                    drop(token);
                    piece.map(Into::into)
                })
            }))
            .into_reply()
        }
    }
}

#[test]
fn nothing_outlives_its_connection() {
    let bytes = |path: &str| -> Vec<Vec<u8>> {
        let line = format!("POST {path} HTTP/1.1");
        let close = ["Connection: close", "Content-Length: 10"];
        let half = [head(&line, &["Content-Length: 10"]), b"half".to_vec()].concat();
        let last = [head(&line, &close), b"half".to_vec()].concat();
        let bad =
            [head(&line, &["Transfer-Encoding: chunked"]), b"1\r\nx\r\nzzz".to_vec()].concat();
        vec![get(path), post(path, b"whole body"), half, last, bad, get(path).repeat(3)]
    };
    let ends: [fn(&mut Client); 4] = [
        |client| client.memory.lose(Disconnect::Reset),
        |client| client.memory.eof(),
        |client| {
            client.advance(std::time::Duration::from_secs(1000));
        },
        |_| (),
    ];
    for path in ["/later", "/collect", "/early", "/kept", "/stream", "/echo"] {
        for (number, bytes) in bytes(path).iter().enumerate() {
            for (end_number, end) in ends.iter().enumerate() {
                let (token, held) = (Token::default(), Held::new());
                let (given, waiting) = (token.clone(), held.clone());
                let resource = move |request: Request| holding(request, given.clone(), &waiting);
                let mut client = Client::new(resource);
                client.memory.push(bytes);
                end(&mut client);
                drop(client);
                drop(held);
                assert_eq!(token.owners(), 1, "{path}, request {number}, end {end_number}");
            }
        }
    }
}

/// Of the 400 bytes that an idle connection may take at all, of which its page of notes, the reactor's
/// tables and its place in the site take 240.
#[test]
fn an_idle_server_is_small() {
    let handle = size_of::<usize>();
    let seat = size_of::<Server>() + handle;
    assert!(seat <= 56, "{seat} bytes");
}
