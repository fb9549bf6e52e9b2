//! Connections to one server, shared.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, from_future};
use ropewalk_protocol::{ClientEndpoint, Clock, Spawn};

use crate::postgres::{Client, Config, FromRow, Params, PostgresError, Row, Status, connect};
use crate::slots::{Held, Lease, Slots, count};
use crate::{PoolMetrics, PoolOptions};

/// Connections to one server of PostgreSQL, each used by one call or one transaction at a time.
///
/// A call takes a connection that is free, opens one where there may be more, or waits for its turn. One that
/// is lost is replaced by the next call that needs one; the call that it was lost under fails, as nobody knows
/// how much of it was done. Clones are the same pool.
#[derive(Clone)]
pub struct Pool {
    inner: Rc<Inner>,
}

struct Inner {
    endpoint: Rc<dyn ClientEndpoint>,
    config: Config,
    spawner: Rc<dyn Spawn>,
    slots: Slots<Client>,
}

impl Pool {
    /// A pool of connections to `endpoint`, on the loop of `host`: a reactor.
    pub fn new<H: Clock + Spawn + Clone + 'static>(
        host: &H,
        endpoint: impl ClientEndpoint + 'static,
        config: Config,
        options: PoolOptions,
    ) -> Self {
        // The last handle to a connection closes it.
        let slots = Slots::new(options, Rc::new(host.clone()), Client::is_free, drop);
        let (endpoint, spawner) = (Rc::new(endpoint), Rc::new(host.clone()));
        Self { inner: Rc::new(Inner { endpoint, config, spawner, slots }) }
    }

    /// The rows that a statement gives. `params` stand for `$1`, `$2` and so on: a tuple, or a `Vec` of boxed
    /// values.
    #[track_caller]
    pub fn run_query(&self, sql: impl AsRef<str>, params: impl Params) -> Deferred<Vec<Row>> {
        let (sql, params) = (sql.as_ref().to_owned(), params.into_params());
        self.with(move |client| client.query(sql, params))
    }

    /// The same, each row made into a type: a tuple, or whatever is [`FromRow`].
    #[track_caller]
    pub fn run_query_as<T: FromRow + 'static>(
        &self,
        sql: impl AsRef<str>,
        params: impl Params,
    ) -> Deferred<Vec<T>> {
        let (sql, params) = (sql.as_ref().to_owned(), params.into_params());
        self.with(move |client| client.query_as(sql, params))
    }

    /// Does what a statement says; how many rows it inserted, updated, deleted or gave.
    #[track_caller]
    pub fn run_operation(&self, sql: impl AsRef<str>, params: impl Params) -> Deferred<u64> {
        let (sql, params) = (sql.as_ref().to_owned(), params.into_params());
        self.with(move |client| client.execute(sql, params))
    }

    /// Does any number of statements, which have no parameters, in one transaction unless they say
    /// otherwise.
    #[track_caller]
    pub fn run_script(&self, sql: impl AsRef<str>) -> Deferred<()> {
        let sql = sql.as_ref().to_owned();
        self.with(move |client| client.script(sql))
    }

    /// Does `work` with one connection. It goes to the next one when the deferred has its result, so that a
    /// handle must not be kept; a transaction that is open then is rolled back.
    #[track_caller]
    pub fn run_with_connection<T: 'static>(
        &self,
        work: impl FnOnce(Client) -> Deferred<T> + 'static,
    ) -> Deferred<T> {
        self.with(move |client| work(client.clone()))
    }

    /// Runs `work` as one transaction: committed if it succeeds, rolled back if it fails, panics or is
    /// cancelled. It is a future, and so is a deferred.
    ///
    /// ```
    /// use ropewalk_database::postgres::{Pool, Transaction};
    /// use ropewalk_deferred::{Deferred, Failure};
    ///
    /// fn pay(pool: &Pool, from: i64, to: i64, cents: i64) -> Deferred<()> {
    ///     pool.run_interaction(async move |bank: Transaction| {
    ///         let take = "UPDATE accounts SET cents = cents - $2 WHERE id = $1";
    ///         bank.execute(take, (from, cents)).await?;
    ///         let give = "UPDATE accounts SET cents = cents + $2 WHERE id = $1";
    ///         if bank.execute(give, (to, cents)).await? == 0 {
    ///             return Err(Failure::new("nobody has that account"));
    ///         }
    ///         Ok(())
    ///     })
    /// }
    /// ```
    #[track_caller]
    pub fn run_interaction<T, E, F>(
        &self,
        work: impl FnOnce(Transaction) -> F + 'static,
    ) -> Deferred<T>
    where
        T: 'static,
        E: Into<Failure> + 'static,
        F: Future<Output = Result<T, E>> + 'static,
    {
        let inner = Rc::clone(&self.inner);
        let acquired = self.inner.open();
        acquired.add_callback(move |opened| {
            let spawner = Rc::clone(&inner.spawner);
            let (outcome, driver) = from_future(inner.interact(opened, work));
            spawner.spawn(Box::pin(driver));
            outcome
        })
    }

    #[track_caller]
    fn with<T: 'static>(&self, work: impl FnOnce(&Client) -> Deferred<T> + 'static) -> Deferred<T> {
        let inner = Rc::clone(&self.inner);
        self.inner.open().add_callback(move |opened| {
            let answer = work(&opened.client);
            answer.add_both(move |result| {
                if result.is_err() {
                    inner.note(&result);
                }
                opened.give_back();
                result
            })
        })
    }

    /// Takes no more calls, fails those that wait, and closes each connection once its call is over; then
    /// the deferred tells so.
    #[track_caller]
    pub fn close(&self) -> Deferred<()> {
        self.inner.slots.close()
    }

    /// What has been done so far.
    pub fn metrics(&self) -> PoolMetrics {
        self.inner.slots.metrics()
    }
}

