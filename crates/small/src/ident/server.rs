use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_framing::{Ending, FrameConn, FrameProtocol, Framed, LineDecoder};
use ropewalk_protocol::{Address, Factory};

use super::codec::port_zero;
use super::{BadQuery, LINE_MAX, Owner, Query, Refusal, Reply};
use crate::say::guard;

/// How long owners may take to find one.
pub const LOOK_UP_PATIENCE: Duration = Duration::from_secs(30);

/// The connection that a client asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its ports.
    pub query: Query,
    /// This host's address, as the client sees it; `None` where the client is not on an Internet.
    pub near: Option<IpAddr>,
    /// The client's address: nobody is told about connections of others.
    pub far: Option<IpAddr>,
}

/// Who knows whose a connection is.
pub trait Owners: 'static {
    /// Whose it is, or why that is not told; now or later. A deferred that fails is
    /// [`Refusal::Unknown`] to the client, and logged.
    fn look_up(&self, asked: &Asked) -> Deferred<Result<Owner, Refusal>>;
}

/// A server for each connection, all answering from the same `owners`. A client may ask several times
/// over one connection, and gets its answers in that order.
pub fn serve<O: Owners>(owners: O) -> impl Factory {
    let owners = Rc::new(owners);
    guard(move |_: &Address| {
        let decoder = LineDecoder::new(Ending::Tolerant).line_max(LINE_MAX);
        let owners = Rc::clone(&owners);
        Some(Framed::new(Server { owners, is_looking_up: false, is_finishing: false }, decoder))
    })
}

struct Server<O> {
    owners: Rc<O>,
    is_looking_up: bool,
    /// The client has asked all that it wanted to ask.
    is_finishing: bool,
}

impl<O: Owners> Server<O> {
    /// Takes the next query, if this is the time for it.
    fn go_on(&mut self, conn: &FrameConn<Self>) {
        if self.is_looking_up || conn.is_writing_paused() {
            conn.pause_reading();
        } else if self.is_finishing {
            conn.close();
        } else {
            conn.resume_reading();
        }
    }
}

impl<O: Owners> FrameProtocol for Server<O> {
    type Decoder = LineDecoder;

    fn frame_received(&mut self, conn: &FrameConn<Self>, line: &[u8]) {
        let query = match Query::decode(line) {
            Ok(query) => query,
            Err(BadQuery::Port) => {
                let owner = Err(Refusal::InvalidPort);
                return conn.write(&Reply { ports: port_zero(line), owner }.encode());
            }
            // Nothing can be answered to what names no ports.
            Err(BadQuery::Form) => return conn.close(),
        };
        let address = |address: Address| address.ip().map(|address| address.ip().to_canonical());
        let asked = Asked { query, near: address(conn.local()), far: address(conn.peer()) };
        self.is_looking_up = true;
        self.go_on(conn);
        let found = self.owners.look_up(&asked);
        let canceller = found.canceller();
        let patience = conn.call_later(LOOK_UP_PATIENCE, move |_, _| canceller.cancel());
        conn.then(found, move |this, conn, found: Result<_, Failure>| {
            conn.cancel_call(patience);
            let owner = found.unwrap_or_else(|failure| {
                tracing::warn!(target: "ropewalk::ident", %query, "no owner found: {failure:?}");
                Err(Refusal::Unknown)
            });
            conn.write(&Reply { ports: (query.near(), query.far()), owner }.encode());
            this.is_looking_up = false;
            this.go_on(conn);
        });
    }

    fn eof_received(&mut self, conn: &FrameConn<Self>) {
        self.is_finishing = true;
        self.go_on(conn);
    }

    fn writing_paused(&mut self, conn: &FrameConn<Self>) {
        self.go_on(conn);
    }

    fn writing_resumed(&mut self, conn: &FrameConn<Self>) {
        self.go_on(conn);
    }
}
