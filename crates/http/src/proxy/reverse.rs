//! A reverse proxy: a resource whose answers come from servers behind it.

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};

use http::header::{
    CONNECTION, CONTENT_LOCATION, EXPECT, HOST, HeaderValue, LOCATION, SET_COOKIE, TE, UPGRADE,
};
use http::{HeaderMap, Method, Response, StatusCode, Version};
use ropewalk_deferred::Deferred;
use ropewalk_forward::RelayOptions;
use ropewalk_protocol::{Network, call_later, timeout};

use super::fields::{self, Client, ClientFields, Plain, Told, Via};
use super::passage::{self, HeadWriter};
use super::target::{self, Mapping};
use super::upstream::{Underway, Upstream, Upstreams};
use super::{ActiveHealth, BadUpstream, Balance, PassiveHealth, ProxyError};
use crate::client::{Passing, Switch, Unanswered, pass};
use crate::server::{Body, Incoming, IntoReply, Passed, Reply, Request, Resource};
use crate::{Agent, ClientPatience, Options, PoolBounds, Redirects};

/// How an agent should go about it that passes requests on: as other clients do, but it waits 5 seconds
/// for a connection and keeps one for 4, which is less than servers do; has up to 256 connections to an
/// upstream and 1,024 in all; sets no bound to an exchange that moves; and changes nothing.
pub fn upstream_options() -> Options {
    let seconds = std::time::Duration::from_secs;
    Options {
        patience: ClientPatience {
            total: None,
            connect: Some(seconds(5)),
            keep: seconds(4),
            ..ClientPatience::default()
        },
        pool: PoolBounds { per_origin_max: 256, open_max: 1024, idle_max: 256, waiting_max: 1024 },
        redirects: Redirects::none(),
        decode: false,
        user_agent: None,
        ..Options::default()
    }
}

/// Answers requests with what other servers answer to them (RFC 9110 3.7, a gateway).
///
/// Bodies stream both ways, and who is slow slows the other down. Fields that are for one connection
/// alone stay behind (RFC 9110 7.6.1); what framed a message is written anew. Interim answers, trailers
/// and `Expect: 100-continue` go through; so does a change to WebSocket. When the client goes, the
/// upstream's connection ends; when the upstream breaks off, so does the client's, as nothing else tells
/// it that something is missing. A request is sent to another upstream, or once more, only where nothing
/// of it had left, or where it changes nothing and an unused connection was closed under it.
///
/// What fails is answered 502, or 504 if it took too long, and logged by upstream; a [`ProxyError`] lies
/// among the answer's extensions.
///
/// ```
/// use ropewalk_http::proxy::{ReverseProxy, upstream_options};
/// use ropewalk_http::{Agent, Origin, Request, Site, Tree};
/// use ropewalk_protocol::{ClientEndpoint, Seat, listen};
/// use ropewalk_trial::{Clock, Memory, MemoryNetwork};
///
/// let clock = Clock::new();
/// let network = MemoryNetwork::new(&clock);
/// let port = listen(
///     &network.endpoint("app:3000"),
///     Site::new(|request: Request| format!("{} for you\n", request.uri())),
/// );
///
/// let dialled = network.clone();
/// let dial = move |origin: &Origin, seat: Box<dyn Seat>| {
///     dialled.endpoint(&format!("{}:{}", origin.host(), origin.port())).connect_seat(seat);
/// };
/// let agent = Agent::with_options(dial, clock.clone(), upstream_options());
/// let site = Site::new(Tree::new().child("app", ReverseProxy::to(&agent, "http://app:3000/v1")?));
///
/// let mut client = Memory::seat(site.server(), &clock);
/// client.push(b"GET /app/list?page=2 HTTP/1.1\r\nHost: example.org\r\n\r\n");
/// network.run();
/// client.run();
/// assert!(client.take_sent().ends_with(b"/v1/list?page=2 for you\n"));
/// # Ok::<(), ropewalk_http::proxy::BadUpstream>(())
/// ```
#[derive(Clone)]
pub struct ReverseProxy(Rc<Shared>);

