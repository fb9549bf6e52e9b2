//! What is taken is given back, and what runs out is waited for.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_protocol::{Address, seat};
use ropewalk_reactor::{ConnectOptions, DriverKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::kit::{
    Echo, Seen, Witness, bytes, come_to_rest, connect, descriptors, listen, now, on_each_driver,
    plain_listener, reactor, turn_until,
};

on_each_driver! {
    alone
    everything_comes_back,
    a_thousand_reactors_leave_nothing,
    reactors_that_are_dropped_in_the_middle_leave_nothing,
    accepting_pauses_while_there_are_no_descriptors,
    a_sibling_that_cannot_accept_leaves_it_to_the_others,
}

fn everything_comes_back(kind: DriverKind) {
    let before = descriptors();
    let reactor = reactor(kind);
    let (port, address) = listen(&reactor, || Echo);
    come_to_rest(&reactor);
    let (empty, operations) = (descriptors(), reactor.operations());
    for round in 0..8 {
        let seen: Vec<Rc<Seen>> = (0..100).map(|_| Rc::default()).collect();
        for seen in &seen {
            connect(&reactor, address, Witness { greeting: bytes(5000), ..Witness::new(seen) });
        }
        turn_until(&reactor, || seen.iter().all(|seen| seen.made.get() == 1));
        for (index, seen) in seen.iter().enumerate() {
            match (index + round) % 4 {
                0 => seen.conn().close(),
                1 => seen.conn().abort(),
                2 => {
                    seen.conn().pause_reading();
                    seen.conn().write(&vec![b'x'; 3_000_000]);
                    seen.conn().abort();
                }
                _ => {
                    seen.conn().write(&vec![b'x'; 300_000]);
                    seen.conn().pause_reading();
                }
            }
        }
        come_to_rest(&reactor);
        for seen in &seen {
            seen.conn().abort();
        }
        turn_until(&reactor, || reactor.census().connections == 0);
    }
    turn_until(&reactor, || reactor.operations() == operations);
    assert_eq!(descriptors(), empty);
    drop(port);
    drop(reactor);
    assert_eq!(descriptors(), before);
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn a_thousand_reactors_leave_nothing(kind: DriverKind) {
    let run = || {
        let reactor = reactor(kind);
        let (_port, address) = listen(&reactor, || Echo);
        let seen = Rc::new(Seen::default());
        connect(&reactor, address, Witness { greeting: bytes(100), ..Witness::new(&seen) });
        turn_until(&reactor, || seen.count() == 100);
        // An end in order would keep a port for a minute, of which a busy machine has no thousand to spare.
        seen.conn().abort();
        turn_until(&reactor, || seen.lost.get().is_some());
    };
    for _ in 0..20 {
        run();
    }
    let (before, memory) = (descriptors(), resident());
    for _ in 0..1000 {
        run();
    }
    assert_eq!(descriptors(), before);
    let grown = resident().saturating_sub(memory);
    assert!(grown < 8 << 20, "{grown} bytes are still held");
}

fn reactors_that_are_dropped_in_the_middle_leave_nothing(kind: DriverKind) {
    let before = descriptors();
    for round in 0..20 {
        let reactor = reactor(kind);
        let (listener, address) = plain_listener();
        let (_port, echo) = listen(&reactor, || Echo);
        for _ in 0..5 {
            let witness = Witness { greeting: vec![b'x'; 5_000_000], ..Witness::default() };
            reactor.connect_tcp(address, ConnectOptions::default(), seat(witness));
            let witness = Witness { greeting: vec![b'x'; 5_000_000], ..Witness::default() };
            reactor.connect_tcp(echo, ConnectOptions::default(), seat(witness));
        }
        // Full buffers on the way out, others on the way in.
        for _ in 0..round {
            reactor.turn(Duration::ZERO).unwrap();
        }
        drop(reactor);
        drop(listener);
    }
    assert_eq!(descriptors(), before);
}

fn accepting_pauses_while_there_are_no_descriptors(kind: DriverKind) {
    let reactor = reactor(kind);
    let served = Rc::new(RefCell::new(Vec::<Rc<Seen>>::new()));
    let serving = Rc::clone(&served);
    let (_port, address) = listen(&reactor, move || {
        let seen = Rc::default();
        serving.borrow_mut().push(Rc::clone(&seen));
        Witness::new(&seen)
    });
    // No turn yet: an accept that is under way keeps the limit that it began with.
    let made = || served.borrow().len();
    let clients: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
    let limit = getrlimit(Resource::Nofile);
    // The lowest free number, and three more.
    let free = std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64;
    let low = Rlimit { current: Some(free + 4), maximum: limit.maximum };
    setrlimit(Resource::Nofile, low).unwrap();
    turn_until(&reactor, || made() == 4);
    // The others wait, and cost nothing, until they are turned away.
    let (began, mut turns) = (now(), 0);
    while began.elapsed() < Duration::from_millis(400) {
        reactor.turn(Duration::from_millis(400)).unwrap();
        turns += 1;
    }
    assert!(turns <= 4, "{turns} turns for nothing");
    while began.elapsed() < Duration::from_millis(1500) {
        reactor.turn(Duration::from_millis(100)).unwrap();
    }
    assert_eq!(made(), 4);
    // Those who come later are turned away in time, too.
    setrlimit(Resource::Nofile, limit).unwrap();
    let later = Arc::new(TcpStream::connect(address).unwrap());
    turn_until(&reactor, || made() == 5);
    (&*later).write_all(b"x").unwrap();
    turn_until(&reactor, || served.borrow()[4].count() == 1);
    drop(clients);
    drop(later);
    turn_until(&reactor, || reactor.census().connections == 0);
}

/// In the process that is to starve: what it has for its standard input is the listener.
const STARVES: &str = "ROPEWALK_TEST_STARVES";
/// How many descriptors that one may have.
const FEW: u64 = 64;

const STARVING_TRIES: usize = 5;

/// Ends a process, whatever becomes of the test.
struct Starving(Child);

impl Drop for Starving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Listens with the standard input, and then has nothing to accept with.
fn starve(kind: DriverKind) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(FEW), ..limit }).unwrap();
    let listener = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let reactor = reactor(kind);
    let nobody = |_: &Address| -> Option<Echo> { panic!("there was a descriptor") };
    let _port = reactor.adopt_listener(listener, Box::new(nobody)).unwrap();
    come_to_rest(&reactor);
    let mut hoard: Vec<OwnedFd> = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file.into());
    }
    println!("it starves");
    let began = now();
    while began.elapsed() < Duration::from_mins(2) {
        reactor.turn(Duration::from_secs(1)).unwrap();
    }
}

