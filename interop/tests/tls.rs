//! TLS against the programs that people run, in either role.

#[path = "support/house.rs"]
mod base;
mod support;

#[path = "tls/curl.rs"]
mod curl;
#[path = "tls/gnutls.rs"]
mod gnutls;
#[path = "tls/haproxy.rs"]
mod haproxy;
#[path = "tls/house.rs"]
mod house;
#[path = "tls/openssl.rs"]
mod openssl;
#[path = "tls/openssl_server.rs"]
mod openssl_server;
#[path = "tls/papers.rs"]
mod papers;
#[path = "tls/python.rs"]
mod python;
#[path = "tls/twisted.rs"]
mod twisted;
