//! Another protocol in place of an answer: on the connection that was asked on, or on a stream of it.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use http::header::{HeaderMap, UPGRADE};
use http::{Response, StatusCode};
use ropewalk_deferred::{Failure, Panicked};
use ropewalk_forward::{Relay, RelayOptions, relay};
use ropewalk_protocol::{Conn, Protocol, Seat, seat, seat_and_tell};

use super::AgentError;
use super::agent::Answer;
use super::connection::Connection;
use super::pool::Lease;

/// What came of a request for another protocol, as [`RequestBuilder::upgrade`](crate::RequestBuilder::upgrade)
/// sends it.
#[derive(Debug)]
pub enum Upgrade<P: Protocol> {
    /// The server speaks it: this is its connection, or its stream of one.
    Made(Conn<P>),
    /// The server does not, and this is what it answered instead.
    Refused(Box<Answer>),
}

/// A change of protocols that is asked for.
pub(crate) struct Switch {
    /// Absent where it is somebody else's: then it is asked for in HTTP/1.1 alone.
    wanted: Option<Wanted>,
    agree: Cell<Option<Agree>>,
    /// What is to be seated on the other connection, where two become one.
    near: Rc<Cell<Option<Relay>>>,
}

/// What is to be spoken.
#[derive(Clone)]
pub(super) enum Wanted {
    /// A protocol by its name, at the request's URL.
    Protocol(Rc<str>),
    /// Whatever this host and port speak, to which a proxy connects.
    Tunnel(Rc<str>),
}

/// Looks at the answer of a server that agrees: who comes next.
type Agree = Box<dyn FnOnce(&Response<()>) -> Result<HandOver, Failure>>;

/// Hands on what was agreed on.
pub(super) type HandOver = Box<dyn FnOnce(Onto<'_>)>;

/// What there is to be had.
pub(super) enum Onto<'a> {
    /// A connection, what came on it, and what is to last as long.
    Connection(&'a Conn<Connection>, &'a [u8], Option<Lease>),
    /// A stream, which wants a seat to carry.
    Stream(&'a mut Option<Box<dyn Seat>>),
}

impl Switch {
    /// Two connections that become one, as soon as the server agrees.
    pub(crate) fn relay(options: RelayOptions) -> Self {
        let near = Rc::<Cell<_>>::default();
        let place = Rc::clone(&near);
        let agree = move |_: &Response<()>| -> Result<HandOver, Failure> {
            let (near, far, over) = relay(options);
            place.set(Some(near));
            Ok(Box::new(move |onto| match onto {
                Onto::Connection(conn, rest, lease) => {
                    // It counts as one of the agent's for as long as it lives.
                    over.on_result(move |_| drop(lease));
                    conn.switch_protocol(far, rest);
                }
                Onto::Stream(place) => {
                    over.on_result(drop);
                    *place = Some(seat(far));
                }
            }))
        };
        Self { wanted: None, agree: Cell::new(Some(Box::new(agree))), near }
    }

    /// What is to be seated on the other connection, once the server has agreed.
    pub(crate) fn take_near(&self) -> Option<Relay> {
        self.near.take()
    }

    /// A protocol that `make` makes, and where its connection will be told of.
    pub(super) fn to<P: Protocol, E: Into<Failure>>(
        wanted: Wanted,
        make: impl FnOnce(&Response<()>) -> Result<P, E> + 'static,
    ) -> (Self, Rc<Cell<Option<Conn<P>>>>) {
        let made = Rc::<Cell<_>>::default();
        let (told, asked) = (Rc::clone(&made), wanted.clone());
        let agree = move |response: &Response<()>| -> Result<HandOver, Failure> {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS
                && !asked.is_named_by(response.headers())
            {
                return Err(AgentError::Upgraded.into());
            }
            let next = make(response).map_err(Into::into)?;
            Ok(Box::new(move |onto| match onto {
                Onto::Connection(conn, rest, lease) => {
                    let conn = conn.switch_protocol(next, rest);
                    conn.keep(lease);
                    told.set(Some(conn));
                }
                Onto::Stream(place) => {
                    let (seat, conn) = seat_and_tell(next);
                    conn.on_result(move |conn| told.set(conn.ok()));
                    *place = Some(seat);
                }
            }))
        };
        let switch = Self {
            wanted: Some(wanted),
            agree: Cell::new(Some(Box::new(agree))),
            near: Rc::default(),
        };
        (switch, made)
    }

    pub(super) fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    /// Whether a server has to have said that it takes this on a stream (RFC 8441 3).
    pub(super) fn needs_word(&self) -> bool {
        matches!(self.wanted, Some(Wanted::Protocol(_)))
    }

    /// The server has agreed, and this is its answer: who comes next. Once.
    pub(super) fn agree(&self, response: &Response<()>) -> Option<Result<HandOver, Failure>> {
        let agree = self.agree.take()?;
        // Whoever asks is not to bring down a connection that others share.
        let agreed = catch_unwind(AssertUnwindSafe(|| agree(response)));
        Some(agreed.unwrap_or_else(|payload| Err(Panicked::from_payload(&*payload).into())))
    }
}

impl Wanted {
    /// Whether an answer of HTTP/1.1 changes to this (RFC 9110 7.8).
    fn is_named_by(&self, headers: &HeaderMap) -> bool {
        let Self::Protocol(name) = self else { return false };
        let mut lines = headers.get_all(UPGRADE).iter();
        lines.any(|line| line.as_bytes().trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").finish_non_exhaustive()
    }
}