fn a_sibling_that_cannot_accept_leaves_it_to_the_others(kind: DriverKind) {
    if std::env::var_os(STARVES).is_some() {
        return starve(kind);
    }
    let is_served = || {
        let listener = TcpListener::bind(crate::kit::anywhere()).unwrap();
        let address = listener.local_addr().unwrap();
        let test = format!(
            "scarcity::{}::a_sibling_that_cannot_accept_leaves_it_to_the_others",
            kind.name()
        );
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &test, "--nocapture", "--test-threads=1"]).env(STARVES, "1");
        command.stdin(OwnedFd::from(listener.try_clone().unwrap())).stdout(Stdio::piped());
        let mut sibling = Starving(command.spawn().unwrap());
        let said = BufReader::new(sibling.0.stdout.take().unwrap()).lines();
        assert!(said.map_while(Result::ok).any(|line| line.contains("it starves")));
        // It waits since before this one does.
        let reactor = reactor(kind);
        let seen: Rc<Seen> = Rc::default();
        let made = Rc::clone(&seen);
        let factory = Box::new(move |_: &Address| Some(Witness::new(&made)));
        let _port = reactor.adopt_listener(listener.into(), factory).unwrap();
        come_to_rest(&reactor);
        let client = TcpStream::connect(address).unwrap();
        client.set_nonblocking(true).unwrap();
        // Until it is served here, or turned away there.
        let is_over = || !matches!(client.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        turn_until(&reactor, || {
            reactor.turn(Duration::from_millis(10)).unwrap();
            seen.made.get() == 1 || is_over()
        });
        seen.made.get() == 1
    };
    // After a second that one turns away who waits: a machine may be too busy for that once, but not each time.
    assert!((0..STARVING_TRIES).any(|_| is_served()), "who waited was never served");
}
