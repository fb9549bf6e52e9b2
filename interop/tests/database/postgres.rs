//! Our client and its pool with PostgreSQL itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_database::postgres::{Config, Limits, PostgresError, Status, Transaction, connect};
use ropewalk_database::{PoolError, PoolOptions};
use ropewalk_deferred::{Cancelled, Failure, Panicked, Rest, gather};
use ropewalk_interop::PATIENCE;
use ropewalk_protocol::{Disconnect, sleep, timeout};
use ropewalk_tls::{TlsClient, Trust};

use crate::answers::Asks;
use crate::house::{House, alice};

fn log_in(user: &str) -> Config {
    Config::new(user).database("postgres").password("sesame")
}

#[test]
fn every_way_to_prove_a_password_is_spoken() {
    let house = House::new();
    let client = house.alice();
    house.told(client.script(
        "CREATE USER scram PASSWORD 'sesame'; CREATE USER plain PASSWORD 'sesame';
         CREATE USER encrypted PASSWORD 'sesame';
         SET password_encryption = md5; CREATE USER hashed PASSWORD 'sesame'",
    ));
    for user in ["scram", "hashed"] {
        let client = house.told(house.client(log_in(user)));
        let names = house.told(client.query_as::<(String,)>("SELECT current_user::text", ()));
        assert_eq!(names, [(user.to_owned(),)]);
        assert_eq!(house.code(house.client(log_in(user).password("simsim"))), "28P01");
        let nothing = Config::new(user).database("postgres");
        assert_eq!(house.refused(house.client(nothing)), PostgresError::NoPassword);
    }
    // What others could read is said only to whoever asks for it.
    assert_eq!(house.refused(house.client(log_in("plain"))), PostgresError::Cleartext);
    house.told(house.client(log_in("plain").danger_cleartext()));
    let unix = house.unix_endpoint();
    house.told(connect(&unix, alice()));
    assert_eq!(house.code(house.client(log_in("nobody"))), "28000");
}

#[test]
fn tls_is_verified_or_not_used() {
    let house = House::new();
    let client = house.alice();
    house.told(client.script("CREATE USER encrypted PASSWORD 'sesame'"));
    let trust = Trust::from_pem(house.certificate.as_bytes()).expect("a certificate");
    let tls = TlsClient::new(&trust).expect("a client");
    let config = log_in("encrypted");
    // The server lets this one in by TLS alone.
    assert_eq!(house.code(house.client(config.clone())), "28000");
    let encrypted = house.told(house.client(config.clone().tls(tls.clone(), "localhost")));
    let sql = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let version = house.told(encrypted.query_as::<(String,)>(sql, ()));
    assert_eq!(version, [("TLSv1.3".to_owned(),)]);
    // A statement on such a connection can be stopped too.
    let sleeping = encrypted.query("SELECT pg_sleep(100)", ());
    sleeping.cancel();
    assert!(house.wait(sleeping).expect_err("cancelled").check::<Cancelled>().is_some());
    house.told(encrypted.settle());
    let other = house.refused(house.client(config.clone().tls(tls, "other.example")));
    assert!(matches!(other, PostgresError::Tls(_)), "{other:?}");
    let strangers = TlsClient::new(&Trust::pinned(["sha256/AAAA"])).expect("a client");
    let stranger = house.refused(house.client(config.tls(strangers, "localhost")));
    assert!(matches!(stranger, PostgresError::Tls(_)), "{stranger:?}");
}

