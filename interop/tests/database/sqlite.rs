//! SQLite on files, in the threads of a reactor.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ropewalk_database::sqlite::{Journal, Sqlite, SqliteError, SqliteErrorKind};
use ropewalk_database::{Pool, PoolOptions};
use ropewalk_deferred::{Cancelled, Deferred, Failure, Panicked, Rest, gather};
use ropewalk_interop::{PATIENCE, TempDir, tool};
use ropewalk_reactor::Reactor;

use crate::answers::Asks;
use crate::support::reactor;

/// Counts for as long as it is let.
const ENDLESS: &str =
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c";

struct House {
    reactor: Reactor,
    folder: TempDir,
}

impl House {
    fn new() -> Self {
        Self { reactor: reactor(), folder: TempDir::new("sqlite").expect("a folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data.db")
    }

    fn pool(&self) -> Pool<Sqlite> {
        Pool::new(&self.reactor, Sqlite::file(self.path()), PoolOptions::default())
    }

    #[track_caller]
    fn refused<T: std::fmt::Debug + 'static>(&self, answer: Deferred<T>) -> SqliteErrorKind {
        self.refused_as::<SqliteError, T>(answer).kind()
    }
}

impl Asks for House {
    fn reactor(&self) -> &Reactor {
        &self.reactor
    }
}

fn count(pool: &Pool<Sqlite>) -> Deferred<i64> {
    pool.run_query_as::<(i64,)>("SELECT count(*) FROM t", ()).map(|rows| rows[0].0)
}

#[test]
fn what_was_written_is_there_for_the_next_program() {
    let house = House::new();
    let pool = house.pool();
    house.told(pool.run_script("CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT)"));
    let writes = (0..200).map(|n| pool.run_operation("INSERT INTO t VALUES (?1, ?2)", (n, "x")));
    assert_eq!(house.told(gather(writes, Rest::Leave)).into_iter().sum::<u64>(), 200);
    assert!(pool.metrics().opened > 1, "several threads wrote");
    house.told(pool.close());
    drop(pool);
    // Another program reads it, and then we again.
    let sql = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM t').fetchone()[0])";
    let other = Command::new(tool("python3")).args(["-c", sql]).arg(house.path()).output();
    assert_eq!(other.expect("Python runs").stdout, b"200\n");
    assert_eq!(house.told(count(&house.pool())), 200);
}

#[test]
fn readers_and_interactions_see_whole_transactions() {
    let house = House::new();
    let pool = house.pool();
    house.told(pool.run_script(
        "CREATE TABLE a (n INTEGER NOT NULL); CREATE TABLE b (n INTEGER NOT NULL);
         INSERT INTO a VALUES (1000); INSERT INTO b VALUES (0)",
    ));
    let moves = (0..100).map(|n| {
        pool.run_interaction(move |database| {
            database.execute("UPDATE a SET n = n - 1", ())?;
            // One in ten changes its mind.
            if n % 10 == 0 {
                return Err(Failure::new("not this time"));
            }
            database.execute("UPDATE b SET n = n + 1", ())?;
            Ok(())
        })
        .add_both(|_| Ok::<_, Failure>(()))
    });
    let moves = gather(moves.collect::<Vec<_>>(), Rest::Leave);
    let sums = (0..50)
        .map(|_| pool.run_query_as::<(i64,)>("SELECT (SELECT n FROM a) + (SELECT n FROM b)", ()));
    let sums = house.told(gather(sums.collect::<Vec<_>>(), Rest::Leave));
    assert!(sums.iter().all(|rows| rows == &[(1000,)]), "{sums:?}");
    house.told(moves);
    assert_eq!(house.told(pool.run_query_as::<(i64,)>("SELECT n FROM b", ())), [(90,)]);
    assert_eq!((pool.metrics().committed, pool.metrics().rolled_back), (91, 10));
}

#[test]
fn a_cancelled_call_stops_its_statement_and_undoes_its_transaction() {
    let house = House::new();
    let options = PoolOptions { connections_max: 1, ..PoolOptions::default() };
    let pool = Pool::new(&house.reactor, Sqlite::file(house.path()), options);
    house.told(pool.run_script("CREATE TABLE t (n INTEGER)"));
    let (begun, has_begun) = std::sync::mpsc::channel();
    let endless = pool.run_interaction(move |database| {
        database.execute("INSERT INTO t VALUES (1)", ())?;
        // The receiver is there for as long as the test is.
        begun.send(()).map_err(Failure::new)?;
        Ok::<_, Failure>(database.query(ENDLESS, ())?)
    });
    has_begun.recv_timeout(PATIENCE).expect("it is at work");
    endless.cancel();
    let failure = house.wait(endless).expect_err("it was cancelled");
    assert!(failure.check::<Cancelled>().is_some(), "{failure:?}");
    // The one connection comes free, and nothing is left of what was done with it.
    assert_eq!(house.told(count(&pool)), 0);
    let metrics = pool.metrics();
    assert_eq!((metrics.opened, metrics.cancelled, metrics.rolled_back), (1, 1, 1));
}

