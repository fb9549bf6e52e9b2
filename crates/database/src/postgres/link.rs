//! What a connection and its clients share: calls in flight, and what comes of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Address, ClientEndpoint, Conn, ConnCall};

use crate::postgres::call::{Answer, Call, Kind, Step};
use crate::postgres::login::{Login, put};
use crate::postgres::protocol::{CancelRequest, Postgres};
use crate::postgres::row::{Column, Param, Statement};
use crate::postgres::statements::Statements;
use crate::postgres::{BadMessage, Config, Message, Notification, PostgresError, Status};

/// More settings than any server reports.
const SETTINGS_MAX: usize = 1000;

/// Is told of notifications.
type Listener = Rc<dyn Fn(Notification)>;

/// What a connection and its [`Client`](crate::postgres::Client)s share. It is never borrowed while anybody
/// is told anything.
pub(crate) struct Link {
    pub(super) config: Config,
    /// Where requests to cancel go.
    endpoint: Option<Rc<dyn ClientEndpoint>>,
    pub(super) state: RefCell<State>,
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) ready: Option<Promise<()>>,
    /// What a request to cancel has to name.
    key: Option<(i32, i32)>,
    settings: BTreeMap<String, String>,
    calls: VecDeque<Call>,
    next_call: u64,
    status: Status,
    statements: Statements,
    pub(super) out: BytesMut,
    /// Requests to cancel that the server has not taken yet.
    cancels: usize,
    /// Wait for the connection to be at rest.
    settling: Vec<Promise<()>>,
    pub(super) deadline: Option<ConnCall>,
    listener: Option<Listener>,
    /// Nobody can ask any more.
    is_finishing: bool,
}

pub(super) enum Phase {
    Before,
    /// Asked whether it speaks TLS.
    Asking(Conn<Postgres>),
    /// TLS is being agreed on.
    Encrypting,
    LoggingIn(Conn<Postgres>, Login),
    Up(Conn<Postgres>),
    Over(PostgresError),
}

impl Link {
    /// One that is not connected yet; the deferred tells when it is up.
    pub(super) fn new(
        config: Config,
        endpoint: Option<Rc<dyn ClientEndpoint>>,
    ) -> (Rc<Self>, Deferred<()>) {
        let (ready, is_ready) = deferred();
        let state = State {
            phase: Phase::Before,
            ready: Some(ready),
            key: None,
            settings: BTreeMap::new(),
            calls: VecDeque::new(),
            next_call: 0,
            status: Status::Idle,
            statements: Statements::default(),
            out: BytesMut::new(),
            cancels: 0,
            settling: Vec::new(),
            deadline: None,
            listener: None,
            is_finishing: false,
        };
        (Rc::new(Self { config, endpoint, state: RefCell::new(state) }), is_ready)
    }

    /// Prepares a statement, or finds it prepared.
    #[track_caller]
    pub(crate) fn prepare(self: &Rc<Self>, sql: &Rc<str>) -> Deferred<Rc<Statement>> {
        let mut state = self.state.borrow_mut();
        if let Some(statement) = state.statements.find(sql) {
            return Deferred::succeed(statement);
        }
        let name = state.statements.new_name();
        let written = state.encode(|out| {
            put(frontend::parse(&name, sql, [], out))?;
            put(frontend::describe(b'S', &name, out))?;
            frontend::sync(out);
            Ok(())
        });
        let (promise, statement) = deferred();
        self.cancel_with(&promise, state.next_call);
        let kind = Kind::Prepare { name, types: Vec::new(), columns: Vec::new(), promise };
        match written.and_then(|()| state.send(&self.config, Rc::clone(sql), kind)) {
            Ok(()) => statement,
            Err(error) => Deferred::fail(error),
        }
    }

    /// Executes a prepared statement.
    #[track_caller]
    pub(crate) fn execute(
        self: &Rc<Self>,
        sql: Rc<str>,
        statement: Rc<Statement>,
        params: &[Param],
    ) -> Deferred<Answer> {
        let (expected, given) = (statement.params.len(), params.len());
        if expected != given {
            return Deferred::fail(PostgresError::Parameters { expected, given });
        }
        let mut state = self.state.borrow_mut();
        let written = state.encode(|out| bind(&statement, params, out));
        let (promise, answer) = deferred();
        self.cancel_with(&promise, state.next_call);
        let kind = Kind::Execute { statement, answer: Answer::default(), bytes: 0, promise };
        match written.and_then(|()| state.send(&self.config, sql, kind)) {
            Ok(()) => answer,
            Err(error) => Deferred::fail(error),
        }
    }

