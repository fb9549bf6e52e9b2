//! The family of RFC 862 to 868 over datagrams: each that comes is answered with one.
//!
//! A server is a [`DatagramProtocol`], opened with [`open_datagrams`](ropewalk_protocol::open_datagrams).
//! [`ask`] is the client of all of them.
//!
//! An answer is longer than its question may be, and goes to whoever the question claims to come from. So
//! these are for networks whose senders can be believed; no answer is longer than [`DATAGRAM_MAX`], but an
//! echo's, which is as long as what it answers. Two such services would answer each other for ever, so who
//! asks from a port below [`SERVICE_PORTS`], where they live, gets no answer.
//!
//! ```
//! use std::time::SystemTime;
//!
//! use ropewalk_deferred::Deferred;
//! use ropewalk_protocol::{Address, DatagramEndpoint};
//! use ropewalk_small::{datagrams, time::Stamp};
//!
//! fn what_time(port: &dyn DatagramEndpoint, server: &Address) -> Deferred<Stamp> {
//!     datagrams::ask(port, server, "").add_callback(|bytes| Stamp::decode(&bytes))
//! }
//! ```

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{
    Address, DatagramEndpoint, DatagramPort, DatagramProtocol, Disconnect, connect_datagrams,
};

use crate::time::Stamp;
use crate::{AskError, chargen, daytime, qotd};

/// The longest answer of a server that does not say back what it hears, in bytes: what RFC 864 and 865 allow.
pub const DATAGRAM_MAX: usize = 512;
/// Ports below this one are those of services, which get no answers.
pub const SERVICE_PORTS: u16 = 1024;
/// How long a client waits before it asks again, for a datagram may be lost.
pub const RETRY: Duration = Duration::from_secs(2);
/// How often a client asks before it gives up, [`RETRY`] after the last time.
pub const ATTEMPTS: u32 = 3;

/// A server of one of these services.
pub struct Service(Box<Answers>);

/// What is answered to a datagram, if anything is.
type Answers = dyn FnMut(&[u8]) -> Option<Vec<u8>>;

impl Service {
    fn new(answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + 'static) -> Self {
        Self(Box::new(answer))
    }

    fn saying(mut words: impl FnMut() -> Vec<u8> + 'static) -> Self {
        Self::new(move |_| Some(words()))
    }
}

/// Says back what it hears (RFC 862).
pub fn echo() -> Service {
    Service::new(|data| Some(data.to_vec()))
}

/// Says nothing (RFC 863).
pub fn discard() -> Service {
    Service::new(|_| None)
}

/// Says so many lines of characters, from one to six, each time others (RFC 864).
pub fn chargen() -> Service {
    let mut count = 0;
    Service::saying(move || {
        let mut out = Vec::new();
        chargen::encode(count, 1 + count % 6, &mut out);
        count = (count + 1) % (6 * 95);
        out
    })
}

/// Says what `quote` gives, cut where it is longer than [`DATAGRAM_MAX`] (RFC 865).
pub fn qotd(quote: impl Fn() -> String + 'static) -> Service {
    Service::saying(move || qotd::encode(&quote()))
}

/// Says the names that `users` gives, one a line, as many as [`DATAGRAM_MAX`] has room for (RFC 866).
pub fn users(users: impl Fn() -> Vec<String> + 'static) -> Service {
    Service::saying(move || {
        let mut wire = Vec::new();
        for user in users() {
            let line = crate::users::line(&user);
            if wire.len() + line.len() > DATAGRAM_MAX {
                break;
            }
            wire.extend_from_slice(&line);
        }
        wire
    })
}

/// Says the time that `now` gives, for people, in UTC (RFC 867).
pub fn daytime(now: impl Fn() -> SystemTime + 'static) -> Service {
    Service::saying(move || daytime::line(now()).into_bytes())
}

/// Says the time that `now` gives, for machines (RFC 868).
pub fn time(now: impl Fn() -> SystemTime + 'static) -> Service {
    Service::saying(move || Stamp::of(now()).encode().to_vec())
}

impl DatagramProtocol for Service {
    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        if from.ip().is_some_and(|from| from.port() < SERVICE_PORTS) {
            tracing::debug!(target: "ropewalk::small", %from, "not answered: a port of services");
            return;
        }
        if let Some(answer) = (self.0)(data) {
            // Nobody waits for an answer that there is no room for.
            let _ = port.send_to(&answer, from);
        }
    }
}

/// Asks the server at `server` from a port of `endpoint`, again if nothing comes, and gives the datagram
/// that comes back.
///
/// The deferred fails with an [`AskError`]: with [`Late`](AskError::Late) after [`ATTEMPTS`] without an
/// answer, as from a server that has none to give.
#[track_caller]
pub fn ask(
    endpoint: &(impl DatagramEndpoint + ?Sized),
    server: &Address,
    words: impl Into<Bytes>,
) -> Deferred<Vec<u8>> {
    let (promise, answer) = deferred();
    let asking = Asking { words: words.into(), asked: 0, asker: Some(promise) };
    // Where no port is opened, the protocol hears of it as of every other end.
    connect_datagrams(endpoint, server, asking).on_result(drop);
    answer
}

struct Asking {
    words: Bytes,
    /// How often.
    asked: u32,
    asker: Option<Promise<Vec<u8>>>,
}

impl Asking {
    fn tell(&mut self, port: &DatagramPort<Self>, result: Result<Vec<u8>, AskError>) {
        if let Some(asker) = self.asker.take() {
            asker.fire(result);
        }
        port.abort();
    }

    fn ask(&mut self, port: &DatagramPort<Self>) {
        let is_wanted = self.asker.as_ref().is_some_and(|asker| !asker.is_cancelled());
        if !is_wanted || self.asked == ATTEMPTS {
            return self.tell(port, Err(AskError::Late));
        }
        self.asked += 1;
        // One that cannot be sent is as good as lost.
        let _ = port.send(&self.words);
        port.call_later(RETRY, Self::ask);
    }
}

impl DatagramProtocol for Asking {
    fn started(&mut self, port: &DatagramPort<Self>) {
        self.ask(port);
    }

    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], _: &Address) {
        self.tell(port, Ok(data.to_vec()));
    }

    fn connection_refused(&mut self, port: &DatagramPort<Self>) {
        self.tell(port, Err(AskError::Lost(Disconnect::Refused)));
    }

    fn stopped(&mut self, port: &DatagramPort<Self>, why: Disconnect) {
        self.tell(port, Err(AskError::Lost(why)));
    }
}
