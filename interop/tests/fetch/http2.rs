//! The client's HTTP/2, against the servers that people run.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use ropewalk::http::{self, Agent, AgentError, Answer, BodyError, Options, Version};
use ropewalk_deferred::{Deferred, Rest, gather};
use ropewalk_interop::{Peer, free_port, tool, wait_for_port};
use ropewalk_reactor::Reactor;

use crate::page;
use crate::servers::{Nginx, large, local};
use crate::support::reactor;

/// A whole answer, which has to be of HTTP/2.
fn second(reactor: &Reactor, answer: Deferred<Answer>) -> (u16, Bytes) {
    let answer = answer.map(|answer| {
        assert_eq!(answer.version(), Version::HTTP_2);
        answer
    });
    page(reactor, answer).expect("an answer")
}

fn clear(reactor: &Reactor) -> Agent {
    let mut options = Options::default();
    options.http2.has_prior_knowledge = true;
    http::agent(reactor).options(options).build()
}

#[test]
fn nginx_is_asked_over_http2() {
    let nginx = Nginx::start();
    let reactor = reactor();
    let agent = http::agent(&reactor).tls(nginx.tls()).build();
    let url = |path: &str| format!("https://localhost:{}{path}", nginx.http2_port);
    let text = second(&reactor, agent.get(&url("/hello.txt")).send());
    assert_eq!(text, (200, "hello ".repeat(1000).into()));
    assert_eq!(second(&reactor, agent.get(&url("/moved")).send()), text);
    let many = (0..5).map(|_| agent.get(&url("/large.bin")).send().add_callback(Answer::bytes));
    let bodies = reactor.run_until(gather(many, Rest::Cancel)).expect("answers");
    assert!(bodies.iter().all(|body| **body == large()));
    assert_eq!(agent.connections(), (1, 1));
    // Its address, of which its certificate tells, too, leads to the same place.
    let address = format!("https://127.0.0.1:{}/hello.txt", nginx.http2_port);
    assert_eq!(second(&reactor, agent.get(&address).send()), text);
    assert_eq!(agent.connections(), (1, 1));
    // It closes a connection after so many requests, and says so; none of them is lost.
    for _ in 0..3 {
        let many = (0..500).map(|_| agent.head(&url("/hello.txt")).send());
        let answers = reactor.run_until(gather(many, Rest::Cancel)).expect("answers");
        assert!(answers.iter().all(|answer| answer.status() == 200));
    }
    // HTTP/1.1 is there still, for those who want nothing else.
    let mut options = Options::default();
    options.http2.is_offered = false;
    let agent = http::agent(&reactor).tls(nginx.tls()).options(options).build();
    let answer = reactor.run_until(agent.get(&url("/hello.txt")).send()).expect("an answer");
    assert_eq!(answer.version(), Version::HTTP_11);
}

#[test]
fn nghttpd_is_asked_in_clear_and_with_tls() {
    let nginx = Nginx::start();
    let path = nginx.folder.path();
    let reactor = reactor();
    for is_encrypted in [false, true] {
        let port = free_port().expect("a port");
        let mut command = Command::new(tool("nghttpd"));
        command.args(["-a", "127.0.0.1", "-d"]).arg(path);
        if is_encrypted {
            command.args(["--early-response", &port.to_string()]);
            command.arg(path.join("key.pem")).arg(path.join("cert.pem"));
        } else {
            command.args(["--trailer", "x-sum: 7", "--no-tls", &port.to_string()]);
        }
        let _peer = Peer::start(&mut command).expect("nghttpd starts");
        wait_for_port(local(port)).expect("nghttpd listens");
        let (agent, base) = if is_encrypted {
            let agent = http::agent(&reactor).tls(nginx.tls()).build();
            (agent, format!("https://localhost:{port}"))
        } else {
            (clear(&reactor), format!("http://127.0.0.1:{port}"))
        };
        let many = (0..5).map(|_| {
            let answer = agent.get(&format!("{base}/large.bin")).send();
            answer.add_callback(Answer::bytes)
        });
        let bodies = reactor.run_until(gather(many, Rest::Cancel)).expect("answers");
        assert!(bodies.iter().all(|body| **body == large()));
        assert_eq!(second(&reactor, agent.get(&format!("{base}/no")).send()).0, 404);
        if is_encrypted {
            // It answers before it has heard all.
            let early = agent.post(&format!("{base}/hello.txt"), large()).send();
            assert_eq!(second(&reactor, early).0, 200);
            continue;
        }
        let answer = reactor.run_until(agent.get(&format!("{base}/hello.txt")).send());
        let mut body = answer.expect("an answer").into_response().into_body();
        while reactor.run_until(body.next_piece()).expect("a body").is_some() {}
        assert_eq!(body.trailers()["x-sum"], "7");
        assert_eq!(agent.connections(), (1, 1));
    }
}

