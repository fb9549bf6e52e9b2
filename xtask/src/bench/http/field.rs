//! The servers that run, and one measurement after the other.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ropewalk_interop::{Peer, TempDir, Tool};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::row::{FILES, Load, Row};
use super::standing::Sample;
use super::subject::{Running, Service, Subject, socket_load};
use crate::Outcome;
use crate::bench::proc::{CpuTime, allow_descriptors, cpus, pinned};
use crate::bench::wrk::{Asking, Wrk};

/// Descriptors beside the connections.
const OTHER_DESCRIPTORS: u64 = 200;
/// How often it is measured where nothing was done, each time twice as long.
const ATTEMPTS: u32 = 4;
/// How long a crowd of connections may take to be made.
const PATIENCE: Duration = Duration::from_mins(1);

/// What runs while it is measured.
pub(super) struct Field {
    /// What cannot be compared.
    pub(super) faults: Vec<String>,
    servers: Vec<Running>,
    /// What clients ask.
    floor: Option<Running>,
    /// What proxies are in front of.
    _origin: Option<Running>,
    wrk: Wrk,
    server_cpu: usize,
    load_cpu: usize,
    _folder: TempDir,
}

/// What one measurement counted: operations, and seconds that they took.
struct Count {
    operations: u64,
    seconds: f64,
    used: Duration,
}

impl Field {
    /// Starts what these rows need.
    pub(super) fn new(rows: &[&Row], peers: &[Subject]) -> Outcome<Self> {
        let (server_cpu, load_cpu) = cpus()?;
        if server_cpu == load_cpu {
            eprintln!("there is but one CPU: server and load share it");
        }
        let crowd = rows.iter().map(|row| match row.load {
            Load::Requests(Asking { connections, .. }) | Load::Sockets { connections, .. } => {
                connections
            }
            Load::Client { concurrency } => concurrency,
        });
        allow_descriptors(u64::from(crowd.max().unwrap_or(1)) + OTHER_DESCRIPTORS)?;
        let folder = TempDir::new("bench-http")?;
        for (name, length) in FILES {
            folder.write(name, vec![b'x'; length])?;
        }
        let needs = |service| rows.iter().any(|row| row.service == service);
        if needs(Service::Tls) {
            make_papers(folder.path())?;
        }
        let on_load_cpu = |subject: Subject, service| {
            pinned(load_cpu, || subject.start(service, folder.path(), None))
        };
        let floor = needs(Service::Client)
            .then(|| on_load_cpu(Subject::Bare, Service::Hello))
            .transpose()?;
        let origin = needs(Service::Proxy)
            .then(|| on_load_cpu(Subject::Nginx, Service::Site))
            .transpose()?;
        let behind = origin.as_ref().map(|origin| origin.address);
        let mut servers: Vec<Running> = Vec::new();
        for row in rows.iter().filter(|row| row.service != Service::Client) {
            for subject in row.wanted(peers) {
                let is_it = |one: &Running| one.subject == subject && one.service == row.service;
                if !servers.iter().any(is_it) {
                    let start = || subject.start(row.service, folder.path(), behind);
                    servers.push(pinned(server_cpu, start)?);
                }
            }
        }
        let wrk = Wrk::new()?;
        Ok(Self {
            faults: Vec::new(),
            servers,
            floor,
            _origin: origin,
            wrk,
            server_cpu,
            load_cpu,
            _folder: folder,
        })
    }

    /// Measures each subject under each row, so many times.
    pub(super) fn measure(
        &mut self,
        rows: &[&Row],
        peers: &[Subject],
        rounds: u32,
        seconds: u32,
    ) -> Outcome<Vec<Sample>> {
        let mut samples = Vec::new();
        for round in 0..rounds {
            eprintln!("round {} of {rounds}", round + 1);
            for (index, row) in rows.iter().enumerate() {
                let subjects = row.wanted(peers);
                for turn in 0..subjects.len() {
                    // Another one begins each round.
                    let subject = subjects[(turn + round as usize) % subjects.len()];
                    if round == 0 {
                        // So that code and first buffers are there.
                        self.count(row, subject, 1)?;
                    }
                    let count = self.count_something(row, subject, seconds)?;
                    let operations = count.operations as f64;
                    samples.push(Sample {
                        subject,
                        row: index,
                        microseconds: count.used.as_secs_f64() * 1e6 / operations,
                        rate: operations / count.seconds,
                    });
                }
            }
        }
        Ok(samples)
    }

