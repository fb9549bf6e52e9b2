//! Calling the other side.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, deferred};
use ropewalk_protocol::{ClientEndpoint, Conn, Protocol, TlsInfo};
use ropewalk_tls::{Tls, start_tls_agreed};

use crate::amp::Amp;
use crate::command::{START_TLS, UNHANDLED, UNKNOWN};
use crate::link::{Ending, Link, Manner};
use crate::responders::Handover;
use crate::{CallError, Command, DeclaredError, Record, RemoteError, Responders};

/// Connects to `endpoint`, responds there with `responders`, and gives the other side to call.
#[track_caller]
pub fn connect(
    endpoint: &(impl ClientEndpoint + ?Sized),
    responders: Responders,
) -> Deferred<Peer> {
    let amp = Amp::new(responders);
    let peer = amp.peer();
    ropewalk_protocol::connect(endpoint, amp).map(move |_| peer)
}

/// The other side of a connection: a handle to call it by, good to clone and keep.
///
/// Calls that are made before the connection is are held until then. Any number of calls may be under
/// way, and answers come in any order. A call that has no answer fails with an error that its command
/// declares, or with a [`CallError`]:
///
/// ```
/// # use ropewalk_amp::{CallError, DeclaredError, Peer, command, errors};
/// # command! { Divide { numerator: i64, denominator: i64 } -> Quotient { result: f64 } or DivideError; }
/// # errors! { DivideError { ZeroDivision = "ZERO_DIVISION" } }
/// fn divide(peer: &Peer) {
///     peer.call(&Divide { numerator: 1, denominator: 0 }).on_result(|result| match result {
///         Ok(quotient) => println!("{}", quotient.result),
///         Err(failure) => match (failure.check(), failure.check()) {
///             (Some(DivideError::ZeroDivision(why)), _) => println!("no result: {why}"),
///             (_, Some(CallError::TimedOut)) => println!("too slow"),
///             _ => println!("{failure}"),
///         },
///     });
/// }
/// ```
#[derive(Clone)]
pub struct Peer {
    link: Rc<Link>,
}

impl Peer {
    pub(crate) fn new(link: Rc<Link>) -> Self {
        Self { link }
    }

    /// Calls a command; the deferred brings its answer.
    ///
    /// Cancelling it lets go of the answer, not of the work: the peer is not told. How long it waits is
    /// said by [`Amp::with_patience`], or by [`call_within`](Self::call_within).
    #[track_caller]
    pub fn call<C: Command>(&self, command: &C) -> Deferred<C::Answer> {
        const { assert!(!C::IS_SWITCH, "this command is called with `call_and_switch`") };
        self.ask(command, Manner::Ask, self.link.patience(), |_| None)
    }

    /// Calls a command whose answer is of no use after `limit`, from now or from when the connection
    /// is made.
    #[track_caller]
    pub fn call_within<C: Command>(&self, limit: Duration, command: &C) -> Deferred<C::Answer> {
        const { assert!(!C::IS_SWITCH, "this command is called with `call_and_switch`") };
        self.ask(command, Manner::Ask, Some(limit), |_| None)
    }

    /// Calls a command without wanting an answer, whether it has one or not.
    ///
    /// A responder that fails closes the connection: there is nobody else to tell.
    ///
    /// # Errors
    ///
    /// If it cannot be sent.
    pub fn tell<C: Command>(&self, command: &C) -> Result<(), CallError> {
        const { assert!(!C::IS_SWITCH, "this command is called with `call_and_switch`") };
        self.link.request(C::NAME, Manner::Tell, command).map(|_| ())
    }

    /// Calls a command after which the connection belongs to what `next` makes of the answer.
    ///
    /// Nothing is sent until the answer is there, and other calls fail with [`CallError::Switched`]
    /// at once; those under way fail so when the answer comes. If the peer answers with an error, the
    /// connection goes on as if nothing had been. To cancel this one closes the connection, since the
    /// peer may have handed it on already.
    #[track_caller]
    pub fn call_and_switch<C: Command, N: Protocol>(
        &self,
        command: &C,
        next: impl FnOnce(&C::Answer) -> N + 'static,
    ) -> Deferred<C::Answer> {
        const { assert!(C::IS_SWITCH, "this command is called with `call`") };
        self.ask(command, Manner::AskToSwitch, self.link.patience(), move |answer| {
            let next = next(answer);
            Some(Box::new(|conn, rest| {
                conn.switch_protocol(next, rest);
            }))
        })
    }

