//! What all connections of one server share.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::uri::Authority;
use http::{HeaderValue, StatusCode};
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Address, Conn, Drain, Factory, Protocol};

use super::access::Access;
use super::connection::Server;
use super::http2::Http2;
use super::reply::{Reply, plain};
use super::request::Request;
use super::resource::Resource;
use crate::codec::{Asked, Framing, LastHead, LastRequests, ResponseHead};
use crate::{Date, DateCache, Limits};

/// How long a server waits for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// For a whole request head, from its first byte or the connection's beginning; 10 seconds.
    pub head: Duration,
    /// For another request; 60 seconds.
    pub idle: Duration,
    /// For a body to begin to flow before its rate counts; 5 seconds.
    pub body_grace: Duration,
    /// How many bytes of body a second are expected on the average; 240.
    pub body_rate: u64,
    /// For a client that takes nothing of its answer; 30 seconds.
    pub reader: Duration,
    /// For a client to hang up once it was told that the connection ends; 5 seconds.
    pub goodbye: Duration,
    /// For the first request of a client, from when it came, when the server says goodbye; 5 seconds.
    pub newcomer: Duration,
    /// For a request that is on its way already when the server says goodbye to a client which waits for
    /// nothing; 100 milliseconds. What has arrived by then is read in any case.
    pub parting: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            body_grace: Duration::from_secs(5),
            body_rate: 240,
            reader: Duration::from_secs(30),
            goodbye: Duration::from_secs(5),
            newcomer: Duration::from_secs(5),
            parting: Duration::from_millis(100),
        }
    }
}

impl Patience {
    /// The same with another wait for heads.
    pub fn with_head(self, head: Duration) -> Self {
        Self { head, ..self }
    }

    /// The same with another wait between requests.
    pub fn with_idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// The same with another expectation of bodies.
    pub fn with_body(self, grace: Duration, bytes_per_second: u64) -> Self {
        Self { body_grace: grace, body_rate: bytes_per_second, ..self }
    }

    /// The same with another wait for clients to take their answers.
    pub fn with_reader(self, reader: Duration) -> Self {
        Self { reader, ..self }
    }

    /// The same with another wait for clients to hang up.
    pub fn with_goodbye(self, goodbye: Duration) -> Self {
        Self { goodbye, ..self }
    }

    /// The same with another wait for the first request of who comes at the end.
    pub fn with_newcomer(self, newcomer: Duration) -> Self {
        Self { newcomer, ..self }
    }

    /// The same with another wait, at the end, for requests that are on their way.
    pub fn with_parting(self, parting: Duration) -> Self {
        Self { parting, ..self }
    }
}

/// The longest name of a host that is kept, in bytes; those that are real are shorter.
const HOST_KEPT_MAX: usize = 260;

/// A server: one resource, its limits, and all the connections it has. Clones are the same site.
///
/// It is the [`Factory`] that a listening port wants.
#[derive(Clone)]
pub struct Site {
    shared: Rc<Shared>,
}

/// How long a request's body may be.
type BodyMaxOf = dyn Fn(&Request) -> Option<u64>;

type OnAccess = Box<dyn Fn(&Access)>;

pub(super) struct Shared {
    resource: RefCell<Box<dyn Resource>>,
    pub(super) limits: Limits,
    pub(super) patience: Patience,
    pub(super) trusts_schemes: bool,
    body_max_of: Option<Box<BodyMaxOf>>,
    on_access: Option<OnAccess>,
    wall_clock: fn() -> SystemTime,
    date: RefCell<Dates>,
    pub(super) last_requests: RefCell<LastRequests>,
    /// The host that was asked for last over HTTP/2, as it is among the fields.
    last_host: RefCell<Option<(Authority, HeaderValue)>>,
    /// What clients of HTTP/2 may ask for.
    pub(super) streams: Rc<ropewalk_http2::Limits>,
    live: RefCell<slab::Slab<Live>>,
    /// Those of its connections that other protocols have.
    handed_over: RefCell<slab::Slab<Rc<dyn HandedOver>>>,
    /// What else has connections that were this site's.
    groups: RefCell<Vec<Rc<dyn Drain>>>,
    /// How many of these are yet to be empty.
    leaving: Cell<usize>,
    endless: RefCell<Sweeping>,
    /// How many were accepted and have not been made yet.
    expected: Cell<usize>,
    draining: Cell<bool>,
    drained: RefCell<Vec<Promise<()>>>,
}

/// A connection that is there.
#[derive(Clone)]
enum Live {
    Serial(Conn<Server>),
    Streams(Conn<Http2>),
}

impl Live {
    fn drain(&self) {
        match self {
            Self::Serial(conn) => conn.call_later(Duration::ZERO, Server::drain),
            Self::Streams(conn) => conn.call_later(Duration::ZERO, Http2::drain),
        };
    }

