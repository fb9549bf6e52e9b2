//! The protocol: both sides are the same.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::{Address, Conn, Descriptor, Disconnect, Factory, Goodbye, Protocol};

use crate::codec::{BadBox, Decoder, Fields, Limits};
use crate::command::{TLS_ERROR, UNHANDLED, UNKNOWN, key};
use crate::link::{Ending, Link};
use crate::responders::{Given, Responders};
use crate::value::DescriptorsIn;
use crate::{CallError, Peer, RemoteError};

/// How much of the name of a command that nobody knows is sent back.
const NAME_SHOWN_MAX: usize = 255;

/// A server for each connection, all responding with the same `responders`.
pub fn serve(responders: Responders) -> impl Factory<Protocol = Amp> {
    move |_: &Address| Some(Amp::new(responders.clone()))
}

/// One side of an AMP connection. Whoever made the connection, both may call.
pub struct Amp {
    decoder: Decoder,
    shell: Shell,
}

type Greet = Box<dyn FnOnce(&Peer)>;

/// All but the decoder, from which boxes are borrowed while they are looked at.
struct Shell {
    link: Rc<Link>,
    responders: Responders,
    limits: Limits,
    /// Calls of the peer that wait for an answer.
    requests: usize,
    /// The connection is to end once nothing is under way.
    is_leaving: bool,
    /// What came beside the boxes.
    descriptors: Rc<DescriptorsIn>,
    when_made: Option<Greet>,
    when_lost: Option<Box<dyn FnOnce(Disconnect)>>,
}

impl Amp {
    /// One side of one connection.
    pub fn new(responders: Responders) -> Self {
        let limits = Limits::default();
        let shell = Shell {
            link: Rc::new(Link::new(limits.clone())),
            responders,
            limits,
            requests: 0,
            is_leaving: false,
            descriptors: Rc::default(),
            when_made: None,
            when_lost: None,
        };
        Self { decoder: Decoder::default(), shell }
    }

    /// The same with other limits.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.shell.link.set_limits(limits.clone());
        self.shell.limits = limits;
        self
    }

    /// Has calls fail with [`CallError::TimedOut`] that are not answered so long after they are made, or
    /// after the connection is, unless they [say themselves](Peer::call_within). Without this they wait
    /// as long as the connection lasts, as Twisted's do: answers may be what a call waits for.
    pub fn with_patience(self, patience: Duration) -> Self {
        self.shell.link.set_patience(patience);
        self
    }

    /// Does this when the connection is made: the place for the first call.
    pub fn when_made(mut self, greet: impl FnOnce(&Peer) + 'static) -> Self {
        self.shell.when_made = Some(Box::new(greet));
        self
    }

    /// Does this when the connection is over, or was never made.
    pub fn when_lost(mut self, mourn: impl FnOnce(Disconnect) + 'static) -> Self {
        self.shell.when_lost = Some(Box::new(mourn));
        self
    }

    /// The other side, to call it by.
    pub fn peer(&self) -> Peer {
        Peer::new(Rc::clone(&self.shell.link))
    }

    pub(crate) fn link(&self) -> &Link {
        &self.shell.link
    }
}

impl Protocol for Amp {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        if self.shell.limits.descriptors_max > 0 {
            // Where none can be passed, none will come.
            let _ = conn.accept_descriptors(self.shell.limits.descriptors_max);
        }
        self.shell.link.open(conn);
        if let Some(greet) = self.shell.when_made.take() {
            greet(&self.peer());
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        let Self { decoder, shell } = self;
        while !conn.is_closing() {
            let step = match decoder.feed(&mut data, &shell.limits) {
                Ok(None) => return shell.leave_if_through(conn),
                Ok(Some(fields)) => shell.take_box(conn, fields, data),
                Err(bad) => Err(bad),
            };
            match step {
                Ok(Next::Box) => (),
                Ok(Next::Protocol) => return,
                Err(bad) => return shell.refuse_peer(conn, bad),
            }
        }
    }

    fn descriptor_received(&mut self, _: &Conn<Self>, descriptor: Descriptor) {
        self.shell.descriptors.add(descriptor, self.shell.limits.descriptors_max);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.shell.link.end(match why {
            Disconnect::Switched => CallError::Switched,
            why => CallError::Lost(why),
        });
        if let Some(mourn) = self.shell.when_lost.take() {
            mourn(why);
        }
    }
}

/// Whom the bytes behind a box belong to.
enum Next {
    Box,
    Protocol,
}

/// Closes once no call of either side is under way; AMP has no word for it.
impl Goodbye for Amp {
    fn goodbye(&mut self, conn: &Conn<Self>) {
        self.shell.is_leaving = true;
        self.shell.leave_if_through(conn);
    }
}

impl Shell {
    fn leave_if_through(&self, conn: &Conn<Amp>) {
        if self.is_leaving && self.requests == 0 && !self.link.has_calls() {
            conn.close();
        }
    }

    /// Acts on one box; `rest` is what came behind it.
    fn take_box(
        &mut self,
        conn: &Conn<Amp>,
        fields: Fields<'_>,
        rest: &[u8],
    ) -> Result<Next, BadBox> {
        let descriptors = Rc::clone(&self.descriptors);
        let fields = fields.beside(Some(&descriptors));
        if let Some(tag) = fields.value(key::ANSWER) {
            return match self.link.settle(tag, Ending::Answer(fields))? {
                Some(handover) => {
                    handover(conn, rest);
                    Ok(Next::Protocol)
                }
                None => Ok(Next::Box),
            };
        }
        if let Some(tag) = fields.value(key::ERROR) {
            let text = |key| fields.value(key).map(String::from_utf8_lossy);
            let code = text(key::ERROR_CODE).ok_or(BadBox::BareError)?;
            let description = text(key::ERROR_DESCRIPTION).ok_or(BadBox::BareError)?;
            let ending = Ending::Error { code: &code, description: &description };
            self.link.settle(tag, ending)?;
            return Ok(Next::Box);
        }
        let name = fields.value(key::COMMAND).ok_or(BadBox::NoMeaning)?;
        Ok(self.take_request(conn, name, fields, rest))
    }

