//! A thread with tokio's runtime beside a reactor.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use ropewalk_deferred::{Cancelled, Failure, Panicked, Rest, gather};
use ropewalk_foreign::{Island, IslandGone, IslandOptions, IslandRefused};
use ropewalk_http::{Request, Site};
use ropewalk_protocol::call_later;
use ropewalk_reactor::Reactor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::{Echo, PATIENCE, listen, reactor};

fn island(reactor: &Reactor) -> Island {
    Island::new(reactor, IslandOptions::default()).unwrap()
}

/// Turns until `done`.
#[track_caller]
fn turn_until(reactor: &Reactor, done: impl Fn() -> bool) {
    let late = Rc::new(Cell::new(false));
    let tells = Rc::clone(&late);
    let alarm = call_later(reactor, PATIENCE, move || tells.set(true));
    while !done() {
        assert!(!late.get(), "nothing came of it");
        reactor.turn(Duration::from_millis(20)).unwrap();
    }
    alarm.cancel();
}

/// Tells when it is dropped, and in which thread.
struct Told(Sender<String>);

impl Drop for Told {
    fn drop(&mut self) {
        let thread = thread::current().name().unwrap_or_default().to_owned();
        self.0.send(thread).unwrap();
    }
}

async fn length(address: SocketAddr, text: &'static [u8]) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text).await?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await?;
    assert_eq!(back, text);
    Ok(back.len())
}

#[test]
fn a_client_of_tokio_talks_to_the_reactor_from_its_island() {
    let reactor = reactor();
    let island = island(&reactor);
    let (_port, address) = listen(&reactor, || Echo);
    let many = (0..50).map(|_| island.spawn(move || length(address, b"from the island")));
    let lengths = reactor.run_until(gather(many, Rest::Cancel)).unwrap();
    assert_eq!(lengths, vec![15; 50]);
    assert_eq!(island.jobs(), 0);
}

#[test]
fn a_library_welded_to_tokio_asks_a_site_of_the_reactor() {
    let reactor = reactor();
    let island = island(&reactor);
    let site = Site::new(|request: Request| format!("you asked for {}", request.uri().path()));
    let (_port, address) = listen(&reactor, move || site.server());
    let page = island.spawn(move || async move {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        client.get(format!("http://{address}/land")).send().await?.text().await
    });
    assert_eq!(reactor.run_until(page).unwrap(), "you asked for /land");
}

#[test]
fn futures_need_not_be_send_and_tasks_of_their_own_run() {
    let reactor = reactor();
    let island = island(&reactor);
    let sum = island.spawn(|| async {
        let shared = Rc::new(Cell::new(0));
        let tasks = (1..=10).map(|n| {
            let shared = Rc::clone(&shared);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                shared.set(shared.get() + n);
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await?;
        }
        Ok::<_, tokio::task::JoinError>(shared.get())
    });
    assert_eq!(reactor.run_until(sum).unwrap(), 55);
}

#[test]
fn a_cancelled_deferred_drops_its_future_on_the_island() {
    let reactor = reactor();
    let island = island(&reactor);
    let (tell, told) = channel();
    let (begun_tell, begun) = channel();
    let job = island.spawn(move || async move {
        let _told = Told(tell);
        begun_tell.send(()).unwrap();
        std::future::pending::<Result<(), Failure>>().await
    });
    begun.recv_timeout(PATIENCE).unwrap();
    assert_eq!(island.jobs(), 1);
    job.cancel();
    let failure = reactor.run_until(job).unwrap_err();
    assert!(failure.check::<Cancelled>().is_some(), "{failure:?}");
    turn_until(&reactor, || island.jobs() == 0);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "ropewalk-island");
}

#[test]
fn failures_and_panics_come_home() {
    let reactor = reactor();
    let island = island(&reactor);
    let fails = island.spawn(|| async { Err::<(), _>(std::io::Error::other("on purpose")) });
    assert_eq!(reactor.run_until(fails).unwrap_err().to_string(), "on purpose");
    let panics = island.spawn(|| async {
        tokio::task::yield_now().await;
        assert!(std::env::args().count() == 0, "this panic is part of the test");
        Ok::<_, Failure>(())
    });
    let failure = reactor.run_until(panics).unwrap_err();
    let panicked = failure.check::<Panicked>().expect("a panic");
    assert_eq!(panicked.message(), "this panic is part of the test");
    let never_made = island.spawn(|| -> std::future::Ready<Result<(), Failure>> {
        panic!("this panic is part of the test too")
    });
    assert!(reactor.run_until(never_made).unwrap_err().check::<Panicked>().is_some());
    let goes_on = island.spawn(|| async { Ok::<_, Failure>(7) });
    assert_eq!(reactor.run_until(goes_on).unwrap(), 7);
}

#[test]
fn one_job_too_many_is_refused() {
    let reactor = reactor();
    let island = Island::new(&reactor, IslandOptions::default().jobs_max(2)).unwrap();
    let forever = || std::future::pending::<Result<(), Failure>>();
    let jobs = [island.spawn(forever), island.spawn(forever)];
    let refused = island.spawn(forever);
    let failure = reactor.run_until(refused).unwrap_err();
    assert_eq!(failure.check(), Some(&IslandRefused::Full { jobs_max: 2 }));
    for job in jobs {
        job.cancel();
        reactor.run_until(job).unwrap_err();
    }
    turn_until(&reactor, || island.jobs() == 0);
    let taken = island.spawn(|| async { Ok::<_, Failure>(()) });
    reactor.run_until(taken).unwrap();
}

#[test]
fn the_island_ends_with_the_reactors_run() {
    let reactor = reactor();
    let island = island(&reactor);
    let (tell, told) = channel();
    let tells = Told(tell);
    let job = island.spawn(move || async move {
        let _tells = tells;
        std::future::pending::<Result<(), Failure>>().await
    });
    let heard = Rc::new(Cell::new(false));
    let hears = Rc::clone(&heard);
    job.on_result(move |result| hears.set(result.is_err()));
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert!(heard.get(), "whoever waits hears of it");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "ropewalk-island");
    let late = island.spawn(|| async { Ok::<_, Failure>(()) });
    let failure = reactor.run_until(late).unwrap_err();
    assert_eq!(failure.check(), Some(&IslandRefused::Ended));
    assert_eq!(reactor.census().tasks, 0);
}

#[test]
fn the_last_handle_waits_for_the_thread() {
    let reactor = reactor();
    let island = island(&reactor);
    let other = island.clone();
    let (tell, told) = channel();
    let tells = Told(tell);
    let job = island.spawn(move || async move {
        let _tells = tells;
        std::future::pending::<Result<(), Failure>>().await
    });
    drop(island);
    assert!(told.try_recv().is_err(), "another handle keeps it");
    drop(other);
    assert_eq!(told.try_recv().unwrap(), "ropewalk-island");
    let failure = reactor.run_until(job).unwrap_err();
    assert_eq!(failure.check(), Some(&IslandGone));
    turn_until(&reactor, || reactor.census().tasks == 0);
}
