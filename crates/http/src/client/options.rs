use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::{CookieJar, Credentials};
use crate::Limits;

/// How long a client waits; `None` is for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPatience {
    /// From the request to the end of the last answer's body, redirects included; 5 minutes. For
    /// downloads without a bound, set it to `None`.
    pub total: Option<Duration>,
    /// For a place among the connections that there may be; 30 seconds.
    pub slot: Option<Duration>,
    /// Until a connection is there, encryption included; 30 seconds.
    pub connect: Option<Duration>,
    /// From the end of a request to the end of its answer's head; 60 seconds.
    pub head: Option<Duration>,
    /// For the next bytes of a body, either way, while somebody wants them; 30 seconds.
    pub idle: Option<Duration>,
    /// For `100 Continue`, before a body is sent without it; 1 second.
    pub proceed: Duration,
    /// For a server to end a stream, too, once the protocol on it
    /// ([`RequestBuilder::upgrade`](crate::RequestBuilder::upgrade)) has; 5 seconds.
    pub goodbye: Duration,
    /// How long a connection is kept that nobody uses; 15 seconds.
    pub keep: Duration,
}

impl Default for ClientPatience {
    fn default() -> Self {
        Self {
            total: Some(Duration::from_mins(5)),
            slot: Some(Duration::from_secs(30)),
            connect: Some(Duration::from_secs(30)),
            head: Some(Duration::from_mins(1)),
            idle: Some(Duration::from_secs(30)),
            proceed: Duration::from_secs(1),
            goodbye: Duration::from_secs(5),
            keep: Duration::from_secs(15),
        }
    }
}

/// How many connections there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolBounds {
    /// Connections to one origin; 8.
    pub per_origin_max: usize,
    /// Connections in all; 256.
    pub open_max: usize,
    /// Connections that are kept unused; 64.
    pub idle_max: usize,
    /// Requests that wait for a connection; 1,024.
    pub waiting_max: usize,
}

impl Default for PoolBounds {
    fn default() -> Self {
        Self { per_origin_max: 8, open_max: 256, idle_max: 64, waiting_max: 1024 }
    }
}

/// How HTTP/2 is spoken (RFC 9113): many requests on one connection to an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Options {
    /// Whether whoever dials offers it to `https` origins, beside HTTP/1.1 (ALPN); yes. It is spoken
    /// wherever TLS has chosen it.
    pub is_offered: bool,
    /// Whether `http` origins are known to speak it, so that nothing is asked (RFC 9113 3.3); no.
    pub has_prior_knowledge: bool,
    /// Requests at a time on one connection, where the server takes so many; 100. More of them wait,
    /// as [`PoolBounds::waiting_max`] allows.
    pub streams_max: usize,
    /// How long a server may be silent, while something is asked of it, before it is pinged; 20
    /// seconds, `None` is for ever.
    pub silence: Option<Duration>,
    /// How long it may take to answer the ping, before the connection is given up; 10 seconds.
    pub pong: Duration,
    /// What a server may ask of this end. The connection's window has room for as many unread bodies
    /// as there are requests at a time, so that none of them holds up another.
    pub limits: ropewalk_http2::Limits,
}

impl Default for Http2Options {
    fn default() -> Self {
        let mut limits = ropewalk_http2::Limits::default();
        limits.connection_window = 100 * limits.window;
        Self {
            is_offered: true,
            has_prior_knowledge: false,
            streams_max: 100,
            silence: Some(Duration::from_secs(20)),
            pong: Duration::from_secs(10),
            limits,
        }
    }
}

/// Which redirects are followed (RFC 9110 15.4).
#[derive(Clone)]
pub struct Redirects {
    /// How many for one request; 10. With none, the redirect itself is the answer.
    pub max: usize,
    /// Whether one may lead from `https` to `http`; no.
    pub downgrade: bool,
    /// Asked about each URL before it is gone to; all are allowed.
    pub allow: Rc<dyn Fn(&str) -> bool>,
}

impl Redirects {
    /// Follows none: the redirect itself is the answer.
    pub fn none() -> Self {
        Self { max: 0, ..Self::default() }
    }
}

impl Default for Redirects {
    fn default() -> Self {
        Self { max: 10, downgrade: false, allow: Rc::new(|_| true) }
    }
}

impl fmt::Debug for Redirects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redirects")
            .field("max", &self.max)
            .field("downgrade", &self.downgrade)
            .finish_non_exhaustive()
    }
}

/// How an [`Agent`](crate::Agent) goes about it.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long it waits.
    pub patience: ClientPatience,
    /// How many connections it has.
    pub pool: PoolBounds,
    /// How much it reads; the status line counts as a request line does. Bodies have no bound here:
    /// they are streams, and who collects one says how much.
    pub limits: Limits,
    /// How it speaks HTTP/2.
    pub http2: Http2Options,
    /// Which redirects it follows.
    pub redirects: Redirects,
    /// Whether it asks for compressed bodies and decodes them; yes.
    pub decode: bool,
    /// How many bytes a body may have once it is decoded; 256 MiB.
    pub decoded_max: u64,
    /// How many bytes [`Answer::text`](crate::Answer::text) and
    /// [`Answer::bytes`](crate::Answer::bytes) collect; 10 MiB.
    pub collect_max: usize,
    /// Where cookies are kept, if they are; none.
    pub cookies: Option<CookieJar>,
    /// Who it is to every origin that asks; each request may have its own.
    pub credentials: Option<Credentials>,
    /// What goes out as User-Agent where the request names none.
    pub user_agent: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patience: ClientPatience::default(),
            pool: PoolBounds::default(),
            limits: Limits { header_block_max: 64 * 1024, body_max: None, ..Limits::default() },
            http2: Http2Options::default(),
            redirects: Redirects::default(),
            decode: true,
            decoded_max: 256 << 20,
            collect_max: 10 << 20,
            cookies: None,
            credentials: None,
            user_agent: Some(concat!("ropewalk/", env!("CARGO_PKG_VERSION")).to_owned()),
        }
    }
}
