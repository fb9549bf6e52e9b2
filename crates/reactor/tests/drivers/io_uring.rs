//! What only a driver has that lends memory to the kernel.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_protocol::Disconnect;
use ropewalk_reactor::{DriverKind, Reactor};
use rustix::process::{Resource, Rlimit, setrlimit};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::kit::{
    Echo, Seen, Witness, alone, bytes, come_to_rest, connect, in_thread, listen, on,
    plain_listener, reactor, turn_until,
};

/// A test for this driver alone, in a process of its own if it says so.
macro_rules! tests {
    ($($how:ident $name:ident),* $(,)?) => {
        mod io_uring {
            $(
                #[test]
                fn $name() {
                    let path = concat!(module_path!(), "::", stringify!($name));
                    super::$how(ropewalk_reactor::DriverKind::IoUring, path, super::$name);
                }
            )*
        }
    };
}

tests! {
    on more_senders_than_buffers_all_get_through,
    on more_completions_than_there_is_room_for_are_all_seen,
    on what_came_before_a_pause_took_hold_comes_after_it,
    on a_reset_is_told_while_reading_is_paused,
    on a_reset_is_told_after_the_end,
    alone buffers_and_operations_come_back,
    alone without_locked_memory_epoll_takes_its_place,
}

/// 600 connections each send more than a buffer holds, before anything is received.
fn more_senders_than_buffers_all_get_through(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen: Rc<Seen> = Rc::default();
    let witness = Rc::clone(&seen);
    let (_port, address) =
        listen(&reactor, move || Witness { stays: true, ..Witness::new(&witness) });
    let streams: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(address).unwrap()).collect();
    turn_until(&reactor, || seen.made.get() == 600);
    for round in 1..=3 {
        let piece = vec![round; 40_000];
        for mut stream in &streams {
            stream.write_all(&piece).unwrap();
        }
        turn_until(&reactor, || seen.count() == 600 * 40_000 * usize::from(round));
    }
    assert!(seen.data.borrow()[..600 * 40_000].iter().all(|byte| *byte == 1));
}

/// The queue of completions has 4,096 places; here twice as many come at once.
fn more_completions_than_there_is_room_for_are_all_seen(kind: DriverKind) {
    const COUNT: usize = 4_500;
    let reactor = reactor(kind);
    let seen: Rc<Seen> = Rc::default();
    let witness = Rc::clone(&seen);
    let (_port, address) =
        listen(&reactor, move || Witness { stays: true, ..Witness::new(&witness) });
    let mut streams = Vec::new();
    for _ in 0..COUNT / 500 {
        streams.extend((0..500).map(|_| TcpStream::connect(address).unwrap()));
        turn_until(&reactor, || seen.made.get() == streams.len());
    }
    for mut stream in &streams {
        stream.write_all(b"x").unwrap();
    }
    turn_until(&reactor, || seen.count() == COUNT);
    for mut stream in &streams {
        stream.write_all(b"yz").unwrap();
    }
    turn_until(&reactor, || seen.count() == 3 * COUNT);
    assert_eq!(reactor.census().connections, COUNT);
}

fn what_came_before_a_pause_took_hold_comes_after_it(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen: Rc<Seen> = Rc::default();
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(&reactor, move || Witness::new(&witness));
    let mut stream = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 1);
    come_to_rest(&reactor);
    // The receive is under way; the pause, the bytes and the end meet in one turn.
    seen.conn().pause_reading();
    let sent = bytes(100_000);
    stream.write_all(&sent).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    come_to_rest(&reactor);
    assert_eq!((seen.count(), seen.ended.get()), (0, false));
    seen.conn().resume_reading();
    turn_until(&reactor, || seen.ended.get());
    assert!(*seen.data.borrow() == sent);
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn a_reset_is_told_while_reading_is_paused(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen: Rc<Seen> = Rc::default();
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(&reactor, move || Witness::new(&witness));
    let stream = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 1);
    seen.conn().pause_reading();
    come_to_rest(&reactor);
    reset(stream);
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(seen.lost.get(), Some(Disconnect::Reset));
}

