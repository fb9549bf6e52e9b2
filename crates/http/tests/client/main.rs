//! The client against servers that are the test.

mod bodies;
mod broken;
mod cookies;
mod follow;
mod http2;
mod login;
mod patience;
mod pool;
mod quiet;

use std::cell::RefCell;
use std::error::Error;
use std::fmt::Debug;
use std::rc::Rc;

use ropewalk_deferred::Deferred;
use ropewalk_http::{Agent, Answer, Options, Origin};
use ropewalk_protocol::{Seat, TlsInfo};
use ropewalk_trial::{Clock, Memory};

/// Connections that were asked for.
type Dialled = Rc<RefCell<Vec<(Origin, Box<dyn Seat>)>>>;

/// An agent whose servers are the test.
struct World {
    clock: Clock,
    agent: Agent,
    dialled: Dialled,
}

impl World {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let clock = Clock::new();
        let dialled = Dialled::default();
        let asked = Rc::clone(&dialled);
        let dial = move |origin: &Origin, seat: Box<dyn Seat>| {
            asked.borrow_mut().push((origin.clone(), seat));
        };
        let agent = Agent::with_options(dial, clock.clone(), options);
        Self { clock, agent, dialled }
    }

    /// The connection that was asked for first, made, with what the client sent on it.
    #[track_caller]
    fn accept(&self) -> (Memory, String) {
        let (origin, seat) = self.dialled.borrow_mut().remove(0);
        let tls = origin.is_secure().then(TlsInfo::default);
        let mut server = Memory::with_tls(seat, &self.clock, tls);
        let request = heard(&mut server);
        (server, request)
    }

    /// How many connections were asked for and not made.
    fn dialling(&self) -> usize {
        self.dialled.borrow().len()
    }
}

/// What the client has sent since the last time.
fn heard(server: &mut Memory) -> String {
    server.run();
    String::from_utf8(server.take_sent()).expect("requests are text here")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What came of a wait that must be over.
#[track_caller]
fn value<T: 'static>(answer: Deferred<T>) -> T {
    answer.now_or_never().expect("it is over").expect("it went well")
}

/// The text of an answer that must be there whole.
#[track_caller]
fn text(answer: Deferred<Answer>) -> String {
    value(value(answer).text())
}

/// Why a wait that must be over failed.
#[track_caller]
fn error<E: Error + Clone + 'static, T: Debug + 'static>(answer: Deferred<T>) -> E {
    let failure = answer.now_or_never().expect("it is over").expect_err("it failed");
    failure.check::<E>().unwrap_or_else(|| panic!("{failure:?}")).clone()
}
