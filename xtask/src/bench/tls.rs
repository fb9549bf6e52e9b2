//! TLS: handshakes and bulk for each second of the server's CPU time, and memory of idle connections.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ropewalk_interop::{Peer, TempDir, Tool, free_port, wait_for_port};

use crate::Outcome;
use crate::bench::proc::{CpuTime, Memory, allow_descriptors, cpus, pinned};
use crate::bench::table::{Table, median, ratio};
use crate::cargo::{cargo, root};

/// Descriptors beside the connections.
const OTHER_DESCRIPTORS: u64 = 100;
/// How long a crowd of connections may take to be made.
const PATIENCE: Duration = Duration::from_mins(5);
/// How much more CPU time than the bare loop ours may use.
const HANDSHAKES_AT_MOST: f64 = 1.05;
const BULK_AT_MOST: f64 = 1.10;
/// How many bytes ours may use for an idle connection beyond the library's own.
const IDLE_EXTRA: f64 = 600.0;
/// And of what tokio-rustls uses.
const IDLE_OF_TOKIO: f64 = 2.0 / 3.0;
/// How many clients shake hands at a time.
const CLIENTS: &str = "8";
/// What is downloaded, at sizes at which a download takes a while.
const DOWNLOADS: [Download; 4] = [
    Download { size: RECORD, total: 64 << 20, manner: Manner::Slices },
    Download { size: RECORD, total: 64 << 20, manner: Manner::Shared },
    Download { size: 64, total: 2 << 20, manner: Manner::Each },
    Download { size: 64, total: 4 << 20, manner: Manner::Slices },
];
/// The longest record.
const RECORD: u32 = 16 * 1024;

/// How to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each server is measured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long it is measured each time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Two rounds of a second each: to see that it works, not to compare.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// How many idle connections are weighed.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// The peers to measure, none if none is named; the bare loop and ours always are.
    #[arg(long, num_args = 0.., value_delimiter = ',', value_enum)]
    #[arg(default_values_t = Server::PEERS)]
    peers: Vec<Server>,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// A server that speaks TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Server {
    /// The floor: rustls on a loop that blocks.
    #[value(skip)]
    Bare,
    /// Ours.
    #[value(skip)]
    Ours,
    /// The floor of who waits for many at a time: rustls on epoll and nothing else.
    #[value(name = "epoll")]
    Epoll,
    #[value(name = "tokio-rustls")]
    Tokio,
    #[value(name = "nginx")]
    Nginx,
    #[value(name = "openssl")]
    OpenSsl,
}

impl Server {
    /// All that are neither the floor nor ours.
    const PEERS: [Self; 4] = [Self::Epoll, Self::Tokio, Self::Nginx, Self::OpenSsl];

    /// Whether it can be asked for that at all: two of them choose themselves how they write, and one
    /// sends nothing long.
    fn takes(self, shape: Shape) -> bool {
        if self == Self::Epoll && matches!(shape, Shape::Bulk(_)) {
            return false;
        }
        let chooses = matches!(self, Self::Nginx | Self::OpenSsl);
        !(chooses && matches!(shape, Shape::Bulk(download) if download != DOWNLOADS[0]))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bare => "bare rustls",
            Self::Ours => "ropewalk",
            Self::Epoll => "bare on epoll",
            Self::Tokio => "tokio-rustls",
            Self::Nginx => "nginx",
            Self::OpenSsl => "openssl s_server",
        })
    }
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    /// Handshakes with our load, and the end.
    Shake { resumed: bool },
    /// The same with OpenSSL's own load.
    STime,
    /// A download.
    Bulk(Download),
}

impl Shape {
    const ALL: [Self; 7] = [
        Self::Shake { resumed: false },
        Self::Shake { resumed: true },
        Self::STime,
        Self::Bulk(DOWNLOADS[0]),
        Self::Bulk(DOWNLOADS[1]),
        Self::Bulk(DOWNLOADS[2]),
        Self::Bulk(DOWNLOADS[3]),
    ];

    fn at_most(self) -> f64 {
        if matches!(self, Self::Bulk(_)) { BULK_AT_MOST } else { HANDSHAKES_AT_MOST }
    }