fn a_reset_is_told_after_the_end(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen: Rc<Seen> = Rc::default();
    let witness = Rc::clone(&seen);
    let (_port, address) =
        listen(&reactor, move || Witness { stays: true, ..Witness::new(&witness) });
    let stream = TcpStream::connect(address).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    turn_until(&reactor, || seen.ended.get());
    come_to_rest(&reactor);
    assert!(seen.lost.get().is_none());
    // The peer is gone; what is sent to it now says so, and is not read by anybody.
    seen.conn().write(b"anybody there?");
    come_to_rest(&reactor);
    reset(stream);
    turn_until(&reactor, || seen.lost.get().is_some());
}

/// Everything at every stage, then nothing: operations, buffers and descriptors.
fn buffers_and_operations_come_back(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, plain) = plain_listener();
    let (_port, address) = listen(&reactor, || Echo);
    come_to_rest(&reactor);
    let idle = reactor.operations();
    for round in 0..30 {
        let seen: Vec<Rc<Seen>> = (0..40).map(|_| Rc::default()).collect();
        for (index, seen) in seen.iter().enumerate() {
            let to = if index % 4 == 0 { plain } else { address };
            let greeting = vec![b'x'; 100_000];
            connect(&reactor, to, Witness { greeting, ..Witness::new(seen) });
        }
        for _ in 0..round {
            reactor.turn(Duration::ZERO).unwrap();
        }
        turn_until(&reactor, || seen.iter().all(|seen| seen.made.get() == 1));
        for seen in &seen {
            seen.conn().abort();
        }
        turn_until(&reactor, || reactor.census().connections == 0);
        for _ in 0..10 {
            drop(listener.accept());
        }
        let mut turns = 0;
        while reactor.operations() > idle {
            reactor.turn(Duration::from_millis(10)).unwrap();
            turns += 1;
            assert!(turns < 100, "{} operations are left of {idle}", reactor.operations());
        }
    }
    // An operation that is under way while its driver is dropped.
    let (dropped, is_dropped) = std::sync::mpsc::channel::<()>();
    let reading = in_thread(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = is_dropped.recv();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let witness = Witness { greeting: vec![b'x'; 30_000_000], ..Witness::default() };
    connect(&reactor, plain, witness);
    come_to_rest(&reactor);
    assert!(reactor.operations() > idle);
    drop(reactor);
    drop(dropped);
    reading.join().unwrap();
}

static WARNINGS: AtomicUsize = AtomicUsize::new(0);

/// Counts warnings that speak of epoll taking somebody's place.
struct Counting;

struct Message(bool);

impl Visit for Message {
    fn record_debug(&mut self, _field: &Field, value: &dyn std::fmt::Debug) {
        self.0 |= format!("{value:?}").contains("epoll takes its place");
    }
}

impl Subscriber for Counting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(false);
        event.record(&mut message);
        WARNINGS.fetch_add(usize::from(message.0), Ordering::Relaxed);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn without_locked_memory_epoll_takes_its_place(kind: DriverKind) {
    tracing::subscriber::set_global_default(Counting).unwrap();
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    let why = kind.availability().unwrap_err().to_string();
    assert!(why.contains("io_uring") && why.contains("RLIMIT_MEMLOCK"), "{why}");
    let reactor = Reactor::with_driver(kind).unwrap();
    assert_eq!(reactor.driver(), "epoll");
    assert_eq!(WARNINGS.load(Ordering::Relaxed), 1);
    let (_port, address) = listen(&reactor, || Echo);
    let seen: Rc<Seen> = Rc::default();
    connect(&reactor, address, Witness { greeting: b"still".to_vec(), ..Witness::new(&seen) });
    turn_until(&reactor, || seen.count() == 5);
}