    fn abort(&self) {
        match self {
            Self::Serial(conn) => conn.abort(),
            Self::Streams(conn) => conn.abort(),
        }
    }
}

/// An answer that goes on until somebody ends it.
pub(crate) trait Endless {
    /// Ends it.
    fn end(&self);
}

/// Answers without an end, and some that are over.
#[derive(Default)]
struct Sweeping {
    answers: Vec<Weak<dyn Endless>>,
    /// From how many on it is looked which are over.
    sweep_at: usize,
}

impl Sweeping {
    fn add(&mut self, answer: Weak<dyn Endless>) {
        if self.answers.len() >= self.sweep_at {
            self.answers.retain(|answer| answer.strong_count() > 0);
            self.sweep_at = (self.answers.len() * 2).max(16);
        }
        self.answers.push(answer);
    }
}

/// A connection that another protocol has.
pub(super) trait HandedOver: 'static {
    /// Ends it now.
    fn abort(&self);
}

impl<P: Protocol> HandedOver for Conn<P> {
    fn abort(&self) {
        Self::abort(self);
    }
}

/// The place of a connection that another protocol has.
struct Place {
    site: Rc<Shared>,
    place: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let gone = self.site.handed_over.borrow_mut().try_remove(self.place);
        drop(gone);
        self.site.tell_if_drained();
    }
}

/// The date of the present second, and the last head that had it.
#[derive(Default)]
struct Dates {
    /// The second on the connections' own clock for which it holds.
    second: Option<u64>,
    cache: DateCache,
    last: LastHead,
}

impl Dates {
    fn at(&mut self, now: Duration, wall_clock: fn() -> SystemTime) -> &mut Self {
        if self.second != Some(now.as_secs()) {
            self.second = Some(now.as_secs());
            let time = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.cache.at(time.as_secs());
            self.last.forget();
        }
        self
    }
}

impl Site {
    /// What a site speaks, for TLS to offer (ALPN, RFC 7301): HTTP/2 rather than HTTP/1.1. Endpoints with
    /// TLS ask it themselves ([`Factory::alpn`]); who makes a policy for TLS by hand names it there.
    ///
    /// In clear it knows HTTP/2 by its first bytes (RFC 9113 3.3). A client that asks for `Upgrade: h2c`
    /// is answered in HTTP/1.1 (RFC 9113 3.1).
    pub const ALPN: &[&str] = &["h2", "http/1.1"];

