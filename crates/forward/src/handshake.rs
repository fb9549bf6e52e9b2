//! What is agreed on before a protocol's own bytes.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{
    Above, Address, Below, ClientEndpoint, Conn, ConnCall, Disconnect, Layer, Layered, Protocol,
    Seat, connect,
};

/// How long a handshake may take, unless set, from the connection on.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A client's side of what comes before a protocol's own bytes: with a proxy, say.
///
/// It is fed what the other side says and appends what it answers; it knows no connection and no time.
/// [`connect_after`] and [`agree`] carry it out.
pub trait Handshake: 'static {
    /// Why nothing was agreed on.
    type Error: Error + From<Interrupted> + Send + Sync + 'static;

    /// Appends what this side says first.
    ///
    /// # Errors
    ///
    /// If this cannot be asked of anybody.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// Takes what the other side said off the front of `data`, and appends what this side says then.
    /// True once all is agreed; what is left of `data` is the protocol's.
    ///
    /// # Errors
    ///
    /// If the other side refuses, or says what it may not.
    fn feed(&mut self, data: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Self::Error>;

    /// Whom the protocol is to see as its peer, once all is agreed.
    fn peer(&self) -> Option<Address> {
        None
    }

    /// What a protocol is told that did not get its connection because of this.
    fn disconnect(error: &Self::Error) -> Disconnect;
}

/// Why a handshake came to no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// The other side ended its stream.
    Ended,
    /// It took too long.
    TimedOut,
    /// The connection on which it was to take place was lost, or never made.
    Lost(Disconnect),
}

impl Interrupted {
    /// What a protocol is told that did not get its connection because of this.
    pub fn disconnect(self) -> Disconnect {
        match self {
            Self::Ended => Disconnect::Reset,
            Self::TimedOut => Disconnect::TimedOut,
            Self::Lost(why) => why,
        }
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the other side ended its stream"),
            Self::TimedOut => f.write_str("the other side took too long"),
            Self::Lost(_) => f.write_str("the connection was lost or not made"),
        }
    }
}

impl Error for Interrupted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Lost(why) => Some(why),
            Self::Ended | Self::TimedOut => None,
        }
    }
}

/// Connects `protocol` to `endpoint` once `handshake` is done with the other side.
///
/// Where nothing comes of it, the deferred fails with the handshake's own error, and the protocol is
/// told the [`Disconnect`] that is nearest to it.
#[track_caller]
pub fn connect_after<H: Handshake, P: Protocol>(
    endpoint: &(impl ClientEndpoint + ?Sized),
    handshake: H,
    patience: Duration,
    protocol: P,
) -> Deferred<Conn<P>> {
    let failed = Rc::default();
    let shaken =
        Shaken { endpoint, start: RefCell::new(Some((handshake, Rc::clone(&failed)))), patience };
    connect(&shaken, protocol)
        .add_errback(move |failure| Err(failed.borrow_mut().take().map_or(failure, Failure::from)))
}

/// Puts `handshake` before all that `seat` says and hears, on a connection that is yet to be made.
///
/// What keeps it from an end is logged, and the protocol is told the nearest [`Disconnect`].
pub fn agree<H: Handshake>(handshake: H, patience: Duration, seat: Box<dyn Seat>) -> Box<dyn Seat> {
    Layered::seat(Agreeing::new(handshake, patience, None), seat)
}

type Slot<H> = Rc<RefCell<Option<<H as Handshake>::Error>>>;

/// An endpoint for one connection, whose handshake says here why it failed.
struct Shaken<'e, E: ?Sized, H: Handshake> {
    endpoint: &'e E,
    start: RefCell<Option<(H, Slot<H>)>>,
    patience: Duration,
}

impl<E: ClientEndpoint + ?Sized, H: Handshake> ClientEndpoint for Shaken<'_, E, H> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        if let Some((handshake, failed)) = self.start.take() {
            let layer = Agreeing::new(handshake, self.patience, Some(failed));
            self.endpoint.connect_seat(Layered::seat(layer, seat));
        }
    }
}

/// A connection on which a handshake comes first; afterwards it passes everything on.
pub struct Agreeing<H: Handshake> {
    /// Until it is done.
    handshake: Option<H>,
    patience: Duration,
    timer: Option<ConnCall>,
    failed: Option<Slot<H>>,
    error: Option<H::Error>,
}

impl<H: Handshake> Agreeing<H> {
    fn new(handshake: H, patience: Duration, failed: Option<Slot<H>>) -> Self {
        Self { handshake: Some(handshake), patience, timer: None, failed, error: None }
    }

    fn fail(&mut self, below: &Below<Self>, error: H::Error) {
        let why = H::disconnect(&error);
        self.error.get_or_insert(error);
        below.abort_with(why);
    }

    fn say(below: &Below<Self>, out: &[u8]) {
        if !out.is_empty() {
            below.write(out);
        }
    }
}

impl<H: Handshake> Layer for Agreeing<H> {
    fn connection_made(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        self.timer = above.call_later(self.patience, |layer, below, _| {
            layer.fail(below, Interrupted::TimedOut.into());
        });
        let Some(handshake) = &mut self.handshake else { return };
        let mut out = Vec::new();
        match handshake.begin(&mut out) {
            Ok(()) => Self::say(below, &out),
            Err(error) => self.fail(below, error),
        }
    }

    fn data_received(&mut self, below: &Below<Self>, above: &mut Above<Self>, mut data: &[u8]) {
        let Some(handshake) = &mut self.handshake else { return above.data_received(data) };
        let mut out = Vec::new();
        let is_done = handshake.feed(&mut data, &mut out);
        Self::say(below, &out);
        match is_done {
            Ok(false) => (),
            Ok(true) => {
                if let Some(peer) = handshake.peer() {
                    above.set_peer(peer);
                }
                self.handshake = None;
                if let Some(timer) = self.timer.take() {
                    below.cancel_call(timer);
                }
                above.made();
                if !data.is_empty() {
                    above.data_received(data);
                }
            }
            Err(error) => self.fail(below, error),
        }
    }

    fn eof_received(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        if self.handshake.is_none() {
            above.eof_received();
        } else {
            self.fail(below, Interrupted::Ended.into());
        }
    }

    fn connection_lost(&mut self, _: &Below<Self>, why: Disconnect) -> Disconnect {
        if self.handshake.is_none() {
            return why;
        }
        let error = self.error.take().unwrap_or_else(|| Interrupted::Lost(why).into());
        let told = H::disconnect(&error);
        match &self.failed {
            Some(failed) => *failed.borrow_mut() = Some(error),
            None => {
                let failure = Failure::from(error);
                let words: Vec<_> = failure.chain().map(ToString::to_string).collect();
                tracing::info!(target: "ropewalk::forward", "no connection: {}", words.join(": "));
            }
        }
        told
    }
}

impl<H: Handshake> fmt::Debug for Agreeing<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreeing").field("done", &self.handshake.is_none()).finish_non_exhaustive()
    }
}
