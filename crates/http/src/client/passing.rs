//! Requests that somebody else has made, passed on as they are: nothing is followed, decoded or kept.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{Method, Response};
use ropewalk_deferred::{Abandoned, Deferred, Failure, deferred};
use ropewalk_protocol::timeout;

use super::agent::Agent;
use super::connection::{Exchange, Left, Progress};
use super::exchange::{put_framing, sent_as};
use super::follow::{connected, is_unprocessed, named};
use super::link::Line;
use super::pool::{Grant, Wish};
use super::{AgentError, Origin, Switch, Wait};
use crate::Priority;
use crate::codec::{AnswerTo, BodyWriter};
use crate::server::{Body, BodyKind, Incoming};

/// How often a request is sent anew after a connection that was closed meanwhile.
const RETRIES_MAX: usize = 3;

/// Hears of interim answers (RFC 9110 15.2), `100 Continue` excepted.
pub(crate) type OnInterim = Rc<dyn Fn(Response<()>)>;

/// A request that is passed on.
#[derive(Clone)]
pub(crate) struct Passing {
    pub(crate) method: Method,
    /// All of it up to the body.
    head: Rc<Vec<u8>>,
    body: Rc<RefCell<Option<BodyKind>>>,
    length: Option<u64>,
    pub(crate) expects_continue: bool,
    pub(crate) on_interim: Option<OnInterim>,
    /// Present where the request asks for another protocol.
    pub(crate) switch: Option<Rc<Switch>>,
}

/// A request without an answer.
pub(crate) struct Unanswered {
    pub(crate) why: Failure,
    /// The request, if nothing of it has left.
    pub(crate) unsent: Option<Passing>,
}

impl Passing {
    pub(crate) fn new(method: Method, body: Body) -> Self {
        let length = body.length();
        Self {
            method,
            head: Rc::default(),
            body: Rc::new(RefCell::new(Some(body.kind))),
            length,
            expects_continue: false,
            on_interim: None,
            switch: None,
        }
    }

    /// Sets request line and fields, but for those that say where the body ends: by now that is known.
    pub(crate) fn set_head(&mut self, mut head: Vec<u8>) {
        put_framing(&mut head, &self.method, self.length, self.expects_a_word());
        head.extend_from_slice(b"\r\n");
        self.head = Rc::new(head);
    }

    fn expects_a_word(&self) -> bool {
        self.expects_continue && self.length != Some(0)
    }

    /// Has it ready to be sent once more, if that can be.
    fn rewind(&self) -> bool {
        let mut body = self.body.borrow_mut();
        if body.is_none() && self.length == Some(0) {
            *body = Some(BodyKind::Empty);
        }
        body.is_some()
    }

    fn begin(
        &self,
        line: Line,
        progress: &Rc<Progress>,
        total: Option<Duration>,
    ) -> Deferred<Response<Incoming>> {
        let (promise, answer) = deferred();
        let exchange = Exchange {
            head: Rc::clone(&self.head),
            to: AnswerTo::from(&self.method),
            body: Rc::clone(&self.body),
            writer: BodyWriter::new(sent_as(&self.method, self.length)),
            expects_continue: self.expects_a_word(),
            progress: Rc::clone(progress),
            left: total.map(|total| Left { time: total, of: total }),
            on_interim: self.on_interim.clone(),
            priority: None,
            preferred: Priority::default(),
            switch: self.switch.clone(),
            is_passed_on: true,
            promise,
        };
        line.begin(exchange);
        answer
    }
}

/// Sends a request to `origin`; `then` gets what came back, whatever it is.
///
/// It is sent anew where nothing of it had left, and where its server had closed a connection as unused
/// while a request that changes nothing was on its way (RFC 9110 9.2.2). Cancelling the deferred aborts
/// the connection.
pub(crate) fn pass<R: 'static>(
    agent: &Agent,
    origin: Rc<Origin>,
    passing: Passing,
    then: impl FnOnce(Result<Response<Incoming>, Unanswered>) -> Deferred<R> + 'static,
) -> Deferred<R> {
    attempt(agent.clone(), origin, passing, 0, then)
}

fn attempt<R: 'static>(
    agent: Agent,
    origin: Rc<Origin>,
    passing: Passing,
    retries: usize,
    then: impl FnOnce(Result<Response<Incoming>, Unanswered>) -> Deferred<R> + 'static,
) -> Deferred<R> {
    let progress = Rc::new(Progress::default());
    let answer = ask(&agent, &origin, &passing, &progress);
    answer.add_both(move |result| {
        let why = match result {
            Ok(response) => return then(Ok(response)),
            Err(why) => why,
        };
        if retries < RETRIES_MAX && may_retry(&passing, &progress, &why) && passing.rewind() {
            agent.heed(&origin, &why);
            return attempt_anew(agent, origin, passing, retries + 1, Box::new(then));
        }
        let unsent = (!progress.sent.get()).then_some(passing);
        then(Err(Unanswered { why, unsent }))
    })
}

/// What is done with what came back.
type Then<R> = Box<dyn FnOnce(Result<Response<Incoming>, Unanswered>) -> Deferred<R>>;

/// The same once more: by a name, so that its type does not hold itself.
fn attempt_anew<R: 'static>(
    agent: Agent,
    origin: Rc<Origin>,
    passing: Passing,
    retries: usize,
    then: Then<R>,
) -> Deferred<R> {
    attempt::<R>(agent, origin, passing, retries, then)
}

fn ask(
    agent: &Agent,
    origin: &Rc<Origin>,
    passing: &Passing,
    progress: &Rc<Progress>,
) -> Deferred<Response<Incoming>> {
    let patience = &agent.options().patience;
    let (total, connect) = (patience.total, patience.connect);
    // What is asked for here is an upgrade of HTTP/1.1, and its answer is to be one.
    let wish = if passing.switch.is_some() { Wish::Http1 } else { agent.wish(origin) };
    match agent.pool().take(Rc::clone(origin), wish).try_take() {
        // Most requests find a connection, and there is nothing to wait for.
        Ok(Ok(Grant::Ready(line))) => passing.begin(line, progress, total),
        Ok(granted) => {
            let (told, sent) = (Rc::clone(progress), passing.clone());
            opened(agent, Deferred::ready(granted))
                .add_callback(move |line| sent.begin(line, &told, total))
        }
        Err(waiting) => {
            let grant = match connect {
                Some(wait) => {
                    timeout(&**agent.clock(), wait, waiting).add_errback(move |failure| {
                        Err::<_, Failure>(named(failure, Wait::Connect(wait)))
                    })
                }
                None => waiting,
            };
            let (told, sent) = (Rc::clone(progress), passing.clone());
            opened(agent, grant).add_callback(move |line| sent.begin(line, &told, total))
        }
    }
}

/// The connection that was granted, once it is there.
fn opened(agent: &Agent, grant: Deferred<Grant>) -> Deferred<Line> {
    let agent = agent.clone();
    grant.add_callback(move |grant| connected(&agent, grant))
}

/// Whether a request that failed can be sent to the same server again.
fn may_retry(passing: &Passing, progress: &Progress, why: &Failure) -> bool {
    if !progress.sent.get() {
        // The connection was closed between being granted and being used.
        return why.check::<Abandoned>().is_some();
    }
    if is_unprocessed(why) {
        return true;
    }
    let is_lost = matches!(why.check::<AgentError>(), Some(AgentError::Lost(_)));
    is_lost && progress.reused.get() && !progress.answered.get() && passing.method.is_safe()
}