struct Shared {
    agent: Agent,
    upstreams: Upstreams,
    prefix: String,
    keeps_host: bool,
    maps_cookies: bool,
    via: Via,
    client_fields: ClientFields,
    trusted: Vec<Network>,
    upgrades: Vec<String>,
    relay: RelayOptions,
    passive: PassiveHealth,
    told: RefCell<Told>,
}

impl ReverseProxy {
    /// Passes requests on to the server at `upstream`: `http://HOST[:PORT][/PATH]`, the same with
    /// `https`, or `unix:SOCKET`. The part of a request's path that is below the proxy's own place, in a
    /// [`Tree`](crate::Tree) or [below a prefix](Self::at), is put behind the upstream's path.
    ///
    /// The agent's [`Options`] say how long is waited for what, and how many connections there may be:
    /// see [`upstream_options`].
    ///
    /// # Errors
    ///
    /// If `upstream` is no such URL, or has a query, a fragment or a user.
    pub fn to(agent: &Agent, upstream: &str) -> Result<Self, BadUpstream> {
        Ok(Self(Rc::new(Shared {
            agent: agent.clone(),
            upstreams: Upstreams::new(Upstream::new(upstream)?),
            prefix: String::new(),
            keeps_host: false,
            maps_cookies: false,
            via: Via::new("ropewalk"),
            told: RefCell::default(),
            client_fields: ClientFields::default(),
            trusted: Vec::new(),
            upgrades: vec!["websocket".to_owned()],
            relay: RelayOptions::default(),
            passive: PassiveHealth::default(),
        })))
    }

