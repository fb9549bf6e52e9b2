//! TLS against those who speak it otherwise: OpenSSL, `GnuTLS`, curl, Python and Twisted, both ways round.

mod support;

#[path = "tls/authority.rs"]
mod authority;
#[path = "support/house.rs"]
mod base;
#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/servers.rs"]
mod servers;
#[path = "tls/talker.rs"]
mod talker;
