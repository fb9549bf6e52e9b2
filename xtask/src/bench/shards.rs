//! One shard and two, beside hyper on tokio's multi-thread runtime and nginx's workers; and how connections are
//! dealt out. The work is done by `bench/shards`, which is a program of its own so that the engine's lock
//! file knows nothing of the peers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use ropewalk_interop::{Peer, TempDir, Tool, free_port, wait_for_port};

use crate::Outcome;
use crate::bench::proc::time_of_children;
use crate::bench::table::{Table, median, ratio};
use crate::bench::wrk::{Asking, Script, Wrk};
use crate::cargo::{cargo, root};

/// How to measure shards.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each server is measured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// For how many seconds each time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// The ways in which connections can be dealt out.
const DEALINGS: [&str; 3] = ["system", "even", "first"];
/// How many connections stand.
const CONNECTIONS: [u16; 3] = [4, 64, 256];
/// The load has the right of way: a server that waits for it would sleep and be woken, and what that costs is not
/// the server's. By so much are servers nicer.
const NICE: &str = "10";
/// How much more two shards are to carry than one.
const AIM: f64 = 1.8;

/// A server, with how many threads or processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Ours(&'static str),
    Hyper,
    Nginx,
}

/// What one server used for what a load asked of it.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Microseconds of CPU time a request, of all threads.
    each: f64,
    /// The same of the busiest thread: what limits it where each has a core of its own.
    busiest: f64,
    /// What the load itself takes for one.
    load: f64,
    rate: f64,
}

/// Measures and prints; whether all servers were there.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let mut building = cargo();
    building.current_dir(root().join("bench/shards")).args(["build", "--release", "--locked"]);
    building.arg("--target-dir").arg(root().join("target/bench-shards"));
    if !building.status()?.success() {
        return Err("the servers do not build".into());
    }
    let nginx = Tool::named("nginx").and_then(|nginx| nginx.find());
    if nginx.is_none() {
        eprintln!("nginx is left out: it is not installed");
    }
    spread(options)?;
    throughput(options, nginx.is_some())?;
    Ok(nginx.is_some())
}

fn program() -> Command {
    Command::new(path_of_program())
}

fn path_of_program() -> PathBuf {
    root().join("target/bench-shards/release/bench-shards")
}

/// Runs a program that gives way to the load.
fn giving_way(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", NICE]).arg(program);
    command
}

/// How connections are dealt out, and what that costs.
fn spread(options: &Options) -> Outcome<()> {
    let say = |words: &[&str]| -> Outcome<String> {
        let output = program().args(words).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let mut table = Table::new(&["% at the fuller of two", "2", "4", "16", "64", "ns a short one"]);
    let mut costs: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..options.rounds {
        for dealing in DEALINGS {
            let cost = say(&["accept", dealing, "2000"])?.parse()?;
            costs.entry(dealing).or_default().push(cost);
        }
    }
    for dealing in DEALINGS {
        let mut row = vec![dealing.to_owned()];
        for connections in ["2", "4", "16", "64"] {
            let said = say(&["spread", dealing, connections, "40"])?;
            let (mean, worst) = said.split_once(' ').ok_or("two figures are expected")?;
            row.push(format!("{mean} ({worst})"));
        }
        let cost = median(costs[dealing].iter().copied()).ok_or("nothing was measured")?;
        row.push(format!("{cost:.0}"));
        table.row(row);
    }
    println!("connections that stay, to two shards; mean of 40 runs (the worst)\n");
    println!("{}", table.text(options.markdown));
    Ok(())
}

/// One and two of each server, all with the same load on the same two cores.
fn throughput(options: &Options, has_nginx: bool) -> Outcome<()> {
    let wrk = Wrk::new()?;
    let mut servers: Vec<_> = DEALINGS.into_iter().map(Server::Ours).collect();
    servers.push(Server::Hyper);
    servers.extend(has_nginx.then_some(Server::Nginx));
    for connections in CONNECTIONS {
        let mut samples: Vec<[Vec<Sample>; 2]> =
            servers.iter().map(|_| Default::default()).collect();
        for _ in 0..options.rounds {
            for (server, samples) in servers.iter().zip(&mut samples) {
                for count in [1, 2] {
                    samples[count - 1].push(server.sample(
                        count,
                        &wrk,
                        connections,
                        options.seconds,
                    )?);
                }
            }
        }
        let mut table = Table::new(&[
            "",
            "µs, one",
            "µs, two",
            "busiest of two",
            "two to one",
            "the load's",
            "req/CPU s",
            "req/s",
        ]);
        for (server, [one, two]) in servers.iter().zip(&samples) {
            let of = |samples: &[Sample], figure: fn(&Sample) -> f64| {
                median(samples.iter().map(figure)).unwrap_or_default()
            };
            let gains = one.iter().zip(two).map(|(one, two)| one.busiest / two.busiest);
            let gain = median(gains);
            table.row(vec![
                server.name(),
                format!("{:.2}", of(one, |sample| sample.each)),
                format!("{:.2}", of(two, |sample| sample.each)),
                format!("{:.2}", of(two, |sample| sample.busiest)),
                ratio(gain),
                format!("{:.2}, {:.2}", of(one, |s| s.load), of(two, |s| s.load)),
                format!("{:.0}, {:.0}", 1e6 / of(one, |s| s.each), 1e6 / of(two, |s| s.each)),
                format!("{:.0}, {:.0}", of(one, |s| s.rate), of(two, |s| s.rate)),
            ]);
            if *server == Server::Ours("even") && gain.is_some_and(|gain| gain < AIM) {
                println!(
                    "the aim of {AIM} is missed with {}",
                    format_args!("{connections} connections")
                );
            }
        }
        println!(
            "HTTP hello, {}; medians of {} rounds of {} s.",
            format_args!("{connections} connections"),
            options.rounds,
            options.seconds
        );
        println!(
            "`two to one` is the CPU time a request of one thread by that of the busier of two:"
        );
        println!("how much more two carry where each has a core to itself, as the load shares the");
        println!("cores here. It has the right of way, and its own CPU time is counted apart.\n");
        println!("{}", table.text(options.markdown));
    }
    Ok(())
}

/// The CPU time of each thread of these processes, in nanoseconds.
fn times(processes: &[u32]) -> Outcome<BTreeMap<PathBuf, u64>> {
    let mut times = BTreeMap::new();
    for process in processes {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?.path();
            let said = fs::read_to_string(task.join("schedstat"))?;
            let time = said.split_whitespace().next().ok_or("no time is told")?.parse()?;
            times.insert(task, time);
        }
    }
    Ok(times)
}

