//! Our client and `tokio-postgres` with the same server.

use std::rc::Rc;

use ropewalk_database::postgres::{Client, Config, connect};
use ropewalk_deferred::{Deferred, Rest, gather};
use ropewalk_protocol::{ClientEndpoint, Seat};
use ropewalk_reactor::{ConnectOptions, Reactor};

use crate::{Contender, Outcome, measure};

const SQL: &str = "SELECT $1::int4, 'a row'::text";
/// How many queries wait at a time where several do.
const TOGETHER: usize = 100;

struct Place(Reactor, u16);

impl ClientEndpoint for Place {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let address = ([127, 0, 0, 1], self.1).into();
        self.0.connect_tcp(address, ConnectOptions::default(), seat);
    }
}

fn query(client: &Client, n: usize) -> Deferred<Vec<(i32, String)>> {
    client.query_as(SQL, (n as i32,))
}

pub(crate) fn run(rounds: usize, count: usize, port: u16) -> Outcome<()> {
    let reactor = Reactor::new()?;
    let place: Rc<dyn ClientEndpoint> = Rc::new(Place(reactor.clone(), port));
    let config = Config::new("alice").database("postgres");
    let client = reactor.run_until(connect(&place, config))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let login = format!("host=127.0.0.1 port={port} user=alice dbname=postgres");
    let (theirs, driver) =
        runtime.block_on(tokio_postgres::connect(&login, tokio_postgres::NoTls))?;
    runtime.spawn(driver);
    let statement = runtime.block_on(theirs.prepare(SQL))?;
    let in_turn = |count: usize| {
        for n in 0..count {
            assert_eq!(reactor.run_until(query(&client, n))?.len(), 1);
        }
        Ok(())
    };
    let together = |count: usize| {
        for first in (0..count).step_by(TOGETHER) {
            let all = (first..count.min(first + TOGETHER)).map(|n| query(&client, n));
            reactor.run_until(gather(all.collect::<Vec<_>>(), Rest::Leave))?;
        }
        Ok(())
    };
    let their_turn = |count: usize| {
        runtime.block_on(async {
            for n in 0..count {
                let rows = theirs.query(&statement, &[&(n as i32)]).await?;
                let found: (i32, String) = (rows[0].try_get(0)?, rows[0].try_get(1)?);
                assert_eq!(found.0, n as i32);
            }
            Ok(())
        })
    };
    let theirs_together = |count: usize| {
        runtime.block_on(async {
            for first in (0..count).step_by(TOGETHER) {
                let ids: Vec<i32> = (first..count.min(first + TOGETHER)).map(|n| n as i32).collect();
                let mut all: Vec<_> = ids
                    .iter()
                    .map(|n| Box::pin(async { theirs.query(&statement, &[n]).await }))
                    .collect();
                // Each is polled once, so that it is sent, before the first is waited for.
                std::future::poll_fn(|cx| {
                    all.retain_mut(|query| query.as_mut().poll(cx).is_pending());
                    if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
            }
            Ok(())
        })
    };
    measure("PostgreSQL, one row, one after the other", rounds, count, &mut [
        Contender { name: "tokio-postgres", run: Box::new(their_turn) },
        Contender { name: "ropewalk", run: Box::new(in_turn) },
    ])?;
    measure("PostgreSQL, one row, 100 at a time", rounds, count, &mut [
        Contender { name: "tokio-postgres", run: Box::new(theirs_together) },
        Contender { name: "ropewalk", run: Box::new(together) },
    ])
}