    /// What the figures are for: a handshake, or a MiB.
    fn unit(self) -> (&'static str, f64) {
        match self {
            Self::Bulk(_) => ("MiB", f64::from(1 << 20)),
            _ => ("handshake", 1.0),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shake { resumed: false } => f.write_str("full handshakes"),
            Self::Shake { resumed: true } => f.write_str("resumed handshakes"),
            Self::STime => f.write_str("full handshakes, by openssl s_time"),
            Self::Bulk(Download { size, manner, .. }) => {
                write!(f, "bulk, writes of {size} bytes")?;
                f.write_str(match manner {
                    Manner::Slices if *size < RECORD => ", put together by those who do",
                    Manner::Slices => "",
                    Manner::Shared => ", shared by those who can",
                    Manner::Each => ", a record each",
                })
            }
        }
    }
}

/// Many bytes, in writes of one size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Download {
    size: u32,
    total: u64,
    manner: Manner,
}

/// How they are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Manner {
    /// One behind the other, from a slice.
    Slices,
    /// The same from memory that is shared, by those who can.
    Shared,
    /// One after the other has gone, each in a record of its own.
    Each,
}

impl Manner {
    /// What the load calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Slices => "slices",
            Self::Shared => "shared",
            Self::Each => "each",
        }
    }
}

/// A server that runs, until it is dropped.
struct Running {
    server: Server,
    address: SocketAddr,
    peer: Peer,
}

/// Key and certificate, the files that are sent, and the programs.
struct Field {
    folder: TempDir,
    program: PathBuf,
}

/// A server under one shape: a figure a round.
struct Standing {
    server: Server,
    microseconds: Vec<f64>,
}

/// Measures and prints; whether all were there and answered.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let (rounds, seconds) = if options.quick { (2, 1) } else { (options.rounds, options.seconds) };
    let field = Field::new()?;
    let mut servers = vec![Server::Bare, Server::Ours];
    for peer in Server::PEERS.into_iter().filter(|peer| options.peers.contains(peer)) {
        let tool = match peer {
            Server::Nginx => Some("nginx"),
            Server::OpenSsl => Some("openssl"),
            _ => None,
        };
        if tool.is_some_and(|tool| tool_named(tool).is_err()) {
            eprintln!("{peer} is left out: it is not installed");
        } else {
            servers.push(peer);
        }
    }
    let samples = field.measure(&servers, rounds, seconds)?;
    println!(
        "TLS 1.3, X25519, AES-128-GCM, a key on P-256, two tickets; medians of {rounds} rounds"
    );
    println!(
        "of {seconds} s in µs of the server's CPU time, in brackets the median of the ratios to bare"
    );
    println!("rustls within each round\n");
    let weights = field.weigh(options)?;
    println!("{}", table(&servers, &samples, &weights).text(options.markdown));
    for (shape, standings) in Shape::ALL.into_iter().zip(&samples) {
        print!("{}", verdict(shape, standings));
    }
    print!("{}", weights_verdict(&weights));
    Ok(servers.len() == 2 + options.peers.len())
}

fn tool_named(name: &str) -> Outcome<PathBuf> {
    let found = Tool::named(name).and_then(|tool| tool.find());
    found.ok_or_else(|| format!("{name} is not installed").into())
}

impl Field {
    fn new() -> Outcome<Self> {
        let mut building = cargo();
        building.current_dir(root().join("bench/tls")).args(["build", "--release", "--locked"]);
        let target = root().join("target/bench-tls");
        if !building.arg("--target-dir").arg(&target).status()?.success() {
            return Err("the servers do not build".into());
        }
        let (folder, program) = (TempDir::new("bench-tls")?, target.join("release/bench-tls"));
        let mut papers = Command::new(&program);
        if !papers.arg("papers").arg(folder.path()).status()?.success() {
            return Err("there is no key".into());
        }
        // Those who send files have them under the same path.
        let Download { size, total, .. } = DOWNLOADS[0];
        std::fs::create_dir(folder.path().join(size.to_string()))?;
        folder.write(&format!("{size}/{total}"), vec![b'x'; total as usize])?;
        folder.write("keep", "0123456789abcdef".repeat(4))?;
        Ok(Self { folder, program })
    }

