//! Proxies: those who pass requests on (RFC 9110 3.7).
//!
//! A [`ReverseProxy`] is a resource that answers for servers behind it; a [`ForwardProxy`] takes clients to
//! wherever they ask. These have nothing to do with the
//! PROXY protocol, by which proxies tell servers of their clients without HTTP, and are not the client of
//! a proxy, which is [`tunnel::Proxy`](crate::tunnel::Proxy).
//!
//! | RFC | here |
//! |---|---|
//! | 9110 3.7 gateways | [`ReverseProxy`] |
//! | 9110 3.7 proxies, 9.3.6 CONNECT | [`ForwardProxy`] |
//! | 9110 11.7 who may use a proxy | [`Guard::proxy`](crate::auth::Guard::proxy) |
//! | 9110 7.6.1 fields of one connection, 7.6.2 Max-Forwards | taken out, counted down |
//! | 9110 7.6.3 Via | [`ViaHop`] |
//! | 9110 7.8 changes of protocol | [`ReverseProxy::upgrades`] |
//! | 7239 Forwarded | [`ForwardedHop`], [`ClientFields`] |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | waits for a connection, an answer's head, more of a body | 5 s, 60 s, 30 s: [`upstream_options`] | 504 |
//! | connections to an upstream; in all; requests that wait for one | 256; 1,024; 1,024 | 503 |
//! | ports that tunnels lead to | 443: [`ForwardProxy::tunnel_ports`] | 403 |
//! | proxies that a request has gone through | [`VIA_HOPS_MAX`], 32 | 508 |
//! | hops in Forwarded | [`FORWARDED_HOPS_MAX`], 32 | it begins anew |
//! | what waits of a body, each way | 64 KiB | the sender has to wait |

mod error;
mod fields;
mod forward;
mod forwarded;
mod passage;
mod reverse;
mod target;
mod upstream;
mod via;

pub use error::ProxyError;
pub use fields::ClientFields;
pub use forward::ForwardProxy;
pub use forwarded::{BadForwarded, FORWARDED_HOPS_MAX, ForwardedHop, ForwardedNode};
pub use reverse::{ReverseProxy, upstream_options};
pub use upstream::{ActiveHealth, BadUpstream, Balance, PassiveHealth};
pub use via::{BadVia, VIA_HOPS_MAX, ViaHop};
