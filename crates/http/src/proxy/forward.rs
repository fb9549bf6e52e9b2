//! A forward proxy: a resource that takes clients to wherever they ask, within rules.

use std::fmt;
use std::ops::RangeInclusive;
use std::rc::Rc;

use http::header::{CONNECTION, EXPECT, HOST, TE, UPGRADE};
use http::{Method, Response, StatusCode, Version};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_forward::{
    Destinations, Dialer, NotAdmitted, Relay, RelayOptions, Tally, locate, relay,
};
use ropewalk_protocol::{Clock, Conn, Seat, TimedOut, seat_and_tell, timeout};
use url::Url;

use super::fields::{self, Via};
use super::passage::{self, HeadWriter};
use super::{ProxyError, upstream_options};
use crate::client::{Passing, Switch, Unanswered, pass};
use crate::server::{Body, Passed, Reply, Request, Resource};
use crate::{Agent, Dial, Options, Origin, Wait};

/// Takes clients elsewhere: to what a request names with a whole `http:` URI, and by tunnel to the host and
/// port of a CONNECT (RFC 9110 9.3.6).
///
/// [`Destinations`] says where, and it is addresses that are judged, right before they are connected to: a
/// name that leads inside is no way inside. Tunnels lead to port 443 unless told otherwise. Use it as a
/// [`Site`](crate::Site)'s one resource; a [`Guard`](crate::auth::Guard::proxy) before it has a portal say who may.
///
/// ```
/// use ropewalk_forward::{Destinations, Dialer};
/// use ropewalk_http::Site;
/// use ropewalk_http::proxy::ForwardProxy;
/// use ropewalk_protocol::Clock;
///
/// fn site(dialer: impl Dialer, clock: impl Clock + 'static) -> Site {
///     let rules = Destinations::public().ports([80..=80, 443..=443]);
///     Site::new(ForwardProxy::new(dialer, clock, rules))
/// }
/// ```
#[derive(Clone)]
pub struct ForwardProxy(Rc<Shared>);

struct Shared {
    agent: Agent,
    dialer: Rc<dyn Dialer>,
    rules: Rc<Destinations>,
    tunnel_ports: Vec<RangeInclusive<u16>>,
    relay: RelayOptions,
    via: Rc<Via>,
}

/// Connects to admitted addresses alone.
struct Admitted {
    dialer: Rc<dyn Dialer>,
    rules: Rc<Destinations>,
}

impl Dial for Admitted {
    fn dial(&self, origin: &Origin, seat: Box<dyn Seat>) -> Deferred<()> {
        let dialer = Rc::clone(&self.dialer);
        locate(&*self.dialer, &self.rules, origin.host(), origin.port())
            .map(move |addresses| dialer.connect(&addresses, seat))
    }
}

impl ForwardProxy {
    /// Takes clients over `dialer` to where `rules` allow, and waits as [`upstream_options`] say.
    pub fn new(dialer: impl Dialer, clock: impl Clock + 'static, rules: Destinations) -> Self {
        Self::with_options(dialer, clock, rules, upstream_options())
    }

    /// The same with other waits and bounds.
    pub fn with_options(
        dialer: impl Dialer,
        clock: impl Clock + 'static,
        rules: Destinations,
        options: Options,
    ) -> Self {
        let (dialer, rules): (Rc<dyn Dialer>, _) = (Rc::new(dialer), Rc::new(rules));
        let dial = Admitted { dialer: Rc::clone(&dialer), rules: Rc::clone(&rules) };
        Self(Rc::new(Shared {
            agent: Agent::with_options(dial, clock, options),
            dialer,
            rules,
            tunnel_ports: vec![443..=443],
            relay: RelayOptions::default(),
            via: Rc::new(Via::new("ropewalk")),
        }))
    }

    #[track_caller]
    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Rc::get_mut(&mut self.0).expect("a proxy is set up before it is cloned"));
        self
    }

    /// To which ports tunnels may lead; 443 alone unless set. The rules have to allow them, too.
    ///
    /// # Panics
    ///
    /// As all methods that change a proxy do: if it was cloned.
    #[track_caller]
    pub fn tunnel_ports(self, ports: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        let ports = ports.into_iter().collect();
        self.change(|shared| shared.tunnel_ports = ports)
    }

    /// For how long the two ends of a tunnel stay joined.
    #[track_caller]
    pub fn relay(self, options: RelayOptions) -> Self {
        self.change(|shared| shared.relay = options)
    }

    /// What this proxy is called in Via; `ropewalk` unless set.
    #[track_caller]
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.change(|shared| shared.via = Rc::new(Via::new(&name)))
    }
}

impl Resource for ForwardProxy {
    fn render(&mut self, request: Request) -> Reply {
        Reply::Passed(Passed(serve(&self.0, request)))
    }
}

fn refused(error: ProxyError) -> Response<Body> {
    tracing::info!(target: "ropewalk::http", "not taken anywhere: {error}");
    passage::refusal(error)
}

fn serve(shared: &Rc<Shared>, request: Request) -> Deferred<Response<Body>> {
    let served = if *request.method() == Method::CONNECT {
        tunnel(shared, &request)
    } else {
        forward(shared, request)
    };
    served.unwrap_or_else(|error| Deferred::succeed(refused(error)))
}

/// Why clients are not taken to `target`.
fn trouble(why: &Failure, target: &str) -> ProxyError {
    if why.check::<NotAdmitted>().is_some() {
        return ProxyError::Forbidden(target.to_owned());
    }
    ProxyError::of(why, target)
}