    fn start(&self, server: Server) -> Outcome<Running> {
        let folder = self.folder.path();
        let started = match server {
            Server::Bare => self.start_own("bare"),
            Server::Ours => self.start_own("ropewalk"),
            Server::Epoll => self.start_own("epoll"),
            Server::Tokio => self.start_own("tokio"),
            Server::Nginx => start_nginx(folder),
            Server::OpenSsl => start_openssl(folder),
        };
        let (address, peer) =
            started.map_err(|error| format!("{server} does not start: {error}"))?;
        Ok(Running { server, address, peer })
    }

    fn start_own(&self, kind: &str) -> Outcome<(SocketAddr, Peer)> {
        let mut command = Command::new(&self.program);
        let mut peer = Peer::start(command.args(["serve", kind]).arg(self.folder.path()))?;
        Ok((peer.listening()?, peer))
    }

    fn load(&self, address: SocketAddr) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("load").arg(address.to_string()).arg(self.folder.path());
        command
    }

    /// For each shape, how each server stands.
    fn measure(
        &self,
        servers: &[Server],
        rounds: u32,
        seconds: u32,
    ) -> Outcome<Vec<Vec<Standing>>> {
        let (server_cpu, load_cpu) = cpus()?;
        let running: Outcome<Vec<_>> =
            servers.iter().map(|server| pinned(server_cpu, || self.start(*server))).collect();
        let running = running?;
        let fresh = |shape: Shape| {
            let taking = servers.iter().filter(move |server| server.takes(shape));
            taking.map(|&server| Standing { server, microseconds: Vec::new() }).collect()
        };
        let mut all: Vec<Vec<Standing>> = Shape::ALL.into_iter().map(fresh).collect();
        for server in &running {
            // So that code and first buffers are there.
            pinned(load_cpu, || self.sample(server, Shape::ALL[0], 1))?;
        }
        for round in 0..rounds {
            eprintln!("round {} of {rounds}", round + 1);
            for (shape, standings) in Shape::ALL.into_iter().zip(&mut all) {
                for turn in 0..running.len() {
                    // Another one begins each round.
                    let server = &running[(turn + round as usize) % running.len()];
                    let standing = standings.iter_mut().find(|one| one.server == server.server);
                    let Some(standing) = standing else { continue };
                    let sample = pinned(load_cpu, || self.sample(server, shape, seconds))?;
                    standing.microseconds.push(sample);
                }
            }
        }
        Ok(all)
    }

    /// Microseconds of the server's CPU time for each unit.
    fn sample(&self, running: &Running, shape: Shape, seconds: u32) -> Outcome<f64> {
        let mut load = self.load(running.address);
        match shape {
            Shape::Shake { resumed } => {
                let kind = if resumed { "resumed" } else { "full" };
                load.args([kind, CLIENTS, &seconds.to_string()]);
            }
            Shape::STime => load = s_time(running.address, seconds)?,
            Shape::Bulk(Download { size, total, manner }) => {
                load.arg("bulk").args([size.to_string(), total.to_string()]);
                load.arg(manner.word()).arg(seconds.to_string());
            }
        }
        let before = CpuTime::of(running.peer.id())?;
        let output = load.output()?;
        let used = CpuTime::of(running.peer.id())?.since(before);
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = || {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!("{}, {shape}: {said}{complaint}", running.server)
        };
        let count = counted(shape, &said).filter(|count| *count > 0.0).ok_or_else(complaint)?;
        Ok(used.as_secs_f64() * 1e6 / (count / shape.unit().1))
    }

    /// Weighs idle connections.
    fn weigh(&self, options: &Options) -> Outcome<Vec<Weight>> {
        let count = options.connections;
        allow_descriptors(u64::from(count) + OTHER_DESCRIPTORS)?;
        let mut weights = Vec::new();
        for server in [Server::Bare, Server::Ours, Server::Tokio, Server::Nginx] {
            let is_wanted = !Server::PEERS.contains(&server) || options.peers.contains(&server);
            if !is_wanted || (server == Server::Nginx && tool_named("nginx").is_err()) {
                continue;
            }
            eprintln!("idle: {server}");
            let running = self.start(server)?;
            let hold = |count: u32| {
                Peer::start(self.load(running.address).arg("hold").arg(count.to_string()))
            };
            // So that code and first buffers are there.
            let mut first = hold(8)?;
            first.line_within("ready", PATIENCE)?;
            let before = Memory::settled(running.peer.id())?;
            let mut crowd = hold(count)?;
            crowd.line_within("ready", PATIENCE)?;
            let after = Memory::settled(running.peer.id())?;
            let each = |after: u64, before: u64| (after as f64 - before as f64) / f64::from(count);
            weights.push((server, each(after.private, before.private)));
        }
        Ok(weights)
    }
}

