//! What carries a connection, as its [`Conn`](crate::Conn) sees it.

use std::time::Duration;

use ropewalk_deferred::Failure;

use crate::{Address, Outbox};

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

    /// An empty outbox, perhaps a used one.
    fn lend_outbox(&self) -> Box<Outbox> {
        Box::default()
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