/// Joins the client's connection to another (RFC 9110 9.3.6).
fn tunnel(shared: &Rc<Shared>, request: &Request) -> Result<Deferred<Response<Body>>, ProxyError> {
    let target = request.uri().authority().map_or_else(String::new, ToString::to_string);
    let bad = || ProxyError::BadTarget(target.clone());
    let authority = request.uri().authority().ok_or_else(bad)?;
    let port = authority.port_u16().ok_or_else(bad)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if !shared.tunnel_ports.iter().any(|ports| ports.contains(&port)) {
        return Err(ProxyError::Forbidden(target));
    }
    let peer = request.body().peer();
    let found = locate(&*shared.dialer, &shared.rules, host, port);
    let (near, far, over) = relay(shared.relay);
    let dialing = Rc::clone(shared);
    let made = found.add_callback(move |addresses| {
        let (seat, made) = seat_and_tell(far);
        dialing.dialer.connect(&addresses, seat);
        made
    });
    let wait = shared.agent.options().patience.connect;
    let made = match wait {
        Some(wait) => timeout(&**shared.agent.clock(), wait, made),
        None => made,
    };
    let rules = Rc::clone(&shared.rules);
    Ok(made.add_both(move |made: Result<Conn<Relay>, Failure>| {
        let far = match made {
            Ok(far) => far,
            Err(why) => {
                let timed_out = wait.filter(|_| why.check::<TimedOut>().is_some());
                let error = match timed_out {
                    Some(wait) => ProxyError::TimedOut(target, Wait::Connect(wait)),
                    None => trouble(&why, &target),
                };
                return Deferred::succeed(refused(error));
            }
        };
        // Whom it is connected to is what counts, and not whom it was to be.
        if far.peer().ip().is_some_and(|address| !rules.admits(address)) {
            far.abort();
            return Deferred::succeed(refused(ProxyError::Forbidden(target)));
        }
        tracing::info!(target: "ropewalk::http", %peer, to = target, "tunnel");
        over.on_result(move |tally| {
            if let Ok(Tally { there, back, why, .. }) = tally {
                tracing::debug!(target: "ropewalk::http", %peer, to = target, there, back, "over: {why}");
            }
        });
        Deferred::succeed(Response::new(Body::switch_to(near)))
    }))
}

/// Asks the origin that a request names with a whole URI (RFC 9112 3.2.2).
fn forward(
    shared: &Rc<Shared>,
    mut request: Request,
) -> Result<Deferred<Response<Body>>, ProxyError> {
    if *request.method() == Method::TRACE {
        return Err(ProxyError::Method(request.method().to_string()));
    }
    fields::check_via(request.headers())?;
    let target = request.uri().to_string();
    let uri = request.uri().clone();
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
    let bad = || ProxyError::BadTarget(target.clone());
    let authority = authority.ok_or_else(bad)?;
    let url = Url::parse(&format!("http://{authority}/")).map_err(|_| bad())?;
    let origin = Rc::new(Origin::of(&url, None).map_err(|_| bad())?);
    if fields::ends_here(request.headers_mut()) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(Deferred::succeed(response));
    }
    let on_interim = request.interim().map(passage::interim);
    let (parts, incoming) = request.into_parts();
    let http::request::Parts { method, version, mut headers, .. } = parts;
    // A protocol on the way to somewhere else is the client's own affair, as long as it is this one.
    let upgrade = fields::asked_upgrade(&headers, version)
        .filter(|asked| incoming.is_none() && asked.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let expects_continue = version == Version::HTTP_11 && headers.contains_key(EXPECT);
    let takes_trailers = fields::takes_trailers(&headers);
    let body = passage::body(incoming, &headers, ());
    fields::strip_request(&mut headers);
    shared.via.add(&mut headers, version);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let root = if path.starts_with('/') { "" } else { "/" };
    let mut head = HeadWriter::new(&method, &[root, path], 0);
    // RFC 9112 3.2.2: what the client said of the host does not count.
    head.field(&HOST, authority.as_str().as_bytes());
    for (name, value) in &headers {
        head.field(name, value.as_bytes());
    }
    if let Some(protocol) = &upgrade {
        head.field(&CONNECTION, b"upgrade");
        head.field(&UPGRADE, protocol.as_bytes());
    } else if takes_trailers {
        head.field(&CONNECTION, b"te");
        head.field(&TE, b"trailers");
    }
    let mut passing = Passing::new(method, body);
    passing.expects_continue = expects_continue;
    passing.on_interim = on_interim;
    let switch = upgrade.as_ref().map(|_| Rc::new(Switch::relay(shared.relay)));
    passing.switch.clone_from(&switch);
    passing.set_head(head.finish());
    let via = Rc::clone(&shared.via);
    let name = authority.to_string();
    Ok(pass(&shared.agent, origin, passing, move |outcome| {
        let answered = match outcome {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => upgrade
                .zip(switch)
                .and_then(|(asked, switch)| passage::switched(response, &asked, &switch, &via))
                .unwrap_or_else(|| refused(ProxyError::BadSwitch(name))),
            Ok(response) => passage::answer(response, &via, (), |_| true),
            Err(Unanswered { why, .. }) => refused(trouble(&why, &name)),
        };
        Deferred::succeed(answered)
    }))
}

impl fmt::Debug for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardProxy").field("rules", &self.0.rules).finish_non_exhaustive()
    }
}