/// The processes that this one has started.
fn children(process: u32) -> Outcome<Vec<u32>> {
    let said = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    Ok(said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

impl Server {
    fn name(self) -> String {
        match self {
            Self::Ours(dealing) => format!("ropewalk, {dealing}"),
            Self::Hyper => "hyper on tokio".to_owned(),
            Self::Nginx => "nginx".to_owned(),
        }
    }

    fn start(self, count: usize, folder: &TempDir) -> Outcome<(Peer, SocketAddr)> {
        let count = count.to_string();
        let mut command = giving_way(path_of_program());
        match self {
            Self::Ours(dealing) => command.args(["serve", &count, dealing]),
            Self::Hyper => command.args(["hyper", &count]),
            Self::Nginx => {
                let nginx = Tool::named("nginx").and_then(|nginx| nginx.find());
                let port = free_port()?;
                let config = folder.write("nginx.conf", nginx_config(folder, port, &count))?;
                let mut command = giving_way(nginx.ok_or("nginx is not installed")?);
                command.arg("-p").arg(folder.path()).arg("-c").arg(config).args(["-e", "stderr"]);
                let peer = Peer::start(&mut command)?;
                let place = (Ipv4Addr::LOCALHOST, port).into();
                wait_for_port(place)?;
                return Ok((peer, place));
            }
        };
        let mut peer = Peer::start(&mut command)?;
        let place = peer.listening()?;
        Ok((peer, place))
    }

    fn sample(self, count: usize, wrk: &Wrk, connections: u16, seconds: u32) -> Outcome<Sample> {
        let folder = TempDir::new("shards")?;
        let (peer, place) = self.start(count, &folder)?;
        let mut processes = children(peer.id())?;
        processes.push(peer.id());
        let (before, load_before) = (times(&processes)?, time_of_children()?);
        let asking = Asking { connections, path: "/", script: Script::None };
        let load = wrk.run(place, false, asking, seconds)?;
        let (after, load_time) =
            (times(&processes)?, time_of_children()?.saturating_sub(load_before));
        if let Some(fault) = load.faults.first() {
            return Err(format!("{}: {fault}", self.name()).into());
        }
        let used = |(thread, time): (&PathBuf, &u64)| {
            time - before.get(thread).copied().unwrap_or_default()
        };
        let each: Vec<u64> = after.iter().map(used).collect();
        let requests = load.requests as f64 * 1e3;
        Ok(Sample {
            each: each.iter().sum::<u64>() as f64 / requests,
            busiest: each.iter().copied().max().unwrap_or_default() as f64 / requests,
            load: load_time.as_secs_f64() * 1e6 / load.requests as f64,
            rate: load.requests_per_second,
        })
    }
}

fn nginx_config(folder: &TempDir, port: u16, count: &str) -> String {
    let folder = folder.path().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|module| format!("    {module}_temp_path {folder}/{module};\n"))
        .concat();
    format!(
        "daemon off;\n\
         worker_processes {count};\n\
         pid {folder}/nginx.pid;\n\
         error_log stderr crit;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n{temporary}\
         \x20   access_log off;\n\
         \x20   default_type text/plain;\n\
         \x20   keepalive_requests 1000000000;\n\
         \x20   server {{\n\
         \x20       listen 127.0.0.1:{port} reuseport backlog=1024;\n\
         \x20       location / {{ return 200 \"Hello, World!\"; }}\n\
         \x20   }}\n\
         }}\n"
    )
}
