//! The servers that run for a row, and one measurement after the other.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
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

/// Where it is measured.
pub(super) struct Field {
    /// What cannot be compared.
    pub(super) faults: Vec<String>,
    /// Who was not built.
    missing: Vec<(Subject, Service)>,
    wrk: Wrk,
    server_cpu: usize,
    load_cpu: usize,
    folder: TempDir,
}

/// What runs for one row.
struct Stage {
    servers: Vec<Running>,
    /// What clients ask.
    floor: Option<Running>,
    /// What proxies are in front of.
    origin: Option<Running>,
}

/// What one measurement counted: operations, and seconds that they took.
struct Count {
    operations: u64,
    seconds: f64,
    used: Duration,
}

impl Field {
    /// Makes what these rows need.
    pub(super) fn new(rows: &[&Row], missing: Vec<(Subject, Service)>) -> Outcome<Self> {
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
        if rows.iter().any(|row| row.service == Service::Tls) {
            make_papers(folder.path())?;
        }
        let faults = missing
            .iter()
            .map(|(subject, service)| format!("{} does not build ({service:?})", subject.name()))
            .collect();
        Ok(Self { faults, missing, wrk: Wrk::new()?, server_cpu, load_cpu, folder })
    }

    /// Measures each subject under a row, so many times. Who fails is left out from then on, and it is said
    /// among the faults.
    pub(super) fn measure(
        &mut self,
        row: &Row,
        peers: &[Subject],
        rounds: u32,
        seconds: u32,
    ) -> Vec<Sample> {
        let mut stage = match self.stage(row) {
            Ok(stage) => stage,
            Err(error) => {
                self.faults.push(format!("{} was not measured: {error}", row.name));
                return Vec::new();
            }
        };
        let mut subjects = row.wanted(peers);
        subjects.retain(|&subject| !self.missing.contains(&(subject, row.service)));
        if row.service != Service::Client {
            subjects.retain(|&subject| self.enter(&mut stage, row, subject));
        }
        let mut samples = Vec::new();
        for round in 0..rounds {
            // Another one begins each round.
            let order = subjects.iter().cycle().skip(round as usize % subjects.len().max(1));
            let order: Vec<_> = order.take(subjects.len()).copied().collect();
            for subject in order {
                match self.sample(&mut stage, row, subject, seconds, round) {
                    Ok(sample) => samples.push(sample),
                    Err(error) => {
                        let name = subject.name();
                        let fault = format!("{name}, {}, round {}: {error}", row.name, round + 1);
                        eprintln!("left out from here on: {fault}");
                        self.faults.push(fault);
                        subjects.retain(|&other| other != subject);
                    }
                }
            }
        }
        samples
    }

    /// Starts what stands behind those who are measured.
    fn stage(&self, row: &Row) -> Outcome<Stage> {
        let started = |subject: Subject, service| {
            pinned(self.load_cpu, || subject.start(service, self.folder.path(), None))
        };
        let is = |service| row.service == service;
        let floor = is(Service::Client).then(|| started(Subject::Bare, Service::Hello));
        let origin = is(Service::Proxy).then(|| started(Subject::Nginx, Service::Site));
        Ok(Stage { servers: Vec::new(), floor: floor.transpose()?, origin: origin.transpose()? })
    }

    /// Starts a server; whether it runs.
    fn enter(&mut self, stage: &mut Stage, row: &Row, subject: Subject) -> bool {
        let behind = stage.origin.as_ref().map(|origin| origin.address);
        let start = || subject.start(row.service, self.folder.path(), behind);
        match pinned(self.server_cpu, start) {
            Ok(server) => {
                stage.servers.retain(|other| other.subject != subject);
                stage.servers.push(server);
                true
            }
            Err(error) => {
                eprintln!("left out of {}: {error}", row.name);
                self.faults.push(format!("{}: {error}", row.name));
                false
            }
        }
    }

    fn sample(
        &mut self,
        stage: &mut Stage,
        row: &Row,
        subject: Subject,
        seconds: u32,
        round: u32,
    ) -> Outcome<Sample> {
        let mut counted = if round == 0 {
            // So that code and first buffers are there.
            self.count(stage, row, subject, 1)
                .and_then(|_| self.count_something(stage, row, subject, seconds))
        } else {
            self.count_something(stage, row, subject, seconds)
        };
        if let Err(error) = &counted
            && row.service != Service::Client
        {
            eprintln!("{error}: it is started anew");
            if self.enter(stage, row, subject) {
                counted = self
                    .count(stage, row, subject, 1)
                    .and_then(|_| self.count_something(stage, row, subject, seconds));
            }
        }
        let count = counted?;
        let operations = count.operations as f64;
        Ok(Sample {
            subject,
            round,
            microseconds: count.used.as_secs_f64() * 1e6 / operations,
            rate: operations / count.seconds,
        })
    }

    /// Measures, and longer where nothing is done in the time: on a busy machine what is large takes long.
    fn count_something(
        &mut self,
        stage: &Stage,
        row: &Row,
        subject: Subject,
        seconds: u32,
    ) -> Outcome<Count> {
        for longer in 0..ATTEMPTS {
            let count = self.count(stage, row, subject, seconds << longer)?;
            if count.operations > 0 {
                return Ok(count);
            }
        }
        Err("nothing was done".into())
    }

    fn count(
        &mut self,
        stage: &Stage,
        row: &Row,
        subject: Subject,
        seconds: u32,
    ) -> Outcome<Count> {
        match row.load {
            Load::Client { concurrency } => self.client(stage, subject, concurrency, seconds),
            Load::Requests(asking) => self.requests(stage, row, subject, asking, seconds),
            Load::Sockets { mode, connections, bytes } => {
                self.sockets(stage, subject, mode, [connections.into(), bytes.into(), seconds])
            }
        }
    }

    fn requests(
        &mut self,
        stage: &Stage,
        row: &Row,
        subject: Subject,
        asking: Asking,
        seconds: u32,
    ) -> Outcome<Count> {
        let (address, id) = stage.server(subject)?;
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

    fn sockets(
        &self,
        stage: &Stage,
        subject: Subject,
        mode: &str,
        numbers: [u32; 3],
    ) -> Outcome<Count> {
        let (address, id) = stage.server(subject)?;
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
    fn client(
        &self,
        stage: &Stage,
        subject: Subject,
        concurrency: u16,
        seconds: u32,
    ) -> Outcome<Count> {
        let address = stage.floor.as_ref().ok_or("there is nobody to be asked")?.address;
        let mut command = subject.client(address, concurrency, seconds);
        let mut client = pinned(self.server_cpu, || Ok(Peer::start(&mut command)?))?;
        let said = client.line_within("done ", PATIENCE)?;
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let id = i32::try_from(client.id()).ok().and_then(Pid::from_raw);
        waitid(WaitId::Pid(id.ok_or("it has no number")?), ended)?;
        let used = CpuTime::of_ended(client.id())?;
        client.wait()?;
        Ok(Count { operations: said.trim().parse()?, seconds: seconds.into(), used })
    }
}

impl Stage {
    /// Where it is reached, and the number of its process.
    fn server(&self, subject: Subject) -> Outcome<(SocketAddr, u32)> {
        let server = self.servers.iter().find(|one| one.subject == subject);
        let server = server.ok_or("it does not run")?;
        Ok((server.address, server.id()))
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
