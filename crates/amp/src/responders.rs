//! What is done when the peer calls.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ropewalk_deferred::{Deferred, Failure, Outcome, Panicked};
use ropewalk_protocol::{Conn, Protocol};
use ropewalk_tls::{Tls, start_tls};

use crate::amp::Amp;
use crate::codec::{BoxWriter, Fields};
use crate::command::{START_TLS, UNKNOWN};
use crate::{Command, DeclaredError, NoErrors, Peer, Record, RemoteError};

/// A closure for each command that is responded to.
///
/// It is given the arguments and gives the answer: the answer itself, a `Result`, or a
/// [`Deferred`] for one that takes its time. Fails it with an error that the command declares (or
/// with one that was caused by such an error), the caller gets just that; a [`RemoteError`] is sent as
/// it is; anything else is logged, the caller is told no more than that it happened, and the
/// connection is closed.
///
/// A clone has the same closures: hand one to each connection of a server, and what they capture is
/// shared by all.
///
/// ```
/// use ropewalk_amp::{Responders, command, errors};
///
/// command! {
///     pub Divide { by: f64, number: f64 } -> Quotient { result: f64 } or DivideError;
///     pub Count {} -> Counted { count: u64 };
/// }
/// errors! {
///     pub DivideError { ZeroDivision = "ZERO_DIVISION" }
/// }
///
/// let mut count = 0;
/// let responders = Responders::new()
///     .on(|divide: Divide| match divide.by {
///         0.0 => Err(DivideError::ZeroDivision("division by zero".to_owned())),
///         by => Ok(Quotient { result: divide.number / by }),
///     })
///     .on(move |_: Count| {
///         count += 1;
///         Counted { count }
///     });
/// ```
#[derive(Clone, Default)]
pub struct Responders {
    table: Rc<HashMap<&'static [u8], Rc<Responder>>>,
}

/// One closure, its types forgotten.
pub(crate) struct Responder {
    respond: RefCell<Box<Respond>>,
    /// What a failure of it looks like to the caller.
    pub(crate) refuse: fn(&Failure) -> RemoteError,
    /// Whether it has the connection encrypted.
    pub(crate) is_tls: bool,
}

