//! Memory for each idle connection.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use clap::Args;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::Outcome;
use crate::bench::contender::{Contender, build};
use crate::bench::proc::{Memory, allow_descriptors};
use crate::bench::table::{Table, ratio};
use crate::bench::{Common, hold, sockets};

/// Descriptors beside the connections: listeners, libraries, terminals.
const OTHER_DESCRIPTORS: u64 = 100;
/// Connections from one source address; systems have some 28,000 ports to give.
const CONNECTIONS_PER_ADDRESS: usize = 20_000;
/// Requests before anything is counted, so that code and first buffers are there.
const WARM_UP: usize = 100;
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head of an answer.
const HEAD_MAX: usize = 4096;
/// How many bytes ours may use for an idle connection.
const ALLOWANCE: f64 = 400.0;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// How to measure memory.
#[derive(Args)]
pub(crate) struct Options {
    /// How many connections are opened.
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Connections of an echo instead of HTTP, with the loops as peers.
    #[arg(long, conflicts_with = "peers")]
    echo: bool,
    /// Divide them among so many processes of each server, where one may not have so many descriptors.
    #[arg(long, requires = "echo", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    processes: u32,
    /// WebSockets instead, ours alone; each has had one message echoed.
    #[arg(long, conflicts_with_all = ["peers", "echo"])]
    websocket: bool,
    #[command(flatten)]
    common: Common,
}

struct Weight {
    contender: Contender,
    /// Bytes a connection that the server alone has written.
    private: f64,
    /// Bytes a connection by resident size.
    resident: f64,
    /// What it had written before the first connection of those that are counted.
    before: u64,
}

/// Measures and prints; whether all connections stood to the end and ours was there.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    if options.websocket {
        return sockets::run(options.connections);
    }
    if options.echo {
        return hold::run(options.connections, options.processes, options.common.markdown);
    }
    let contenders = build(&options.common.peers)?;
    allow_descriptors(u64::from(options.connections) + OTHER_DESCRIPTORS)?;
    let mut weights = Vec::new();
    let mut faults = Vec::new();
    for &contender in &contenders {
        eprintln!("{}", contender.name());
        match weigh(contender, options.connections as usize) {
            Ok(weight) => weights.push(weight),
            Err(error) => faults.push(format!("{}: {error}", contender.name())),
        }
    }
    weights.sort_by(|one, other| one.private.total_cmp(&other.private));
    println!("Bytes for each of {} idle keep-alive connections\n", options.connections);
    println!("{}", table(&weights).text(options.common.markdown));
    if contenders.contains(&Contender::Nginx) {
        println!("nginx sets its connections aside at its start: they stand under `KiB before`.");
    }
    println!("{}", verdict(&weights));
    for fault in &faults {
        eprintln!("fault: {fault}");
    }
    Ok(faults.is_empty() && contenders.contains(&Contender::Ours))
}

fn weigh(contender: Contender, count: usize) -> Outcome<Weight> {
    let server = contender.start(count + OTHER_DESCRIPTORS as usize)?;
    let mut first = connect(server.address, 0)?;
    for _ in 0..WARM_UP {
        ask(&mut first)?;
    }
    let before = Memory::settled(server.id())?;
    let mut connections = Vec::with_capacity(count);
    for index in 0..count {
        let mut connection = connect(server.address, index)?;
        ask(&mut connection)?;
        connections.push(connection);
    }
    let after = Memory::settled(server.id())?;
    let closed = connections.iter().filter(|connection| !is_open(connection)).count();
    if closed > 0 {
        return Err(format!("it closed {closed} of {count} idle connections").into());
    }
    let each = |after: u64, before: u64| (after as f64 - before as f64) / count as f64;
    Ok(Weight {
        contender,
        private: each(after.private, before.private),
        resident: each(after.resident, before.resident),
        before: before.private,
    })
}

/// Connects from a source address of which not too many are in use.
pub(crate) fn connect(address: SocketAddr, index: usize) -> Outcome<TcpStream> {
    let source = Ipv4Addr::from_bits(
        Ipv4Addr::LOCALHOST.to_bits() + (index / CONNECTIONS_PER_ADDRESS) as u32,
    );
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    if source != Ipv4Addr::LOCALHOST {
        rustix::net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    rustix::net::connect(&socket, &address)?;
    let connection = TcpStream::from(socket);
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

/// One request and its whole answer.
fn ask(connection: &mut TcpStream) -> Outcome<()> {
    connection.write_all(REQUEST)?;
    let mut answer = Vec::new();
    loop {
        let mut piece = [0; HEAD_MAX];
        let read = connection.read(&mut piece)?;
        if read == 0 {
            return Err("it hung up before its answer was whole".into());
        }
        answer.extend_from_slice(&piece[..read]);
        match length(&answer) {
            Some(length) if answer.len() >= length => return Ok(()),
            None if answer.len() > HEAD_MAX => return Err("its answer has no end".into()),
            _ => {}
        }
    }
}

/// How long an answer will be with head and body, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(answer);
    let head = text.split_once("\r\n\r\n")?.0;
    let body = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    Some(head.len() + 4 + body)
}

fn is_open(connection: &TcpStream) -> bool {
    let waits = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
    connection.set_nonblocking(true).is_ok() && connection.peek(&mut [0]).is_err_and(waits)
}

fn place(weights: &[Weight], contender: Contender) -> Option<f64> {
    weights.iter().find(|weight| weight.contender == contender).map(|weight| weight.private)
}

fn table(weights: &[Weight]) -> Table {
    let head = ["server", "bytes/connection", "÷ bare", "÷ ours", "by resident size", "KiB before"];
    let mut table = Table::new(&head);
    let bare = place(weights, Contender::Bare);
    let ours = place(weights, Contender::Ours);
    for weight in weights {
        table.row(vec![
            weight.contender.name().into(),
            format!("{:.0}", weight.private),
            ratio(bare.map(|bare| weight.private / bare)),
            ratio(ours.map(|ours| weight.private / ours)),
            format!("{:.0}", weight.resident),
            (weight.before / 1024).to_string(),
        ]);
    }
    table
}

/// Where ours stands: what it may use, and everybody who uses less.
fn verdict(weights: &[Weight]) -> String {
    let Some(ours) = place(weights, Contender::Ours) else {
        return "ropewalk was not measured.\n".into();
    };
    let word = if ours <= ALLOWANCE { "within" } else { "MISSED" };
    let mut lines = vec![format!("ropewalk: {ours:.0} bytes ({word} {ALLOWANCE:.0})")];
    let peers = weights.iter().filter(|other| Contender::PEERS.contains(&other.contender));
    for better in peers.filter(|other| other.private < ours) {
        lines.push(format!("LOST to {}: {:.0} bytes", better.contender.name(), better.private));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{Contender, Weight, length, verdict};

    #[test]
    fn answers_tell_their_length() {
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nContent-Le"), None);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"), Some(38 + 2));
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"), None);
    }

    #[test]
    fn lost_cases_are_said() {
        let weight = |contender, private| Weight { contender, private, resident: 0.0, before: 0 };
        let weights = [weight(Contender::Nginx, 500.0), weight(Contender::Ours, 600.0)];
        let expected = "ropewalk: 600 bytes (MISSED 400)\nLOST to nginx: 500 bytes\n";
        assert_eq!(verdict(&weights), expected);
    }
}