#[test]
fn panics_roll_back_and_the_pool_goes_on() {
    let house = House::new();
    let pool = house.pool();
    house.told(pool.run_script("CREATE TABLE t (n INTEGER)"));
    for _ in 0..20 {
        let panicking = pool.run_interaction(|database| {
            database.execute("INSERT INTO t VALUES (1)", ())?;
            assert_eq!(database.last_insert_rowid(), 0, "in the middle of it");
            Ok::<_, SqliteError>(())
        });
        let failure = house.wait(panicking).expect_err("it panicked");
        assert!(failure.check::<Panicked>().is_some(), "{failure:?}");
    }
    assert_eq!(house.told(count(&pool)), 0);
}

#[test]
fn a_lock_of_somebody_else_is_waited_for_and_not_for_ever() {
    let house = House::new();
    let driver = Sqlite::file(house.path()).busy_timeout(Duration::from_millis(50));
    let (one, other) = (
        Pool::new(&house.reactor, driver.clone(), PoolOptions::default()),
        Pool::new(&house.reactor, driver, PoolOptions::default()),
    );
    house.told(one.run_script("CREATE TABLE t (n INTEGER)"));
    let (locked, is_locked) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let holding = one.run_interaction(move |database| {
        locked.send(()).map_err(Failure::new)?;
        may_go_on.recv_timeout(PATIENCE).map_err(Failure::new)?;
        Ok::<_, Failure>(database.execute("INSERT INTO t VALUES (1)", ())?)
    });
    is_locked.recv_timeout(PATIENCE).expect("it holds the lock");
    assert_eq!(house.told(count(&other)), 0, "readers do not wait");
    let busy = other.run_operation("INSERT INTO t VALUES (2)", ());
    assert_eq!(house.refused(busy), SqliteErrorKind::Busy);
    go_on.send(()).expect("it waits");
    assert_eq!(house.told(holding), 1);
    assert_eq!(house.told(other.run_operation("INSERT INTO t VALUES (2)", ())), 1);
}

#[test]
fn calls_beyond_the_pool_wait_and_are_told_when_it_is_too_long() {
    let house = House::new();
    let options = PoolOptions {
        connections_max: 2,
        waiters_max: 1,
        patience: Duration::from_millis(50),
        ..PoolOptions::default()
    };
    let pool = Pool::new(&house.reactor, Sqlite::file(house.path()), options);
    let held: Vec<_> = (0..2).map(|_| pool.run_query(ENDLESS, ())).collect();
    let waits = pool.run_query("SELECT 1", ());
    let crowded = pool.run_query("SELECT 1", ());
    for (call, words) in [
        (crowded, "1 calls wait for a connection to the database already"),
        (waits, "no connection to the database was free within 50ms"),
    ] {
        let failure = house.wait(call).expect_err("there is no connection");
        assert_eq!(failure.to_string(), words);
    }
    for call in held {
        call.cancel();
        house.wait(call).expect_err("it was cancelled");
    }
    assert_eq!(house.told(pool.run_query("SELECT 1", ())).len(), 1);
}

/// A small disk of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Self {
        let mut command = Command::new(tool("mount"));
        command.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at);
        assert!(command.status().expect("mount runs").success(), "it may be mounted");
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a test that failed may have it open.
        let _ = Command::new(tool("umount")).arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_undoes_what_does_not_fit_and_nothing_else() {
    for journal in [Journal::WriteAhead, Journal::Rollback] {
        let house = House::new();
        let disk = SmallDisk::mount(house.folder.path());
        let driver = Sqlite::file(house.path()).journal(journal);
        let pool = Pool::new(&house.reactor, driver, PoolOptions::default());
        house.told(pool.run_script("CREATE TABLE t (b BLOB)"));
        house.told(pool.run_operation("INSERT INTO t VALUES (zeroblob(1000))", ()));
        let too_much = pool.run_interaction(|database| {
            for _ in 0..100 {
                database.execute("INSERT INTO t VALUES (randomblob(100000))", ())?;
            }
            Ok::<_, SqliteError>(())
        });
        assert_eq!(house.refused(too_much), SqliteErrorKind::Full);
        assert_eq!(house.told(count(&pool)), 1, "{journal:?}");
        // There is room again for what is small.
        let small = pool.run_operation("INSERT INTO t VALUES (zeroblob(1000))", ());
        assert_eq!(house.told(small), 1, "{journal:?}");
        let whole = pool.run_query_as::<(String,)>("PRAGMA integrity_check", ());
        assert_eq!(house.told(whole), [("ok".to_owned(),)]);
        house.told(pool.close());
        // What closes the files does so in a thread.
        house.told(house.reactor.defer_to_thread(|| Ok::<_, Failure>(())));
        drop(disk);
    }
}