    /// Has the connection encrypted from here on; the deferred tells what was agreed on.
    ///
    /// Whoever connected is TLS's client, whichever side asks: `tls` is a
    /// [`TlsClient`](ropewalk_tls::TlsClient)'s layer there, and a
    /// [`TlsServer`](ropewalk_tls::TlsServer)'s at the side that listened. Calls that are made from
    /// now on, and answers that are given, wait and go out encrypted. A connection is encrypted once:
    /// the second time this fails with [`CallError::OnlyOneTls`].
    ///
    /// A peer who refuses, or with whom nothing can be agreed on, loses the connection, and so does
    /// one whose bytes come ahead of the handshake; nothing that waited is ever sent in the clear. To
    /// cancel this closes the connection too.
    #[track_caller]
    pub fn start_tls(&self, tls: Tls) -> Deferred<TlsInfo> {
        let tag = match self.link.request(START_TLS, Manner::AskToEncrypt, &()) {
            Ok(tag) => tag,
            Err(error) => return Deferred::fail(error),
        };
        let (promise, agreed) = deferred();
        let link = Rc::downgrade(&self.link);
        promise.on_cancel(move || {
            if let Some(link) = link.upgrade() {
                link.give_up_tls(tag);
            }
        });
        let link = Rc::downgrade(&self.link);
        let finish = Box::new(move |ending: Ending<'_>| {
            match ending {
                Ending::Answer(_) => {
                    let handover: Handover = Box::new(move |conn, rest| {
                        start_tls_agreed(conn, tls, rest)
                            .on_result(move |result| promise.fire(result));
                        if let Some(link) = link.upgrade() {
                            link.encrypted();
                        }
                    });
                    return Some(handover);
                }
                Ending::Error { code, description } => {
                    promise.fail(undeclared(code, description));
                }
                Ending::Failed(error) => promise.fail(error),
            }
            None
        });
        self.link.wait(tag, None, Manner::AskToEncrypt, finish);
        agreed
    }

    /// The connection, to close it or to ask whose it is; `None` before it is made and once it is over.
    pub fn conn(&self) -> Option<Conn<Amp>> {
        self.link.conn()
    }

    #[track_caller]
    fn ask<C: Command>(
        &self,
        command: &C,
        manner: Manner,
        limit: Option<Duration>,
        handover: impl FnOnce(&C::Answer) -> Option<Handover> + 'static,
    ) -> Deferred<C::Answer> {
        const { assert!(C::IS_ANSWERED, "this command has no answer: it is told, not called") };
        let tag = match self.link.request(C::NAME, manner, command) {
            Ok(tag) => tag,
            Err(error) => return Deferred::fail(error),
        };
        let (promise, answer) = deferred();
        let link = Rc::downgrade(&self.link);
        promise.on_cancel(move || {
            if let Some(link) = link.upgrade() {
                link.forget(tag);
            }
        });
        let finish = Box::new(move |ending: Ending<'_>| match ending {
            Ending::Answer(fields) => match C::Answer::take(fields) {
                Ok(answer) => {
                    let handover = handover(&answer);
                    promise.succeed(answer);
                    handover
                }
                Err(bad) => {
                    promise.fail(CallError::BadAnswer(bad));
                    None
                }
            },
            Ending::Error { code, description } => {
                match C::Error::from_wire(code, description) {
                    Some(error) => promise.fail(error),
                    None => promise.fail(undeclared(code, description)),
                }
                None
            }
            Ending::Failed(error) => {
                promise.fail(error);
                None
            }
        });
        self.link.wait(tag, limit, manner, finish);
        answer
    }
}

fn undeclared(code: &str, description: &str) -> CallError {
    match code {
        UNHANDLED => CallError::Unhandled { description: description.to_owned() },
        UNKNOWN => CallError::Unknown { description: description.to_owned() },
        _ => CallError::Undeclared(RemoteError::new(code, description)),
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("conn", &self.conn()).finish_non_exhaustive()
    }
}