#[test]
fn values_of_all_kinds_come_back_as_they_went() {
    type Values = (bool, i16, i32, i64, f64, String, Vec<u8>, Vec<i32>);

    let house = House::new();
    let client = house.alice();
    house.told(client.script("CREATE TYPE mood AS ENUM ('low', 'high')"));
    let sql = "SELECT $1::bool, $2::int2, $3::int4, $4::int8, $5::float8, $6::text, $7::bytea, $8::int4[]";
    let values = (true, -2_i16, 3, i64::MIN, 0.1, "ü\n".to_owned(), vec![0_u8, 255], vec![1, 2]);
    let found = house.told(client.query_as::<Values>(sql, values.clone()));
    assert_eq!(found, [values]);
    let nothing = client.query_as::<(Option<String>, Option<i32>)>(
        "SELECT $1::text, NULL::int4",
        (None::<String>,),
    );
    assert_eq!(house.told(nothing), [(None, None)]);
    // A type of one's own goes as text, both ways.
    let mood = client.query("SELECT $1::mood AS m, 'low'::mood AS l", ("high",));
    let rows = house.told(mood);
    assert_eq!((rows[0].get("m"), rows[0].get("l")), (Ok("high"), Ok("low")));
    let refused = rows[0].get::<i32>("m").expect_err("it is text");
    assert_eq!(refused.to_string(), "column m was expected to be i32, and is text");
    let wrong = house.refused(client.query("SELECT $1::int4", ("five",)));
    assert!(matches!(wrong, PostgresError::Parameter { place: 1, .. }), "{wrong:?}");
    let too_many = house.refused(client.query("SELECT $1::int4", (1, 2)));
    assert_eq!(too_many, PostgresError::Parameters { expected: 1, given: 2 });
    assert_eq!(house.refused(client.script("SELECT '\0'")), PostgresError::ZeroByte);
    // After all of that the connection is as good as new.
    assert_eq!(house.told(client.query_as::<(i32,)>("SELECT 1", ())), [(1,)]);
}

#[test]
fn calls_on_one_connection_are_answered_in_their_order() {
    let house = House::new();
    let client = house.alice();
    let calls = (0..500).map(|n| client.query_as::<(i32,)>("SELECT $1::int4", (n,)));
    let found = house.told(gather(calls.collect::<Vec<_>>(), Rest::Leave));
    assert!(found.iter().enumerate().all(|(n, rows)| rows == &[(n as i32,)]), "{found:?}");
    // One that fails does not touch the others.
    let calls = (0..20).map(|n| {
        let sql = if n % 5 == 0 { "SELECT 1 / ($1::int4 - $1)" } else { "SELECT $1::int4" };
        client
            .query_as::<(i32,)>(sql, (n,))
            .add_both(move |rows| Ok::<_, Failure>(rows.is_ok() == (n % 5 != 0)))
    });
    assert!(
        house.told(gather(calls.collect::<Vec<_>>(), Rest::Leave)).into_iter().all(|fine| fine)
    );
}

#[test]
fn statements_that_the_server_forgot_or_changed_are_prepared_anew() {
    let house = House::new();
    let limits = Limits { statements_max: 2, ..Limits::default() };
    let client = house.told(house.client(alice().limits(limits)));
    house.told(client.script("CREATE TABLE t (a int4); INSERT INTO t VALUES (1)"));
    assert_eq!(house.told(client.query("SELECT * FROM t", ())).len(), 1);
    house.told(client.script("ALTER TABLE t ADD COLUMN b int4"));
    assert_eq!(house.code(client.query("SELECT * FROM t", ())), "0A000");
    let rows = house.told(client.query("SELECT * FROM t", ()));
    assert_eq!(rows[0].columns().len(), 2);
    house.told(client.script("DEALLOCATE ALL"));
    assert_eq!(house.code(client.query("SELECT * FROM t", ())), "26000");
    house.told(client.query("SELECT * FROM t", ()));
    // The server keeps no more of them than we do.
    for n in 0..10 {
        house.told(client.query(format!("SELECT {n}"), ()));
    }
    house.told(client.settle());
    let kept = client.query_as::<(i64,)>("SELECT count(*) FROM pg_prepared_statements", ());
    let (kept,) = house.told(kept)[0];
    assert!((1..=3).contains(&kept), "{kept}");
}

#[test]
fn what_is_too_large_or_not_spoken_ends_the_call_alone() {
    let house = House::new();
    let limits = Limits { result_max: 100_000, ..Limits::default() };
    let client = house.told(house.client(alice().limits(limits)));
    let large = client.query("SELECT repeat('x', 100) FROM generate_series(1, 200000)", ());
    assert_eq!(house.refused(large), PostgresError::TooLarge);
    house.told(client.settle());
    for copy in ["COPY (SELECT 1) TO STDOUT", "COPY pg_temp.t FROM STDIN"] {
        house.told(client.script("CREATE TEMPORARY TABLE IF NOT EXISTS t (a int4)"));
        assert_eq!(house.refused(client.script(copy)), PostgresError::Copy, "{copy}");
        house.told(client.settle());
        assert_eq!(house.refused(client.execute(copy, ())), PostgresError::Copy, "{copy}");
        house.told(client.settle());
    }
    assert_eq!(house.told(client.query_as::<(i32,)>("SELECT 1", ())), [(1,)]);
}

