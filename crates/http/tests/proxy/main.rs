//! A reverse proxy between a client and servers that are the test.

mod balance;
mod bodies;
#[path = "../corpus/mod.rs"]
mod corpus;
mod fields;
mod forward;
mod hop_lists;
mod simulated;
mod smuggling;
mod switching;
mod trouble;

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_http::proxy::{ReverseProxy, upstream_options};
use ropewalk_http::{Agent, Limits, Options, Origin, Resource, Site};
use ropewalk_protocol::{Address, Disconnect, Event, Seat};
use ropewalk_trial::{Clock, Memory};

/// Connections that were asked for.
type Dialled = Rc<RefCell<Vec<(Origin, Box<dyn Seat>)>>>;

/// A proxy whose clients and upstreams are the test.
struct World {
    clock: Clock,
    agent: Agent,
    dialled: Dialled,
    site: Site,
}

impl World {
    fn to(upstream: &str) -> Self {
        Self::with(|agent| ReverseProxy::to(agent, upstream).expect("a URL"))
    }

    fn with<R: Resource>(make: impl FnOnce(&Agent) -> R) -> Self {
        Self::with_options(upstream_options(), make)
    }

    fn with_options<R: Resource>(options: Options, make: impl FnOnce(&Agent) -> R) -> Self {
        let clock = Clock::new();
        let dialled = Dialled::default();
        let asked = Rc::clone(&dialled);
        let dial = move |origin: &Origin, seat: Box<dyn Seat>| {
            asked.borrow_mut().push((origin.clone(), seat));
        };
        let agent = Agent::with_options(dial, clock.clone(), options);
        let limits = Limits { body_max: None, ..Limits::default() };
        let site = Site::new(make(&agent)).limits(limits).wall_clock(|| std::time::UNIX_EPOCH);
        Self { clock, agent, dialled, site }
    }

    /// A client that has said this.
    fn client(&self, said: &[u8]) -> Memory {
        self.client_at("192.0.2.7:5000", said)
    }

    fn client_at(&self, address: &str, said: &[u8]) -> Memory {
        let seat = ropewalk_protocol::seat(self.site.server());
        let local = Address::Ip("192.0.2.1:80".parse().expect("an address"));
        let peer = Address::Ip(address.parse().expect("an address"));
        let mut client = Memory::between(seat, &self.clock, local, peer);
        client.push(said);
        client
    }

    /// The connection that was asked for first, made.
    #[track_caller]
    fn accept(&self) -> Memory {
        self.accept_named().1
    }

    #[track_caller]
    fn accept_named(&self) -> (String, Memory) {
        let (origin, seat) = self.dialled.borrow_mut().remove(0);
        (origin.to_string(), Memory::take_seat(seat, &self.clock))
    }

    /// The connection that was asked for first is not made.
    fn refuse(&self) {
        let (_, mut seat) = self.dialled.borrow_mut().remove(0);
        seat.handle(Event::Lost(Disconnect::Refused));
    }

    fn dialling(&self) -> usize {
        self.dialled.borrow().len()
    }
}

/// Lets both get on until neither has anything to do.
fn settle(one: &mut Memory, other: &mut Memory) {
    for _ in 0..4 {
        one.run();
        other.run();
    }
}

/// What was sent since the last time.
fn heard(end: &mut Memory) -> String {
    end.run();
    String::from_utf8(end.take_sent()).expect("it is text here")
}

/// A request for `path`, without a body.
fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n").into_bytes()
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The status of an answer that begins here.
#[track_caller]
fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer:?} is no answer"))
}
