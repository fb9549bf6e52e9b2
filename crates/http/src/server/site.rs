//! What all connections of one server share.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Address, Conn, Factory};

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
}

/// A server: one resource, its limits, and all the connections it has. Clones are the same site.
///
/// It is the [`Factory`] that a listening port wants.
#[derive(Clone)]
pub struct Site {
    shared: Rc<Shared>,
}

type OnAccess = Box<dyn Fn(&Access)>;

pub(super) struct Shared {
    resource: RefCell<Box<dyn Resource>>,
    pub(super) limits: Limits,
    pub(super) patience: Patience,
    on_access: Option<OnAccess>,
    wall_clock: fn() -> SystemTime,
    date: RefCell<Dates>,
    pub(super) last_requests: RefCell<LastRequests>,
    /// What clients of HTTP/2 may ask for.
    pub(super) streams: Rc<ropewalk_http2::Limits>,
    live: RefCell<slab::Slab<Live>>,
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
    /// A site that answers with `resource`, and every limit at its default.
    pub fn new(resource: impl Resource) -> Self {
        let shared = Shared {
            resource: RefCell::new(Box::new(resource)),
            limits: Limits::default(),
            patience: Patience::default(),
            on_access: None,
            wall_clock: system_time,
            date: RefCell::default(),
            last_requests: RefCell::default(),
            streams: Rc::default(),
            live: RefCell::default(),
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
        self.shared.live.borrow().len()
    }

    /// Says goodbye: idle connections end at once, busy ones after their answer. The deferred
    /// succeeds when the last has ended.
    pub fn drain(&self) -> Deferred<()> {
        self.shared.draining.set(true);
        let (promise, drained) = deferred();
        if self.connections() == 0 {
            promise.succeed(());
            return drained;
        }
        self.shared.drained.borrow_mut().push(promise);
        for conn in self.shared.conns() {
            conn.drain();
        }
        drained
    }

    /// Ends every connection now; answers how many there were.
    pub fn abort_all(&self) -> usize {
        let conns = self.shared.conns();
        conns.iter().for_each(Live::abort);
        conns.len()
    }
}

impl Factory for Site {
    type Protocol = Server;

    fn build(&mut self, _: &Address) -> Option<Server> {
        Some(self.server())
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
        // A resource that hands a request to its own site, in the middle of another, would find
        // itself busy.
        let Ok(mut resource) = self.resource.try_borrow_mut() else {
            return Reply::Now(plain(StatusCode::LOOP_DETECTED));
        };
        (**resource).render(request)
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
        let mut live = self.live.borrow_mut();
        let conn = live.try_remove(place as usize);
        let is_empty = live.is_empty();
        drop(live);
        drop(conn);
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

/// The system's time of day, which `Date` has to tell.
#[expect(clippy::disallowed_methods, reason = "a header names the time of day; tests set another")]
pub(crate) fn system_time() -> SystemTime {
    SystemTime::now()
}
