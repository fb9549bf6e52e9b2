//! What the tests have in common.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Address, ClientEndpoint, Disconnect, Event, Factory, Seat, seat};
use ropewalk_trial::{Clock, Memory, Wire};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A place to connect to: what connects there is for the test to take.
#[derive(Default)]
pub(crate) struct Place(RefCell<Option<Box<dyn Seat>>>);

impl ClientEndpoint for Place {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        *self.0.borrow_mut() = Some(seat);
    }
}

impl Place {
    /// The client that connected, on a connection whose other side is the test.
    pub(crate) fn connection(&self) -> Memory {
        Memory::take_seat(self.0.take().expect("somebody connects"), &Clock::new())
    }
}

/// A place where nobody listens.
pub(crate) struct Nobody;

impl ClientEndpoint for Nobody {
    fn connect_seat(&self, mut seat: Box<dyn Seat>) {
        seat.handle(Event::Lost(Disconnect::Refused));
    }
}

/// A client whose server is the test, and what it will answer.
pub(crate) fn client<T: 'static>(ask: impl FnOnce(&Place) -> Deferred<T>) -> (Memory, Deferred<T>) {
    let place = Place::default();
    let answer = ask(&place);
    (place.connection(), answer)
}

/// A server whose client is the test.
pub(crate) fn server(factory: impl Factory) -> Memory {
    server_on(&Clock::new(), factory)
}

pub(crate) fn server_on(clock: &Clock, mut factory: impl Factory) -> Memory {
    let peer = Address::Memory("peer".to_owned());
    Memory::seat(factory.build(&peer).expect("there is room"), clock)
}

/// A client and a server joined.
pub(crate) fn join<T: 'static>(
    ask: impl FnOnce(&Place) -> Deferred<T>,
    factory: impl Factory,
) -> (Wire, Deferred<T>) {
    let place = Place::default();
    let answer = ask(&place);
    let clock = Clock::new();
    let client = Memory::take_seat(place.0.take().expect("it connects"), &clock);
    (Wire::of(&clock, client, server_on(&clock, factory)), answer)
}

/// What a server says to a client that sends just `bytes`, which is the same in pieces of every size.
#[track_caller]
pub(crate) fn says<F: Factory>(serve: impl Fn() -> F, bytes: &[u8]) -> String {
    let talk = |size: usize| {
        let mut memory = server(serve());
        memory.push_in_pieces(bytes, size);
        memory.eof();
        assert_ne!(memory.ended(), Some(Disconnect::Panicked));
        String::from_utf8(memory.take_sent()).expect("text")
    };
    let whole = talk(bytes.len().max(1));
    for size in 1..bytes.len() {
        assert_eq!(talk(size), whole, "in pieces of {size}");
    }
    whole
}

/// What a client makes of a server that says just `bytes` and closes, which is the same in pieces of
/// every size.
#[track_caller]
pub(crate) fn hears<T: Debug + PartialEq + 'static>(
    ask: impl Fn(&Place) -> Deferred<T>,
    bytes: &[u8],
) -> Result<T, String> {
    let talk = |size: usize| {
        let (mut memory, answer) = client(&ask);
        memory.push_in_pieces(bytes, size);
        memory.eof();
        told(answer)
    };
    let whole = talk(bytes.len().max(1));
    for size in 1..bytes.len() {
        assert_eq!(talk(size), whole, "in pieces of {size}");
    }
    whole
}

/// What came of something that is over; a failure with its causes, in words.
#[track_caller]
pub(crate) fn told<T: 'static>(answer: Deferred<T>) -> Result<T, String> {
    answer.now_or_never().expect("it is over").map_err(|failure| {
        let words: Vec<_> = failure.chain().map(ToString::to_string).collect();
        words.join(": ")
    })
}

/// Why something that is over failed.
#[track_caller]
pub(crate) fn error<T: Debug + 'static, E: Error + Clone + 'static>(answer: Deferred<T>) -> E {
    let failure = answer.now_or_never().expect("it is over").expect_err("it failed");
    failure.check::<E>().unwrap_or_else(|| panic!("{failure:?}")).clone()
}

/// A peer at this address of 192.0.2.0/24.
pub(crate) fn peer(host: u8) -> Address {
    SocketAddr::from(([192, 0, 2, host], 4711)).into()
}

/// As much time as a patience is, but for a millisecond.
pub(crate) fn just_before(patience: Duration) -> Duration {
    patience.saturating_sub(Duration::from_millis(1))
}

/// How a server deals with a client that says this and then nothing: when it gives up on it.
#[track_caller]
pub(crate) fn ends_after(factory: impl Factory, bytes: &[u8], patience: Duration) {
    let mut memory = server(factory);
    memory.push(bytes);
    memory.advance(just_before(patience));
    assert_eq!(memory.ended(), None, "too early");
    memory.advance(Duration::from_millis(1));
    assert!(memory.ended().is_some(), "too late");
}

/// How many clients at one place, and in all, a server takes.
#[track_caller]
pub(crate) fn is_limited(mut factory: impl Factory) {
    let mut seats = Vec::new();
    for host in 1..=100 {
        for count in 1..=101 {
            let built = factory.build(&peer(host)).map(seat);
            assert_eq!(built.is_some(), count <= 100, "{count} from host {host}");
            seats.extend(built);
        }
    }
    assert!(factory.build(&peer(200)).is_none(), "10,001 in all");
    drop(seats.pop());
    assert!(factory.build(&peer(200)).is_some(), "one has left");
}
