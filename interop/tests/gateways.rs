//! Our HTTP proxies between the servers and the clients that people run, and the attacks on framing that
//! proxies have fallen for.

#![allow(clippy::disallowed_methods, reason = "outside programs keep the time of the world")]

#[path = "gateways/clients.rs"]
mod clients;
#[path = "support/house.rs"]
mod house;
#[path = "gateways/origins.rs"]
mod origins;
#[path = "gateways/smuggling.rs"]
mod smuggling;
mod support;

use std::net::SocketAddr;

use house::House;
use ropewalk::http::proxy::{ReverseProxy, upstream_options};
use ropewalk::http::{self, Limits, Site};

/// A reverse proxy in front of `upstream`.
fn in_front_of(upstream: SocketAddr) -> House {
    House::start("tcp:0:interface=127.0.0.1", move |reactor| {
        let agent = http::agent(reactor).options(upstream_options()).build();
        let proxy = ReverseProxy::to(&agent, &format!("http://{upstream}")).expect("a URL");
        Site::new(proxy).limits(Limits { body_max: None, ..Limits::default() })
    })
}