    fn take_request(
        &mut self,
        conn: &Conn<Amp>,
        name: &[u8],
        fields: Fields<'_>,
        rest: &[u8],
    ) -> Next {
        let tag = fields.value(key::ASK);
        let Some(responder) = self.responders.find(name) else {
            let name = name[..name.len().min(NAME_SHOWN_MAX)].escape_ascii();
            let description = format!("Unhandled Command: {name}");
            self.send_error(conn, tag, &RemoteError::new(UNHANDLED, description));
            return Next::Box;
        };
        if self.requests >= self.limits.requests_max {
            let error = RemoteError::new(UNKNOWN, "too many calls under way").fatal();
            self.send_error(conn, tag, &error);
            return Next::Box;
        }
        if responder.is_tls {
            if self.link.is_encrypting() || tag.is_none() {
                // Both sides wait for the other's answer; or nobody would know when to begin.
                tracing::warn!(
                    target: "ropewalk::amp",
                    peer = %conn.peer(),
                    "closing: a call for TLS that cannot be answered",
                );
                conn.close();
                return Next::Box;
            }
            if !self.link.take_tls() {
                let error = RemoteError::new(TLS_ERROR, "the connection is encrypted already");
                self.send_error(conn, tag, &error);
                return Next::Box;
            }
        }
        let given = responder.respond(fields, &Peer::new(Rc::clone(&self.link)));
        let (refuse, is_tls) = (responder.refuse, responder.is_tls);
        let refuse = move |link: &Link, failure: &Failure| {
            if is_tls {
                link.refuse_tls();
            }
            refuse(failure)
        };
        match given.try_take() {
            Ok(result) => {
                let result = result.map_err(|failure| refuse(&self.link, &failure));
                self.finish(conn, tag, result, rest)
            }
            Err(waiting) => {
                self.requests += 1;
                let tag = tag.map(<[u8]>::to_vec);
                conn.then(waiting, move |this, conn, result| {
                    let Amp { decoder, shell } = this;
                    shell.requests -= 1;
                    let result = result.map_err(|failure| refuse(&shell.link, &failure));
                    // Were it a switch, the beginning of a box would be none.
                    let is_switch = result.as_ref().is_ok_and(|given| given.handover.is_some());
                    let rest = if is_switch { decoder.take_rest() } else { Vec::new() };
                    shell.finish(conn, tag.as_deref(), result, &rest);
                    shell.leave_if_through(conn);
                });
                Next::Box
            }
        }
    }

    /// Sends what came of a request.
    fn finish(
        &mut self,
        conn: &Conn<Amp>,
        tag: Option<&[u8]>,
        result: Result<Given, RemoteError>,
        rest: &[u8],
    ) -> Next {
        let Given { answer, handover } = match result {
            Ok(given) => given,
            Err(error) => {
                self.send_error(conn, tag, &error);
                return Next::Box;
            }
        };
        if let Some(tag) = tag {
            let sent = self.link.reply(|writer| {
                writer.raw(key::ANSWER, tag);
                answer.put(writer);
            });
            if let Err(bad) = sent {
                let failure = Failure::new(bad);
                tracing::error!(target: "ropewalk::amp", "an answer cannot be sent: {failure:?}");
                let error = RemoteError::new(UNKNOWN, "Unknown Error").fatal();
                self.send_error(conn, Some(tag), &error);
                return Next::Box;
            }
        }
        match handover {
            Some(handover) => {
                handover(conn, rest);
                Next::Protocol
            }
            None => Next::Box,
        }
    }

    /// Tells a caller why there is no answer. One who asked for none is told by the connection's end.
    fn send_error(&self, conn: &Conn<Amp>, tag: Option<&[u8]>, error: &RemoteError) {
        if let Some(tag) = tag {
            let sent = self.link.reply(|writer| {
                writer.raw(key::ERROR, tag);
                writer.raw(key::ERROR_CODE, error.code.as_bytes());
                writer.raw(key::ERROR_DESCRIPTION, error.description.as_bytes());
            });
            if sent.is_err() {
                tracing::error!(target: "ropewalk::amp", "an error is too long to be sent");
                conn.close();
            }
        } else {
            tracing::warn!(
                target: "ropewalk::amp",
                "a call that wants no answer failed, and the connection with it: {error}",
            );
        }
        if tag.is_none() || error.is_fatal {
            conn.close();
        }
    }

    /// Ends the connection with a peer that does not keep to the protocol.
    fn refuse_peer(&self, conn: &Conn<Amp>, bad: BadBox) {
        tracing::warn!(target: "ropewalk::amp", peer = %conn.peer(), "closing: {bad}");
        self.link.doom(CallError::BadBox(bad));
        conn.close();
    }
}

impl Drop for Amp {
    fn drop(&mut self) {
        // Whoever was never connected has no `connection_lost` either.
        self.shell.link.end(CallError::Lost(Disconnect::Stopped));
    }
}

impl fmt::Debug for Amp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amp").field("responders", &self.shell.responders).finish_non_exhaustive()
    }
}
