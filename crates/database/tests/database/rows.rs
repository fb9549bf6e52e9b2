//! Values there and back, rows as types, and what does not fit.

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use ropewalk_database::sqlite::{
    FromRow, Params, Row, Sqlite, SqliteError, SqliteErrorKind, Value,
};
use ropewalk_database::{Pool, PoolOptions, RowError};

use ropewalk_trial::{error_of, value_of};

use crate::Host;

fn with(driver: Sqlite) -> (Host, Pool<Sqlite>) {
    let host = Host::new();
    let pool = Pool::new(&host, driver, PoolOptions::default());
    (host, pool)
}

fn rows(sql: &str, params: impl Params) -> Vec<Row> {
    let (host, pool) = with(Sqlite::memory());
    let rows = pool.run_query(sql, params);
    host.threads.do_all();
    value_of(rows)
}

#[track_caller]
fn refused(driver: Sqlite, sql: &str, params: impl Params) -> SqliteErrorKind {
    let (host, pool) = with(driver);
    let rows = pool.run_query(sql, params);
    host.threads.do_all();
    error_of::<_, SqliteError>(rows).kind()
}

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        // What is no number is stored as nothing.
        any::<f64>().prop_filter("a number", |number| !number.is_nan()).prop_map(Value::Real),
        any::<String>().prop_map(Value::Text),
        any::<Vec<u8>>().prop_map(Value::Blob),
    ]
}

proptest! {
    #[test]
    fn values_come_back_as_they_went(values in proptest::collection::vec(anything(), 1..6)) {
        let places: Vec<_> = (1..=values.len()).map(|place| format!("?{place}")).collect();
        let found = rows(&format!("SELECT {}", places.join(", ")), values.clone());
        assert_eq!(found[0].values(), values);
    }
}

#[test]
fn rows_give_what_they_have_by_name_and_by_number() {
    let found =
        rows("SELECT 1 AS one, 'two' AS two, NULL AS three, x'04' AS four, 0.5 AS five", ());
    let row = &found[0];
    assert_eq!(row.columns(), ["one", "two", "three", "four", "five"]);
    assert_eq!(row.get::<u8>("one"), Ok(1));
    assert_eq!(row.get::<bool>("one"), Ok(true));
    assert_eq!(row.at::<String>(1), Ok("two".to_owned()));
    assert_eq!(row.get::<Option<String>>("three"), Ok(None));
    assert_eq!(row.get::<Vec<u8>>("four"), Ok(vec![4]));
    assert_eq!(row.get::<f64>("five"), Ok(0.5));
    let no_column = RowError::NoColumn { asked: "six".to_owned() };
    assert_eq!(row.get::<i64>("six"), Err(no_column));
    let null = row.get::<i64>("three").expect_err("it is nothing");
    assert_eq!(null.to_string(), "column three was expected to be i64, and is NULL");
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let found = rows("SELECT 300 AS n, -1 AS m, 2 AS b", ());
    let large = found[0].get::<u8>("n").expect_err("it is too large");
    assert_eq!(large.to_string(), "column n was expected to be u8, and is the INTEGER 300");
    assert!(found[0].get::<u64>("m").is_err());
    assert!(found[0].get::<bool>("b").is_err());
    assert_eq!(found[0].get::<f64>("n"), Ok(300.0));
}

#[test]
fn rows_become_tuples_and_structs() {
    #[derive(Debug, PartialEq)]
    struct Point {
        x: i32,
        y: Option<i32>,
    }
    impl FromRow for Point {
        fn from_row(row: Row) -> Result<Self, RowError> {
            Ok(Self { x: row.get("x")?, y: row.get("y")? })
        }
    }
    let (host, pool) = with(Sqlite::memory());
    let sql = "SELECT 1 AS x, ?1 AS y";
    let points = pool.run_query_as::<Point>(sql, (None::<i32>,));
    let pairs = pool.run_query_as::<(i64, String)>(sql, ("b",));
    let triples = pool.run_query_as::<(i64, i64, i64)>(sql, (2,));
    host.threads.do_all();
    assert_eq!(value_of(points), [Point { x: 1, y: None }]);
    assert_eq!(value_of(pairs), [(1, "b".to_owned())]);
    let error = triples.now_or_never().expect("it is over").expect_err("there are two");
    assert_eq!(error.to_string(), "SQLite: 3 columns were expected, and 2 came");
}

#[test]
fn results_are_bounded() {
    let count =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT ?1) SELECT n FROM c";
    let small = || Sqlite::memory().result_max(10, 1000);
    let (host, pool) = with(small());
    let fits = pool.run_query(count, (10,));
    host.threads.do_all();
    assert_eq!(value_of(fits).len(), 10);
    assert_eq!(refused(small(), count, (11,)), SqliteErrorKind::TooLarge);
    let bytes = "SELECT zeroblob(?1)";
    let (host, pool) = with(small());
    let fits = pool.run_query(bytes, (1000 - size_of::<Value>() as i64,));
    host.threads.do_all();
    assert_eq!(value_of(fits).len(), 1);
    assert_eq!(
        refused(small(), bytes, (1001 - size_of::<Value>() as i64,)),
        SqliteErrorKind::TooLarge
    );
}

#[test]
fn refusals_say_what_they_are() {
    assert_eq!(refused(Sqlite::memory(), "SELEKT 1", ()), SqliteErrorKind::Statement);
    assert_eq!(refused(Sqlite::memory(), "SELECT ?1", (1, 2)), SqliteErrorKind::Parameters);
    assert_eq!(
        refused(Sqlite::memory(), "SELECT CAST(x'ff' AS TEXT)", ()),
        SqliteErrorKind::NotText
    );
    let nowhere = Sqlite::file("/nowhere/at/all.db");
    assert_eq!(refused(nowhere, "SELECT 1", ()), SqliteErrorKind::CannotOpen);
    let writing = refused(Sqlite::memory().read_only(), "CREATE TABLE t (n)", ());
    assert_eq!(writing, SqliteErrorKind::ReadOnly);
}

#[test]
fn operations_say_how_many_rows_they_changed() {
    let (host, pool) = with(Sqlite::memory());
    let calls = [
        pool.run_operation("CREATE TABLE t (n INTEGER)", ()),
        pool.run_operation("INSERT INTO t VALUES (1), (2), (3)", ()),
        pool.run_operation("UPDATE t SET n = n + 1 WHERE n > ?1 RETURNING n", (1,)),
        pool.run_operation("DELETE FROM t", ()),
    ];
    host.threads.do_all();
    assert_eq!(calls.map(value_of), [0, 3, 2, 3]);
    let beyond = pool.run_with_connection(|database| {
        let pages = database.raw().pragma_query_value(None, "page_count", |row| row.get(0));
        pages.map_err(SqliteError::from).map(|pages: i64| pages)
    });
    host.threads.do_all();
    assert!(value_of(beyond) > 0);
}
