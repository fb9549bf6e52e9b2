//! From a request to its last answer: retries, challenges, redirects.

use std::rc::Rc;

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION,
    WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode};
use ropewalk_deferred::{Abandoned, Deferred, Failure, deferred};
use ropewalk_http2::ResetBy;
use ropewalk_http2::frame::ErrorCode;
use ropewalk_protocol::{TimedOut, seat_and_tell, timeout};
use url::Url;

use super::agent::{Agent, Answer};
use super::connection::{Left, Progress};
use super::exchange::{Call, content_coding};
use super::fresh::Fresh;
use super::link::{Line, Link};
use super::pool::{Grant, Lease, Wish};
use super::{AgentError, Decoding, Origin, Wait};
use crate::server::Incoming;

/// How often a request is sent anew after a connection that was closed meanwhile.
const RETRIES_MAX: usize = 3;

/// Does all that a request needs.
pub(super) fn run(agent: &Agent, mut call: Call) -> Deferred<Answer> {
    let Some(total) = call.total.or(agent.options().patience.total) else { return go(agent, call) };
    let clock = agent.clock();
    call.until = Some((clock.now() + total, total));
    timeout(&**clock, total, go(agent, call))
        .add_errback(move |failure| Err::<Answer, _>(named(failure, Wait::Total(total))))
}

/// A time-out by the name of what took too long.
pub(super) fn named(failure: Failure, wait: Wait) -> Failure {
    match failure.check::<TimedOut>() {
        Some(_) => AgentError::TimedOut(wait).into(),
        None => failure,
    }
}

fn go(agent: &Agent, mut call: Call) -> Deferred<Answer> {
    let origin = match call.rewind().and_then(|()| call.origin()) {
        Ok(origin) => Rc::new(origin),
        Err(error) => return Deferred::fail(error),
    };
    if call.has_no_length() && agent.is_old(&origin) {
        return Deferred::fail(AgentError::NeedsLength);
    }
    let progress = Rc::new(Progress::default());
    let told = Rc::clone(&progress);
    let wish = if call.wants_http1 { Wish::Http1 } else { agent.wish(&origin) };
    let needs_word = call.switch.as_ref().is_some_and(|switch| switch.needs_word());
    let curious = needs_word.then(|| Rc::clone(&origin));
    granted(agent, origin, wish)
        .add_callback({
            let agent = agent.clone();
            move |grant| {
                let line = connected(&agent, grant);
                let line = match curious {
                    Some(origin) => suited(&agent, origin, line),
                    None => line,
                };
                line.add_both(move |line| sent(&agent, call, &told, line))
            }
        })
        .add_callback(move |outcome| decide(outcome, &progress))
}

/// The same as [`taken`], no later than the agent's patience has it.
fn granted(agent: &Agent, origin: Rc<Origin>, wish: Wish) -> Deferred<Grant> {
    let taken = taken(agent, origin, wish);
    match agent.options().patience.slot {
        Some(slot) => timeout(&**agent.clock(), slot, taken)
            .add_errback(move |failure| Err::<Grant, _>(named(failure, Wait::Slot(slot)))),
        None => taken,
    }
}

/// A connection to `origin`, or the right to make one: where there is one that was made for another
/// origin and leads here as well, that one (RFC 9113 9.1.1).
fn taken(agent: &Agent, origin: Rc<Origin>, wish: Wish) -> Deferred<Grant> {
    let candidate = match wish {
        Wish::Http1 => None,
        Wish::Any | Wish::Shared => agent.pool().candidate(&origin),
    };
    let Some(link) = candidate else { return agent.pool().take(origin, wish) };
    let Some((peer, tls)) = link.ends() else {
        link.add_stranger(&origin);
        return taken(agent, origin, wish);
    };
    let agent = agent.clone();
    agent.dial().leads_to(&origin, &peer, &tls).add_both(move |leads| {
        agent.pool().judge(&origin, &link, leads.unwrap_or(false));
        taken(&agent, origin, wish)
    })
}

/// The connection, once it is known that a protocol can be asked for there; where its server takes none
/// on a stream, one that speaks HTTP/1.1 (RFC 8441 3).
fn suited(agent: &Agent, origin: Rc<Origin>, line: Deferred<Line>) -> Deferred<Line> {
    let agent = agent.clone();
    line.add_callback(move |line| {
        let Some(link) = line.link() else { return Deferred::succeed(line) };
        let word = link.takes_protocols();
        let word = match agent.options().patience.connect {
            Some(wait) => timeout(&**agent.clock(), wait, word)
                .add_errback(move |failure| Err::<bool, _>(named(failure, Wait::Connect(wait)))),
            None => word,
        };
        word.add_callback(move |takes| {
            if takes {
                return Deferred::succeed(line);
            }
            // Its place is another's.
            drop(line);
            granted(&agent, origin, Wish::Http1).add_callback(move |grant| connected(&agent, grant))
        })
    })
}

