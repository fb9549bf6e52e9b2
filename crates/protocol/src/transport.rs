//! What carries a connection, as its [`Conn`](crate::Conn) sees it.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_deferred::Failure;

use crate::{
    Address, CannotConnect, Credentials, MulticastChange, MulticastError, MulticastSettings,
    Outbox, ProxyInfo,
};

/// The carrier of one or many connections, each known to it by a key.
///
/// Its methods are called while a protocol runs, so none of them may call a [`Seat`](crate::Seat).
pub trait Transport {
    /// The time, from the same start as that of all calls on these connections.
    fn now(&self) -> Duration;

    /// Asks for [`Event::Tick`](crate::Event) within this turn: something was written down from outside.
    fn wake(&self, key: usize);

    /// This end's address.
    fn local(&self, key: usize) -> Address;

    /// The other end's address.
    fn peer(&self, key: usize) -> Address;

    /// What was agreed on with the peer, if the connection is encrypted.
    fn tls(&self, key: usize) -> Option<TlsInfo> {
        let _ = key;
        None
    }

    /// What is known of the connection's end beyond its [`Disconnect`](crate::Disconnect), once it
    /// has come.
    fn cause(&self, key: usize) -> Option<Failure> {
        let _ = key;
        None
    }

    /// The process at the other end, if the system vouches for it: on a Unix socket.
    fn credentials(&self, key: usize) -> Option<Credentials> {
        let _ = key;
        None
    }

    /// What a trusted proxy in between said of the peer.
    fn proxy(&self, key: usize) -> Option<Rc<ProxyInfo>> {
        let _ = key;
        None
    }

    /// Whether descriptors go beside the bytes of this connection.
    fn passes_descriptors(&self, key: usize) -> bool {
        let _ = key;
        false
    }

    /// From now on, descriptors that come are told by [`Event::Descriptor`](crate::Event), just before
    /// the bytes that they came with: as many as `at_once` with one receive. Whoever's answer to
    /// [`passes_descriptors`](Self::passes_descriptors) is no is not asked.
    fn accept_descriptors(&self, key: usize, at_once: usize) {
        let _ = (key, at_once);
    }

    /// Why a connection was never made, while its seat is told so: every address that was tried.
    fn cannot_connect(&self, key: usize) -> Option<CannotConnect> {
        let _ = key;
        None
    }

    /// Carries out at once what a port for datagrams asks about groups.
    ///
    /// # Errors
    ///
    /// If this transport knows no groups, or cannot do it.
    fn change_multicast(&self, key: usize, change: &MulticastChange) -> Result<(), MulticastError> {
        let _ = (key, change);
        Err(MulticastError::Unsupported)
    }

    /// How a port for datagrams sends to groups.
    ///
    /// # Errors
    ///
    /// The same.
    fn multicast_settings(&self, key: usize) -> Result<MulticastSettings, MulticastError> {
        let _ = key;
        Err(MulticastError::Unsupported)
    }

    /// Counts something that happened on a connection, for whoever looks on: see
    /// [`Conn::count`](crate::Conn::count).
    fn count(&self, what: &'static str) {
        let _ = what;
    }

    /// An empty outbox, perhaps a used one.
    fn lend_outbox(&self) -> Box<Outbox> {
        Box::default()
    }

    /// The same bytes without a copy, where they are what [`Event::Data`](crate::Event) tells of at this
    /// moment and the carrier can do without its buffer for as long as the answer lives. Asked for
    /// [much](Outbox::SHARED_MIN) that is written.
    fn share(&self, bytes: &[u8]) -> Option<Bytes> {
        let _ = bytes;
        None
    }

    /// Takes a used outbox back, to lend it again.
    fn take_back_outbox(&self, outbox: Box<Outbox>) {
        drop(outbox);
    }
}

/// What two ends of an encrypted connection agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The protocol's name and version, such as `TLSv1.3`.
    pub protocol: String,
    /// The cipher suite's standard name.
    pub cipher: String,
    /// The key exchange group's standard name.
    pub group: Option<String>,
    /// The application protocol that was chosen (ALPN, RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// The server name that the client asked for (SNI, RFC 6066).
    pub server_name: Option<String>,
    /// The peer's certificates in DER form, its own first.
    pub peer_chain: Vec<Vec<u8>>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}