    #[track_caller]
    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Rc::get_mut(&mut self.0).expect("a proxy is set up before it is cloned or used"));
        self
    }

    /// Passes requests on to this server, too.
    ///
    /// # Errors
    ///
    /// As [`to`](Self::to).
    ///
    /// # Panics
    ///
    /// As all methods that change a proxy do: if it was cloned, or its health is looked after.
    #[track_caller]
    pub fn and(self, upstream: &str) -> Result<Self, BadUpstream> {
        let upstream = Rc::new(Upstream::new(upstream)?);
        Ok(self.change(|shared| shared.upstreams.all.push(upstream)))
    }

    /// Which of several upstreams a request goes to; one after the other unless set.
    #[track_caller]
    pub fn balance(self, balance: Balance) -> Self {
        self.change(|shared| shared.upstreams.balance = balance)
    }

    /// Passes on what is at this path and below it, and answers 404 elsewhere: `/api` is for `/api`,
    /// `/api/` and `/api/x`, not for `/apix`.
    #[track_caller]
    pub fn at(self, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        self.change(|shared| shared.prefix = prefix)
    }

    /// Tells the upstream the Host that the client asked for, instead of its own.
    #[track_caller]
    pub fn keep_host(self) -> Self {
        self.change(|shared| shared.keeps_host = true)
    }

    /// Has cookies that the upstream sets be those of the proxy's own place: a `Path` below the upstream's
    /// becomes one below the proxy's, and a `Domain` that is the upstream's host is left out. Otherwise they
    /// go through as they are, and browsers do not send them back where host or path differ.
    #[track_caller]
    pub fn map_cookies(self) -> Self {
        self.change(|shared| shared.maps_cookies = true)
    }

    /// What this proxy is called in Via: a host and a port, or another name; `ropewalk` unless set.
    #[track_caller]
    pub fn name(self, name: impl Into<String>) -> Self {
        let via = Via::new(&name.into());
        self.change(|shared| shared.via = via)
    }

    /// By which fields the upstream is told who the client is.
    #[track_caller]
    pub fn client_fields(self, fields: ClientFields) -> Self {
        self.change(|shared| shared.client_fields = fields)
    }

    /// Believes what those in `networks` say of their own clients, as another proxy before this one:
    /// their `Forwarded` and `X-Forwarded-…` are added to. Nobody's are unless set.
    #[track_caller]
    pub fn trust(self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.change(|shared| shared.trusted.extend(networks))
    }

    /// Which protocols a client may change to (RFC 9110 7.8); `websocket` unless set. A request for
    /// another is passed on as one that asks for none.
    #[track_caller]
    pub fn upgrades<T: Into<String>>(self, protocols: impl IntoIterator<Item = T>) -> Self {
        let protocols = protocols.into_iter().map(Into::into).collect();
        self.change(|shared| shared.upgrades = protocols)
    }

    /// For how long two connections stay joined that have changed protocols.
    #[track_caller]
    pub fn relay(self, options: RelayOptions) -> Self {
        self.change(|shared| shared.relay = options)
    }

    /// When an upstream is left alone because requests to it failed. While all are, all are tried.
    #[track_caller]
    pub fn passive_health(self, health: PassiveHealth) -> Self {
        self.change(|shared| shared.passive = health)
    }

    /// Asks the upstreams at intervals how they are, from now on for as long as this proxy or a clone of
    /// it lives, and leaves those alone that do not answer well.
    pub fn active_health(self, health: ActiveHealth) -> Self {
        let health = Rc::new(health);
        for upstream in &self.0.upstreams.all {
            look_after(&Rc::downgrade(&self.0), &Rc::downgrade(upstream), &health);
        }
        self
    }

    /// The upstreams, each with whether it is asked at present: those that fail are left alone.
    pub fn upstreams(&self) -> Vec<(&str, bool)> {
        let now = self.0.agent.clock().now();
        self.0.upstreams.all.iter().map(|each| (each.name.as_str(), each.works(now))).collect()
    }

    /// What is asked of an upstream, and the body that goes there; or what is answered without one.
    fn asked(&self, mut request: Request) -> Result<(Asked, Passing), Early> {
        let shared = &self.0;
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(ProxyError::Method(request.method().to_string()).into());
        }
        let fields = request.raw_fields().filter(|_| request.body().is_none());
        let via = shared.via.value(request.version());
        if let Some(plain) = fields.and_then(|fields| Plain::of(fields, via)) {
            return self.asked_plainly(&request, plain);
        }
        fields::check_via(request.headers())?;
        let mapping = target::map(&request, &shared.prefix)?;
        if fields::ends_here(request.headers_mut()) {
            return Err(Early::Answer(StatusCode::NO_CONTENT));
        }
        let on_interim = request.interim().map(passage::interim);
        let (parts, incoming) = request.into_parts();
        let http::request::Parts { method, uri, version, mut headers, .. } = parts;
        let host = match uri.authority() {
            Some(authority) => Some(authority.as_str().to_owned()),
            None => headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned),
        };
        let may_change = |asked: &HeaderValue| {
            let is_it = |one: &String| asked.as_bytes().eq_ignore_ascii_case(one.as_bytes());
            incoming.is_none() && shared.upgrades.iter().any(is_it)
        };
        let upgrade = fields::asked_upgrade(&headers, version).filter(may_change);
        let expects_continue = version == Version::HTTP_11 && headers.contains_key(EXPECT);
        let takes_trailers = fields::takes_trailers(&headers);
        let (address, is_encrypted) = (incoming.peer(), incoming.tls().is_some());
        let body = passage::body(incoming, &headers, ());
        fields::strip_request(&mut headers);
        let client = Client { address: &address, is_encrypted, host: host.as_deref() };
        let (told, trusted) = (&mut *shared.told.borrow_mut(), &shared.trusted);
        let told = client.lines(&mut headers, shared.client_fields, trusted, told);
        shared.via.add(&mut headers, version);
        let mut passing = Passing::new(method.clone(), body);
        passing.expects_continue = expects_continue;
        passing.on_interim = on_interim;
        if upgrade.is_some() {
            passing.switch = Some(Rc::new(Switch::relay(shared.relay)));
        }
        Ok((
            Asked {
                method,
                headers,
                host,
                mapping,
                upgrade,
                takes_trailers,
                told,
                plain: Vec::new(),
            },
            passing,
        ))
    }

    /// The same of a request whose fields go through as they are.
    fn asked_plainly(
        &self,
        request: &Request,
        plain: Plain<'_>,
    ) -> Result<(Asked, Passing), Early> {
        let shared = &self.0;
        let mapping = target::map(request, &shared.prefix)?;
        let method = request.method().clone();
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let host = authority.or(plain.host);
        let incoming = request.body();
        let (address, is_encrypted) = (incoming.peer(), incoming.tls().is_some());
        let client = Client { address: &address, is_encrypted, host };
        let (told, trusted) = (&mut *shared.told.borrow_mut(), &shared.trusted);
        let mut headers = HeaderMap::new();
        let told = client.lines(&mut headers, shared.client_fields, trusted, told);
        let mut passing = Passing::new(method.clone(), Body::empty());
        passing.on_interim = request.interim().map(passage::interim);
        let host = host.filter(|_| shared.keeps_host).map(str::to_owned);
        let (upgrade, takes_trailers, plain) = (None, false, plain.lines);
        Ok((
            Asked { method, headers, host, mapping, upgrade, takes_trailers, told, plain },
            passing,
        ))
    }
}

