//! WebSockets over an agent's connections: on a stream of HTTP/2 where that can be, and else in HTTP/1.1.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{Response, StatusCode, Version};
use ropewalk_deferred::{Deferred, deferred};
use ropewalk_http::{Agent, Body, Origin, Request as Asked, Site};
use ropewalk_protocol::{ClientEndpoint, Disconnect, Seat, listen};
use ropewalk_trial::{Clock, MemoryNetwork};
use ropewalk_websocket::{
    self as websocket, CloseCode, Closed, Compression, NotOpened, Options, Patience, Prepared,
    Request, Slow, WebSocket, WebSocketResource,
};

use crate::kit::{Book, Scribe, Told, text};

/// A network with one server on it, and an agent there.
struct World {
    clock: Clock,
    network: MemoryNetwork,
    agent: Agent,
}

impl World {
    fn new(site: Site, speaks_http2: bool) -> Self {
        let clock = Clock::new();
        let network = MemoryNetwork::new(&clock);
        drop(listen(&network.endpoint("a:80"), site));
        let dialled = network.clone();
        let dial = move |origin: &Origin, seat: Box<dyn Seat>| {
            dialled.endpoint(&format!("{}:{}", origin.host(), origin.port())).connect_seat(seat);
        };
        let mut options = ropewalk_http::Options::default();
        options.http2.has_prior_knowledge = speaks_http2;
        let agent = Agent::with_options(dial, clock.clone(), options);
        Self { clock, network, agent }
    }

    fn open(&self, url: &str, options: &Options, book: &Book) -> Deferred<WebSocket<Scribe>> {
        let request = Request::new(url).expect("a URL");
        let request = request.header("x-mine", "yes").expect("a field");
        let opened = websocket::open(&self.agent, &request, options, Scribe::new(book));
        self.network.run();
        opened
    }
}

#[track_caller]
fn opened(opened: Deferred<WebSocket<Scribe>>) -> WebSocket<Scribe> {
    opened.now_or_never().expect("it is over").expect("it is open")
}

#[track_caller]
fn why(opened: Deferred<WebSocket<Scribe>>) -> NotOpened {
    let failure = opened.now_or_never().expect("it is over").expect_err("it failed");
    failure.check::<NotOpened>().unwrap_or_else(|| panic!("{failure:?}")).clone()
}

#[test]
fn the_same_protocol_speaks_over_either_version() {
    let mut stories = Vec::new();
    for speaks_http2 in [true, false] {
        let version = Rc::new(Cell::new(Version::HTTP_09));
        let seen = Rc::clone(&version);
        let options = Options::new().protocols(["chat"]).compression(Compression::default());
        let echoes = WebSocketResource::new(move |request: &Asked| {
            assert_eq!(request.headers()["x-mine"], "yes");
            seen.set(request.version());
            Scribe::echoing()
        });
        let everyone = echoes.group();
        let world = World::new(Site::new(echoes.options(options.clone())), speaks_http2);
        let book = Book::default();
        let socket = opened(world.open("ws://a/", &options, &book));
        let expected = if speaks_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        assert_eq!((version.get(), socket.protocol()), (expected, Some("chat")));
        socket.send_text("hello");
        socket.send_binary(&vec![7; 100_000]);
        socket.ping(b"there?");
        world.network.run();
        everyone.send(&Prepared::text("news"), Slow::Misses);
        world.network.run();
        let told = book.take();
        assert_eq!(
            told,
            [
                Told::Opened,
                text("hello"),
                Told::Binary(vec![7; 100_000]),
                Told::Pong(b"there?".to_vec()),
                text("news"),
            ]
        );
        // It counts as one of the agent's while it lives.
        assert_eq!(world.agent.connections(), (1, 0));
        socket.close(CloseCode::NORMAL, "bye");
        world.network.run();
        let Closed { is_clean, disconnect, .. } = book.take_closed();
        assert_eq!((is_clean, disconnect), (true, Disconnect::Closed));
        stories.push(told);
        assert_eq!(world.agent.connections(), if speaks_http2 { (1, 1) } else { (0, 0) });
    }
    assert_eq!(stories[0], stories[1]);
}