    /// Has the server do any number of statements without parameters.
    #[track_caller]
    pub(crate) fn simple(self: &Rc<Self>, sql: &str) -> Deferred<Answer> {
        let mut state = self.state.borrow_mut();
        let written = state.encode(|out| put(frontend::query(sql, out)));
        let (promise, answer) = deferred();
        self.cancel_with(&promise, state.next_call);
        let kind = Kind::Simple { answer: Answer::default(), promise };
        match written.and_then(|()| state.send(&self.config, sql.into(), kind)) {
            Ok(()) => answer,
            Err(error) => Deferred::fail(error),
        }
    }

    fn cancel_with<T: 'static>(self: &Rc<Self>, promise: &Promise<T>, id: u64) {
        let link = Rc::downgrade(self);
        promise.on_cancel(move || {
            if let Some(link) = link.upgrade() {
                link.cancel(id);
            }
        });
    }

    /// Has the server stop a call, now or when its turn comes.
    fn cancel(self: &Rc<Self>, id: u64) {
        let mut state = self.state.borrow_mut();
        let Some(place) = state.calls.iter().position(|call| call.id == id) else { return };
        state.calls[place].is_cancelled = true;
        drop(state);
        if place == 0 {
            self.stop_server();
        }
    }

    /// Asks the server, on a connection of its own, to stop what it does.
    fn stop_server(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let (Some((process, secret)), Some(endpoint)) = (state.key, &self.endpoint) else { return };
        if !matches!(state.phase, Phase::Up(_)) {
            return;
        }
        state.cancels += 1;
        drop(state);
        let mut words = BytesMut::new();
        frontend::cancel_request(process, secret, &mut words);
        let request = CancelRequest { words, link: Rc::downgrade(self) };
        // How it ended it is told itself.
        ropewalk_protocol::connect(&**endpoint, request).on_result(drop);
    }

    pub(super) fn cancel_taken(&self) {
        let mut state = self.state.borrow_mut();
        state.cancels -= 1;
        let settled = state.settled();
        drop(state);
        tell(settled);
    }

    /// Tells when no call is in flight and no request to cancel is either.
    #[track_caller]
    pub(crate) fn settle(&self) -> Deferred<()> {
        let mut state = self.state.borrow_mut();
        if state.is_settled() {
            return Deferred::succeed(());
        }
        let (promise, settled) = deferred();
        state.settling.push(promise);
        settled
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.state.borrow().is_settled()
    }

    /// Whether the next one can use it: it is up, at rest, and in no transaction.
    pub(crate) fn is_free(&self) -> bool {
        let state = self.state.borrow();
        matches!(state.phase, Phase::Up(_)) && state.is_settled() && state.status == Status::Idle
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state.borrow().phase, Phase::Over(_))
    }

    pub(crate) fn status(&self) -> Status {
        self.state.borrow().status
    }

    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        self.state.borrow().settings.get(name).cloned()
    }

    pub(crate) fn listen(&self, listener: impl Fn(Notification) + 'static) {
        self.state.borrow_mut().listener = Some(Rc::new(listener));
    }

    /// Closes once all calls are answered, and takes no more.
    pub(crate) fn finish(&self) {
        let mut state = self.state.borrow_mut();
        state.is_finishing = true;
        state.finish_if_done();
    }

    pub(crate) fn abort(&self) {
        let conn = self.state.borrow().conn();
        if let Some(conn) = conn {
            conn.abort();
        }
    }

    /// Fails all calls, those that are yet to come too. The first reason counts.
    pub(super) fn end(&self, why: &PostgresError) {
        let mut state = self.state.borrow_mut();
        state.deadline = None;
        if let Phase::Over(first) = &state.phase {
            let first = first.clone();
            drop(state);
            return self.fail_all(&first);
        }
        state.phase = Phase::Over(why.clone());
        drop(state);
        self.fail_all(why);
    }

    fn fail_all(&self, why: &PostgresError) {
        let mut state = self.state.borrow_mut();
        let calls = mem::take(&mut state.calls);
        let settled = mem::take(&mut state.settling);
        let ready = state.ready.take();
        state.listener = None;
        drop(state);
        if let Some(ready) = ready {
            ready.fail(why.clone());
        }
        for mut call in calls {
            call.fail(why.clone());
            call.finish(None);
        }
        tell(settled);
    }

    /// Does what a message says.
    pub(super) fn take(self: &Rc<Self>, message: Message) -> Result<(), PostgresError> {
        match message {
            Message::Notice(notice) => {
                tracing::debug!(target: "ropewalk::database", "{notice}");
                return Ok(());
            }
            Message::ParameterStatus { name, value } => {
                let mut state = self.state.borrow_mut();
                if state.settings.len() >= SETTINGS_MAX && !state.settings.contains_key(&name) {
                    return Err(PostgresError::Bad(BadMessage::TooManySettings));
                }
                state.settings.insert(name, value);
                return Ok(());
            }
            Message::Notification { process, channel, payload } => {
                let listener = self.state.borrow().listener.clone();
                if let Some(listener) = listener {
                    listener(Notification { process, channel, payload });
                }
                return Ok(());
            }
            _ => (),
        }
        if matches!(self.state.borrow().phase, Phase::LoggingIn(..)) {
            return self.take_at_login(message);
        }
        match message {
            Message::Error(error) if error.is_fatal() => Err(PostgresError::Server(error)),
            Message::Error(error) => {
                let mut state = self.state.borrow_mut();
                match state.calls.front_mut() {
                    Some(call) => call.refuse(error),
                    None => return Err(PostgresError::Bad(BadMessage::OutOfPlace)),
                }
                Ok(())
            }
            Message::Ready(status) => self.ready(status),
            message => self.take_for_call(message),
        }
    }

    fn take_at_login(&self, message: Message) -> Result<(), PostgresError> {
        let mut state = self.state.borrow_mut();
        let State { phase, out, .. } = &mut *state;
        let Phase::LoggingIn(conn, login) = phase else { return Ok(()) };
        match message {
            Message::Error(error) => return Err(PostgresError::Server(error)),
            Message::Authentication(asked) => {
                let is_private = conn.tls().is_some() || matches!(conn.peer(), Address::Unix(_));
                out.clear();
                let is_in = login.answer(asked, &self.config, is_private, out)?;
                conn.write(out);
                if is_in {
                    *phase = Phase::Up(conn.clone());
                }
            }
            _ => return Err(PostgresError::Bad(BadMessage::OutOfPlace)),
        }
        Ok(())
    }

    fn take_for_call(self: &Rc<Self>, message: Message) -> Result<(), PostgresError> {
        let mut state = self.state.borrow_mut();
        // It comes between the login and the first readiness.
        if let (Message::BackendKey { process, secret }, Some(_)) = (&message, &state.ready) {
            state.key = Some((*process, *secret));
            return Ok(());
        }
        let call = state.calls.front_mut().ok_or(PostgresError::Bad(BadMessage::OutOfPlace))?;
        let step = call.take(message, self.config.limits.result_max).map_err(PostgresError::Bad)?;
        match step {
            Step::More => (),
            Step::RefuseCopy => {
                let is_extended = matches!(call.kind, Kind::Execute { .. });
                state.encode(|out| {
                    put(frontend::copy_fail("not spoken here", out))?;
                    // The one behind the statement was taken for a part of the data, and ignored.
                    if is_extended {
                        frontend::sync(out);
                    }
                    Ok(())
                })?;
                state.write();
            }
            Step::Stop => {
                drop(state);
                self.stop_server();
            }
        }
        Ok(())
    }

    /// The call at the front is over.
    fn ready(self: &Rc<Self>, status: Status) -> Result<(), PostgresError> {
        let mut state = self.state.borrow_mut();
        state.status = status;
        if let Some(ready) = state.ready.take() {
            drop(state);
            ready.succeed(());
            return Ok(());
        }
        let call = state.calls.pop_front().ok_or(PostgresError::Bad(BadMessage::OutOfPlace))?;
        if call.is_stale() {
            let gone = state.statements.forget(&call.sql);
            state.close_statements(&self.config, &gone.into_iter().collect::<Vec<_>>())?;
        }
        let prepared = call.prepared();
        if let (Kind::Prepare { .. }, None, None) = (&call.kind, &prepared, &call.error) {
            return Err(PostgresError::Bad(BadMessage::OutOfPlace));
        }
        if let Some(statement) = &prepared {
            let (sql, max) = (Rc::clone(&call.sql), self.config.limits.statements_max);
            let gone = state.statements.keep(sql, Rc::clone(statement), max);
            state.close_statements(&self.config, &gone)?;
        }
        let is_next_cancelled = state.calls.front().is_some_and(|call| call.is_cancelled);
        let settled = state.settled();
        drop(state);
        if is_next_cancelled {
            self.stop_server();
        }
        call.finish(prepared);
        tell(settled);
        Ok(())
    }
}