#[test]
fn an_interaction_commits_or_leaves_nothing() {
    let house = House::new();
    let pool = house.pool(PoolOptions { connections_max: 2, ..PoolOptions::default() });
    house.told(pool.run_script("CREATE TABLE t (n int4 PRIMARY KEY)"));
    let insert = "INSERT INTO t VALUES ($1)";
    let count = || house.told(pool.run_query_as::<(i64,)>("SELECT count(*) FROM t", ()))[0].0;
    let good = pool.run_interaction(async move |t: Transaction| {
        t.execute(insert, (1,)).await?;
        t.execute(insert, (2,)).await
    });
    assert_eq!((house.told(good), count()), (1, 2));
    let kept: Rc<RefCell<Option<Transaction>>> = Rc::default();
    let keeper = Rc::clone(&kept);
    let failing = pool.run_interaction(async move |t: Transaction| {
        keeper.replace(Some(t.clone()));
        t.execute(insert, (3,)).await?;
        Err::<(), _>(Failure::new("not this time"))
    });
    assert_eq!(house.wait(failing).expect_err("it failed").to_string(), "not this time");
    let late = kept.take().expect("the transaction").execute(insert, (4,));
    assert_eq!(house.refused(late), PostgresError::TransactionOver);
    let panicking = pool.run_interaction(async move |t: Transaction| {
        t.execute(insert, (5,)).await?;
        assert_eq!(t.execute(insert, (6,)).await?, 0, "in the middle of it");
        Ok::<_, Failure>(())
    });
    let failure = house.wait(panicking).expect_err("it panicked");
    assert!(failure.check::<Panicked>().is_some(), "{failure:?}");
    // Who passes an error over does not commit.
    let swallowing = pool.run_interaction(async move |t: Transaction| {
        t.execute(insert, (7,)).await?;
        Ok::<_, Failure>(t.execute(insert, (7,)).await.is_err())
    });
    assert_eq!(house.refused(swallowing), PostgresError::NotCommitted);
    assert_eq!(count(), 2);
    let metrics = pool.metrics();
    assert_eq!((metrics.committed, metrics.rolled_back), (1, 3));
    assert_eq!((metrics.failed, metrics.cancelled), (3, 0));
}

#[test]
fn cancelling_stops_the_server_and_undoes() {
    let house = House::new();
    let pool = house.pool(PoolOptions { connections_max: 1, ..PoolOptions::default() });
    house.told(pool.run_script("CREATE TABLE t (n int4)"));
    let is_asleep: Rc<RefCell<bool>> = Rc::default();
    let sleeper = Rc::clone(&is_asleep);
    let work = pool.run_interaction(async move |t: Transaction| {
        t.execute("INSERT INTO t VALUES (1)", ()).await?;
        sleeper.replace(true);
        t.execute("SELECT pg_sleep(1000)", ()).await
    });
    while !*is_asleep.borrow() {
        house.reactor.turn(Duration::from_millis(10)).expect("a turn");
    }
    work.cancel();
    assert!(house.wait(work).expect_err("cancelled").check::<Cancelled>().is_some());
    // The one connection comes back long before it would have woken.
    let left = house.told(pool.run_query_as::<(i64,)>("SELECT count(*) FROM t", ()));
    assert_eq!(left, [(0,)]);
    let sleeping = pool.run_query("SELECT pg_sleep(1000)", ());
    let tired = timeout(&house.reactor, Duration::from_millis(50), sleeping);
    assert!(house.wait(tired).is_err());
    assert_eq!(house.told(pool.run_query_as::<(i32,)>("SELECT 1", ())), [(1,)]);
    let metrics = pool.metrics();
    assert_eq!((metrics.opened, metrics.rolled_back), (1, 1), "{metrics:?}");
    assert_eq!((metrics.failed, metrics.cancelled), (0, 2), "{metrics:?}");
}