const NODE: &str = r#"
const http2 = require("http2"), fs = require("fs");
const server = http2.createSecureServer({
  key: fs.readFileSync("key.pem"), cert: fs.readFileSync("cert.pem"), allowHTTP1: true,
  settings: { maxConcurrentStreams: 3, initialWindowSize: 1000 },
});
let most = 0, open = 0;
server.on("stream", (stream, headers) => {
  most = Math.max(most, ++open);
  stream.on("close", () => { open--; });
  stream.on("error", () => {});
  const path = headers[":path"];
  if (path == "/sum") {
    let length = 0;
    stream.on("data", piece => { length += piece.length; });
    stream.on("trailers", fields => { length = `${length} ${fields["x-end"]}`; });
    stream.on("end", () => { stream.respond({ ":status": 200 }); stream.end(String(length)); });
  } else if (path == "/hints") {
    stream.additionalHeaders({ ":status": 103, link: "</a.css>; rel=preload" });
    stream.respond({ ":status": 200 }); stream.end("hinted");
  } else if (path == "/most") {
    stream.respond({ ":status": 200 }); stream.end(String(most));
  } else if (path == "/refused") {
    stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  } else if (path == "/broken") {
    stream.respond({ ":status": 200, "content-length": 100 }); stream.write("a part");
    setImmediate(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
  } else if (path == "/push") {
    stream.respond({ ":status": 200 }); stream.end(stream.pushAllowed ? "pushed" : "no pushing");
  } else if (path == "/away") {
    stream.respond({ ":status": 200 }); stream.end("bye"); stream.session.close();
  } else {
    stream.respond({ ":status": 404 }); stream.end();
  }
});
server.on("checkContinue", (request, answer) => { answer.writeContinue(); });
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
"#;

#[test]
fn node_is_asked_over_http2() {
    let nginx = Nginx::start();
    let mut command = Command::new(tool("node"));
    let mut peer = Peer::start(command.args(["-e", NODE]).current_dir(nginx.folder.path()))
        .expect("Node starts");
    let port = peer.line_after("port ").expect("a port");
    let reactor = reactor();
    let agent = http::agent(&reactor).tls(nginx.tls()).build();
    let url = |path: &str| format!("https://localhost:{port}{path}");
    let sum = agent.post(&url("/sum"), large()).send();
    assert_eq!(second(&reactor, sum), (200, "3000000".into()));
    let (mut sender, body) = http::Body::channel_of(large().len() * 2);
    for piece in large().chunks(10_000) {
        sender.write(piece.to_vec()).expect("room");
    }
    let mut trailers = ::http::HeaderMap::new();
    trailers.insert("x-end", "8".parse().expect("a value"));
    sender.finish_with(trailers);
    let sum = agent.post(&url("/sum"), body).send();
    assert_eq!(second(&reactor, sum), (200, "3000000 8".into()));
    assert_eq!(second(&reactor, agent.get(&url("/hints")).send()), (200, "hinted".into()));
    assert_eq!(second(&reactor, agent.get(&url("/push")).send()), (200, "no pushing".into()));
    // It takes three at a time, and gets no more.
    let many = (0..100).map(|_| agent.post(&url("/sum"), vec![b'x'; 5000]).send());
    let answers = reactor.run_until(gather(many, Rest::Cancel)).expect("answers");
    assert!(answers.iter().all(|answer| answer.status() == 200));
    drop(answers);
    let most = second(&reactor, agent.get(&url("/most")).send());
    assert_eq!(most, (200, "3".into()));
    let refused = page(&reactor, agent.post(&url("/refused"), "x").send()).expect_err("none");
    assert_eq!(refused.check(), Some(&AgentError::Unprocessed));
    let broken = page(&reactor, agent.get(&url("/broken")).send()).expect_err("a part");
    assert!(matches!(broken.check(), Some(BodyError::Reset(_))), "{broken:?}");
    assert_eq!(agent.connections().0, 1);
    for _ in 0..5 {
        assert_eq!(second(&reactor, agent.get(&url("/away")).send()), (200, "bye".into()));
    }
}

/// The `h2` crate as a server: echoes bodies, and says how long they were in a trailer.
fn h2_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    listener.set_nonblocking(true).expect("a socket");
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let (stream, _) = listener.accept().await.expect("a client");
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(70_000).max_concurrent_streams(10).max_frame_size(20_000);
        let mut connection = builder.handshake::<_, Bytes>(stream).await.expect("a handshake");
        while let Some(asked) = connection.accept().await {
            let Ok((request, mut respond)) = asked else { return };
            tokio::task::spawn_local(async move {
                let mut body = request.into_body();
                let answer = ::http::Response::new(());
                let mut out = respond.send_response(answer, false).expect("a stream");
                let mut length = 0;
                while let Some(piece) = body.data().await {
                    let mut piece = piece.expect("a body");
                    length += piece.len();
                    body.flow_control().release_capacity(piece.len()).expect("capacity");
                    while !piece.is_empty() {
                        out.reserve_capacity(piece.len());
                        let room = std::future::poll_fn(|context| out.poll_capacity(context)).await;
                        let room = room.expect("a stream").expect("capacity");
                        let part = piece.split_to(room.min(piece.len()));
                        out.send_data(part, false).expect("capacity");
                    }
                }
                let mut trailers = ::http::HeaderMap::new();
                trailers.insert("x-length", length.into());
                out.send_trailers(trailers).expect("a stream");
            });
        }
    };
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), serve);
    });
    port
}

#[test]
fn the_h2_crate_is_asked() {
    let port = h2_server();
    let reactor = reactor();
    let agent = clear(&reactor);
    let url = format!("http://127.0.0.1:{port}/");
    let large = Arc::new(large());
    let many = (0..40).map(|index| {
        let body = Bytes::copy_from_slice(&large[..index * 5000]);
        let expected = body.clone();
        agent.post(&url, body).send().add_callback(move |answer| {
            let body = answer.into_response().into_body();
            body.collect(1 << 20).map(move |echoed| assert_eq!(echoed, expected))
        })
    });
    reactor.run_until(gather(many, Rest::Cancel)).expect("answers");
    let (whole, echoed) = (large.len(), agent.post(&url, large.to_vec()).send());
    let answer = reactor.run_until(echoed).expect("an answer");
    let mut body = answer.into_response().into_body();
    let mut length = 0;
    while let Some(piece) = reactor.run_until(body.next_piece()).expect("a body") {
        length += piece.len();
    }
    assert_eq!((length, &body.trailers()["x-length"]), (whole, &whole.into()));
    assert_eq!(agent.connections(), (1, 1));
}