/// What came of a request that was sent, or not, with all that is needed to send it again.
struct Outcome {
    agent: Agent,
    call: Call,
    /// The connection that it was on, where that is shared.
    link: Option<Rc<Link>>,
    result: Result<Response<Incoming>, Failure>,
}

pub(super) fn connected(agent: &Agent, grant: Grant) -> Deferred<Line> {
    match grant {
        Grant::Ready(line) => Deferred::succeed(line),
        Grant::Open(lease) => open(agent, lease),
    }
}

fn open(agent: &Agent, lease: Lease) -> Deferred<Line> {
    let origin = Rc::clone(lease.origin());
    let is_http1 = lease.is_http1();
    let (promise, line) = deferred();
    let (seat, made) = seat_and_tell(Fresh::new(lease, agent.rules().clone(), promise));
    let dial = agent.dial();
    let dialled = if is_http1 { dial.dial_http1(&origin, seat) } else { dial.dial(&origin, seat) };
    let made = made.add_both(move |made| match made {
        Ok(_) => line,
        Err(failure) => instead_of(line, failure),
    });
    let made = dialled.add_both(move |dialled| match dialled {
        Ok(()) => made,
        Err(failure) => instead_of(made, failure),
    });
    let made = match agent.options().patience.connect {
        Some(connect) => timeout(&**agent.clock(), connect, made)
            .add_errback(move |failure| Err::<Line, _>(named(failure, Wait::Connect(connect)))),
        None => made,
    };
    made.add_errback(move |failure| {
        Err::<Line, _>(failure.context(format!("no connection to {origin}")))
    })
}

/// A failure for which `later` will never come to anything: its own is no news then.
fn instead_of<T: 'static>(later: Deferred<T>, failure: Failure) -> Deferred<T> {
    later.on_result(drop);
    Deferred::fail(failure)
}

fn sent(
    agent: &Agent,
    mut call: Call,
    progress: &Rc<Progress>,
    line: Result<Line, Failure>,
) -> Deferred<Outcome> {
    let agent = agent.clone();
    let line = match line {
        Ok(line) => line,
        // The connection that was shared has gone before its server had said what it takes.
        Err(failure) if call.switch.is_some() && failure.check::<Abandoned>().is_some() => {
            return Deferred::succeed(Outcome { agent, call, link: None, result: Err(failure) });
        }
        Err(failure) => return Deferred::fail(failure),
    };
    let now = agent.clock().now();
    let left = call.until.map(|(until, of)| Left { time: until.saturating_sub(now), of });
    let (promise, answer) = deferred();
    let exchange = match call.exchange(agent.options(), progress, left, promise) {
        Ok(exchange) => exchange,
        Err((error, _)) => {
            line.discard();
            return Deferred::fail(error);
        }
    };
    let link = line.link();
    line.begin(exchange);
    answer.add_both(move |result| Ok::<_, Failure>(Outcome { agent, call, link, result }))
}

/// What to do with an answer, or without one.
fn decide(outcome: Outcome, progress: &Progress) -> Deferred<Answer> {
    let Outcome { ref agent, mut call, link, result } = outcome;
    let response = match result {
        Ok(response) => response,
        Err(failure) => {
            if call.retries < RETRIES_MAX && may_retry(&call, progress, &failure) {
                call.retries += 1;
                if call.switch.is_some() && is_stream_for_http1(&failure) {
                    call.wants_http1 = true;
                } else if let Ok(origin) = call.origin() {
                    agent.heed(&origin.into(), &failure);
                }
                if call.rewind().is_ok() {
                    return go(agent, call);
                }
            }
            return Deferred::ready(Err(failure));
        }
    };
    if response.status() == StatusCode::MISDIRECTED_REQUEST
        && let Some(link) = link.filter(|_| progress.reused.get() && !call.was_misdirected)
        && let Ok(origin) = call.origin()
    {
        call.was_misdirected = true;
        agent.pool().misdirected(&Rc::new(origin), &link);
        if call.rewind().is_ok() {
            return go(agent, call);
        }
    }
    agent.note_version(&call, response.version());
    if let Some(jar) = &agent.options().cookies {
        jar.store(&call.url, response.headers());
    }
    if response.status() == StatusCode::UNAUTHORIZED && !call.was_challenged {
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let own = call.credentials.as_ref();
        if let Some(credentials) = own.or(agent.options().credentials.as_ref())
            && credentials.hear(challenges.iter())
            && call.rewind().is_ok()
        {
            call.was_challenged = true;
            return go(agent, call);
        }
    }
    match redirect(agent, &call, &response) {
        Ok(None) => Deferred::succeed(answer(agent, call, response)),
        Ok(Some(url)) => match lead(&mut call, response.status(), url) {
            Ok(()) => go(agent, call),
            Err(error) => Deferred::fail(error),
        },
        Err(error) => Deferred::fail(error),
    }
}

