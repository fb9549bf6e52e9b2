//! What is measured: the programs, and how each is started for a kind of service.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use ropewalk_interop::{Peer, Tool, free_port, node_folder, wait_for_port};

use super::config;
use crate::Outcome;
use crate::bench::contender::peers_target;
use crate::cargo::{cargo, root};

/// A program.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Subject {
    /// The floor: a loop of epoll, `recv`, parse and `send`.
    #[value(skip)]
    Bare,
    /// Ours.
    #[value(skip)]
    Ours,
    #[value(name = "may_minihttp")]
    May,
    #[value(name = "hyper")]
    Hyper,
    #[value(name = "actix-web")]
    Actix,
    #[value(name = "ntex")]
    Ntex,
    #[value(name = "axum")]
    Axum,
    #[value(name = "nginx")]
    Nginx,
    #[value(name = "haproxy")]
    Haproxy,
    #[value(name = "tungstenite")]
    Tungstenite,
    #[value(name = "fastwebsockets")]
    Fast,
    #[value(name = "ws")]
    Ws,
    #[value(name = "reqwest")]
    Reqwest,
    #[value(name = "awc")]
    Awc,
}

/// What a program is started to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Service {
    /// One answer to everything, for those who have a program for just that.
    Hello,
    /// Pages, bodies and files.
    Site,
    /// The same, encrypted.
    Tls,
    /// A reverse proxy in front of nginx.
    Proxy,
    /// WebSockets.
    Sockets,
    /// Not a server: what asks one.
    Client,
}

/// A program that serves, until it is dropped.
pub(crate) struct Running {
    pub(crate) subject: Subject,
    pub(crate) address: SocketAddr,
    peer: Peer,
}

impl Subject {
    /// All that are neither the floor nor ours.
    pub(crate) const PEERS: [Self; 12] = [
        Self::May,
        Self::Hyper,
        Self::Actix,
        Self::Ntex,
        Self::Axum,
        Self::Nginx,
        Self::Haproxy,
        Self::Tungstenite,
        Self::Fast,
        Self::Ws,
        Self::Reqwest,
        Self::Awc,
    ];

    /// What it is called on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Ours => "ropewalk",
            Self::May => "may_minihttp",
            Self::Hyper => "hyper",
            Self::Actix => "actix-web",
            Self::Ntex => "ntex",
            Self::Axum => "axum",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Tungstenite => "tungstenite",
            Self::Fast => "fastwebsockets",
            Self::Ws => "ws",
            Self::Reqwest => "reqwest",
            Self::Awc => "awc",
        }
    }

    /// The program from a package that it is.
    fn tool(self) -> Option<&'static str> {
        match self {
            Self::Nginx => Some("nginx"),
            Self::Haproxy => Some("haproxy"),
            Self::Ws => Some("ws"),
            _ => None,
        }
    }

    /// The package among the peers that it is built from.
    fn package(self, service: Service) -> Option<String> {
        match self {
            Self::Ours => None,
            _ if self.tool().is_some() => None,
            _ if service == Service::Client => Some("peer-clients".to_owned()),
            _ => Some(format!("peer-{}", self.name())),
        }
    }

    /// Whether it is there, or can be built.
    pub(crate) fn is_there(self) -> bool {
        let is_found = |name| Tool::named(name).and_then(|tool| tool.find()).is_some();
        let needs_node = self == Self::Ws;
        self.tool().is_none_or(is_found) && (!needs_node || is_found("node"))
    }

    /// The command that asks `address`, so many requests at a time.
    pub(crate) fn client(self, address: SocketAddr, concurrency: u16, seconds: u32) -> Command {
        let mut command = match self {
            Self::Ours => ours(&["client"]),
            _ => {
                let mut command = Command::new(peer_program("peer-clients"));
                command.arg(self.name());
                command
            }
        };
        command.arg(address.to_string());
        command.args([concurrency.to_string(), seconds.to_string()]);
        command
    }

    /// Starts it on the CPU where the calling thread is. In the folder are files, key and certificate;
    /// `origin` is what a proxy is in front of.
    pub(crate) fn start(
        self,
        service: Service,
        folder: &Path,
        origin: Option<SocketAddr>,
    ) -> Outcome<Running> {
        let started = match self {
            Self::Nginx => start_nginx(service, folder, origin),
            Self::Haproxy => start_haproxy(folder, origin),
            _ => self.start_own(service, folder, origin),
        };
        let (address, peer) =
            started.map_err(|error| format!("{} does not start: {error}", self.name()))?;
        Ok(Running { subject: self, address, peer })
    }

    fn start_own(
        self,
        service: Service,
        folder: &Path,
        origin: Option<SocketAddr>,
    ) -> Outcome<(SocketAddr, Peer)> {
        let mut command = match (self, service) {
            (Self::Ours, Service::Hello) => {
                Command::new(root().join("target/release/examples/hello"))
            }
            (Self::Ours, Service::Site | Service::Tls) => ours(&["site"]),
            (Self::Ours, Service::Proxy) => ours(&["proxy"]),
            (Self::Ours, _) => ours(&["sockets"]),
            (Self::Ws, _) => node()?,
            _ => Command::new(peer_program(&format!("peer-{}", self.name()))),
        };
        command.arg("0");
        match service {
            Service::Hello | Service::Site => {
                command.arg(folder);
            }
            Service::Tls => {
                command.arg(folder).arg("tls");
            }
            Service::Proxy => {
                command.arg(origin.ok_or("there is no origin")?.to_string());
            }
            Service::Sockets if self == Self::Ws => {
                command.arg(node_folder().join("node_modules/ws"));
            }
            Service::Sockets | Service::Client => (),
        }
        let mut peer = Peer::start(&mut command)?;
        Ok((peer.listening()?, peer))
    }
}

