//! The page that shows how the loops are, as they are.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_http::events::{Event, EventGroup};
use ropewalk_http::{
    HeaderValue, IntoReply, Method, Reply, Request, Resource, Response, StatusCode, header,
};
use ropewalk_protocol::LoopingCall;
use ropewalk_reactor::{Histogram, Reactor};
use serde_json::{Value, json};

use crate::loops::{Loops, Report};
use crate::process::Process;

/// How many points a page remembers, one a second.
pub const HISTORY_MAX: usize = 300;
/// How many may watch at once.
pub const WATCHERS_MAX: usize = 64;

/// How far apart points are.
const EVERY: Duration = Duration::from_secs(1);

const PAGE: &str = include_str!("page.html");
/// Where the page has what was before it.
const PAST: &str = "/*PAST*/[]";

/// A page that holds all it needs, and the events that keep it up to date: connections, requests, how long
/// they take, how late the loop is, memory.
///
/// It answers at its own path with the page, and at `…/events` with Server-Sent Events
/// (`text/event-stream`), an object a second. It shows sums of all loops, and no peers.
#[derive(Clone)]
pub struct StatusPage {
    state: Rc<State>,
}

struct State {
    title: String,
    loops: Loops,
    here: Reactor,
    news: EventGroup,
    past: RefCell<VecDeque<Value>>,
    before: RefCell<Option<Sums>>,
    looping: RefCell<Option<LoopingCall>>,
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(looping) = self.looping.take() {
            looping.stop();
        }
    }
}

/// What all loops have together.
#[derive(Clone, Default)]
struct Sums {
    at: Duration,
    connections: u64,
    opened: u64,
    requests: u64,
    errors: u64,
    received: u64,
    sent: u64,
    took: Histogram,
    turns: Histogram,
    lag: Histogram,
    tls: u64,
}

impl Sums {
    fn of(reports: &[Report], at: Duration) -> Self {
        let mut sums = Self { at, ..Self::default() };
        for report in reports {
            let statistics = &report.statistics;
            for source in &statistics.sources {
                // What was made from here is not what somebody came for.
                if source.listener != "outgoing" {
                    sums.connections += source.open;
                    sums.opened += source.opened;
                }
                sums.received += source.received;
                sums.sent += source.sent;
            }
            sums.requests += report.requests.took.count();
            sums.errors += report.requests.by_class[5];
            sums.took.add(&report.requests.took);
            sums.turns.add(&statistics.turn_time);
            sums.lag.add(&statistics.lag);
            let tls = statistics.counts.iter().filter(|(name, _)| name.starts_with("tls_"));
            sums.tls += tls.map(|(_, count)| count).sum::<u64>();
        }
        sums
    }

    /// A point of the charts: what has changed since `before`.
    fn point(&self, before: &Self, process: Process) -> Value {
        let seconds = self.at.saturating_sub(before.at).as_secs_f64().max(0.001);
        let rate =
            |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds * 10.0).round() / 10.0;
        let took = self.took.since(&before.took);
        let turns = self.turns.since(&before.turns);
        let lag = self.lag.since(&before.lag);
        let ms = |histogram: &Histogram, share: f64| {
            histogram.quantile(share).map(|wait| (wait.as_secs_f64() * 1e6).round() / 1e3)
        };
        json!({
            "at": self.at.as_millis() as u64,
            "connections": self.connections,
            "opened": rate(self.opened, before.opened),
            "requests": rate(self.requests, before.requests),
            "errors": rate(self.errors, before.errors),
            "received": rate(self.received, before.received),
            "sent": rate(self.sent, before.sent),
            "tls": rate(self.tls, before.tls),
            "p50": ms(&took, 0.5),
            "p90": ms(&took, 0.9),
            "p99": ms(&took, 0.99),
            "turn": ms(&turns, 1.0),
            "lag": ms(&lag, 1.0),
            "memory": process.resident,
            "descriptors": process.descriptors,
            "cpu": process.cpu.as_secs_f64(),
        })
    }
}

impl StatusPage {
    /// A page about `loops`, answered on the loop `here`, which takes a point a second from now on.
    pub fn new(title: &str, loops: &Loops, here: &Reactor) -> Self {
        let news = EventGroup::new().members_max(WATCHERS_MAX);
        let state = Rc::new(State {
            title: title.to_owned(),
            loops: loops.clone(),
            here: here.clone(),
            news,
            past: RefCell::default(),
            before: RefCell::default(),
            looping: RefCell::default(),
        });
        let weak = Rc::downgrade(&state);
        let (looping, ended) = LoopingCall::start(here.clone(), EVERY, move |_| {
            if let Some(state) = weak.upgrade() {
                state.take_point();
            }
        });
        ended.on_result(|_| ());
        state.looping.replace(Some(looping));
        Self { state }
    }

    /// What the page shows, as the last point has it.
    pub fn last(&self) -> Option<Value> {
        self.state.past.borrow().back().cloned()
    }
}

impl State {
    fn take_point(&self) {
        let now = self.here.precise_now();
        let sums = Sums::of(&self.loops.look(&self.here), now);
        let Some(before) = self.before.replace(Some(sums.clone())) else { return };
        let point = sums.point(&before, Process::now());
        self.news.send(&Event::new(point.to_string()));
        let mut past = self.past.borrow_mut();
        if past.len() == HISTORY_MAX {
            past.pop_front();
        }
        past.push_back(point);
    }

    fn page(&self) -> Response {
        let past: Vec<Value> = self.past.borrow().iter().cloned().collect();
        // It stands in a script, where only this could end it.
        let past = Value::from(past).to_string().replace('<', "\\u003c");
        let page = PAGE.replace("{{title}}", &escaped(&self.title)).replace(PAST, &past);
        let mut response = Response::new(page.into());
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                 connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'",
            ),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// Text as a page may have it.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut page, c| {
        match c {
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '&' => page.push_str("&amp;"),
            '"' => page.push_str("&quot;"),
            c => page.push(c),
        }
        page
    })
}

impl Resource for StatusPage {
    fn render(&mut self, request: Request) -> Reply {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = Response::new("only GET\n".into());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response.into_reply();
        }
        if request.uri().path().ends_with("/events") {
            return self.state.news.join(&request);
        }
        self.state.page().into_reply()
    }
}