/// A request, but for its body.
struct Asked {
    method: Method,
    /// Those that go through, and those that are added.
    headers: HeaderMap,
    host: Option<String>,
    mapping: Mapping,
    upgrade: Option<HeaderValue>,
    takes_trailers: bool,
    /// Lines that say who the client is.
    told: Rc<[u8]>,
    /// Lines that go through as they came.
    plain: Vec<u8>,
}

/// What is answered without an upstream.
enum Early {
    Answer(StatusCode),
    Refusal(ProxyError),
}

impl From<ProxyError> for Early {
    fn from(error: ProxyError) -> Self {
        Self::Refusal(error)
    }
}

impl Resource for ReverseProxy {
    fn render(&mut self, request: Request) -> Reply {
        match self.asked(request) {
            Ok((asked, passing)) => {
                let (shared, asked) = (Rc::clone(&self.0), Rc::new(asked));
                Reply::Passed(Passed(attempt(shared, asked, passing, Vec::new())))
            }
            Err(Early::Answer(status)) => status.into_reply(),
            Err(Early::Refusal(error)) => {
                tracing::debug!(target: "ropewalk::http", "not passed on: {error}");
                Reply::Now(passage::refusal(error))
            }
        }
    }
}

/// Sends the request to the next upstream, and if nothing of it has left then, to the one after.
fn attempt(
    shared: Rc<Shared>,
    asked: Rc<Asked>,
    mut passing: Passing,
    mut tried: Vec<usize>,
) -> Deferred<Response<Body>> {
    let now = shared.agent.clock().now();
    let Some((index, upstream)) = shared.upstreams.choose(now, &tried) else {
        return Deferred::succeed(passage::refusal(ProxyError::NotHere));
    };
    let are_several = shared.upstreams.all.len() > 1;
    if are_several {
        tried.push(index);
    }
    passing.set_head(shared.head(&asked, &upstream));
    let switch = passing.switch.clone();
    let underway = Underway::to(&upstream);
    let (agent, origin) = (shared.agent.clone(), Rc::clone(&upstream.origin));
    pass(&agent, origin, passing, move |outcome| {
        let Unanswered { why, unsent } = match outcome {
            Ok(response) => {
                upstream.succeeded();
                let response = shared.answer(response, &asked, &upstream, switch, underway);
                return Deferred::succeed(response);
            }
            Err(unanswered) => unanswered,
        };
        let error = ProxyError::of(&why, &upstream.name);
        if !matches!(error, ProxyError::BodyFailed | ProxyError::Busy(_)) {
            upstream.failed(shared.agent.clock().now(), shared.passive);
        }
        let is_left = are_several && tried.len() < shared.upstreams.all.len();
        match unsent.filter(|_| is_left) {
            Some(passing) => {
                tracing::info!(target: "ropewalk::http", "{error}: the next upstream is tried");
                attempt(shared, asked, passing, tried)
            }
            None => {
                if !matches!(error, ProxyError::BodyFailed) {
                    let status = error.status().as_u16();
                    tracing::warn!(
                        target: "ropewalk::http", upstream = upstream.name, status,
                        "no answer: {error}: {why}"
                    );
                }
                Deferred::succeed(passage::refusal(error))
            }
        }
    })
}

