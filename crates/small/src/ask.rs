//! What the clients have in common.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{ClientEndpoint, Conn, Disconnect, Protocol, connect};

use crate::AskError;

/// The longest answer that a client keeps, in bytes.
pub const ANSWER_MAX: usize = 64 * 1024;

/// How long a client waits for the whole of an answer once it is connected.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Connects a client that settles a promise; cancelling what it promises ends the connection, or the
/// attempt to make one.
#[track_caller]
pub(crate) fn converse<P: Protocol, T>(
    endpoint: &(impl ClientEndpoint + ?Sized),
    client: impl FnOnce(Promise<T>) -> P,
) -> Deferred<T> {
    let (promise, answer) = deferred();
    let conn = Rc::new(OnceCell::<Conn<P>>::new());
    let attempt = Rc::new(OnceCell::new());
    promise.on_cancel({
        let (conn, attempt) = (Rc::clone(&conn), Rc::clone(&attempt));
        move || match conn.get() {
            Some(conn) => conn.abort(),
            None => {
                attempt.get().inspect(|attempt: &&ropewalk_deferred::Canceller| attempt.cancel());
            }
        }
    });
    // Where no connection is made, the client hears of it as of every other end.
    let canceller = connect(endpoint, client(promise)).on_result(move |made| {
        let _ = made.map(|made| conn.set(made));
    });
    let _ = attempt.set(canceller);
    answer
}

/// Asks, and gives all that comes up to the end of the connection.
#[track_caller]
pub(crate) fn ask(
    endpoint: &(impl ClientEndpoint + ?Sized),
    question: Vec<u8>,
    answer_max: usize,
) -> Deferred<Vec<u8>> {
    converse(endpoint, |asker| Gather::new(question, answer_max, Until::End, asker))
}

/// Gives the first `wanted` bytes that come, and lets go of the rest.
#[track_caller]
pub(crate) fn ask_for(
    endpoint: &(impl ClientEndpoint + ?Sized),
    wanted: usize,
) -> Deferred<Vec<u8>> {
    converse(endpoint, |asker| Gather::new(Vec::new(), wanted, Until::Max, asker))
}

/// When an answer is whole.
#[derive(PartialEq, Eq)]
enum Until {
    /// When the server closes.
    End,
    /// When it is as long as it may be.
    Max,
}

/// A client that collects an answer.
struct Gather {
    question: Vec<u8>,
    answer: Vec<u8>,
    answer_max: usize,
    until: Until,
    /// Empty once the asker has been told.
    asker: Option<Promise<Vec<u8>>>,
}

impl Gather {
    fn new(question: Vec<u8>, answer_max: usize, until: Until, asker: Promise<Vec<u8>>) -> Self {
        Self { question, answer: Vec::new(), answer_max, until, asker: Some(asker) }
    }

    fn tell(&mut self, result: Result<Vec<u8>, AskError>) {
        if let Some(asker) = self.asker.take() {
            asker.fire(result);
        }
    }

    fn give_up(&mut self, conn: &Conn<Self>, error: AskError) {
        self.tell(Err(error));
        conn.abort();
    }

    fn settle_if_full(&mut self, conn: &Conn<Self>) {
        if self.until == Until::Max && self.answer.len() == self.answer_max {
            let answer = std::mem::take(&mut self.answer);
            self.tell(Ok(answer));
            // More is on its way that nobody wants.
            conn.abort();
        }
    }
}

impl Protocol for Gather {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&self.question);
        conn.call_later(PATIENCE, |this, conn| this.give_up(conn, AskError::Late));
        self.settle_if_full(conn);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let room = self.answer_max - self.answer.len();
        if data.len() > room && self.until == Until::End {
            return self.give_up(conn, AskError::Long { max: self.answer_max });
        }
        self.answer.extend_from_slice(&data[..data.len().min(room)]);
        self.settle_if_full(conn);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        let answer = std::mem::take(&mut self.answer);
        self.tell(match (why, &self.until) {
            (Disconnect::Closed, Until::End) => Ok(answer),
            (Disconnect::Closed, Until::Max) => {
                Err(AskError::Short { came: answer.len(), wanted: self.answer_max })
            }
            _ => Err(AskError::Lost(why)),
        });
    }
}
