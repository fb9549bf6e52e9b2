//! tokio-postgres over our transports, on our loop alone.

use ropewalk_adapters::connect_stream;
use ropewalk_deferred::Failure;
use ropewalk_interop::PATIENCE;
use ropewalk_protocol::timeout;

use crate::house::House;

#[test]
fn tokio_postgres_runs_on_any_stream() {
    let house = House::new();
    let reactor = house.reactor.clone();
    for endpoint in [house.endpoint(), house.unix_endpoint()] {
        let tasks = reactor.clone();
        let work = reactor.spawn(async move {
            let stream = connect_stream(&*endpoint).await?;
            let mut config = tokio_postgres::Config::new();
            config.user("alice").dbname("postgres");
            let (client, connection) = config.connect_raw(stream, tokio_postgres::NoTls).await?;
            let running = tasks.spawn(connection);
            let rows =
                client.query("SELECT $1::int4 + 1, repeat('x', $2)", &[&41, &100_000]).await?;
            assert_eq!(rows[0].try_get::<_, i32>(0)?, 42);
            assert_eq!(rows[0].try_get::<_, &str>(1)?.len(), 100_000);
            drop(client);
            running.await?;
            Ok::<_, Failure>(())
        });
        reactor.run_until(timeout(&reactor, PATIENCE, work)).expect("it is spoken");
    }
}
