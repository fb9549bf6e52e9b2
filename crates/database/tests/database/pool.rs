//! Who gets a connection, what becomes of it, and what is undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ropewalk_database::sqlite::{Sqlite, SqliteError, SqliteErrorKind};
use ropewalk_database::{Driver, Pool, PoolError, PoolOptions, Stop};
use ropewalk_deferred::{Cancelled, Failure, Panicked};
use ropewalk_trial::{Clock, error_of, value_of};

use crate::Host;

/// A database that does nothing, and says what it was asked.
#[derive(Clone, Default)]
struct Fake {
    opened: Arc<AtomicU32>,
    refuses: Arc<AtomicU32>,
    committed: Arc<AtomicU32>,
    rolled_back: Arc<AtomicU32>,
}

/// One of its connections, by its number.
struct Line {
    number: u32,
    in_transaction: bool,
    is_broken: bool,
    stop: Arc<Stop>,
}

impl Driver for Fake {
    type Connection = Line;

    fn connect(&self, stop: &Arc<Stop>) -> Result<Line, Failure> {
        if self.refuses.load(Ordering::Relaxed) > 0 {
            self.refuses.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::new("nobody is there"));
        }
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Line { number, in_transaction: false, is_broken: false, stop: Arc::clone(stop) })
    }

    fn begin(&self, line: &mut Line) -> Result<(), Failure> {
        line.in_transaction = true;
        Ok(())
    }

    fn commit(&self, line: &mut Line) -> Result<(), Failure> {
        line.in_transaction = false;
        self.committed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn rollback(&self, line: &mut Line) -> Result<(), Failure> {
        line.in_transaction = false;
        self.rolled_back.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn is_usable(&self, line: &mut Line) -> bool {
        !line.in_transaction && !line.is_broken
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is work, and work can fail")]
fn number(line: &mut Line) -> Result<u32, Failure> {
    Ok(line.number)
}

fn two() -> PoolOptions {
    PoolOptions {
        connections_max: 2,
        waiters_max: 2,
        patience: Duration::from_secs(5),
        ..PoolOptions::default()
    }
}

fn pool(options: PoolOptions) -> (Host, Fake, Pool<Fake>) {
    let (host, fake) = (Host::new(), Fake::default());
    let pool = Pool::new(&host, fake.clone(), options);
    (host, fake, pool)
}

#[test]
fn calls_wait_for_a_connection_in_their_order() {
    let (host, _, pool) = pool(two());
    let calls: Vec<_> = (0..4).map(|_| pool.run_with_connection(number)).collect();
    assert_eq!((pool.metrics().waiting, host.threads.pending()), (2, 2));
    assert_eq!(host.threads.do_all(), 4);
    assert_eq!(calls.into_iter().map(value_of).collect::<Vec<_>>(), [1, 2, 1, 2]);
    let metrics = pool.metrics();
    assert_eq!((metrics.connections, metrics.idle, metrics.opened), (2, 2, 2));
    assert_eq!((metrics.lent, metrics.waited), (4, 2));
}

#[test]
fn the_queue_is_bounded() {
    let (host, _, pool) = pool(two());
    let calls: Vec<_> = (0..4).map(|_| pool.run_with_connection(number)).collect();
    let refused = error_of::<_, PoolError>(pool.run_with_connection(number));
    assert_eq!(refused, PoolError::Crowded { waiting: 2 });
    host.threads.do_all();
    for call in calls {
        assert!(value_of(call) > 0);
    }
    let next = pool.run_with_connection(number);
    host.threads.do_all();
    value_of(next);
    assert_eq!(pool.metrics().refused, 1);
}

#[test]
fn nobody_waits_for_ever() {
    let (host, _, pool) = pool(two());
    let calls: Vec<_> = (0..3).map(|_| pool.run_with_connection(number)).collect();
    host.clock.advance(Duration::from_millis(4999));
    assert_eq!(pool.metrics().waiting, 1);
    host.clock.advance(Duration::from_millis(1));
    let mut calls = calls.into_iter();
    let (one, two) = (calls.next().expect("one"), calls.next().expect("two"));
    let late = error_of::<_, PoolError>(calls.next().expect("three"));
    assert_eq!(late, PoolError::WaitTimedOut { after: Duration::from_secs(5) });
    host.threads.do_all();
    assert_eq!((value_of(one), value_of(two)), (1, 2));
    assert_eq!((pool.metrics().wait_timeouts, host.clock.pending()), (1, 1));
}

#[test]
fn a_call_cancelled_while_it_waits_takes_nothing() {
    let (host, _, pool) = pool(two());
    let mut calls: Vec<_> = (0..4).map(|_| pool.run_with_connection(number)).collect();
    calls[2].cancel();
    let last = calls.pop().expect("four");
    error_of::<_, Cancelled>(calls.pop().expect("three"));
    host.threads.do_all();
    assert_eq!((value_of(last), pool.metrics().lent), (1, 3));
}

#[test]
fn an_interaction_commits_once_or_not_at_all() {
    let (host, fake, pool) = pool(two());
    let ends =
        || (fake.committed.load(Ordering::Relaxed), fake.rolled_back.load(Ordering::Relaxed));
    let good = pool.run_interaction(number);
    host.threads.do_all();
    assert_eq!((value_of(good), ends()), (1, (1, 0)));
    let bad = pool.run_interaction(|_| Err::<(), _>(PoolError::Closed));
    host.threads.do_all();
    assert_eq!((error_of::<_, PoolError>(bad), ends()), (PoolError::Closed, (1, 1)));
    let panicking = pool.run_interaction(|_| -> Result<(), Failure> { panic!("no") });
    host.threads.do_all();
    assert_eq!(
        (error_of::<_, Panicked>(panicking).message().to_owned(), ends()),
        ("no".into(), (1, 2))
    );
    // In all of it one connection was enough.
    let metrics = pool.metrics();
    assert_eq!((metrics.opened, metrics.committed, metrics.rolled_back), (1, 1, 2));
}

#[test]
fn cancelling_an_interaction_rolls_it_back() {
    let (host, fake, pool) = pool(two());
    // Before its thread has begun it never begins.
    let call = pool.run_interaction(number);
    call.cancel();
    error_of::<_, Cancelled>(call);
    host.threads.do_all();
    assert_eq!(fake.committed.load(Ordering::Relaxed), 0);
    let next = pool.run_with_connection(|line| Ok::<_, Failure>(line.stop.is_wanted()));
    host.threads.do_all();
    assert!(!value_of(next), "the next one is not stopped for it");
    assert_eq!(pool.metrics().cancelled, 1);
}

#[test]
fn a_broken_connection_is_replaced() {
    let (host, fake, pool) = pool(two());
    let breaking = pool.run_with_connection(|line| {
        line.is_broken = true;
        number(line)
    });
    host.threads.do_all();
    assert_eq!(value_of(breaking), 1);
    fake.refuses.store(1, Ordering::Relaxed);
    let refused = pool.run_with_connection(number);
    host.threads.do_all();
    assert!(refused.now_or_never().expect("it is over").is_err());
    let next = pool.run_with_connection(number);
    host.threads.do_all();
    assert_eq!(value_of(next), 2);
    let metrics = pool.metrics();
    assert_eq!((metrics.opened, metrics.open_failures, metrics.connections), (2, 1, 1));
}

#[test]
fn a_transaction_left_open_is_nobodys() {
    let (host, fake, pool) = pool(two());
    let leaving = pool.run_with_connection(|line| {
        line.in_transaction = true;
        number(line)
    });
    host.threads.do_all();
    assert_eq!(value_of(leaving), 1);
    assert_eq!(fake.rolled_back.load(Ordering::Relaxed), 1);
    let next = pool.run_with_connection(number);
    host.threads.do_all();
    assert_eq!(value_of(next), 1);
}

#[test]
fn what_nobody_uses_is_closed_in_time() {
    let kept = PoolOptions { connections_kept: 1, idle_max: Duration::from_mins(1), ..two() };
    let (host, _, pool) = pool(kept);
    let calls = [pool.run_with_connection(number), pool.run_with_connection(number)];
    host.threads.do_all();
    for call in calls {
        assert!(value_of(call) > 0);
    }
    host.clock.advance(Duration::from_secs(59));
    assert_eq!(pool.metrics().idle, 2);
    host.clock.advance(Duration::from_secs(1));
    assert_eq!((pool.metrics().idle, pool.metrics().connections), (1, 1));
    // What is too old is not used again.
    host.clock.advance(Duration::from_hours(1));
    let next = pool.run_with_connection(number);
    host.threads.do_all();
    assert_eq!(value_of(next), 3);
}

#[test]
fn a_closed_pool_ends_when_its_last_call_does() {
    let (host, _, pool) = pool(two());
    let calls: Vec<_> = (0..3).map(|_| pool.run_with_connection(number)).collect();
    let closed = pool.close();
    let mut calls = calls.into_iter();
    let (one, two) = (calls.next().expect("one"), calls.next().expect("two"));
    assert_eq!(error_of::<_, PoolError>(calls.next().expect("three")), PoolError::Closed);
    assert_eq!(error_of::<_, PoolError>(pool.run_interaction(number)), PoolError::Closed);
    let closed = closed.try_take().expect_err("two are still at work");
    host.threads.do_all();
    assert_eq!((value_of(one), value_of(two)), (1, 2));
    value_of(closed);
    assert_eq!((pool.metrics().connections, host.clock.pending()), (0, 0));
}

#[test]
fn memory_is_one_connection_for_all() {
    let host = Host::new();
    let pool = Pool::new(&host, Sqlite::memory(), PoolOptions::default());
    let made = pool.run_script("CREATE TABLE t (n INTEGER NOT NULL)");
    let calls: Vec<_> =
        (0..5).map(|n| pool.run_operation("INSERT INTO t VALUES (?1)", (n,))).collect();
    host.threads.do_all();
    value_of(made);
    for call in calls {
        assert_eq!(value_of(call), 1);
    }
    host.clock.advance(Duration::from_hours(24));
    let sum = pool.run_query_as::<(i64,)>("SELECT sum(n) FROM t", ());
    host.threads.do_all();
    assert_eq!((value_of(sum), pool.metrics().opened), (vec![(10,)], 1));
}

#[test]
fn what_failed_is_undone_in_the_tables_too() {
    let host = Host::new();
    let pool = Pool::new(&host, Sqlite::memory(), PoolOptions::default());
    let made = pool.run_script("CREATE TABLE t (n INTEGER PRIMARY KEY)");
    host.threads.do_all();
    value_of(made);
    let fails = pool.run_interaction(|database| {
        database.execute("INSERT INTO t VALUES (1)", ())?;
        database.execute("INSERT INTO t VALUES (1)", ())
    });
    let panics = pool.run_interaction(|database| {
        database.execute("INSERT INTO t VALUES (2)", ())?;
        assert_ne!(database.last_insert_rowid(), 2, "in the middle");
        Ok::<_, Failure>(())
    });
    let ends_itself = pool.run_interaction(|database| database.execute("ROLLBACK", ()));
    host.threads.do_all();
    assert_eq!(error_of::<_, SqliteError>(fails).kind(), SqliteErrorKind::Constraint);
    assert!(error_of::<_, Panicked>(panics).message().contains("in the middle"));
    assert_eq!(error_of::<_, SqliteError>(ends_itself).kind(), SqliteErrorKind::Statement);
    let rows = pool.run_query("SELECT n FROM t", ());
    host.threads.do_all();
    assert!(value_of(rows).is_empty());
    // A script is one transaction as well.
    let script = pool.run_script("INSERT INTO t VALUES (3); INSERT INTO nowhere VALUES (1)");
    let rows = pool.run_query("SELECT n FROM t", ());
    host.threads.do_all();
    error_of::<_, SqliteError>(script);
    assert!(value_of(rows).is_empty());
}

#[test]
fn a_pool_that_is_gone_leaves_no_timer() {
    let (host, _, pool) = pool(two());
    let call = pool.run_with_connection(number);
    host.threads.do_all();
    value_of(call);
    drop(pool);
    host.threads.do_all();
    let clock: &Clock = &host.clock;
    clock.advance(Duration::from_hours(1));
    assert_eq!((clock.pending(), host.threads.pending()), (0, 0));
}
