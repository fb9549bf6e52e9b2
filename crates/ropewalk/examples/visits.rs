//! Counts the visits of each page in a database, in one transaction a visit.

use ropewalk::database::sqlite::Sqlite;
use ropewalk::database::{Pool, PoolOptions};
use ropewalk::http::{Request, Site};
use ropewalk::{Deferred, Failure, Reactor};

const VISIT: &str = "INSERT INTO visits VALUES (?1, 1)
    ON CONFLICT (page) DO UPDATE SET count = count + 1 RETURNING count";

fn visit(pool: &Pool<Sqlite>, page: String) -> Deferred<i64> {
    pool.run_interaction(move |database| {
        let counts = database.query_as::<(i64,)>(VISIT, (page,))?;
        counts.first().map(|count| count.0).ok_or(Failure::new("nothing was counted"))
    })
}

fn main() -> Result<(), Failure> {
    let reactor = Reactor::new()?;
    let pool = Pool::new(&reactor, Sqlite::file("visits.db"), PoolOptions::default());
    let table = "CREATE TABLE IF NOT EXISTS visits (page TEXT PRIMARY KEY, count INTEGER NOT NULL)";
    reactor.run_until(pool.run_script(table))?;
    let counted = pool.clone();
    let site = Site::new(move |request: Request| {
        let page = request.uri().path().to_owned();
        visit(&counted, page).map(|count| format!("This page was visited {count} times.\n"))
    });
    let place = ropewalk::endpoint::server_from_string(&reactor, "tcp:8080:interface=127.0.0.1")?;
    reactor.run_until(ropewalk::protocol::listen(&*place, site))?;
    println!("http://127.0.0.1:8080/");
    reactor.run()?;
    Ok(())
}
