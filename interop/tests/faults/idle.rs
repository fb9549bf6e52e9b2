//! Silence costs nothing: many connections wait, and the process makes no system call.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::calls::{Traced, waiting};
use crate::exchange::{End, exchange};

/// How many connections say nothing, and for how long they are watched, unless `ROPEWALK_IDLE_SECONDS`
/// says otherwise: on the drivers that people use, and on the others.
const CONNECTIONS: usize = 10_000;
const SPAN: Duration = Duration::from_mins(1);
const SPAN_ELSEWHERE: Duration = Duration::from_secs(3);

#[test]
fn ten_thousand_silent_connections_cost_no_call() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = CONNECTIONS as u64 + 200;
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        return ropewalk_interop::leave_out("idle connections", format!("{limit:?}"));
    }
    let raised = Rlimit { current: Some(wanted), ..limit };
    setrlimit(Resource::Nofile, raised).expect("a limit below the highest");
    let span = std::env::var("ROPEWALK_IDLE_SECONDS").ok().and_then(|span| span.parse().ok());
    let span = span.map_or_else(usual_span, Duration::from_secs);

    let Some(mut server) = Traced::server("all", &[]) else { return };
    let address = server.peer.listening().expect("its address");
    let connect = |_| TcpStream::connect(address).expect("a connection");
    let crowd: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    // It has taken in all that came before this one.
    assert!(matches!(exchange(address, 1000, 100), End::Whole));
    let before = settled(&server);
    thread::sleep(span);
    let calls = server.calls() - before;
    assert_eq!(calls, 0, "in {span:?} ({} wait)", waiting());
    assert!(matches!(exchange(address, 1000, 100), End::Whole), "it is awake all the same");
    drop(crowd);
    server.stop();
}

fn usual_span() -> Duration {
    match std::env::var("ROPEWALK_REACTOR").as_deref() {
        Err(_) | Ok("epoll" | "io_uring") => SPAN,
        Ok(_) => SPAN_ELSEWHERE,
    }
}

/// How many calls there have been, once there are no more.
fn settled(server: &Traced) -> usize {
    let mut before = server.calls();
    for _ in 0..1200 {
        thread::sleep(Duration::from_millis(100));
        let now = server.calls();
        if now == before {
            return now;
        }
        before = now;
    }
    panic!("it never sleeps");
}
