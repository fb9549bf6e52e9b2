//! An event-driven networking engine: one reactor, many protocols.
//!
//! ```no_run
//! use ropewalk::http::{Request, Site};
//!
//! let mut count = 0;
//! let site = Site::new(move |_: Request| {
//!     count += 1;
//!     format!("I am request #{count}\n")
//! });
//! ropewalk::serve("tcp:8080", site)?;
//! # Ok::<(), ropewalk::Failure>(())
//! ```
//!
//! The one crate to depend on. Each room is a module here; the first words of each page there say
//! what is in it.
//!
//! | room | holds |
//! |---|---|
//! | [`deferred`] | results that have not arrived yet |
//! | [`protocol`] | what a protocol and a transport agree on |
//! | [`reactor`] | the event loop |
//! | [`service`] | what a program starts, drains and stops: trees, servers, clients that stay connected, timers, programs |
//! | [`shards`] | more cores: a reactor in each of several threads, or processes that share their sockets |
//! | [`endpoint`] | `"tcp:8080"`, `"unix:/run/x"`: places to listen and connect, as strings |
//! | [`tls`] | TLS over any transport, identities by name |
//! | [`files`] | paths that nothing escapes, files read, written and replaced off the loop (on Unix) |
//! | [`framing`] | lines, netstrings, length prefixes; time-outs, throttles and limits for any protocol |
//! | [`forward`] | connections that lead on: joined, forwarded, or made through a proxy |
//! | [`auth`] | who is there: portals, realms and checkers of credentials; those who guess |
//! | [`http`] | HTTP/1.1: sites, resources, static files; requests, in one line or by an agent |
//! | [`cgi`] | CGI: programs as resources of a site |
//! | [`http2`] | HTTP/2 by itself: frames, HPACK, streams; sites speak it by way of `http` |
//! | [`tower`] | axum's routers and other services as resources, and sites as services |
//! | [`xmlrpc`] | XML-RPC: methods to be called, and calls |
//! | [`websocket`] | WebSocket: messages both ways, compressed, to one or to many |
//! | [`proxy`] | the PROXY protocol: who is behind the proxy in front |
//! | [`socks`] | SOCKS 4, 4a and 5: connections through a proxy, and the proxy |
//! | [`amp`] | AMP: typed calls in both directions over one connection |
//! | [`memcached`] | a client of memcached, pipelined and bounded |
//! | [`control`] | what operators have hold of: logs, and a socket |
//! | [`metrics`] | what the loops are at, for Prometheus and as a page |
//! | `adapters` | connections for code that pulls: the traits of tokio, futures and hyper; with the feature `adapters` |
//! | `config` | configuration files, read by the options of commands; with the feature `config` |
//! | `database` | pools of connections to databases; with the features `sqlite` and `postgres` |
//! | `foreign` | the reactor inside other loops, with the feature `foreign`; inside tokio's runtime, or beside it, with the feature `tokio` |
//! | [`small`] | Finger, Ident, and the family of RFC 862 to 868: echo, discard, chargen, daytime, time … |

#![forbid(unsafe_code)]

mod fetch;

/// HTTP/1.1: sites, and requests over a reactor with [`get`](http::get) and [`agent`](http::agent).
pub mod http {
    pub use crate::fetch::{AgentBuilder, NoAddressAllowed, agent, get};
    pub use ropewalk_http::*;
}

#[cfg(feature = "adapters")]
pub use ropewalk_adapters as adapters;
pub use ropewalk_amp as amp;
pub use ropewalk_auth as auth;
pub use ropewalk_cgi as cgi;
#[cfg(feature = "config")]
pub use ropewalk_config as config;
pub use ropewalk_control as control;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use ropewalk_database as database;
pub use ropewalk_deferred as deferred;
pub use ropewalk_endpoint as endpoint;
#[cfg(unix)]
pub use ropewalk_files as files;
#[cfg(feature = "foreign")]
pub use ropewalk_foreign as foreign;
pub use ropewalk_forward as forward;
pub use ropewalk_framing as framing;
pub use ropewalk_http2 as http2;
pub use ropewalk_memcached as memcached;
pub use ropewalk_metrics as metrics;
pub use ropewalk_protocol as protocol;
pub use ropewalk_proxy as proxy;
pub use ropewalk_reactor as reactor;
pub use ropewalk_service as service;
pub use ropewalk_shards as shards;
pub use ropewalk_small as small;
pub use ropewalk_socks as socks;
pub use ropewalk_tls as tls;
pub use ropewalk_tower as tower;
pub use ropewalk_websocket as websocket;
pub use ropewalk_xmlrpc as xmlrpc;

pub use ropewalk_deferred::{Deferred, Failure, Promise};
pub use ropewalk_protocol::{Conn, Factory, Protocol};
pub use ropewalk_reactor::Reactor;

/// Listens at the endpoint that `description` names, serves connections with what `factory` makes,
/// and returns after SIGINT or SIGTERM.
///
/// The reactor's driver is the one that `ROPEWALK_REACTOR` names, if it names one.
///
/// For programs that do just this. Others make a [`Reactor`] and
/// [listen](ropewalk_protocol::listen) as often as they like.
///
/// # Errors
///
/// If the string names no place to listen, the system refuses to listen there, or the environment
/// names a driver that there is not.
pub fn serve(description: &str, factory: impl Factory) -> Result<(), Failure> {
    let driver = ropewalk_reactor::DriverKind::from_environment()?.unwrap_or_default();
    let reactor = Reactor::with_driver(driver)?;
    let endpoint = ropewalk_endpoint::server_from_string(&reactor, description)?;
    reactor.run_until(ropewalk_protocol::listen(&*endpoint, factory))?;
    reactor.run()?;
    Ok(())
}
