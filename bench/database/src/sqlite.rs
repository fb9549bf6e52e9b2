//! Our pool over `rusqlite`, and `rusqlite` alone.

use ropewalk_database::sqlite::Sqlite;
use ropewalk_database::{Pool, PoolOptions};
use ropewalk_deferred::{Rest, gather};
use ropewalk_reactor::Reactor;

use crate::{Contender, Outcome, measure};

const SQL: &str = "SELECT name, size FROM files WHERE id = ?1";
/// How many queries wait at a time where several do.
const TOGETHER: usize = 100;

pub(crate) fn run(rounds: usize, count: usize) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bench.db");
    let reactor = Reactor::new()?;
    let one = PoolOptions { connections_max: 1, ..PoolOptions::default() };
    let pool = Pool::new(&reactor, Sqlite::file(&path), one);
    reactor.run_until(pool.run_script(
        "CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT, size INTEGER);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 10000)
         INSERT INTO files SELECT n, 'file ' || n, n * 100 FROM c",
    ))?;
    let bare = rusqlite::Connection::open(&path)?;
    let id = |n: usize| (n % 10_000 + 1) as i64;
    let alone = |count: usize| {
        for n in 0..count {
            let mut statement = bare.prepare_cached(SQL)?;
            let mut rows = statement.query([id(n)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
            }
            assert_eq!(found.len(), 1);
        }
        Ok(())
    };
    let in_turn = |count: usize| {
        for n in 0..count {
            let found = reactor.run_until(pool.run_query_as::<(String, i64)>(SQL, (id(n),)))?;
            assert_eq!(found.len(), 1);
        }
        Ok(())
    };
    let together = |count: usize| {
        for first in (0..count).step_by(TOGETHER) {
            let all = (first..count.min(first + TOGETHER))
                .map(|n| pool.run_query_as::<(String, i64)>(SQL, (id(n),)));
            reactor.run_until(gather(all.collect::<Vec<_>>(), Rest::Leave))?;
        }
        Ok(())
    };
    measure("SQLite, one row by its key", rounds, count, &mut [
        Contender { name: "rusqlite alone", run: Box::new(alone) },
        Contender { name: "run_query, one after the other", run: Box::new(in_turn) },
        Contender { name: "run_query, 100 at a time", run: Box::new(together) },
    ])
}
