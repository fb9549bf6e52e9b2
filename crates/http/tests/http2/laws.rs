//! What every protocol may count on, on a stream of HTTP/2 as on a socket.

use std::cell::Cell;
use std::rc::Rc;

use http::{Response, StatusCode, header};
use ropewalk_http::{Body, Request, Site};
use ropewalk_http2::Limits;
use ropewalk_protocol::{Conn, Disconnect, Event, Protocol, seat};
use ropewalk_trial::laws::{self, Stage};
use ropewalk_trial::{Simulation, Witness};

use crate::tunneler::Tunneler;

/// How many seeds each law is tried with.
const SEEDS: u64 = 40;

/// A witness on a stream, whichever end of the connection it finds itself at.
struct OnStream {
    witness: Option<Witness>,
    /// Whether an address is the server's.
    is_server: Rc<dyn Fn(&ropewalk_protocol::Address) -> bool>,
}

impl Protocol for OnStream {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let Some(witness) = self.witness.take() else { return };
        if (self.is_server)(&conn.local()) {
            conn.switch_protocol(site(witness).server(), b"");
        } else {
            conn.switch_protocol(Tunneler::new(seat(witness), narrow()), b"");
        }
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Some(witness) = self.witness.take() {
            seat(witness).handle(Event::Lost(why));
        }
    }
}

/// A site that gives a stream to a witness.
fn site(witness: Witness) -> Site {
    let place = Cell::new(Some(witness));
    Site::new(move |request: Request| {
        assert_eq!(request.headers()[header::UPGRADE], "witness");
        let head = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let head = head.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "witness");
        head.body(Body::switch_to(place.take().expect("one request"))).expect("a response")
    })
    .streams(narrow())
}

/// Windows about as narrow as those of the links.
fn narrow() -> Limits {
    let mut limits = Limits::default();
    limits.window = 3000;
    limits
}

fn stage(seed: u64) -> Stage {
    let simulation = Simulation::new(seed);
    let stage = Stage::simulated(&simulation);
    let server = simulation.address("server", 0).ip();
    let is_server = Rc::new(move |address: &ropewalk_protocol::Address| {
        address.ip().is_some_and(|address| address.ip() == server)
    });
    stage.dressed(move |witness| {
        let is_server = Rc::clone(&is_server) as _;
        seat(OnStream { witness: Some(witness), is_server })
    })
}

#[test]
fn the_laws_hold_on_a_stream() {
    let mut broken = Vec::new();
    // The ninth is about who listens, which is a socket here too.
    for law in laws::ALL.iter().filter(|law| law.number() != 9) {
        for seed in 0..SEEDS {
            if let Err(why) = law.check(&stage(seed)) {
                broken.push(format!("seed {seed}: {why}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