#[test]
fn many_share_one_connection_and_end_one_by_one() {
    let echoes = WebSocketResource::new(|_: &Asked| Scribe::echoing());
    let everyone = echoes.group();
    let world = World::new(Site::new(echoes), true);
    let books: Vec<Book> = (0..20).map(|_| Book::default()).collect();
    let sockets: Vec<_> =
        books.iter().map(|book| opened(world.open("ws://a/", &Options::new(), book))).collect();
    assert_eq!((world.agent.connections().0, everyone.members().len()), (1, 20));
    for (number, socket) in sockets.iter().enumerate() {
        socket.send_text(&format!("number {number}"));
    }
    world.network.run();
    for (number, (book, socket)) in books.iter().zip(sockets).enumerate() {
        assert_eq!(book.take(), [Told::Opened, text(&format!("number {number}"))]);
        socket.close(CloseCode::NORMAL, "");
        world.network.run();
        assert!(book.take_closed().is_clean);
        assert_eq!(everyone.members().len(), 19 - number);
    }
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_server_that_opens_none_is_told_of_by_its_status() {
    for speaks_http2 in [true, false] {
        let site = Site::new(|_: Asked| {
            Response::builder().status(StatusCode::FORBIDDEN).body(Body::from("no")).expect("one")
        });
        let world = World::new(site, speaks_http2);
        let asked = world.open("ws://a/", &Options::new(), &Book::default());
        assert_eq!(why(asked), NotOpened::Status(StatusCode::FORBIDDEN));
        // An answer that says yes and is none does not do.
        let world = World::new(Site::new(|_: Asked| "hello"), speaks_http2);
        let status = if speaks_http2 { StatusCode::NOT_IMPLEMENTED } else { StatusCode::OK };
        let asked = world.open("ws://a/", &Options::new(), &Book::default());
        assert_eq!(why(asked), NotOpened::Status(status));
    }
}

#[test]
fn a_choice_that_was_not_offered_is_refused() {
    for speaks_http2 in [true, false] {
        let chosen = Options::new().protocols(["chat"]);
        let echoes = WebSocketResource::new(|_: &Asked| Scribe::echoing()).options(chosen);
        let mut inner = echoes;
        let site = Site::new(move |request: Asked| {
            let mut reply = ropewalk_http::Resource::render(&mut inner, request);
            if let ropewalk_http::Reply::Now(response) = &mut reply {
                let name = http::header::SEC_WEBSOCKET_PROTOCOL;
                response.headers_mut().insert(name, "other".parse().expect("a value"));
            }
            reply
        });
        let world = World::new(site, speaks_http2);
        let offered = Options::new().protocols(["chat"]);
        let book = Book::default();
        assert_eq!(why(world.open("ws://a/", &offered, &book)), NotOpened::Protocol);
        world.network.run();
        assert!(book.take().is_empty());
        assert_eq!(world.agent.connections().0, usize::from(speaks_http2));
    }
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    for speaks_http2 in [true, false] {
        let (_promise, never) = deferred::<&str>();
        let never = Cell::new(Some(never));
        let site = Site::new(move |_: Asked| never.take().expect("one request"));
        let world = World::new(site, speaks_http2);
        let mut patience = Patience::default();
        patience.opening = Duration::from_secs(3);
        let options = Options::new().patience(patience);
        let asked = world.open("ws://a/", &options, &Book::default());
        world.clock.advance(Duration::from_secs(3));
        world.network.run();
        assert_eq!(why(asked), NotOpened::TimedOut);
    }
    let world = World::new(Site::new(|_: Asked| "hello"), true);
    let asked = world.open("ws://nobody/", &Options::new(), &Book::default());
    assert!(matches!(why(asked), NotOpened::Lost(_)));
}
