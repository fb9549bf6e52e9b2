//! The HTTP client against the servers that people run and one that is broken, through the proxies that
//! they run; and our server with their clients.

#![allow(clippy::disallowed_methods, reason = "outside programs keep the time of the world")]

#[path = "fetch/clients.rs"]
mod clients;
#[path = "fetch/http2.rs"]
mod http2;
#[path = "fetch/proxies.rs"]
mod proxies;
#[path = "fetch/servers.rs"]
mod servers;
mod support;

use bytes::Bytes;
use ropewalk::http::Answer;
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::Incoming;
use ropewalk_reactor::Reactor;

/// A status and a whole body.
type Page = (u16, Bytes);

/// Runs `reactor` until the whole answer is there.
fn page(reactor: &Reactor, answer: Deferred<Answer>) -> Result<Page, Failure> {
    reactor.run_until(answer.add_callback(|answer| {
        let (parts, body): (_, Incoming) = answer.into_response().into_parts();
        body.collect(32 << 20).map(move |body| (parts.status.as_u16(), body))
    }))
}
