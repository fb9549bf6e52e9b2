//! A reactor inside tokio's runtime.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ropewalk_deferred::{Failure, deferred};
use ropewalk_foreign::host_in_tokio;
use ropewalk_http::{Request, Site};
use ropewalk_protocol::{Clock, Conn, Disconnect, Protocol, call_later, seat};
use ropewalk_reactor::{ConnectOptions, Reactor, ReactorError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use crate::kit::{Count, Echo, PATIENCE, listen, reactor, runtime};

/// Hosts the reactor until `work` is done, all in one thread.
#[track_caller]
fn while_hosted<T>(reactor: &Reactor, work: impl Future<Output = T>) -> T {
    let local = LocalSet::new();
    let host = reactor.clone();
    runtime().block_on(local.run_until(async {
        let host = spawn_local(async move { host_in_tokio(&host).await });
        let result = timeout(PATIENCE, work).await.expect("it takes too long");
        reactor.stop();
        host.await.unwrap().unwrap();
        result
    }))
}

async fn talk(address: SocketAddr, rounds: usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for round in 0..rounds {
        let sent = vec![round as u8; 1000];
        stream.write_all(&sent).await.unwrap();
        let mut back = vec![0; 1000];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(sent, back);
    }
}

#[test]
fn protocols_and_tasks_of_tokio_talk_on_one_thread() {
    let reactor = reactor();
    let (_port, address) = listen(&reactor, || Echo);
    while_hosted(&reactor, async {
        let clients: Vec<_> = (0..8).map(|_| spawn_local(talk(address, 100))).collect();
        for client in clients {
            client.await.unwrap();
        }
    });
    assert_eq!(reactor.census().connections, 0, "its end has ended them");
}

#[test]
fn a_client_welded_to_tokio_asks_a_site_on_the_same_thread() {
    let reactor = reactor();
    let mut count = 0;
    let site = Site::new(move |_: Request| {
        count += 1;
        format!("request {count}")
    });
    let (_port, address) = listen(&reactor, move || site.server());
    while_hosted(&reactor, async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for round in 1..=20 {
            let response = client.get(format!("http://{address}/")).send().await.unwrap();
            assert_eq!(response.text().await.unwrap(), format!("request {round}"));
        }
    });
}

/// Sends a greeting, and tells what came back when the connection is over.
struct Greeter {
    got: Rc<RefCell<Vec<u8>>>,
    over: Option<ropewalk_deferred::Promise<()>>,
}

impl Protocol for Greeter {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"greetings");
        conn.close_write();
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.got.borrow_mut().extend_from_slice(data);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, _: Disconnect) {
        if let Some(over) = self.over.take() {
            over.succeed(());
        }
    }
}

#[test]
fn tasks_of_the_reactor_use_sockets_and_timers_of_tokio() {
    let reactor = reactor();
    let (got, (over, waiting)) = (Rc::new(RefCell::new(Vec::new())), deferred());
    let greeter = Greeter { got: Rc::clone(&got), over: Some(over) };
    while_hosted(&reactor, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = reactor.spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await?;
            received.reverse();
            stream.write_all(&received).await?;
            Ok::<_, Failure>(received.len())
        });
        // Asked for between two turns, so the host has to hear of it.
        reactor.connect_tcp(address, ConnectOptions::default(), seat(greeter));
        assert_eq!(served.await.unwrap(), 9);
        waiting.await.unwrap();
    });
    assert_eq!(*got.borrow(), b"sgniteerg");
}

#[test]
fn calls_come_in_time_and_the_host_sleeps_between() {
    let reactor = reactor();
    let (done, polls) = (Count::default(), Count::default());
    let begun = reactor.now();
    let (stopper, counts) = (reactor.clone(), done.clone());
    call_later(&reactor, Duration::from_millis(60), move || counts.add());
    let counts = done.clone();
    call_later(&reactor, Duration::from_millis(120), move || {
        counts.add();
        stopper.stop();
    });
    let counts = polls.clone();
    runtime().block_on(async {
        let mut host = pin!(host_in_tokio(&reactor));
        let counted = poll_fn(|cx| {
            counts.add();
            host.as_mut().poll(cx)
        });
        timeout(PATIENCE, counted).await.expect("it takes too long").unwrap();
    });
    assert!(reactor.now() >= begun + Duration::from_millis(120));
    assert_eq!(done.get(), 2);
    assert!(polls.get() <= 20, "{} polls for two calls", polls.get());
}

#[test]
fn a_nearer_call_that_tokio_asks_for_does_not_wait_for_a_later_one() {
    let reactor = reactor();
    call_later(&reactor, Duration::from_hours(1), || ());
    while_hosted(&reactor, async {
        // The host sleeps by now, for an hour.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (promise, waiting) = deferred();
        call_later(&reactor, Duration::from_millis(1), move || promise.succeed(()));
        waiting.await.unwrap();
    });
}

#[test]
fn a_host_that_is_dropped_leaves_the_reactor_to_the_next() {
    let reactor = reactor();
    let (_port, address) = listen(&reactor, || Echo);
    let runtime = runtime();
    for _ in 0..3 {
        runtime.block_on(async {
            let mut host = pin!(host_in_tokio(&reactor));
            let mut talk = pin!(talk(address, 3));
            poll_fn(|cx| {
                assert!(host.as_mut().poll(cx).is_pending());
                talk.as_mut().poll(cx)
            })
            .await;
        });
    }
    assert_eq!(reactor.census().listeners, 1);
    reactor.stop();
    assert!(runtime.block_on(host_in_tokio(&reactor)).is_ok());
    assert_eq!(reactor.census().listeners, 0);
}

#[test]
fn a_host_inside_a_turn_is_refused() {
    let reactor = reactor();
    let (inner, refused) = (reactor.clone(), Count::default());
    let counts = refused.clone();
    let task = reactor.spawn(poll_fn(move |cx| {
        let host = inner.clone();
        let hosting = pin!(host_in_tokio(&host)).poll(cx);
        assert!(matches!(hosting, Poll::Ready(Err(ReactorError::AlreadyRunning))));
        counts.add();
        inner.stop();
        Poll::Ready(Ok::<(), Failure>(()))
    }));
    runtime()
        .block_on(async { timeout(PATIENCE, host_in_tokio(&reactor)).await })
        .unwrap()
        .unwrap();
    task.now_or_never().unwrap().unwrap();
    assert_eq!(refused.get(), 1);
}