    /// Measures, and longer where nothing is done in the time: on a busy machine what is large takes long.
    fn count_something(&mut self, row: &Row, subject: Subject, seconds: u32) -> Outcome<Count> {
        for longer in 0..ATTEMPTS {
            let count = self.count(row, subject, seconds << longer)?;
            if count.operations > 0 {
                return Ok(count);
            }
        }
        Err(format!("{}, {}: nothing", subject.name(), row.name).into())
    }

    fn count(&mut self, row: &Row, subject: Subject, seconds: u32) -> Outcome<Count> {
        let counted = match row.load {
            Load::Client { concurrency } => self.client(subject, concurrency, seconds),
            Load::Requests(asking) => self.requests(row, subject, asking, seconds),
            Load::Sockets { mode, connections, bytes } => {
                self.sockets(subject, mode, [connections.into(), bytes.into(), seconds])
            }
        };
        counted.map_err(|error| format!("{}, {}: {error}", subject.name(), row.name).into())
    }

    fn server(&self, subject: Subject, service: Service) -> Outcome<(SocketAddr, u32)> {
        let is_it = |one: &&Running| one.subject == subject && one.service == service;
        let server = self.servers.iter().find(is_it).ok_or("it does not run")?;
        Ok((server.address, server.id()))
    }

    fn requests(
        &mut self,
        row: &Row,
        subject: Subject,
        asking: Asking,
        seconds: u32,
    ) -> Outcome<Count> {
        let (address, id) = self.server(subject, row.service)?;
        let is_encrypted = row.service == Service::Tls;
        let before = CpuTime::of(id)?;
        let load = pinned(self.load_cpu, || self.wrk.run(address, is_encrypted, asking, seconds))?;
        let used = CpuTime::of(id)?.since(before);
        let name = subject.name();
        self.faults
            .extend(load.faults.iter().map(|fault| format!("{name}, {}: {fault}", row.name)));
        let seconds = load.requests as f64 / load.requests_per_second;
        Ok(Count { operations: load.requests, seconds, used })
    }

    fn sockets(&self, subject: Subject, mode: &str, numbers: [u32; 3]) -> Outcome<Count> {
        let (address, id) = self.server(subject, Service::Sockets)?;
        let mut command = socket_load();
        command.arg(address.to_string()).arg(mode);
        command.args(numbers.map(|number| number.to_string()));
        let mut load = pinned(self.load_cpu, || Ok(Peer::start(&mut command)?))?;
        load.line_within("ready", PATIENCE)?;
        let before = CpuTime::of(id)?;
        let done = load.line_within("done ", PATIENCE)?;
        let used = CpuTime::of(id)?.since(before);
        load.wait()?;
        let (operations, nanoseconds) =
            done.trim().split_once(' ').ok_or("the load says nothing that we know")?;
        let seconds = nanoseconds.parse::<f64>()? / 1e9;
        Ok(Count { operations: operations.parse()?, seconds, used })
    }

    /// A client's time is told by the system when it has ended, before its number is free again.
    fn client(&self, subject: Subject, concurrency: u16, seconds: u32) -> Outcome<Count> {
        let address = self.floor.as_ref().ok_or("there is nobody to be asked")?.address;
        let mut command = subject.client(address, concurrency, seconds);
        command.stdout(Stdio::piped());
        let mut child = pinned(self.server_cpu, || Ok(command.spawn()?))?;
        let mut said = String::new();
        child.stdout.take().ok_or("it has no output")?.read_to_string(&mut said)?;
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), ended)?;
        let used = CpuTime::of_ended(child.id())?;
        let status = child.wait()?;
        let count = said.lines().find_map(|line| line.strip_prefix("done "));
        let count =
            count.filter(|_| status.success()).ok_or_else(|| format!("{status}: {said}"))?;
        Ok(Count { operations: count.parse()?, seconds: seconds.into(), used })
    }
}

/// A key on the curve P-256 and its certificate.
fn make_papers(folder: &Path) -> Outcome<()> {
    let openssl = Tool::named("openssl").and_then(|openssl| openssl.find());
    let mut command = Command::new(openssl.ok_or("openssl is not installed")?);
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args(["-nodes", "-days", "30", "-subj", "/CN=localhost"]);
    command.args(["-addext", "subjectAltName=DNS:localhost"]);
    command.args(["-keyout", "server.key", "-out", "server.crt"]).current_dir(folder);
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("there is no key: {}", String::from_utf8_lossy(&output.stderr)).into())
}