    /// A site that answers with `resource`, and every limit at its default.
    pub fn new(resource: impl Resource) -> Self {
        let shared = Shared {
            resource: RefCell::new(Box::new(resource)),
            limits: Limits::default(),
            patience: Patience::default(),
            trusts_schemes: false,
            body_max_of: None,
            on_access: None,
            wall_clock: system_time,
            date: RefCell::default(),
            last_requests: RefCell::default(),
            last_host: RefCell::default(),
            streams: Rc::default(),
            live: RefCell::default(),
            handed_over: RefCell::default(),
            groups: RefCell::default(),
            leaving: Cell::new(0),
            endless: RefCell::default(),
            expected: Cell::new(0),
            draining: Cell::new(false),
            drained: RefCell::default(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Takes no more than `limits` from a client.
    ///
    /// # Panics
    ///
    /// If the site was cloned or has made a server already: limits do not change under a connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.setting_up().limits = limits;
        self
    }

    /// Takes no more than `limits` from a client that speaks HTTP/2.
    ///
    /// # Panics
    ///
    /// As [`limits`](Self::limits) does.
    pub fn streams(mut self, limits: ropewalk_http2::Limits) -> Self {
        self.setting_up().streams = Rc::new(limits);
        self
    }

    /// Believes requests that say `https` although they come in clear: for a site behind a gateway that has
    /// ended TLS, and that nobody else can reach. Otherwise they are answered 421 (RFC 9110 7.4).
    ///
    /// # Panics
    ///
    /// As [`limits`](Self::limits) does.
    pub fn trust_schemes(mut self) -> Self {
        self.setting_up().trusts_schemes = true;
        self
    }

    /// Takes bodies of as many bytes as `max_of` says of their requests, instead of what
    /// [`Limits::body_max`] does for all of them; `None` is for any number. What passes bodies on as they come has
    /// no need of the bound that those have who keep them.
    ///
    /// # Panics
    ///
    /// As [`limits`](Self::limits) does.
    ///
    /// ```
    /// use ropewalk_http::{Request, Site};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let site = Site::new(|_: Request| "taken")
    ///     .body_max_of(|request| (request.uri().path() != "/upload").then_some(2));
    /// for (path, status) in [("/", "413"), ("/upload", "200")] {
    ///     let mut client = Memory::seat(site.server(), &Clock::new());
    ///     let head = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    ///     client.push(head.as_bytes());
    ///     assert_eq!(&client.take_sent()[9..12], status.as_bytes());
    /// }
    /// ```
    pub fn body_max_of(mut self, max_of: impl Fn(&Request) -> Option<u64> + 'static) -> Self {
        self.setting_up().body_max_of = Some(Box::new(max_of));
        self
    }

    /// Waits no longer than `patience` for a client.
    ///
    /// # Panics
    ///
    /// As [`limits`](Self::limits) does.
    pub fn patience(mut self, patience: Patience) -> Self {
        self.setting_up().patience = patience;
        self
    }

    /// Tells `log` of each request once it has been answered.
    ///
    /// # Panics
    ///
    /// As [`limits`](Self::limits) does.
    pub fn on_access(mut self, log: impl Fn(&Access) + 'static) -> Self {
        self.setting_up().on_access = Some(Box::new(log));
        self
    }

    /// Takes the time of day from `wall_clock`; the system's own unless set.
    ///
    /// # Panics
    ///
    /// As [`limits`](Self::limits) does.
    pub fn wall_clock(mut self, wall_clock: fn() -> SystemTime) -> Self {
        self.setting_up().wall_clock = wall_clock;
        self
    }

    #[track_caller]
    fn setting_up(&mut self) -> &mut Shared {
        Rc::get_mut(&mut self.shared).expect("a site is set up before it is used")
    }

    pub(super) fn render(&self, request: Request) -> Reply {
        self.shared.render(request)
    }

    /// A server for one connection.
    pub fn server(&self) -> Server {
        Server::new(Rc::clone(&self.shared))
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.own_connections()
            + self.shared.groups().iter().map(|one| one.connections()).sum::<usize>()
    }

    /// Says goodbye: idle connections end as soon as it is known that no request is on its way
    /// ([`Patience::parting`]), busy ones after their answer. A client that has just come has a while to
    /// say what for ([`Patience::newcomer`]). [Streams of events](crate::events) end, so that who listens comes
    /// back elsewhere. What has connections of this site among its own
    /// ([`Body::switch_among`](crate::Body::switch_among)), such as all its WebSockets, says goodbye in its
    /// own way, and any other protocol that has one goes on to its end. The deferred succeeds when the last
    /// has ended.
    pub fn drain(&self) -> Deferred<()> {
        self.shared.draining.set(true);
        let (promise, drained) = deferred();
        self.shared.drained.borrow_mut().push(promise);
        for conn in self.shared.conns() {
            conn.drain();
        }
        for group in self.shared.groups() {
            self.shared.wait_for(&group);
        }
        let endless = std::mem::take(&mut *self.shared.endless.borrow_mut()).answers;
        for answer in endless.iter().filter_map(Weak::upgrade) {
            answer.end();
        }
        self.shared.tell_if_drained();
        drained
    }

    /// Ends every connection now; answers how many there were.
    pub fn abort_all(&self) -> usize {
        let conns = self.shared.conns();
        conns.iter().for_each(Live::abort);
        let others: Vec<_> =
            self.shared.handed_over.borrow().iter().map(|(_, other)| Rc::clone(other)).collect();
        for other in &others {
            other.abort();
        }
        let among: usize = self.shared.groups().iter().map(|group| group.cut()).sum();
        conns.len() + others.len() + among
    }
}

impl Factory for Site {
    type Protocol = Server;

    fn build(&mut self, _: &Address) -> Option<Server> {
        self.shared.expect();
        Some(self.server().expected())
    }

    fn alpn(&self) -> &'static [&'static str] {
        Self::ALPN
    }
}

impl Drain for Site {
    fn connections(&self) -> usize {
        Self::connections(self)
    }

    fn drain(&self) -> Deferred<()> {
        Self::drain(self)
    }

    fn cut(&self) -> usize {
        self.abort_all()
    }