#[test]
fn a_server_killed_in_the_middle_of_a_query_is_found_again() {
    let mut house = House::new();
    let pool = house.pool(PoolOptions { connections_max: 3, ..PoolOptions::default() });
    house.told(pool.run_script("CREATE TABLE t (n int4); INSERT INTO t VALUES (1)"));
    let asleep = pool.run_query("SELECT pg_sleep(1000)", ());
    let interaction = pool.run_interaction(async |t: Transaction| {
        t.execute("INSERT INTO t VALUES (2)", ()).await?;
        t.execute("SELECT pg_sleep(1000)", ()).await
    });
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while house.told(pool.run_query_as::<(i64,)>(busy, ())) != [(2,)] {}
    house.kill();
    for call in [asleep.map(|_| 0), interaction] {
        let why = house.refused(call);
        assert!(why.is_temporary(), "{why:?}");
    }
    // While it is away, calls fail at once.
    let away = house.wait(pool.run_query("SELECT 1", ())).expect_err("nobody is there");
    assert!(
        away.check::<Disconnect>().is_some() || away.check::<PostgresError>().is_some(),
        "{away:?}"
    );
    house.start();
    let rows = house.told(pool.run_query_as::<(i32,)>("SELECT n FROM t", ()));
    assert_eq!(rows, [(1,)]);
    assert!(pool.metrics().opened > 3, "{:?}", pool.metrics());
}

#[test]
fn a_pool_is_bounded_and_its_queue_is_too() {
    let house = House::new();
    let options = PoolOptions {
        connections_max: 2,
        waiters_max: 1,
        patience: Duration::from_millis(50),
        ..PoolOptions::default()
    };
    let pool = house.pool(options);
    let asleep: Vec<_> = (0..2).map(|_| pool.run_query("SELECT pg_sleep(1000)", ())).collect();
    let waits = pool.run_query("SELECT 1", ());
    let crowded = house.wait(pool.run_query("SELECT 1", ())).expect_err("it is crowded");
    assert_eq!(crowded.check::<PoolError>(), Some(&PoolError::Crowded { waiting: 1 }));
    let late = house.wait(waits).expect_err("it took too long");
    assert!(matches!(late.check::<PoolError>(), Some(PoolError::WaitTimedOut { .. })), "{late:?}");
    for call in asleep {
        call.cancel();
        house.wait(call).expect_err("it was cancelled");
    }
    house.told(pool.run_query("SELECT 1", ()));
    house.told(pool.close());
    let closed = house.wait(pool.run_query("SELECT 1", ())).expect_err("it is closed");
    assert_eq!(closed.check::<PoolError>(), Some(&PoolError::Closed));
}

#[test]
fn connections_are_left_clean_for_the_next() {
    let house = House::new();
    let pool = house.pool(PoolOptions { connections_max: 1, ..PoolOptions::default() });
    house.told(pool.run_with_connection(|client| client.script("BEGIN; CREATE TABLE t (n int4)")));
    let there = "SELECT count(*) FROM pg_class WHERE relname = 't'";
    assert_eq!(house.told(pool.run_query_as::<(i64,)>(there, ())), [(0,)]);
    // The server can end one at any time.
    let own = house.told(pool.run_query_as::<(i32,)>("SELECT pg_backend_pid()", ()))[0].0;
    let other = house.alice();
    house.told(other.query("SELECT pg_terminate_backend($1)", (own,)));
    house.told(sleep(&house.reactor, Duration::from_millis(50)));
    let next = house.told(pool.run_query_as::<(i32,)>("SELECT pg_backend_pid()", ()))[0].0;
    assert_ne!(own, next);
}

#[test]
fn notifications_come_to_whoever_listens() {
    let house = House::new();
    let (hears, says) = (house.alice(), house.alice());
    let heard: Rc<RefCell<Vec<(String, String)>>> = Rc::default();
    let ear = Rc::clone(&heard);
    hears.on_notification(move |said| ear.borrow_mut().push((said.channel, said.payload)));
    house.told(hears.script("LISTEN news; LISTEN gossip"));
    house.told(says.query("SELECT pg_notify('news', 'one')", ()));
    house.told(says.script("NOTIFY gossip, 'two'; NOTIFY silence"));
    let deadline = sleep(&house.reactor, PATIENCE);
    while heard.borrow().len() < 2 {
        house.reactor.turn(Duration::from_millis(10)).expect("a turn");
    }
    drop(deadline);
    let expected = [("news", "one"), ("gossip", "two")];
    assert_eq!(
        *heard.borrow(),
        expected.map(|(channel, payload)| (channel.into(), payload.into()))
    );
    assert_eq!(hears.status(), Status::Idle);
    assert!(hears.setting("server_version").is_some());
}
