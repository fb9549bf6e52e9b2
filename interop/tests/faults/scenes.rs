//! What runs in processes of their own.

use std::env;
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Failure, Promise, deferred};
use ropewalk_protocol::{Address, Conn, Disconnect, Port, Protocol, seat};
use ropewalk_reactor::{Census, ConnectOptions, DriverKind, Reactor, TcpListenOptions};

use crate::exchange::pattern;
use crate::support::reactor;

/// Names the scene that a process is for.
const SCENE: &str = "ROPEWALK_SCENE";
/// Where a scene listens or connects to.
const PLACE: &str = "ROPEWALK_PLACE";
/// How many bytes a client sends, and has sent back.
const BYTES: &str = "ROPEWALK_BYTES";

/// The words by which this program plays a scene.
const WORDS: [&str; 4] =
    ["scenes::are_played_where_they_are_asked_for", "--exact", "--nocapture", "--test-threads=1"];

/// The arguments with which `program` plays a scene: those of this program, behind those of another
/// that is to start it.
pub(crate) fn play(command: &mut Command, scene: &str, place: &str) {
    command.arg(env::current_exe().expect("this program")).args(WORDS);
    command.env(SCENE, scene).env(PLACE, place);
}

/// The same for one that connects and has so many bytes sent back.
pub(crate) fn play_client(command: &mut Command, place: SocketAddr, bytes: usize) {
    play(command, "client", &place.to_string());
    command.env(BYTES, bytes.to_string());
}

#[test]
fn are_played_where_they_are_asked_for() {
    match env::var(SCENE).as_deref() {
        Ok("server") => serve(&reactor()),
        Ok("uring") => serve(&Reactor::with_driver(DriverKind::IoUring).expect("a reactor")),
        Ok("client") => ask(),
        Ok("children") => crate::children::look_after(),
        Ok("clock") => crate::clock::keep_time(),
        Ok(other) => panic!("there is no scene {other}"),
        Err(_) => (),
    }
}

fn place() -> SocketAddr {
    env::var(PLACE).expect("a place").parse().expect("an address")
}

/// Says back what it hears, and closes when its peer does.
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }

    /// Back-pressure: who sends faster than he reads waits.
    fn writing_paused(&mut self, conn: &Conn<Self>) {
        conn.pause_reading();
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        conn.resume_reading();
    }
}

/// Serves until it is asked to stop, and then has nothing left.
fn serve(reactor: &Reactor) {
    let factory = Box::new(|_: &Address| Some(Echo));
    let port = reactor.listen_tcp(place(), TcpListenOptions::default(), factory).expect("a port");
    let address = port.address().ip().expect("an address");
    // The harness may have begun a line.
    println!("\nprocess {}", std::process::id());
    println!("driver {}", reactor.driver());
    println!("listening {address}");
    reactor.run().expect("a loop that runs");
    assert_eq!(reactor.census(), Census::default());
    println!("\nended in order");
}

/// Sends a pattern and compares what comes back.
struct Caller {
    sent: Rc<[u8]>,
    heard: usize,
    done: Option<Promise<()>>,
}

impl Protocol for Caller {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&self.sent);
        conn.close_write();
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        assert!(self.sent[self.heard..].starts_with(data), "at byte {}", self.heard);
        self.heard += data.len();
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        let Some(done) = self.done.take() else { return };
        if why == Disconnect::Closed && self.heard == self.sent.len() {
            done.succeed(());
        } else {
            done.fail(Failure::new(format!("{why:?} after {} bytes", self.heard)));
        }
    }
}

/// Connects and has everything sent back.
fn ask() {
    let bytes = env::var(BYTES).expect("a number").parse().expect("a number");
    let reactor = reactor();
    let (promise, done) = deferred();
    let caller = Caller { sent: pattern(bytes).into(), heard: 0, done: Some(promise) };
    connect(&reactor, caller);
    reactor.run_until(done).expect("all of it comes back");
    println!("\nended in order");
}

fn connect(reactor: &Reactor, caller: Caller) {
    let options = ConnectOptions::default().timeout(Duration::from_mins(1));
    reactor.connect_tcp(place(), options, seat(caller));
}
