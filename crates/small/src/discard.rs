//! Discard: what is said is forgotten (RFC 863).

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Promise};
use ropewalk_protocol::{Address, ClientEndpoint, Conn, Disconnect, Factory, Protocol};

use crate::AskError;
use crate::ask::{PATIENCE, converse};
use crate::say::guard;

/// A server that forgets what it hears, until its peer has said all.
pub fn serve() -> impl Factory {
    guard(|_: &Address| Some(Discard))
}

/// Says `words` to the server at `endpoint`; the deferred tells when they are handed over.
///
/// It fails with an [`AskError`].
#[track_caller]
pub fn send(endpoint: &(impl ClientEndpoint + ?Sized), words: impl Into<Bytes>) -> Deferred<()> {
    let words = words.into();
    converse(endpoint, |asker| Client { words, asker: Some(asker) })
}

struct Discard;

impl Protocol for Discard {
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
}

struct Client {
    words: Bytes,
    asker: Option<Promise<()>>,
}

impl Client {
    fn tell(&mut self, result: Result<(), AskError>) {
        if let Some(asker) = self.asker.take() {
            asker.fire(result);
        }
    }
}

impl Protocol for Client {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write_bytes(self.words.clone());
        // The server closes when it has heard the end: then all of it arrived.
        conn.close_write();
        conn.call_later(PATIENCE, |this, conn| {
            this.tell(Err(AskError::Late));
            conn.abort();
        });
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.tell(if why == Disconnect::Closed { Ok(()) } else { Err(AskError::Lost(why)) });
    }
}
