//! HTTP requests over a reactor.

use std::cell::OnceCell;
use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use ropewalk_deferred::Deferred;
use ropewalk_endpoint::{ClientDescription, EndpointError};
use ropewalk_http::{Agent, Answer, Dial, Options, Origin, tunnel};
use ropewalk_protocol::{Address, ClientEndpoint, Resolver as _, Seat, TlsInfo};
use ropewalk_reactor::{ConnectOptions, Reactor};
use ropewalk_tls::{IdentityError, TlsClient, Trust};

/// Gets what is at `url`: the one line for programs that ask once.
///
/// ```no_run
/// use ropewalk::{Failure, Reactor, http};
///
/// let reactor = Reactor::new()?;
/// let asked = reactor.clone();
/// let text = reactor.run_until(reactor.spawn(async move {
///     http::get(&asked, "https://example.org/").await?.text().await
/// }))?;
/// println!("{text}");
/// # Ok::<(), Failure>(())
/// ```
///
/// Those that ask more often make an [`agent`], which keeps its connections.
#[track_caller]
pub fn get(reactor: &Reactor, url: &str) -> Deferred<Answer> {
    agent(reactor).build().get(url).send()
}

/// An HTTP client on `reactor`, to be adjusted and [built](AgentBuilder::build).
///
/// ```no_run
/// use ropewalk::http::{self, CookieJar};
/// # fn example(reactor: &ropewalk::Reactor) -> Result<(), ropewalk::Failure> {
/// let agent = http::agent(reactor)
///     .socks5_proxy("tcp:127.0.0.1:1080")?
///     .allow(|address| !address.ip().is_loopback())
///     .options(http::Options { cookies: Some(CookieJar::new()), ..http::Options::default() })
///     .build();
/// agent.post("https://example.org/", "a body").header("x-mine", "yes").send().detach();
/// # Ok(())
/// # }
/// ```
pub fn agent(reactor: &Reactor) -> AgentBuilder {
    AgentBuilder {
        dialer: Dialer {
            reactor: reactor.clone(),
            tls: OnceCell::new(),
            proxy: None,
            allow: None,
            connect: ConnectOptions::default(),
            offers_http2: true,
        },
        options: Options::default(),
    }
}

/// Puts an [`Agent`] together; [`agent`] begins one.
pub struct AgentBuilder {
    dialer: Dialer,
    options: Options,
}

impl AgentBuilder {
    /// Goes about it so.
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Encrypts with this client; without one, the system's roots are trusted. A client that offers no
    /// application protocol offers HTTP/2 and HTTP/1.1, as
    /// [`Http2Options::is_offered`](ropewalk_http::Http2Options::is_offered) says.
    pub fn tls(mut self, client: TlsClient) -> Self {
        self.dialer.tls = OnceCell::from(client);
        self
    }

    /// Has an HTTP proxy, at a client endpoint such as `tcp:HOST:3128`, connect to each origin
    /// (CONNECT), so that it sees nothing of what is encrypted. Names are looked up by the proxy.
    ///
    /// # Errors
    ///
    /// If the string is no place to connect to.
    pub fn http_proxy(self, endpoint: &str) -> Result<Self, EndpointError> {
        self.proxy(endpoint, |endpoint| Proxy::Http(tunnel::Proxy::new(endpoint)))
    }

    /// The same with a SOCKS 5 proxy.
    ///
    /// # Errors
    ///
    /// If the string is no place to connect to.
    pub fn socks5_proxy(self, endpoint: &str) -> Result<Self, EndpointError> {
        self.proxy(endpoint, |endpoint| Proxy::Socks(ropewalk_socks::Proxy::new(endpoint)))
    }

    fn proxy(
        mut self,
        endpoint: &str,
        make: impl FnOnce(Box<dyn ClientEndpoint>) -> Proxy,
    ) -> Result<Self, EndpointError> {
        let place = endpoint.parse::<ClientDescription>()?;
        self.dialer.proxy = Some(make(place.on(&self.dialer.reactor)));
        Ok(self)
    }

    /// The same with an HTTP proxy that is more than an endpoint: that wants a login, say.
    pub fn through_http(mut self, proxy: tunnel::Proxy) -> Self {
        self.dialer.proxy = Some(Proxy::Http(proxy));
        self
    }

    /// The same with such a SOCKS proxy.
    pub fn through_socks(mut self, proxy: ropewalk_socks::Proxy) -> Self {
        self.dialer.proxy = Some(Proxy::Socks(proxy));
        self
    }

    /// Connects to those addresses alone that `allow` takes, asked between a name's look-up and the
    /// connection. Where none is left, the request fails with [`NoAddressAllowed`].
    ///
    /// With a proxy it is the proxy that connects, and Unix sockets have no address: neither is asked
    /// about.
    pub fn allow(mut self, allow: impl Fn(SocketAddr) -> bool + 'static) -> Self {
        self.dialer.allow = Some(Rc::new(allow));
        self
    }

    /// How TCP connections are made.
    pub fn connect_options(mut self, options: ConnectOptions) -> Self {
        self.dialer.connect = options;
        self
    }

