//! hyper and h2 over a reactor's sockets, without the runtime of tokio.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{client, server};
use ropewalk_adapters::hyper::{Tasks, Time};
use ropewalk_adapters::{Stream, connect_stream, listen_streams};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{Address, ClientEndpoint, Port, Seat, SeatFactory, ServerEndpoint, Spawn};
use ropewalk_reactor::{ConnectOptions, Reactor, TcpListenOptions};

/// A place on this machine.
struct Place(Reactor, SocketAddr);

impl ClientEndpoint for Place {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        self.0.connect_tcp(self.1, ConnectOptions::default(), seat);
    }
}

/// A free port of this machine.
struct Anywhere(Reactor);

impl ServerEndpoint for Anywhere {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        match self.0.listen_tcp(anywhere, TcpListenOptions::default(), factory) {
            Ok(port) => Deferred::succeed(Box::new(port)),
            Err(error) => Deferred::fail(error),
        }
    }
}

/// Serves each connection by `serve`, and gives a stream to it.
async fn served(
    reactor: &Reactor,
    serve: impl Fn(Stream, Rc<dyn Spawn>) + 'static,
) -> Result<(Box<dyn Port>, Stream), Failure> {
    let tasks: Rc<dyn Spawn> = Rc::new(reactor.clone());
    let accepted = move |stream, _| serve(stream, Rc::clone(&tasks));
    let port = listen_streams(&Anywhere(reactor.clone()), accepted).await?;
    let Address::Ip(address) = port.address() else { panic!("it is a TCP port") };
    let stream = connect_stream(&Place(reactor.clone(), address)).await?;
    Ok((port, stream))
}

/// Says how long the body was; a state that is no other thread's shows that none is asked for.
async fn measure(
    count: Rc<std::cell::Cell<u32>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    count.set(count.get() + 1);
    let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
    Ok(Response::new(Full::new(format!("{} {length}", count.get()).into())))
}

fn post(size: usize) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from(vec![b'x'; size]));
    Request::post("http://localhost/").header("host", "localhost").body(body).expect("a request")
}

#[ropewalk_trial::test]
async fn hyper_speaks_http_1(reactor: Reactor) -> Result<(), Failure> {
    let clock = reactor.clone();
    let (port, stream) = served(&reactor, move |stream, tasks| {
        let count = Rc::default();
        let service = service_fn(move |request| measure(Rc::clone(&count), request));
        let timer = Time::by(clock.clone());
        let server =
            server::conn::http1::Builder::new().timer(timer).serve_connection(stream, service);
        tasks.spawn(Box::pin(async move { server.await.expect("it went well") }));
    })
    .await?;
    let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
    let running = reactor.spawn(connection);
    for (n, size) in [(1, 0), (2, 10), (3, 1_000_000)] {
        let answer = sender.send_request(post(size)).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        assert_eq!(body, format!("{n} {size}"));
    }
    drop(sender);
    running.await?;
    port.stop_listening().await
}

#[ropewalk_trial::test]
async fn hyper_speaks_http_2(reactor: Reactor) -> Result<(), Failure> {
    let clock = reactor.clone();
    let (port, stream) = served(&reactor, move |stream, tasks| {
        let count = Rc::default();
        let service = service_fn(move |request| measure(Rc::clone(&count), request));
        let server = server::conn::http2::Builder::new(Tasks::on(Rc::clone(&tasks)))
            .timer(Time::by(clock.clone()))
            .serve_connection(stream, service);
        tasks.spawn(Box::pin(async move { server.await.expect("it went well") }));
    })
    .await?;
    let tasks = Tasks::on(reactor.clone());
    let (sender, connection) = client::conn::http2::handshake(tasks, stream).await?;
    let running = reactor.spawn(connection);
    let calls = (0..20).map(|n| {
        let mut sender = sender.clone();
        reactor.spawn(async move {
            let answer = sender.send_request(post(n * 10_000)).await?;
            let body = answer.into_body().collect().await?.to_bytes();
            let words = String::from_utf8_lossy(&body).into_owned();
            assert_eq!(words.split(' ').next_back(), Some(&*(n * 10_000).to_string()));
            Ok::<_, Failure>(())
        })
    });
    ropewalk_deferred::gather(calls.collect::<Vec<_>>(), ropewalk_deferred::Rest::Cancel).await?;
    drop(sender);
    running.await?;
    port.stop_listening().await
}

#[ropewalk_trial::test]
async fn h2_speaks_for_itself(reactor: Reactor) -> Result<(), Failure> {
    let (port, stream) = served(&reactor, |stream, tasks| {
        tasks.spawn(Box::pin(async move {
            let mut server = h2::server::handshake(stream).await.expect("a handshake");
            while let Some(request) = server.accept().await {
                let (request, mut respond) = request.expect("a request");
                assert_eq!(request.uri().path(), "/");
                let mut body = respond.send_response(Response::new(()), false).expect("it is open");
                body.send_data(Bytes::from_static(b"hello"), true).expect("it is open");
            }
        }));
    })
    .await?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    let running = reactor.spawn(connection);
    let mut sender = sender.ready().await?;
    let request = Request::get("http://localhost/").body(()).expect("a request");
    let (answer, _) = sender.send_request(request, true)?;
    let mut body = answer.await?.into_body();
    let mut heard = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        heard.extend_from_slice(&piece);
    }
    assert_eq!(heard, b"hello");
    drop((sender, body));
    running.await?;
    port.stop_listening().await
}
