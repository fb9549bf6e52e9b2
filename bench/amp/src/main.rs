//! AMP calls a CPU second of the server, ours and Twisted's, over one connection with one and with a
//! hundred calls in flight. Linux only; Twisted has to be there: `cargo xtask test --only interop`.

use std::cell::Cell;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use std::{env, fs};

use ropewalk_amp::{Amp, Peer, Responders, command, serve};
use ropewalk_deferred::{Failure, Promise, deferred};
use ropewalk_interop::{Peer as Program, tool};
use ropewalk_protocol::{Clock, Port, seat_and_tell};
use ropewalk_reactor::{ConnectOptions, Reactor, TcpListenOptions};

command! {
    Sum { a: i64, b: i64 } -> Total { total: i64 };
}

const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_millis(300);
const MEASURED: Duration = Duration::from_secs(2);
/// What the kernel counts CPU time in.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().nth(1).as_deref() == Some("serve") {
        return add();
    }
    println!("calls in flight  calls/CPU s, Ropewalk  Twisted  ratio (median of {ROUNDS})");
    for depth in [1, 100] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let ours = measure(Command::new(env::current_exe()?).arg("serve"), depth)?;
            let python = tool("twist").with_file_name("python3");
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/server.py");
            let twisted = measure(Command::new(python).arg(script), depth)?;
            rounds.push((ours / twisted, ours, twisted));
        }
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (ratio, ours, twisted) = rounds[ROUNDS / 2];
        println!("{depth:>15}  {ours:>21.0}  {twisted:>7.0}  {ratio:.1}");
    }
    Ok(())
}

/// Adds numbers for whoever calls.
fn add() -> Result<(), Box<dyn Error>> {
    let reactor = Reactor::new()?;
    let responders = Responders::new().on(|sum: Sum| Total { total: sum.a + sum.b });
    let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
    let factory = Box::new(serve(responders));
    let port = reactor.listen_tcp(anywhere, TcpListenOptions::default(), factory)?;
    println!("listening {}", port.address());
    reactor.run()?;
    Ok(())
}

/// Calls answered for each second that the server spent on the CPU.
fn measure(server: &mut Command, depth: usize) -> Result<f64, Box<dyn Error>> {
    let mut server = Program::start(server)?;
    let address = server.listening()?;
    let reactor = Reactor::new()?;
    let amp = Amp::new(Responders::new());
    let peer = amp.peer();
    connect(&reactor, address, amp)?;
    load(&reactor, &peer, depth, WARM_UP)?;
    let before = cpu_seconds(server.id())?;
    let calls = load(&reactor, &peer, depth, MEASURED)?;
    Ok(calls as f64 / (cpu_seconds(server.id())? - before))
}

fn connect(reactor: &Reactor, address: SocketAddr, amp: Amp) -> Result<(), Failure> {
    let (seat, made) = seat_and_tell(amp);
    reactor.connect_tcp(address, ConnectOptions::default(), seat);
    reactor.run_until(made).map(|_| ())
}

/// Keeps so many calls in flight for so long; answers how many there were.
fn load(reactor: &Reactor, peer: &Peer, depth: usize, time: Duration) -> Result<u64, Failure> {
    let (done, waiting) = deferred();
    let run = Rc::new(Run {
        peer: peer.clone(),
        reactor: reactor.clone(),
        until: reactor.now() + time,
        answered: Cell::new(0),
        in_flight: Cell::new(depth),
        done: Cell::new(Some(done)),
    });
    for _ in 0..depth {
        call(&run);
    }
    reactor.run_until(waiting)?;
    Ok(run.answered.get())
}

struct Run {
    peer: Peer,
    reactor: Reactor,
    until: Duration,
    answered: Cell<u64>,
    in_flight: Cell<usize>,
    done: Cell<Option<Promise<()>>>,
}

fn call(run: &Rc<Run>) {
    let next = Rc::clone(run);
    run.peer.call(&Sum { a: 13, b: 81 }).on_result(move |result| {
        assert_eq!(result.expect("an answer").total, 94);
        next.answered.set(next.answered.get() + 1);
        if next.reactor.now() < next.until {
            return call(&next);
        }
        next.in_flight.set(next.in_flight.get() - 1);
        if next.in_flight.get() == 0 {
            next.done.take().expect("the last one").succeed(());
        }
    });
}

/// Time that a process has spent on the CPU, its own and the kernel's for it.
fn cpu_seconds(id: u32) -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap_or_default())
        .sum();
    Ok(ticks / TICKS_PER_SECOND)
}
