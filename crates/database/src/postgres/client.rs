//! One connection, to be asked.

use std::fmt;
use std::rc::Rc;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::ClientEndpoint;

use crate::postgres::call::Answer;
use crate::postgres::link::Link;
use crate::postgres::protocol::Postgres;
use crate::postgres::{Config, FromRow, Params, PostgresError, Row, Status};

/// Something that somebody said on a channel that this connection listens on (`LISTEN`, `NOTIFY`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The server's process for who said it.
    pub process: i32,
    /// The channel.
    pub channel: String,
    /// What was said.
    pub payload: String,
}

/// Connects to the server at `endpoint` and logs in; the deferred gives a client.
///
/// It fails with a [`PostgresError`], or with what the endpoint fails with. Requests to cancel go to the same
/// endpoint, each on a connection of its own, and in the clear: they name a number that is of use for nothing
/// else.
#[track_caller]
pub fn connect(endpoint: &Rc<dyn ClientEndpoint>, config: Config) -> Deferred<Client> {
    let (protocol, link, ready) = Postgres::new(config, Some(Rc::clone(endpoint)));
    let client = Client { link: Rc::new(Handles(Rc::clone(&link))) };
    let made = ropewalk_protocol::connect(&**endpoint, protocol);
    made.add_both(move |made| match made {
        Ok(_) => {
            let giving_up = Rc::downgrade(&link);
            let ready = ready.add_errback(move |failure| {
                if let Some(link) = giving_up.upgrade() {
                    link.abort();
                }
                Err::<(), _>(failure)
            });
            ready.map(move |()| client)
        }
        Err(failure) => {
            // It failed for the same reason.
            ready.on_result(drop);
            Deferred::fail(failure)
        }
    })
}

/// A handle to one connection, good to clone and keep.
///
/// Calls are sent at once and answered in their order. A call that fails does so with a [`PostgresError`].
/// Cancelling one asks the server to stop it. When the last handle is dropped, the connection is closed once
/// all calls are answered.
#[derive(Clone)]
pub struct Client {
    link: Rc<Handles>,
}

/// What is shared by all clones of one handle.
struct Handles(Rc<Link>);

impl Drop for Handles {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl Client {
    /// A protocol for one connection, its handle, and a deferred that tells when the server has let it in:
    /// for transports that are no endpoint. Such a connection cannot ask the server to stop a statement.
    #[track_caller]
    pub fn new(config: Config) -> (Postgres, Self, Deferred<()>) {
        let (protocol, link, ready) = Postgres::new(config, None);
        (protocol, Self { link: Rc::new(Handles(link)) }, ready)
    }

    /// The rows that a statement gives. `params` stand for `$1`, `$2` and so on.
    ///
    /// The statement is prepared at its first use, which takes a round trip more.
    #[track_caller]
    pub fn query(&self, sql: impl AsRef<str>, params: impl Params) -> Deferred<Vec<Row>> {
        self.perform(sql.as_ref(), params).map(|answer| answer.rows)
    }

    /// The same, each row made into a type: a tuple, or whatever is [`FromRow`].
    #[track_caller]
    pub fn query_as<T: FromRow + 'static>(
        &self,
        sql: impl AsRef<str>,
        params: impl Params,
    ) -> Deferred<Vec<T>> {
        self.perform(sql.as_ref(), params).add_callback(|answer| {
            answer.rows.iter().map(T::from_row).collect::<Result<Vec<_>, _>>()
        })
    }

    /// Does what a statement says; how many rows it inserted, updated, deleted or gave.
    #[track_caller]
    pub fn execute(&self, sql: impl AsRef<str>, params: impl Params) -> Deferred<u64> {
        self.perform(sql.as_ref(), params).map(|answer| answer.changed)
    }

    /// Does any number of statements, which have no parameters, in one transaction unless they say
    /// otherwise. What they give is not asked for.
    #[track_caller]
    pub fn script(&self, sql: impl AsRef<str>) -> Deferred<()> {
        self.simple(sql.as_ref()).map(drop)
    }

    #[track_caller]
    pub(crate) fn simple(&self, sql: &str) -> Deferred<Answer> {
        self.link.0.simple(sql)
    }

    #[track_caller]
    fn perform(&self, sql: &str, params: impl Params) -> Deferred<Answer> {
        let (sql, params): (Rc<str>, _) = (sql.into(), params.into_params());
        let link = Rc::clone(&self.link.0);
        let prepared = link.prepare(&sql);
        prepared.add_callback(move |statement| link.execute(sql, statement, &params))
    }

    /// Has `listener` called with each notification; the last one set counts. Which channels, is said by
    /// `LISTEN`.
    pub fn on_notification(&self, listener: impl Fn(Notification) + 'static) {
        self.link.0.listen(listener);
    }

    /// The value of a setting that the server reports, such as `server_version`.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.link.0.setting(name)
    }

    /// What the connection was in when the last call was answered.
    pub fn status(&self) -> Status {
        self.link.0.status()
    }

    /// Whether the connection is over.
    pub fn is_over(&self) -> bool {
        self.link.0.is_over()
    }

    /// Tells when no call is in flight, nor any request to cancel one: at once where the connection is
    /// over.
    #[track_caller]
    pub fn settle(&self) -> Deferred<()> {
        self.link.0.settle()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.link.0.is_settled()
    }

    pub(crate) fn is_free(&self) -> bool {
        self.link.0.is_free()
    }

    /// Ends the connection now, and all calls with it.
    pub fn abort(&self) {
        self.link.0.abort();
    }

    #[track_caller]
    pub(crate) fn commit(&self) -> Deferred<()> {
        self.simple("COMMIT").add_callback(|answer| {
            if answer.rolled_back { Err(PostgresError::NotCommitted) } else { Ok(()) }
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("over", &self.is_over()).finish_non_exhaustive()
    }
}
