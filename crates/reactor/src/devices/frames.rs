//! Ethernet frames as they are on the wire.

use std::fmt;

use ropewalk_protocol::{Address, DatagramEndpoint, DatagramSeat, Disconnect};

use super::CannotOpen;
use crate::sys::os;
use crate::{ListeningPort, Reactor};

/// Every kind of frame there is (`ETH_P_ALL`).
const ALL: u16 = 3;
/// The longest frame that is taken, unless set, in bytes.
const LENGTH_DEFAULT: usize = 65_535;

/// Which Ethernet frames are received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameOptions {
    kind: u16,
    length: usize,
}

impl Default for FrameOptions {
    fn default() -> Self {
        Self { kind: ALL, length: LENGTH_DEFAULT }
    }
}

impl FrameOptions {
    /// Only frames with this `EtherType`, such as 0x88cc; all unless set.
    pub fn ethertype(self, kind: u16) -> Self {
        Self { kind, ..self }
    }

    /// The longest frame that is taken, in bytes; of longer ones the protocol is told the beginning.
    pub fn max_length(self, length: usize) -> Self {
        Self { length: length.min(LENGTH_DEFAULT), ..self }
    }
}

impl Reactor {
    /// Exchanges whole Ethernet frames, headers included, over an interface: what comes in there, and not what
    /// others send out there.
    ///
    /// Frames are written without an address, as they hold their own; those that come are from
    /// [`Address::Device`]. All else is as with [`listen_udp`](Self::listen_udp).
    ///
    /// # Errors
    ///
    /// If there is no such interface, or this process may not; [`CannotOpen::advice`] says what it takes. The
    /// protocol is told so as well.
    pub fn open_frames(
        &self,
        interface: &str,
        options: &FrameOptions,
        seat: Box<dyn DatagramSeat>,
    ) -> Result<ListeningPort, CannotOpen> {
        let address = Address::Device(interface.to_owned());
        match os::open_frames(interface, options.kind) {
            Ok(socket) => {
                let peer = Some(address.clone());
                Ok(self.open_port(socket.into(), address, peer, options.length, None, seat))
            }
            Err(errno) => {
                let error = errno.into();
                self.refuse_port(seat, Disconnect::from(&error));
                Err(CannotOpen { device: interface.to_owned(), error })
            }
        }
    }
}

/// An interface's Ethernet frames, as a place for datagrams.
#[derive(Clone)]
pub struct FrameEndpoint {
    reactor: Reactor,
    interface: String,
    options: FrameOptions,
}

impl FrameEndpoint {
    /// The frames of an interface, such as `eth0`.
    pub fn new(reactor: &Reactor, interface: impl Into<String>, options: FrameOptions) -> Self {
        Self { reactor: reactor.clone(), interface: interface.into(), options }
    }
}

impl DatagramEndpoint for FrameEndpoint {
    /// A peer is not asked for: frames say where they go.
    fn open_seat(&self, _: Option<&Address>, seat: Box<dyn DatagramSeat>) {
        if let Err(error) = self.reactor.open_frames(&self.interface, &self.options, seat) {
            // The seat is told of the failure too.
            tracing::error!(target: "ropewalk::reactor", "{error:#}");
        }
    }
}

impl fmt::Debug for FrameEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameEndpoint").field("interface", &self.interface).finish_non_exhaustive()
    }
}