type Respond = dyn FnMut(Fields<'_>, &Peer) -> Deferred<Given>;

/// What a responder gave.
pub(crate) struct Given {
    pub(crate) answer: Box<dyn Put>,
    /// How the connection is handed on, if it is.
    pub(crate) handover: Option<Handover>,
}

/// Hands the connection to another protocol, with bytes that are its.
pub(crate) type Handover = Box<dyn FnOnce(&Conn<Amp>, &[u8])>;

/// A [`Record`] of which no more is known.
pub(crate) trait Put {
    fn put(&self, writer: &mut BoxWriter<'_>);
}

impl<R: Record> Put for R {
    fn put(&self, writer: &mut BoxWriter<'_>) {
        Record::put(self, writer);
    }
}

impl Responders {
    /// No closure for anything: the peer is told that each command is unhandled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Responds to `C` with what `respond` gives. It takes the place of an earlier one for `C`.
    pub fn on<C, R>(self, mut respond: impl FnMut(C) -> R + 'static) -> Self
    where
        C: Command,
        R: Outcome<Value = C::Answer>,
    {
        self.on_with_peer(move |command, _| respond(command))
    }

    /// The same for a responder that wants to know who calls, perhaps to call back.
    pub fn on_with_peer<C, R>(self, mut respond: impl FnMut(C, &Peer) -> R + 'static) -> Self
    where
        C: Command,
        R: Outcome<Value = C::Answer>,
    {
        const { assert!(!C::IS_SWITCH, "this command is responded to with `on_switch`") };
        self.add::<C>(move |fields, peer| match C::take(fields) {
            Ok(command) => respond(command, peer)
                .into_deferred()
                .map(|answer| Given { answer: Box::new(answer), handover: None }),
            Err(bad) => Deferred::fail(bad),
        })
    }

    /// Responds to `C` with an answer and the protocol that the connection belongs to after it.
    ///
    /// Bytes that came behind the call are the new protocol's.
    pub fn on_switch<C, N, R>(self, mut respond: impl FnMut(C) -> R + 'static) -> Self
    where
        C: Command,
        N: Protocol,
        R: Outcome<Value = (C::Answer, N)>,
    {
        const { assert!(C::IS_SWITCH, "this command is responded to with `on`") };
        self.add::<C>(move |fields, _| match C::take(fields) {
            Ok(command) => respond(command).into_deferred().map(|(answer, next)| {
                let handover: Handover = Box::new(|conn, rest| {
                    conn.switch_protocol(next, rest);
                });
                Given { answer: Box::new(answer), handover: Some(handover) }
            }),
            Err(bad) => Deferred::fail(bad),
        })
    }

    /// Lets the peer have the connection encrypted, with the layer that `respond` gives for it.
    ///
    /// Whoever connected is TLS's client, whichever side asks: see
    /// [`Peer::start_tls`](crate::Peer::start_tls). Without this the peer is told that the command is
    /// unhandled. Bytes that came behind the peer's request, ahead of the handshake, end the
    /// connection.
    pub fn on_start_tls<R>(mut self, mut respond: impl FnMut(&Peer) -> R + 'static) -> Self
    where
        R: Outcome<Value = Tls>,
    {
        let respond = move |_: Fields<'_>, peer: &Peer| {
            respond(peer).into_deferred().map(|tls| {
                let handover: Handover = Box::new(|conn, rest| {
                    // The layer tells the log what went wrong, and the connection is over then.
                    start_tls(conn, tls, rest).on_result(drop);
                });
                Given { answer: Box::new(()), handover: Some(handover) }
            })
        };
        let responder = Responder {
            respond: RefCell::new(Box::new(respond)),
            refuse: refuse::<NoErrors>,
            is_tls: true,
        };
        Rc::make_mut(&mut self.table).insert(START_TLS.as_bytes(), Rc::new(responder));
        self
    }

    fn add<C: Command>(
        mut self,
        respond: impl FnMut(Fields<'_>, &Peer) -> Deferred<Given> + 'static,
    ) -> Self {
        let responder = Responder {
            respond: RefCell::new(Box::new(respond)),
            refuse: refuse::<C::Error>,
            is_tls: false,
        };
        Rc::make_mut(&mut self.table).insert(C::NAME.as_bytes(), Rc::new(responder));
        self
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<Rc<Responder>> {
        self.table.get(name).cloned()
    }
}

impl Responder {
    /// Calls the closure; a panic in it is a failure.
    pub(crate) fn respond(&self, fields: Fields<'_>, peer: &Peer) -> Deferred<Given> {
        let Ok(mut respond) = self.respond.try_borrow_mut() else {
            return Deferred::fail(RespondsAlready);
        };
        catch_unwind(AssertUnwindSafe(|| respond(fields, peer)))
            .unwrap_or_else(|payload| Deferred::fail(Panicked::from_payload(&*payload)))
    }
}

/// What the caller is told of a failure.
fn refuse<E: DeclaredError>(failure: &Failure) -> RemoteError {
    if let Some(error) = failure.check::<E>() {
        return RemoteError {
            code: error.code().to_owned(),
            description: error.message().to_owned(),
            is_fatal: error.is_fatal(),
        };
    }
    if let Some(error) = failure.check::<RemoteError>() {
        return error.clone();
    }
    tracing::error!(target: "ropewalk::amp", "a responder failed unexpectedly: {failure:?}");
    // What went wrong inside is nobody's business outside.
    RemoteError::new(UNKNOWN, "Unknown Error").fatal()
}

/// A responder was called by something that it did itself.
#[derive(Debug)]
struct RespondsAlready;

impl fmt::Display for RespondsAlready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the responder is at work already, further up the stack")
    }
}

impl std::error::Error for RespondsAlready {}

impl fmt::Debug for Responders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.table.keys().map(|name| name.escape_ascii().to_string());
        f.debug_set().entries(names).finish()
    }
}
