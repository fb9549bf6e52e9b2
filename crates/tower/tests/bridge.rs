//! An axum router in a site, and a site as a service.

use std::future::poll_fn;
use std::pin::Pin;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Path;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body::{Body as _, Frame};
use ropewalk_deferred::{Deferred, Failure, from_future};
use ropewalk_http::{Body, Site};
use ropewalk_protocol::{Disconnect, Spawn};
use ropewalk_tower::{Peer, RequestBody, ResponseBody, ServiceResource, SiteService};
use ropewalk_trial::{Clock, Executor, Memory};
use tower_service::Service;

/// The pieces of a body and the fields behind it, one after another.
struct Pieces(Vec<Frame<Bytes>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
    }
}

fn router() -> Router {
    Router::new()
        .route("/hello/{name}", get(async |Path(name): Path<String>| format!("hello, {name}")))
        .route("/echo", post(async |body: AxumBody| body))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route(
            "/who",
            get(async |request: Request<AxumBody>| {
                format!("{:?}", request.extensions().get::<Peer>())
            }),
        )
        .route(
            "/pieces",
            get(async || {
                let sum = HeaderMap::from_iter([(
                    "x-sum".parse().expect("a name"),
                    "7".parse().expect("a value"),
                )]);
                let frames =
                    ["one", "two"].map(|text| Frame::data(Bytes::from_static(text.as_bytes())));
                AxumBody::new(Pieces(frames.into_iter().chain([Frame::trailers(sum)]).collect()))
            }),
        )
        .route("/teapot", get(async || StatusCode::IM_A_TEAPOT))
        .route("/panic", get(async || -> String { panic!("as it was told") }))
}

struct World {
    executor: Executor,
    client: Memory,
}

impl World {
    fn new() -> Self {
        let executor = Executor::new();
        let site = Site::new(ServiceResource::new(router(), executor.clone()));
        let site = site.wall_clock(|| std::time::UNIX_EPOCH);
        Self { client: Memory::seat(site.server(), &Clock::new()), executor }
    }

    fn settle(&mut self) {
        for _ in 0..6 {
            self.executor.run();
            self.client.run();
        }
    }

    fn ask(&mut self, said: &[u8]) -> String {
        self.client.push(said);
        self.settle();
        String::from_utf8(self.client.take_sent()).expect("it is text")
    }
}

#[test]
fn a_router_answers_requests() {
    let mut world = World::new();
    let answer = world.ask(b"GET /hello/alice HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n\
         date: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 12\r\n\r\nhello, alice"
    );
    for (request, start) in [
        ("GET /nowhere", "HTTP/1.1 404 "),
        ("POST /hello/x", "HTTP/1.1 405 "),
        ("GET /teapot", "HTTP/1.1 418 "),
        ("HEAD /hello/alice", "HTTP/1.1 200 "),
        ("GET /panic", "HTTP/1.1 500 "),
        ("GET /who", "HTTP/1.1 200 "),
    ] {
        let answer = world.ask(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert!(answer.starts_with(start), "{request}: {answer}");
    }
}

#[test]
fn bodies_stream_both_ways_with_their_trailers() {
    let mut world = World::new();
    let begun = world
        .ask(b"POST /echo HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    assert!(begun.ends_with("transfer-encoding: chunked\r\n\r\n3\r\none\r\n"), "{begun}");
    assert_eq!(world.ask(b"3\r\ntwo\r\n"), "3\r\ntwo\r\n");
    assert_eq!(world.ask(b"0\r\nX-Sum: 6\r\n\r\n"), "0\r\nx-sum: 6\r\n\r\n");
    let answer = world.ask(b"GET /pieces HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
    assert!(answer.ends_with("3\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
    let answer = world.ask(b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert!(answer.ends_with("\r\n\r\n5"), "{answer}");
}

#[test]
fn a_body_is_asked_for_when_the_service_polls_it() {
    let mut world = World::new();
    let head =
        b"POST /length HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(world.ask(head), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(world.ask(b"ab").ends_with("\r\n\r\n2"));
    // One that nobody polls is never asked for.
    let head =
        b"POST /teapot HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert!(world.ask(head).starts_with("HTTP/1.1 405 "));
}

#[test]
fn a_service_that_nobody_waits_for_is_dropped() {
    let mut world = World::new();
    world.ask(b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    assert!(world.executor.pending() > 0);
    world.client.lose(Disconnect::Reset);
    world.settle();
    assert_eq!(world.executor.pending(), 0);
}

/// Collects what a service answers.
async fn whole(body: ResponseBody) -> Result<(Vec<u8>, HeaderMap), Failure> {
    let mut body = Box::pin(body);
    let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok((bytes, trailers))
}

fn run<T: 'static>(
    executor: &Executor,
    future: impl Future<Output = Result<T, Failure>> + 'static,
) -> Result<T, Failure> {
    let (result, driver): (Deferred<T>, _) = from_future(future);
    executor.spawn(Box::pin(driver));
    executor.run();
    result.now_or_never().expect("it is over")
}

#[test]
fn a_site_is_a_service() {
    let executor = Executor::new();
    let site = Site::new(|request: ropewalk_http::Request| {
        let path = request.uri().path().to_owned();
        let mut body = request.into_body();
        body.next_piece().map(move |piece| {
            let (mut sender, answer) = Body::channel();
            for text in [&path[..], &format!(" {piece:?}")] {
                sender.write(text.to_owned()).expect("there is room");
            }
            sender.finish_with(HeaderMap::from_iter([(
                "x-sum".parse().expect("a name"),
                "1".parse().expect("a value"),
            )]));
            answer
        })
    });
    let mut service = SiteService::new(site, executor.clone());
    let pieces = Pieces(vec![Frame::data(Bytes::new()), Frame::data(Bytes::from_static(b"hello"))]);
    let answer = service.call(Request::post("/a").body(pieces).expect("a request"));
    let (status, (bytes, trailers)) = run(&executor, async move {
        let response = answer.await.map_err(Failure::new)?;
        Ok((response.status(), whole(response.into_body()).await?))
    })
    .expect("an answer");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(String::from_utf8(bytes).expect("text"), "/a Some(b\"hello\")");
    assert_eq!(trailers["x-sum"], "1");
}

#[test]
fn there_and_back_again() {
    // A router, in a site, as a service.
    let executor = Executor::new();
    let site = Site::new(ServiceResource::new(router(), executor.clone()));
    let mut service = SiteService::new(site, executor.clone());
    let answer = service.call(Request::get("/hello/bob").body(String::new()).expect("a request"));
    let (bytes, _) =
        run(&executor, async move { whole(answer.await.map_err(Failure::new)?.into_body()).await })
            .expect("an answer");
    assert_eq!(bytes, b"hello, bob");
}

#[test]
fn a_request_body_can_be_sent_to_other_threads() {
    fn is_send<T: Send + 'static>() {}
    is_send::<RequestBody>();
}
