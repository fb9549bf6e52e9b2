//! UDP echo on one thread: datagrams for each second of the server's CPU time.
//!
//! Each server is a process of its own on one CPU, the load is on another. Within a round each server
//! has its turn under each shape, another begins each round, and ratios are taken within rounds: what
//! slows the machine down for a while hits them all.

#![forbid(unsafe_code)]

mod load;
mod servers;

use std::error::Error;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use load::{SHAPES, Shape};
use ropewalk_interop::Peer;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use servers::Kind;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How often each server is measured, and for how long, unless the command line says otherwise.
const ROUNDS: usize = 5;
const SECONDS: f64 = 1.0;

struct Server {
    kind: Kind,
    peer: Peer,
    address: SocketAddr,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name] = &arguments[..]
        && flag == "--serve"
    {
        return servers::serve(Kind::named(name).ok_or("no such server")?);
    }
    let rounds = arguments.get(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let seconds = arguments.get(2).map_or(Ok(SECONDS), |seconds| seconds.parse())?;
    let (server_cpu, load_cpu) = cpus()?;
    pin(server_cpu)?;
    let servers: Outcome<Vec<Server>> = Kind::ALL.into_iter().map(start).collect();
    let servers = servers?;
    pin(load_cpu)?;
    println!("UDP echo, thousands of datagrams a second of the server's CPU time");
    println!(
        "medians of {rounds} rounds of {seconds} s; ratios within each round, then their medians"
    );
    for shape in SHAPES {
        measure(&servers, shape, rounds, Duration::from_secs_f64(seconds))?;
    }
    Ok(())
}

fn start(kind: Kind) -> Outcome<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut peer = Peer::start(command.args(["--serve", kind.name()]))?;
    let address = peer.listening()?;
    Ok(Server { kind, peer, address })
}

/// Measures all servers under one shape, and prints what was found.
fn measure(servers: &[Server], shape: Shape, rounds: usize, time: Duration) -> Outcome<()> {
    let mut rates = vec![Vec::new(); servers.len()];
    for server in servers {
        load::run(server.address, shape, time / 10)?;
    }
    for round in 0..rounds {
        for turn in 0..servers.len() {
            let index = (turn + round) % servers.len();
            let server = &servers[index];
            let before = cpu_time(server.peer.id())?;
            let answered = load::run(server.address, shape, time)?;
            let used = cpu_time(server.peer.id())? - before;
            rates[index].push((answered as f64) / used.as_secs_f64());
        }
    }
    println!("\n{}", shape.name());
    println!("{:<20} {:>9} {:>9} {:>9}", "", "k/CPU s", "÷ bare", "÷ tokio");
    let place = |kind| servers.iter().position(|server| server.kind == kind);
    let by = |these: &[f64], kind| {
        let those = &rates[place(kind)?];
        Some(median(these.iter().zip(those).map(|(this, that)| this / that).collect()))
    };
    for (server, these) in servers.iter().zip(&rates) {
        let ratio = |kind| by(these, kind).unwrap_or(f64::NAN);
        println!(
            "{:<20} {:>9.0} {:>9.2} {:>9.2}",
            server.kind.name(),
            median(these.clone()) / 1000.0,
            ratio(Kind::Bare),
            ratio(Kind::Tokio),
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The CPU time that a process's threads have had.
fn cpu_time(process: u32) -> Outcome<Duration> {
    let mut sum = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let schedstat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let nanoseconds = schedstat.split_whitespace().next().unwrap_or_default();
        sum += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(sum)
}

/// The CPU for servers and the CPU for the load: the same one if there is but one.
fn cpus() -> Outcome<(usize, usize)> {
    let allowed = sched_getaffinity(None)?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
    let first = cpus.next().ok_or("no CPU")?;
    Ok((first, cpus.next().unwrap_or(first)))
}

fn pin(cpu: usize) -> Outcome<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    Ok(sched_setaffinity(None, &only)?)
}