    fn resume(&self) {
        self.shared.draining.set(false);
        self.shared.groups().iter().for_each(|group| group.resume());
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Has the resource answer a request.
    #[inline]
    pub(super) fn render(&self, request: Request) -> Reply {
        // RFC 9110 7.4: what is asked for under https is for connections that are.
        if !self.trusts_schemes && request.says_https() && is_in_clear(&request) {
            return Reply::Now(plain(StatusCode::MISDIRECTED_REQUEST));
        }
        // A resource that hands a request to its own site, in the middle of another, would find
        // itself busy.
        let Ok(mut resource) = self.resource.try_borrow_mut() else {
            return Reply::Now(plain(StatusCode::LOOP_DETECTED));
        };
        (**resource).render(request)
    }

    /// How long the body of a request may be.
    pub(super) fn body_max(&self, request: &Request) -> Option<u64> {
        self.body_max_of.as_ref().map_or(self.limits.body_max, |max_of| max_of(request))
    }

    pub(super) fn is_logging(&self) -> bool {
        self.on_access.is_some()
    }

    pub(super) fn log(&self, access: &Access) {
        if let Some(log) = &self.on_access {
            log(access);
        }
    }

    /// Encodes a head with the present date; the wall clock is read once a second of `now`.
    pub(super) fn encode(
        &self,
        head: &ResponseHead<'_>,
        out: &mut Vec<u8>,
        asked: Asked,
        now: Duration,
    ) -> Framing {
        let mut dates = self.date.borrow_mut();
        let Dates { cache, last, .. } = dates.at(now, self.wall_clock);
        head.encode_after(last, out, asked, cache.last())
    }

    /// Lends the present date; the wall clock is read once a second of `now`.
    pub(super) fn with_date(&self, now: Duration, tell: impl FnOnce(&Date)) {
        tell(self.date.borrow_mut().at(now, self.wall_clock).cache.last());
    }

    /// A host as it is among the fields.
    pub(super) fn host(&self, authority: &Authority) -> Option<HeaderValue> {
        let mut last = self.last_host.borrow_mut();
        if let Some((known, host)) = &*last
            && known.as_str() == authority.as_str()
        {
            return Some(host.clone());
        }
        let host = HeaderValue::from_str(authority.as_str()).ok()?;
        if authority.as_str().len() <= HOST_KEPT_MAX {
            *last = Some((authority.clone(), host.clone()));
        }
        Some(host)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub(super) fn enter(&self, conn: &Conn<Server>) -> u32 {
        self.live.borrow_mut().insert(Live::Serial(conn.clone())) as u32
    }

    pub(super) fn enter_http2(&self, conn: &Conn<Http2>) -> u32 {
        self.live.borrow_mut().insert(Live::Streams(conn.clone())) as u32
    }

    pub(super) fn leave(&self, place: u32) {
        drop(self.live.borrow_mut().try_remove(place as usize));
        self.tell_if_drained();
    }

    /// One is to be made that is none of the live ones yet, or no more.
    pub(super) fn expect(&self) {
        self.expected.set(self.expected.get() + 1);
    }

    /// One that was expected is made, or will never be.
    pub(super) fn arrived(&self) {
        self.expected.set(self.expected.get().saturating_sub(1));
    }

    /// Another protocol has a connection of this site from now on, until what comes back is dropped.
    pub(super) fn hand_over(self: &Rc<Self>, other: impl HandedOver) -> impl Sized + 'static {
        let place = self.handed_over.borrow_mut().insert(Rc::new(other));
        Place { site: Rc::clone(self), place }
    }

    /// What drains these has connections of this site.
    pub(super) fn join(&self, group: &Rc<dyn Drain>) {
        let mut groups = self.groups.borrow_mut();
        if groups.iter().any(|known| Rc::ptr_eq(known, group)) {
            return;
        }
        // Of those that were made for one request each, no more stay than are wanted.
        groups.retain(|known| known.connections() > 0 || Rc::strong_count(known) > 1);
        groups.push(Rc::clone(group));
        drop(groups);
        if self.is_draining() {
            group.drain().on_result(drop);
        }
    }

    /// This answer is to end when the site says goodbye.
    pub(super) fn end_at_goodbye(&self, answer: Weak<dyn Endless>) {
        if !self.is_draining() {
            self.endless.borrow_mut().add(answer);
        } else if let Some(answer) = answer.upgrade() {
            answer.end();
        }
    }

    fn groups(&self) -> Vec<Rc<dyn Drain>> {
        self.groups.borrow().clone()
    }

    /// Has a group say goodbye, which this site then waits for.
    fn wait_for(self: &Rc<Self>, group: &Rc<dyn Drain>) {
        self.leaving.set(self.leaving.get() + 1);
        let site = Rc::clone(self);
        group.drain().on_result(move |_| {
            site.leaving.set(site.leaving.get() - 1);
            site.tell_if_drained();
        });
    }

    /// How many there are but for those of groups.
    fn own_connections(&self) -> usize {
        self.live.borrow().len() + self.handed_over.borrow().len() + self.expected.get()
    }

    fn tell_if_drained(&self) {
        let is_empty = self.own_connections() == 0 && self.leaving.get() == 0;
        if is_empty && self.draining.get() {
            let drained = self.drained.take();
            for promise in drained {
                promise.succeed(());
            }
        }
    }

    fn conns(&self) -> Vec<Live> {
        self.live.borrow().iter().map(|(_, conn)| conn.clone()).collect()
    }
}

/// Whether anybody on the way could have read it.
fn is_in_clear(request: &Request) -> bool {
    request.body().request_place().is_some_and(|place| place.tls().is_none())
}

/// The system's time of day, which `Date` has to tell.
#[expect(clippy::disallowed_methods, reason = "a header names the time of day; tests set another")]
pub(crate) fn system_time() -> SystemTime {
    SystemTime::now()
}
