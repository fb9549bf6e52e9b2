//! What must hold for any bytes, one target a codec.
//!
//! A target is a plain function that panics where something does not hold. `tests/corpus.rs` tries each
//! on the files in `corpus/<target>/`, which are protocol bytes as they are; `cargo xtask fuzz` has
//! libFuzzer make up others, beginning with these. A file that made a target fail stays in the corpus.
//!
//! To add one: a module here, a line in [`TARGETS`], a folder in `corpus/`.

#![forbid(unsafe_code)]

mod amp;
mod authorization;
mod cgi;
mod content_range;
mod cut;
mod events;
mod finger;
mod framing;
mod hpack;
mod htpasswd;
mod http2;
mod http2_agent;
mod http_answer;
mod http_hops;
mod http_request;
mod ident;
mod memcached;
mod multipart;
mod postgres;
mod preferences;
mod proxy;
mod socks;
mod tls;
mod xmlrpc;

/// Something that must hold for any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called, on the command line and in `corpus/`.
    pub name: &'static str,
    /// Panics if it does not hold for these.
    pub check: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "amp", check: amp::check },
    Target { name: "authorization", check: authorization::check },
    Target { name: "cgi", check: cgi::check },
    Target { name: "content_range", check: content_range::check },
    Target { name: "events", check: events::check },
    Target { name: "finger", check: finger::check },
    Target { name: "framing", check: framing::check },
    Target { name: "hpack", check: hpack::check },
    Target { name: "htpasswd", check: htpasswd::check },
    Target { name: "http2", check: http2::check },
    Target { name: "http2_agent", check: http2_agent::check },
    Target { name: "http_answer", check: http_answer::check },
    Target { name: "http_hops", check: http_hops::check },
    Target { name: "http_request", check: http_request::check },
    Target { name: "ident", check: ident::check },
    Target { name: "memcached", check: memcached::check },
    Target { name: "multipart", check: multipart::check },
    Target { name: "postgres", check: postgres::check },
    Target { name: "preferences", check: preferences::check },
    Target { name: "proxy", check: proxy::check },
    Target { name: "socks", check: socks::check },
    Target { name: "tls", check: tls::check },
    Target { name: "xmlrpc", check: xmlrpc::check },
];

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}