impl Running {
    /// The number by which the system knows its process.
    pub(crate) fn id(&self) -> u32 {
        self.peer.id()
    }
}

fn ours(words: &[&str]) -> Command {
    let mut command = Command::new(root().join("target/release/examples/measured"));
    command.args(words);
    command
}

fn peer_program(name: &str) -> PathBuf {
    peers_target().join("release").join(name)
}

/// The load of WebSockets.
pub(crate) fn socket_load() -> Command {
    Command::new(peer_program("peer-load"))
}

fn node() -> Outcome<Command> {
    let node = Tool::named("node").and_then(|node| node.find()).ok_or("node is not installed")?;
    let mut command = Command::new(node);
    command.arg(root().join("bench/peers/node/ws.js"));
    Ok(command)
}

/// nginx has one process here, which is then the one that is measured.
fn start_nginx(
    service: Service,
    folder: &Path,
    origin: Option<SocketAddr>,
) -> Outcome<(SocketAddr, Peer)> {
    let nginx = Tool::named("nginx").and_then(|nginx| nginx.find()).ok_or("it is not installed")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    // Each has a folder for what it keeps.
    let own = folder.join(format!("nginx-{}", address.port()));
    std::fs::create_dir(&own)?;
    let config = own.join("nginx.conf");
    std::fs::write(&config, config::nginx(service, &own, folder, address, origin))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(&own).arg("-c").arg(config).args(["-e", "stderr"]);
    let peer = Peer::start(&mut command)?;
    wait_for_port(address)?;
    Ok((address, peer))
}

fn start_haproxy(folder: &Path, origin: Option<SocketAddr>) -> Outcome<(SocketAddr, Peer)> {
    let haproxy = Tool::named("haproxy").and_then(|tool| tool.find());
    let haproxy = haproxy.ok_or("it is not installed")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let config = folder.join("haproxy.cfg");
    let origin = origin.ok_or("there is no origin")?;
    std::fs::write(&config, config::haproxy(address, origin))?;
    let mut command = Command::new(haproxy);
    command.arg("-db").arg("-f").arg(config);
    let peer = Peer::start(&mut command)?;
    wait_for_port(address)?;
    Ok((address, peer))
}

/// Builds what these need; answers the peers that do not build. An error if what every row needs does not.
pub(crate) fn build(
    wanted: impl IntoIterator<Item = (Subject, Service)>,
) -> Outcome<Vec<(Subject, Service)>> {
    let wanted: Vec<_> = wanted.into_iter().collect();
    let mut packages: Vec<String> =
        wanted.iter().filter_map(|(subject, service)| subject.package(*service)).collect();
    packages.sort_unstable();
    packages.dedup();
    let needed = ["peer-bare".to_owned(), "peer-load".to_owned()];
    eprintln!("building ours, and {} programs beside it", packages.len() + needed.len());
    let mut building = cargo();
    building.args(["build", "--release", "-p", "ropewalk", "--example", "hello"]);
    // Where we look for it, whatever the environment says of target folders.
    building.args(["--example", "measured", "--target-dir"]).arg(root().join("target"));
    if !building.status()?.success() {
        return Err("ropewalk does not build".into());
    }
    let all: Vec<String> = packages.iter().chain(&needed).cloned().collect();
    if build_peers(&all)? {
        return Ok(Vec::new());
    }
    if !build_peers(&needed)? {
        return Err("the bare loop and the load do not build".into());
    }
    // One that does not build keeps the others from it: each by itself.
    let mut missing = Vec::new();
    for package in packages {
        if !build_peers(std::slice::from_ref(&package))? {
            missing.push(package);
        }
    }
    let is_missing = |(subject, service): &(Subject, Service)| {
        subject.package(*service).is_some_and(|package| missing.contains(&package))
    };
    Ok(wanted.into_iter().filter(is_missing).collect())
}

fn build_peers(packages: &[String]) -> Outcome<bool> {
    let mut building = cargo();
    building.current_dir(root().join("bench/peers")).args(["build", "--release", "--locked"]);
    for package in packages {
        building.args(["-p", package]);
    }
    Ok(building.arg("--target-dir").arg(peers_target()).status()?.success())
}
