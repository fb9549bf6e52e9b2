//! Echo: what is said is said back (RFC 862).

use std::time::Duration;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Promise};
use ropewalk_protocol::{Address, ClientEndpoint, Conn, Disconnect, Factory, Protocol};

use crate::AskError;
use crate::ask::{PATIENCE, converse};
use crate::say::guard;

/// A server that says back what it hears, until its peer has said all.
///
/// It stops reading from a peer that does not take its own words back.
pub fn serve() -> impl Factory {
    guard(|_: &Address| Some(Echo))
}

/// Has the server at `endpoint` say back `words`; the deferred gives how long that took from when the
/// connection was made.
///
/// It fails with an [`AskError`], with [`Garbled`](AskError::Garbled) if other words come back.
#[track_caller]
pub fn ask(
    endpoint: &(impl ClientEndpoint + ?Sized),
    words: impl Into<Bytes>,
) -> Deferred<Duration> {
    let words = words.into();
    converse(endpoint, |asker| Client {
        words,
        heard: 0,
        began_at: Duration::ZERO,
        asker: Some(asker),
    })
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }

    fn writing_paused(&mut self, conn: &Conn<Self>) {
        conn.pause_reading();
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        conn.resume_reading();
    }
}

struct Client {
    words: Bytes,
    /// How many of them came back.
    heard: usize,
    began_at: Duration,
    asker: Option<Promise<Duration>>,
}

impl Client {
    fn tell(&mut self, result: Result<Duration, AskError>) {
        if let Some(asker) = self.asker.take() {
            asker.fire(result);
        }
    }

    fn give_up(&mut self, conn: &Conn<Self>, error: AskError) {
        self.tell(Err(error));
        conn.abort();
    }

    fn settle_if_whole(&mut self, conn: &Conn<Self>) {
        if self.heard == self.words.len() {
            let took = conn.now().saturating_sub(self.began_at);
            self.tell(Ok(took));
            conn.close();
        }
    }
}

impl Protocol for Client {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.began_at = conn.now();
        conn.write_bytes(self.words.clone());
        conn.call_later(PATIENCE, |this, conn| this.give_up(conn, AskError::Late));
        self.settle_if_whole(conn);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let expected = &self.words[self.heard..];
        let same = data.iter().zip(expected).take_while(|(one, other)| one == other).count();
        // What comes beyond the whole of it is not looked at, for it could as well come later.
        if same < data.len().min(expected.len()) {
            return self.give_up(conn, AskError::Garbled { at: self.heard + same });
        }
        self.heard += same;
        self.settle_if_whole(conn);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        let short = AskError::Short { came: self.heard, wanted: self.words.len() };
        self.tell(Err(if why == Disconnect::Closed { short } else { AskError::Lost(why) }));
    }
}