/// Whether a request that failed can be sent again without harm: nothing of it has left, or it was
/// one that changes nothing, on a connection that its server had closed as unused (RFC 9110 9.2.2).
fn may_retry(call: &Call, progress: &Progress, failure: &Failure) -> bool {
    if !progress.sent.get() {
        return failure.check::<Abandoned>().is_some();
    }
    if is_unprocessed(failure) {
        return true;
    }
    let is_lost = matches!(failure.check::<AgentError>(), Some(AgentError::Lost(_)));
    is_lost && progress.reused.get() && !progress.answered.get() && call.method.is_safe()
}

/// Whether the server has said that it left the request alone (RFC 9113 8.7), or that it wants to be asked
/// in HTTP/1.1 (RFC 9113 7).
pub(super) fn is_unprocessed(failure: &Failure) -> bool {
    failure.check::<AgentError>() == Some(&AgentError::Unprocessed) || wants_http1(failure)
}

fn wants_http1(failure: &Failure) -> bool {
    is_stream_for_http1(failure)
        || failure.check::<AgentError>() == Some(&AgentError::GoneAway(ErrorCode::Http11Required))
}

/// Whether it was said of one request alone.
fn is_stream_for_http1(failure: &Failure) -> bool {
    const WANTED: ErrorCode = ErrorCode::Http11Required;
    matches!(failure.check::<AgentError>(), Some(AgentError::Stream(ResetBy::Peer(WANTED))))
}

impl Agent {
    /// Keeps to what a server has said by failing a request: how `origin` is to be asked.
    pub(super) fn heed(&self, origin: &Rc<Origin>, failure: &Failure) {
        if wants_http1(failure) {
            self.pool().require_http1(origin);
        }
    }
}

/// Where an answer leads, if it does and it is to be followed.
fn redirect(
    agent: &Agent,
    call: &Call,
    response: &Response<Incoming>,
) -> Result<Option<Url>, AgentError> {
    let rules = &agent.options().redirects;
    // A tunnel leads elsewhere already.
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
        && call.method != Method::CONNECT;
    let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect && rules.max > 0)
    else {
        return Ok(None);
    };
    if call.redirects >= rules.max {
        return Err(AgentError::TooManyRedirects { max: rules.max });
    }
    let bad = || AgentError::BadRedirect(String::from_utf8_lossy(location.as_bytes()).into_owned());
    let text = str::from_utf8(location.as_bytes()).map_err(|_| bad())?;
    let mut url = call.url.join(text).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad());
    }
    // A server has no say in who asks.
    if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return Err(bad());
    }
    // RFC 9110 10.2.2: the fragment goes along.
    if url.fragment().is_none() {
        url.set_fragment(call.url.fragment());
    }
    if call.url.scheme() == "https" && url.scheme() == "http" && !rules.downgrade {
        return Err(AgentError::Downgrade(url.into()));
    }
    if !(rules.allow)(url.as_str()) {
        return Err(AgentError::RedirectRefused(url.into()));
    }
    Ok(Some(url))
}

/// Makes a request one to where it was led (RFC 9110 15.4).
fn lead(call: &mut Call, status: StatusCode, url: Url) -> Result<(), AgentError> {
    call.redirects += 1;
    call.was_challenged = false;
    call.wants_http1 = false;
    let becomes_get = match status {
        StatusCode::SEE_OTHER => call.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => call.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        call.method = Method::GET;
        call.drop_body();
    }
    if call.url.origin() != url.origin() {
        for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
            call.headers.remove(name);
        }
        call.credentials = Some(super::Credentials::none());
        call.socket = None;
    }
    call.headers.remove(HOST);
    call.is_for_server = false;
    call.url = url;
    call.rewind()
}

fn answer(agent: &Agent, call: Call, response: Response<Incoming>) -> Answer {
    let (mut parts, mut body) = response.into_parts();
    if call.decodes
        && !body.is_none()
        && let Some(coding) = content_coding(&parts.headers)
        && let Some(decoding) = Decoding::of(coding.as_bytes(), agent.options().decoded_max)
    {
        body.decode(decoding);
        parts.headers.remove(CONTENT_ENCODING);
        parts.headers.remove(CONTENT_LENGTH);
    }
    Answer::new(Response::from_parts(parts, body), call.url, agent.options().collect_max)
}