/// What the load counted.
fn counted(shape: Shape, said: &str) -> Option<f64> {
    if shape == Shape::STime {
        // "3046 connections in 3 real seconds, 0 bytes read per connection"
        let line = said.lines().find(|line| line.contains("real seconds"))?;
        return line.split_whitespace().next()?.parse().ok();
    }
    said.lines().find_map(|line| line.strip_prefix("done "))?.parse().ok()
}

fn s_time(address: SocketAddr, seconds: u32) -> Outcome<Command> {
    let mut openssl = Command::new(tool_named("openssl")?);
    openssl.args(["s_time", "-new", "-connect", &address.to_string()]);
    openssl.args(["-time", &seconds.to_string(), "-tls1_3"]);
    openssl.args(["-ciphersuites", "TLS_AES_128_GCM_SHA256"]);
    Ok(openssl)
}

fn start_openssl(folder: &Path) -> Outcome<(SocketAddr, Peer)> {
    let address = (Ipv4Addr::LOCALHOST, free_port()?).into();
    let mut openssl = Command::new(tool_named("openssl")?);
    openssl.args(["s_server", "-quiet", "-WWW", "-tls1_3", "-accept", &format!("{address}")]);
    openssl.args(["-cert", "server.crt", "-key", "server.key"]).current_dir(folder);
    let peer = Peer::start(&mut openssl)?;
    wait_for_port(address)?;
    Ok((address, peer))
}

/// nginx has one process here, which is then the one that is measured.
fn start_nginx(folder: &Path) -> Outcome<(SocketAddr, Peer)> {
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()?).into();
    let place = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|module| format!("    {module}_temp_path {place}/{module};\n"))
        .concat();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {place}/nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 24000; }}\n\
         http {{\n{temporary}    access_log off;\n    keepalive_timeout 600s;\n    server {{\n\
         \x20       listen {address} ssl backlog=4096;\n        root {place};\n\
         \x20       ssl_certificate {place}/server.crt;\n\
         \x20       ssl_certificate_key {place}/server.key;\n\
         \x20       ssl_protocols TLSv1.3;\n        ssl_session_tickets on;\n\
         \x20       ssl_buffer_size 16k;\n    }}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config)?;
    let mut nginx = Command::new(tool_named("nginx")?);
    nginx.arg("-p").arg(folder).arg("-c").arg(path).args(["-e", "stderr"]);
    let peer = Peer::start(&mut nginx)?;
    wait_for_port(address)?;
    Ok((address, peer))
}

/// The median of the ratios within each round: what slows a whole round down does not show in it.
fn by_rounds(these: &Standing, those: &Standing) -> Option<f64> {
    let pairs = these.microseconds.iter().zip(&those.microseconds);
    median(pairs.map(|(this, that)| this / that))
}

fn one(standings: &[Standing], server: Server) -> Option<&Standing> {
    standings.iter().find(|standing| standing.server == server)
}

/// A row a shape, and one of what idle connections weigh; a column a server.
fn table(servers: &[Server], samples: &[Vec<Standing>], weights: &[Weight]) -> Table {
    let names: Vec<_> = servers.iter().map(ToString::to_string).collect();
    let mut table = Table::new(
        &std::iter::once("").chain(names.iter().map(|name| &**name)).collect::<Vec<_>>(),
    );
    for (shape, standings) in Shape::ALL.into_iter().zip(samples) {
        let bare = one(standings, Server::Bare);
        let cell = |server| {
            let standing = one(standings, server)?;
            let middle = median(standing.microseconds.iter().copied())?;
            let by_bare = bare.and_then(|bare| by_rounds(standing, bare));
            Some(format!("{middle:.0} ({})", ratio(by_bare)))
        };
        let cells = servers.iter().map(|&server| cell(server).unwrap_or_else(|| "–".to_owned()));
        let head = format!("{shape}, a {}", shape.unit().0);
        table.row(std::iter::once(head).chain(cells).collect());
    }
    let cell = |server: &Server| weight(weights, *server).map(|weight| format!("{weight:.0}"));
    let cells = servers.iter().map(|server| cell(server).unwrap_or_else(|| "–".to_owned()));
    let head = "private bytes an idle connection".to_owned();
    table.row(std::iter::once(head).chain(cells).collect());
    table
}