    /// The agent.
    pub fn build(mut self) -> Agent {
        self.dialer.offers_http2 = self.options.http2.is_offered;
        let reactor = self.dialer.reactor.clone();
        Agent::with_options(self.dialer, reactor, self.options)
    }
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

enum Proxy {
    Http(tunnel::Proxy),
    Socks(ropewalk_socks::Proxy),
}

/// Connects to origins over a reactor.
struct Dialer {
    reactor: Reactor,
    /// Made when the first encrypted connection is: reading the system's roots takes time.
    tls: OnceCell<TlsClient>,
    proxy: Option<Proxy>,
    allow: Option<Rc<dyn Fn(SocketAddr) -> bool>>,
    connect: ConnectOptions,
    offers_http2: bool,
}

impl Dialer {
    fn tls(&self) -> Result<TlsClient, IdentityError> {
        let client = match self.tls.get() {
            Some(client) => client.clone(),
            None => {
                let client = TlsClient::new(&Trust::platform()?)?;
                self.tls.get_or_init(|| client).clone()
            }
        };
        if client.offers().next().is_some() {
            return Ok(client);
        }
        let protocols: &[&str] =
            if self.offers_http2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
        Ok(client.alpn(protocols))
    }
}

impl Dial for Dialer {
    fn dial(&self, origin: &Origin, seat: Box<dyn Seat>) -> Deferred<()> {
        let tls = || self.tls();
        self.connect(origin, tls, seat)
    }

    fn dial_http1(&self, origin: &Origin, seat: Box<dyn Seat>) -> Deferred<()> {
        let tls = || Ok(self.tls()?.alpn(["http/1.1"]));
        self.connect(origin, tls, seat)
    }

    fn offers_http2(&self, origin: &Origin) -> bool {
        origin.is_secure() && self.tls().is_ok_and(|tls| tls.offers().any(|name| name == b"h2"))
    }

    fn leads_to(&self, origin: &Origin, peer: &Address, tls: &TlsInfo) -> Deferred<bool> {
        // Behind a proxy nobody knows where a connection leads.
        let Some(peer) = peer.ip().filter(|_| self.proxy.is_none()) else {
            return Deferred::succeed(false);
        };
        let host = origin.host();
        if !self.tls().is_ok_and(|client| client.believes(&tls.peer_chain, host)) {
            return Deferred::succeed(false);
        }
        match host.parse::<IpAddr>() {
            Ok(address) => Deferred::succeed(SocketAddr::new(address, origin.port()) == peer),
            Err(_) => self
                .reactor
                .resolve(host, origin.port())
                .map(move |addresses| addresses.contains(&peer)),
        }
    }
}

impl Dialer {
    fn connect(
        &self,
        origin: &Origin,
        tls: impl FnOnce() -> Result<TlsClient, IdentityError>,
        seat: Box<dyn Seat>,
    ) -> Deferred<()> {
        let (host, port) = (origin.host(), origin.port());
        let seat = if origin.is_secure() {
            match tls().and_then(|tls| tls.seat(host, seat)) {
                Ok(seat) => seat,
                Err(error) => return Deferred::fail(error),
            }
        } else {
            seat
        };
        if let Some(path) = origin.socket() {
            self.reactor.connect_unix(path, self.connect, seat);
            return Deferred::succeed(());
        }
        match (&self.proxy, &self.allow) {
            (Some(Proxy::Http(proxy)), _) => match tunnel::Target::new(host, port) {
                Ok(target) => proxy.to(target).connect_seat(seat),
                Err(error) => return Deferred::fail(error),
            },
            (Some(Proxy::Socks(proxy)), _) => match ropewalk_socks::Target::new(host, port) {
                Ok(target) => proxy.to(target).connect_seat(seat),
                Err(error) => return Deferred::fail(error),
            },
            (None, None) => self.reactor.connect_name(host, port, self.connect, seat),
            (None, Some(allow)) => return self.ask(host, port, Rc::clone(allow), seat),
        }
        Deferred::succeed(())
    }

    /// Connects to those addresses of a host that are allowed.
    fn ask(
        &self,
        host: &str,
        port: u16,
        allow: Rc<dyn Fn(SocketAddr) -> bool>,
        seat: Box<dyn Seat>,
    ) -> Deferred<()> {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => Deferred::succeed(vec![SocketAddr::new(address, port)]),
            Err(_) => self.reactor.resolve(host, port),
        };
        let (reactor, connect, host) = (self.reactor.clone(), self.connect, host.to_owned());
        found.add_callback(move |mut addresses| {
            addresses.retain(|address| allow(*address));
            if addresses.is_empty() {
                return Err(NoAddressAllowed { host });
            }
            reactor.connect_addresses(&addresses, connect, seat);
            Ok(())
        })
    }
}

/// A host has no address that [`AgentBuilder::allow`] takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddressAllowed {
    /// The host.
    pub host: String,
}

impl fmt::Display for NoAddressAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no address of {:?} may be connected to", self.host)
    }
}

impl Error for NoAddressAllowed {}
