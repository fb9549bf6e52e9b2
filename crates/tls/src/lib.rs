//! TLS, as a transport over any transport.
//!
//! A [`Tls`] layer stands between what carries bytes and a protocol that need not know of it. A
//! [`TlsServer`] makes them for those who listen, a [`TlsClient`] for those who connect, and
//! [`start_tls`] puts one under a protocol that is at work already. Nothing here knows what a socket
//! is: what is below can be memory, a pipe, or TLS again.
//!
//! ```
//! use ropewalk_protocol::{Conn, Layered, Protocol, seat};
//! use ropewalk_tls::{Identities, Identity, Policy, TlsClient, TlsServer, Trust};
//! use ropewalk_trial::{Clock, Memory, Side, Wire};
//!
//! struct Ask;
//! impl Protocol for Ask {
//!     fn connection_made(&mut self, conn: &Conn<Self>) {
//!         conn.write(b"who is there?");
//!     }
//!     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
//!         assert_eq!(data, b"who is there?");
//!         assert_eq!(conn.tls().unwrap().protocol, "TLSv1.3");
//!         conn.close();
//!     }
//! }
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
//!         conn.write(data);
//!     }
//! }
//!
//! let identity = Identity::self_signed(["localhost"])?;
//! let identities = Identities::new(Policy::new())?;
//! identities.add(&identity)?;
//! let server = TlsServer::new(&identities);
//! let client = TlsClient::new(&Trust::pinned([identity.pin()]))?;
//!
//! let clock = Clock::new();
//! let ask = Layered::seat(client.layer("localhost")?, seat(Ask));
//! let echo = Layered::seat(server.layer(), seat(Echo));
//! let mut wire =
//!     Wire::of(&clock, Memory::take_seat(ask, &clock), Memory::take_seat(echo, &clock));
//! wire.run();
//! assert!(wire.ended(Side::Client).is_some());
//! # Ok::<(), ropewalk_tls::IdentityError>(())
//! ```
//!
//! | to | look at |
//! |---|---|
//! | say who a server is, by name | [`Identity`], [`Identities`] |
//! | keep it in files, which are followed | [`IdentityFiles`], [`Identities::watch`] |
//! | have the system tell of changes to them | [`Identities::watch_with`], [`FollowFiles`] |
//! | choose application protocols, and ask clients who they are | [`Policy`] |
//! | listen | [`TlsServer`] |
//! | resume sessions in other threads and processes | [`TicketKeys`] |
//! | say whom a client trusts | [`Trust`] |
//! | connect | [`TlsClient`] |
//! | encrypt in the middle of a protocol | [`start_tls`], [`start_tls_agreed`] |
//! | know what was agreed on | [`Conn::tls`](ropewalk_protocol::Conn::tls) |
//! | know what went wrong | [`TlsError`], [`Reason`], [`BadCertificate`] |
//!
//! | what is bounded | by | unless told otherwise |
//! |---|---|--:|
//! | how long a handshake takes | [`Limits::handshake_timeout`] | 10 s |
//! | how long a peer who is refused may take to hear of it | [`Limits::handshake_timeout`] | 10 s |
//! | what the peer sends for it | [`Limits::handshake_max`] | 64 KiB |
//! | what waits for the rest of a record | the longest record | 16 KiB |
//! | what is encrypted ahead of the transport | 80 KiB | |
//! | certificates between one and its root | 6 | |
//! | certificates of one's own chain | [`CHAIN_MAX`] | 10 |
//! | a file of certificates or keys | [`PEM_MAX`] | 1 MiB |
//! | a folder of them | [`FOLDER_FILES_MAX`], [`FOLDER_DEPTH_MAX`], [`FOLDER_BYTES_MAX`] | 10,000 files, 8 deep, 64 MiB |
//! | how often they are looked at | [`Identities::watch`] | [`RELOAD_EVERY`], or after a change |
//! | folders that are followed for changes | [`FOLLOWED_FOLDERS_MAX`] | 1,024 |
//! | sessions that a client keeps | [`SESSIONS_MAX`] | 256 |
//! | sessions that a server keeps, of clients of TLS 1.2 without tickets | 1,024 | |
//!
//! TLS 1.3 and 1.2, as [rustls] speaks them, on the cryptography of AWS-LC: the first key exchange
//! offered is X25519 with ML-KEM-768, which a future quantum computer does not undo. Of the ciphers that both
//! sides have, the server's first is taken. There is no
//! renegotiation, no compression, no 0-RTT. Servers give out session tickets whose keys change every
//! six hours ([`TICKETS_ROTATED_EVERY`]), or [when told to](Identities::rotate_tickets).
//!
//! When a peer says that it will send no more (`close_notify`), the protocol's `eof_received` comes;
//! a stream that just stops is no end but a loss. Closing says so to the peer. Each record is
//! decrypted in one buffer that all connections share, and lent to the protocol from there; what a
//! callback writes leaves in one record where it fits; an idle connection has no buffer of any kind.
//!
//! [rustls]: https://docs.rs/rustls

#![forbid(unsafe_code)]

mod client;
pub mod danger;
mod error;
mod files;
mod hello;
mod identities;
mod identity;
mod layer;
mod limits;
mod outgoing;
mod places;
mod policy;
mod refusal;
mod seal;
mod sealed;
mod self_signed;
mod server;
mod session;
mod tickets;
mod trust;
mod upgrade;
mod watch;
mod x509;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

pub use client::{SESSIONS_MAX, TlsClient, TlsClientEndpoint};
pub use error::{BadCertificate, IdentityError, Reason, TlsError};
pub use files::{FOLDER_BYTES_MAX, FOLDER_DEPTH_MAX, FOLDER_FILES_MAX, IdentityFiles};
pub use identities::{Identities, Source};
pub use identity::{CHAIN_MAX, Identity, PEM_MAX};
pub use layer::Tls;
pub use limits::{HANDSHAKE_MAX, HANDSHAKE_TIMEOUT, Limits};
pub use places::{FOLLOWED_FOLDERS_MAX, FollowFiles, Followed, FollowedFolder, Following};
pub use policy::Policy;
pub use self_signed::SELF_SIGNED_DAYS;
pub use server::{TlsFactory, TlsServer, TlsServerEndpoint};
pub use tickets::{TICKET_SECRET_MIN, TICKETS_ROTATED_EVERY, TicketKeys};
pub use trust::Trust;
pub use upgrade::{start_tls, start_tls_agreed};
pub use watch::{
    EXPIRY_TOLD_EVERY, EXPIRY_WARNED_DAYS, FOLLOWED_RELOAD_EVERY, RELOAD_EVERY, SETTLES_WITHIN,
    Watch,
};

/// The cryptography that everything here uses: no process-wide default is read or set.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(seal::with_outlets(rustls::crypto::aws_lc_rs::default_provider()))
    });
    Arc::clone(&PROVIDER)
}
