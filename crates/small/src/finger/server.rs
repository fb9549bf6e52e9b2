use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_framing::{BadLine, Ending, FrameConn, FrameProtocol, Framed, LineDecoder};
use ropewalk_protocol::{Address, ConnCall, Disconnect, Factory};

use super::{BadQuery, QUERY_MAX, Query};
use crate::say::guard;
use crate::text::lines;

/// How long a client may take over its one line.
pub const QUERY_PATIENCE: Duration = Duration::from_secs(30);

/// How long a directory may take over an answer.
pub const LOOK_UP_PATIENCE: Duration = Duration::from_mins(1);

/// What a finger server knows.
pub trait Directory: 'static {
    /// The answer to a query that is for this host, now or later. Why it fails is logged and not told
    /// to the client.
    fn look_up(&self, query: &Query) -> Deferred<String>;

    /// The answer of another host, to a query that is to be passed on; `None` refuses to do so.
    fn forward(&self, query: &Query) -> Option<Deferred<String>> {
        let _ = query;
        None
    }
}

/// A server for each connection, all answering from one `directory`.
pub fn serve<D: Directory>(directory: D) -> impl Factory {
    let directory = Rc::new(directory);
    guard(move |_: &Address| {
        let server = Server { directory: Rc::clone(&directory), state: State::New };
        Some(Framed::new(server, LineDecoder::new(Ending::Tolerant).line_max(QUERY_MAX)))
    })
}

/// The answering side of one connection.
struct Server<D> {
    directory: Rc<D>,
    state: State,
}

enum State {
    New,
    /// Waiting for the query, and how long.
    Reading(ConnCall),
    /// The query was read; what else comes is not looked at.
    Answering,
}

impl<D: Directory> Server<D> {
    /// Whether this is the first line; none is waited for any more.
    fn begin_answer(&mut self, conn: &FrameConn<Self>) -> bool {
        match std::mem::replace(&mut self.state, State::Answering) {
            State::Reading(patience) => conn.cancel_call(patience),
            State::New | State::Answering => false,
        }
    }

    fn answer(&self, conn: &FrameConn<Self>, query: &Query) {
        let found = if query.is_forwarded() {
            match self.directory.forward(query) {
                Some(found) => found,
                None => return say(conn, "Finger forwarding service denied"),
            }
        } else {
            self.directory.look_up(query)
        };
        let patience = conn.call_later(LOOK_UP_PATIENCE, |_, conn| {
            say(conn, "The answer took too long");
        });
        conn.then(found, move |_, conn, found: Result<String, Failure>| {
            conn.cancel_call(patience);
            match found {
                Ok(text) => say(conn, &text),
                Err(failure) => {
                    let peer = conn.peer();
                    tracing::warn!(target: "ropewalk::finger", %peer, "no answer: {failure:?}");
                    say(conn, "There is no answer");
                }
            }
        });
    }
}

impl<D: Directory> FrameProtocol for Server<D> {
    type Decoder = LineDecoder;

    fn connection_made(&mut self, conn: &FrameConn<Self>) {
        self.state = State::Reading(conn.call_later(QUERY_PATIENCE, |_, conn| {
            conn.abort_with(Disconnect::TimedOut);
        }));
    }

    fn frame_received(&mut self, conn: &FrameConn<Self>, line: &[u8]) {
        if self.begin_answer(conn) {
            match Query::decode(line) {
                Ok(query) => self.answer(conn, &query),
                Err(bad) => say(conn, &bad.to_string()),
            }
        }
    }

    fn frame_refused(&mut self, conn: &FrameConn<Self>, _: BadLine) {
        if self.begin_answer(conn) {
            say(conn, &BadQuery::Long.to_string());
        }
    }

    fn eof_received(&mut self, conn: &FrameConn<Self>) {
        // A client that has asked may say that this was all, and listen.
        if !matches!(self.state, State::Answering) {
            conn.close();
        }
    }
}

fn say<D: Directory>(conn: &FrameConn<Server<D>>, text: &str) {
    conn.write(&lines(text));
    conn.close();
}