fn tell(settled: Vec<Promise<()>>) {
    for promise in settled {
        promise.succeed(());
    }
}

/// Writes all that executes a statement.
fn bind(statement: &Statement, params: &[Param], out: &mut BytesMut) -> Result<(), PostgresError> {
    let formats =
        statement.params.iter().zip(params).map(|(kind, param)| param.encode_format(kind) as i16);
    let mut wrong = None;
    let values = params.iter().zip(&statement.params).enumerate();
    let bound = frontend::bind(
        "",
        &statement.name,
        formats,
        values,
        |(place, (param, kind)), out| match param.to_sql_checked(kind, out) {
            Ok(postgres_types::IsNull::Yes) => Ok(IsNull::Yes),
            Ok(postgres_types::IsNull::No) => Ok(IsNull::No),
            Err(error) => {
                wrong = Some(PostgresError::Parameter { place: place + 1, why: error.to_string() });
                Err(error)
            }
        },
        statement.columns.iter().map(Column::format),
        out,
    );
    if bound.is_err() {
        return Err(wrong.unwrap_or(PostgresError::ZeroByte));
    }
    put(frontend::execute("", 0, out))?;
    frontend::sync(out);
    Ok(())
}

impl State {
    fn conn(&self) -> Option<Conn<Postgres>> {
        match &self.phase {
            Phase::Asking(conn) | Phase::LoggingIn(conn, _) | Phase::Up(conn) => Some(conn.clone()),
            Phase::Before | Phase::Encrypting | Phase::Over(_) => None,
        }
    }