/// A connection that was taken out of the pool.
struct Opened {
    client: Client,
    lease: Lease<Client>,
    opened: Duration,
}

impl Opened {
    /// Gives it back, once it is at rest and in no transaction.
    fn give_back(self) {
        if self.client.is_free() {
            return self.put_back();
        }
        if self.client.is_settled()
            && !self.client.is_over()
            && self.client.status() != Status::Idle
        {
            let undone = self.client.simple("ROLLBACK");
            undone.on_result(move |_| self.put_back());
            return;
        }
        let settled = self.client.settle();
        settled.on_result(move |_| {
            if self.client.is_over() || self.client.is_free() {
                self.put_back();
            } else {
                self.give_back();
            }
        });
    }

    fn put_back(self) {
        self.lease.put_back(Held { connection: self.client, opened: self.opened });
    }
}

impl Inner {
    #[track_caller]
    fn open(self: &Rc<Self>) -> Deferred<Opened> {
        let inner = Rc::clone(self);
        self.slots.acquire().add_callback(move |mut lease| {
            if let Some(Held { connection, opened }) = lease.take() {
                return Deferred::succeed(Opened { client: connection, lease, opened });
            }
            let opening = connect(&inner.endpoint, inner.config.clone());
            opening.add_both(move |opening| {
                let counts = inner.slots.counts();
                count(if opening.is_ok() { &counts.opened } else { &counts.open_failures });
                let opened = inner.slots.now();
                opening.map(|client| Opened { client, lease, opened })
            })
        })
    }

    fn note<T>(&self, result: &Result<T, Failure>) {
        let counts = self.slots.counts();
        let Err(failure) = result else { return };
        let is_cancelled = failure.check::<ropewalk_deferred::Cancelled>().is_some();
        count(if is_cancelled { &counts.cancelled } else { &counts.failed });
    }

    async fn interact<T, E, F>(
        self: Rc<Self>,
        opened: Opened,
        work: impl FnOnce(Transaction) -> F,
    ) -> Result<T, Failure>
    where
        E: Into<Failure>,
        F: Future<Output = Result<T, E>>,
    {
        let client = opened.client.clone();
        let open = Rc::new(Cell::new(true));
        // Whatever becomes of this future, a panic or a cancellation included, ends the transaction.
        let mut guard = Guard { opened: Some(opened), open: Rc::clone(&open), inner: self };
        client.simple("BEGIN").await?;
        let result = work(Transaction { client: client.clone(), open }).await.map_err(Into::into);
        guard.open.set(false);
        let result = match result {
            Ok(value) => client.commit().await.map(|()| value),
            Err(failure) => {
                client.simple("ROLLBACK").await.map_or_else(drop, drop);
                Err(failure)
            }
        };
        guard.end(&result);
        result
    }
}

/// Ends a transaction that nobody ended.
struct Guard {
    opened: Option<Opened>,
    open: Rc<Cell<bool>>,
    inner: Rc<Inner>,
}

impl Guard {
    fn end<T>(&mut self, result: &Result<T, Failure>) {
        let counts = self.inner.slots.counts();
        count(if result.is_ok() { &counts.committed } else { &counts.rolled_back });
        if result.is_err() {
            self.inner.note(result);
        }
        if let Some(opened) = self.opened.take() {
            opened.give_back();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.open.set(false);
        if let Some(opened) = self.opened.take() {
            let counts = self.inner.slots.counts();
            count(&counts.rolled_back);
            count(&counts.cancelled);
            // What is in flight was stopped with the future that waited for it; then its transaction is
            // rolled back as one that was left open.
            opened.give_back();
        }
    }
}

/// A transaction that is under way.
#[derive(Clone)]
pub struct Transaction {
    client: Client,
    open: Rc<Cell<bool>>,
}

impl Transaction {
    fn client(&self) -> Result<&Client, PostgresError> {
        if self.open.get() { Ok(&self.client) } else { Err(PostgresError::TransactionOver) }
    }

    /// As [`Client::query`].
    #[track_caller]
    pub fn query(&self, sql: impl AsRef<str>, params: impl Params) -> Deferred<Vec<Row>> {
        match self.client() {
            Ok(client) => client.query(sql, params),
            Err(error) => Deferred::fail(error),
        }
    }

    /// As [`Client::query_as`].
    #[track_caller]
    pub fn query_as<T: FromRow + 'static>(
        &self,
        sql: impl AsRef<str>,
        params: impl Params,
    ) -> Deferred<Vec<T>> {
        match self.client() {
            Ok(client) => client.query_as(sql, params),
            Err(error) => Deferred::fail(error),
        }
    }

    /// As [`Client::execute`].
    #[track_caller]
    pub fn execute(&self, sql: impl AsRef<str>, params: impl Params) -> Deferred<u64> {
        match self.client() {
            Ok(client) => client.execute(sql, params),
            Err(error) => Deferred::fail(error),
        }
    }

    /// As [`Client::script`].
    #[track_caller]
    pub fn script(&self, sql: impl AsRef<str>) -> Deferred<()> {
        match self.client() {
            Ok(client) => client.script(sql),
            Err(error) => Deferred::fail(error),
        }
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("open", &self.open.get()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}