impl Shared {
    /// Request line and fields for an upstream, but for what says where the body ends.
    fn head(&self, asked: &Asked, upstream: &Upstream) -> Vec<u8> {
        let Mapping { rest, query, .. } = &asked.mapping;
        let root = if upstream.base.is_empty() && rest.is_empty() { "/" } else { "" };
        let (mark, query) = query.as_deref().map_or(("", ""), |query| ("?", query));
        let target = [root, &upstream.base, rest, mark, query];
        let more = asked.plain.len() + asked.told.len();
        let mut head = HeadWriter::new(&asked.method, &target, more);
        let own = Some(&upstream.authority);
        let host = if self.keeps_host { asked.host.as_ref().or(own) } else { own };
        head.field(&HOST, host.map_or(b"", |host| host.as_bytes()));
        for (name, value) in &asked.headers {
            head.field(name, value.as_bytes());
        }
        head.lines(&asked.plain);
        head.lines(&asked.told);
        match (&asked.upgrade, asked.takes_trailers) {
            (Some(protocol), _) => {
                head.field(&CONNECTION, b"upgrade");
                head.field(&UPGRADE, protocol.as_bytes());
            }
            (None, true) => {
                head.field(&CONNECTION, b"te");
                head.field(&TE, b"trailers");
            }
            (None, false) => (),
        }
        head.finish()
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        asked: &Asked,
        upstream: &Upstream,
        switch: Option<Rc<Switch>>,
        underway: Underway,
    ) -> Response<Body> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgrade = asked.upgrade.as_ref().zip(switch);
            let switched = upgrade
                .and_then(|(asked, switch)| passage::switched(response, asked, &switch, &self.via));
            return switched.unwrap_or_else(|| {
                let error = ProxyError::BadSwitch(upstream.name.clone());
                tracing::warn!(target: "ropewalk::http", upstream = upstream.name, "{error}");
                passage::refusal(error)
            });
        }
        let mut response = passage::answer(response, &self.via, underway, |passed| {
            !(passed.has_place || passed.has_cookie && self.maps_cookies)
        });
        if response.body().passed.is_some() {
            return response;
        }
        for name in [LOCATION, CONTENT_LOCATION] {
            let value = response.headers().get(&name).and_then(|value| value.to_str().ok());
            let seen = value.and_then(|value| asked.mapping.seen_by_client(value, upstream));
            if let Some(seen) = seen.and_then(|seen| HeaderValue::try_from(seen).ok()) {
                response.headers_mut().insert(name, seen);
            }
        }
        if self.maps_cookies {
            let cookies = response.headers().get_all(SET_COOKIE).iter();
            let seen: Vec<_> = cookies.map(|each| asked.mapping.cookie(each, upstream)).collect();
            response.headers_mut().remove(SET_COOKIE);
            for cookie in seen {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
        }
        response
    }
}

/// Asks an upstream how it is, and again after a while, for as long as there is a proxy to it.
fn look_after(shared: &Weak<Shared>, upstream: &Weak<Upstream>, health: &Rc<ActiveHealth>) {
    let Some((there, upstream)) = shared.upgrade().zip(upstream.upgrade()) else { return };
    let mut head = HeadWriter::new(&Method::GET, &[&health.path], 0);
    head.field(&HOST, upstream.authority.as_bytes());
    let mut passing = Passing::new(Method::GET, Body::empty());
    passing.set_head(head.finish());
    let answer = pass(&there.agent, Rc::clone(&upstream.origin), passing, Deferred::succeed);
    let (shared, health) = (shared.clone(), Rc::clone(health));
    timeout(&**there.agent.clock(), health.patience, answer).on_result(move |outcome| {
        let trouble = match outcome {
            Ok(Ok(response)) if response.status().as_u16() < 400 => None,
            Ok(Ok(response)) => Some(response.status().to_string()),
            Ok(Err(Unanswered { why, .. })) | Err(why) => Some(why.to_string()),
        };
        upstream.note_health(trouble.as_deref(), health.fails_max);
        let Some(there) = shared.upgrade() else { return };
        let upstream = Rc::downgrade(&upstream);
        let (weak, wait) = (shared.clone(), health.interval);
        call_later(&**there.agent.clock(), wait, move || look_after(&weak, &upstream, &health));
    });
}

impl fmt::Debug for ReverseProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReverseProxy").field("upstreams", &self.upstreams()).finish_non_exhaustive()
    }
}