/// Where ours stands: what it may use, and everybody who uses less.
fn verdict(shape: Shape, standings: &[Standing]) -> String {
    let Some(ours) = one(standings, Server::Ours) else { return String::new() };
    let mut lines = Vec::new();
    if let Some(by_bare) = one(standings, Server::Bare).and_then(|bare| by_rounds(ours, bare)) {
        let most = shape.at_most();
        let word = if by_bare <= most { "within" } else { "MISSED" };
        lines.push(format!("{shape}: {by_bare:.2} of the bare loop's time ({word} {most:.2})"));
    }
    let peers = standings.iter().filter(|standing| Server::PEERS.contains(&standing.server));
    for peer in peers {
        if let Some(by_ours) = by_rounds(peer, ours).filter(|by_ours| *by_ours < 1.0) {
            lines.push(format!("{shape}: LOST to {}, {by_ours:.2} of our time", peer.server));
        }
    }
    lines.into_iter().fold(String::new(), |told, line| told + &line + "\n")
}

type Weight = (Server, f64);

fn weight(weights: &[Weight], server: Server) -> Option<f64> {
    weights.iter().find(|(other, _)| *other == server).map(|(_, private)| *private)
}

fn weights_verdict(weights: &[Weight]) -> String {
    let Some(ours) = weight(weights, Server::Ours) else { return String::new() };
    let mut lines = Vec::new();
    let mut judge = |name: &str, most: Option<f64>| {
        let Some(most) = most else { return };
        let word = if ours <= most { "within" } else { "MISSED" };
        lines.push(format!("idle: {ours:.0} bytes ({word} {most:.0}, {name})"));
    };
    let own = weight(weights, Server::Bare).map(|bare| bare + IDLE_EXTRA);
    judge("the library's own and 600", own);
    let tokio = weight(weights, Server::Tokio).map(|tokio| tokio * IDLE_OF_TOKIO);
    judge("two thirds of tokio-rustls's", tokio);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{DOWNLOADS, Server, Shape, Standing, counted, verdict, weights_verdict};

    #[test]
    fn what_a_load_says_is_counted() {
        let said = "\n\n1200 connections in 0.52s; 2307.69 connections/user sec, bytes read 0\n\
                    3046 connections in 3 real seconds, 0 bytes read per connection\n";
        assert_eq!(counted(Shape::STime, said), Some(3046.0));
        assert_eq!(counted(Shape::Shake { resumed: true }, "done 17\n"), Some(17.0));
        assert_eq!(counted(Shape::Shake { resumed: true }, "error\n"), None);
    }

    #[test]
    fn lost_cases_are_said() {
        let standing = |server, microseconds| Standing { server, microseconds: vec![microseconds] };
        let standings = [(Server::Bare, 100.0), (Server::Ours, 110.0), (Server::Nginx, 99.0)]
            .map(|(a, b)| standing(a, b));
        let told = verdict(Shape::STime, &standings);
        let expected = "full handshakes, by openssl s_time: 1.10 of the bare loop's time (MISSED 1.05)\n\
                        full handshakes, by openssl s_time: LOST to nginx, 0.90 of our time\n";
        assert_eq!(told, expected);
        let weights = [(Server::Bare, 1000.0), (Server::Ours, 1500.0), (Server::Tokio, 1800.0)];
        let expected = "idle: 1500 bytes (within 1600, the library's own and 600)\n\
                        idle: 1500 bytes (MISSED 1200, two thirds of tokio-rustls's)\n";
        assert_eq!(weights_verdict(&weights), expected);
    }

    #[test]
    fn who_chooses_himself_is_asked_for_files_alone() {
        let [slices, others @ ..] = DOWNLOADS.map(Shape::Bulk);
        assert!(Server::Ours.takes(slices) && Server::Nginx.takes(slices));
        for shape in others {
            assert!(Server::Ours.takes(shape) && !Server::Nginx.takes(shape));
        }
        assert!(Server::Nginx.takes(Shape::STime));
        assert!(Server::Epoll.takes(Shape::STime) && !Server::Epoll.takes(slices));
    }
}