    fn is_settled(&self) -> bool {
        (self.calls.is_empty() && self.cancels == 0) || matches!(self.phase, Phase::Over(_))
    }

    fn settled(&mut self) -> Vec<Promise<()>> {
        if self.is_settled() { mem::take(&mut self.settling) } else { Vec::new() }
    }

    /// Has words ready to be sent; none, where they cannot be written.
    pub(super) fn encode(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> Result<(), PostgresError>,
    ) -> Result<(), PostgresError> {
        self.out.clear();
        let written = write(&mut self.out);
        if written.is_err() {
            self.out.clear();
        }
        written
    }

    fn write(&mut self) {
        if let Phase::Up(conn) = &self.phase {
            conn.write(&self.out);
        }
        // What was large once need not stay.
        if self.out.capacity() > 64 * 1024 {
            self.out = BytesMut::new();
        }
    }

    /// Sends the words that are ready, as a call.
    fn send(&mut self, config: &Config, sql: Rc<str>, kind: Kind) -> Result<(), PostgresError> {
        let waiting = match &self.phase {
            Phase::Up(conn) => conn.waiting(),
            Phase::Over(why) => return Err(why.clone()),
            // A client is given out once it is up.
            _ => return Err(PostgresError::Bad(BadMessage::OutOfPlace)),
        };
        let has_room = waiting.saturating_add(self.out.len() as u64) <= config.limits.output_max;
        if self.calls.len() >= config.limits.calls_max || !has_room {
            return Err(PostgresError::TooMany);
        }
        let id = self.next_call;
        self.next_call += 1;
        self.calls.push_back(Call { id, sql, kind, error: None, is_cancelled: false });
        self.write();
        self.watch(config.limits.patience);
        Ok(())
    }

    fn close_statements(&mut self, config: &Config, names: &[String]) -> Result<(), PostgresError> {
        if names.is_empty() {
            return Ok(());
        }
        self.encode(|out| {
            for name in names {
                put(frontend::close(b'S', name, out))?;
            }
            frontend::sync(out);
            Ok(())
        })?;
        match self.send(config, "".into(), Kind::Forget) {
            // They stay prepared there, which harms nobody.
            Ok(()) | Err(PostgresError::TooMany) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Begins to wait, if that has not begun.
    fn watch(&mut self, patience: Duration) {
        if let Phase::Up(conn) = &self.phase
            && self.deadline.is_none()
            && !self.calls.is_empty()
        {
            self.deadline = Some(conn.call_later(patience, Postgres::give_up));
        }
    }

    /// Waits anew: something came.
    pub(super) fn put_off(&mut self, patience: Duration) {
        let (Phase::Up(conn), Some(deadline)) = (&self.phase, self.deadline) else { return };
        if self.ready.is_some() {
            // The login is one wait from its beginning to its end.
            return;
        }
        if self.calls.is_empty() {
            conn.cancel_call(deadline);
            self.deadline = None;
        } else if !conn.reset_call(deadline, patience) {
            self.deadline = None;
            self.watch(patience);
        }
    }

    pub(super) fn finish_if_done(&mut self) {
        if let Phase::Up(conn) = &self.phase
            && self.is_finishing
            && self.calls.is_empty()
            && self.ready.is_none()
        {
            self.out.clear();
            frontend::terminate(&mut self.out);
            conn.write(&self.out);
            conn.close();
        }
    }
}
