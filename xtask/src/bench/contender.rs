//! The servers that are measured: how they are built and started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use ropewalk_interop::{Peer, TempDir, Tool, free_port, wait_for_port};

use crate::Outcome;
use crate::cargo::{cargo, root};

/// A server program.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Contender {
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
    #[value(name = "nginx")]
    Nginx,
    #[value(name = "actix-web")]
    Actix,
    #[value(name = "ntex")]
    Ntex,
    #[value(name = "axum")]
    Axum,
}

/// A server that runs, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    peer: Peer,
    _folder: Option<TempDir>,
}

impl Contender {
    /// All that are neither the floor nor ours.
    pub(crate) const PEERS: [Self; 6] =
        [Self::May, Self::Hyper, Self::Nginx, Self::Actix, Self::Ntex, Self::Axum];

    /// What it is called on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Ours => "ropewalk",
            Self::May => "may_minihttp",
            Self::Hyper => "hyper",
            Self::Nginx => "nginx",
            Self::Actix => "actix-web",
            Self::Ntex => "ntex",
            Self::Axum => "axum",
        }
    }

    /// Starts it on the CPU where the calling thread is. `connections_max` is a hint for those that
    /// want to know beforehand.
    pub(crate) fn start(self, connections_max: usize) -> Outcome<Server> {
        let started = match self {
            Self::Nginx => start_nginx(connections_max),
            _ => self.start_program(),
        };
        started.map_err(|error| format!("{} does not start: {error}", self.name()).into())
    }

    fn start_program(self) -> Outcome<Server> {
        let program = match self {
            Self::Ours => root().join("target/release/examples/hello"),
            _ => peers_target().join("release").join(format!("peer-{}", self.name())),
        };
        let mut peer = Peer::start(Command::new(program).arg("0"))?;
        let address = peer.listening()?;
        Ok(Server { address, peer, _folder: None })
    }
}

impl Server {
    /// The number by which the system knows its process.
    pub(crate) fn id(&self) -> u32 {
        self.peer.id()
    }
}

/// nginx has one process here, which is then the one that is measured.
fn start_nginx(connections_max: usize) -> Outcome<Server> {
    let nginx = Tool::named("nginx").and_then(|nginx| nginx.find()).ok_or("it is not installed")?;
    let folder = TempDir::new("nginx")?;
    let port = free_port()?;
    let config = folder.write("nginx.conf", nginx_config(folder.path(), port, connections_max))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(folder.path()).arg("-c").arg(config).args(["-e", "stderr"]);
    let peer = Peer::start(&mut command)?;
    let address = (Ipv4Addr::LOCALHOST, port).into();
    wait_for_port(address)?;
    Ok(Server { address, peer, _folder: Some(folder) })
}

fn nginx_config(folder: &Path, port: u16, connections_max: usize) -> String {
    // It hangs up on idle clients when less than a sixteenth of its connections is free.
    let connections_max = connections_max + connections_max / 8;
    let server = format!(
        "listen 127.0.0.1:{port} backlog=4096;\n\
         \x20       location = / {{ return 200 \"Hello, World!\"; }}"
    );
    nginx_with(folder, connections_max, "", &server)
}

/// The configuration of an nginx of one process, which is then the one that is measured: with these lines for all
/// of HTTP, and these for its server.
pub(crate) fn nginx_with(
    folder: &Path,
    connections_max: usize,
    http: &str,
    server: &str,
) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|module| format!("    {module}_temp_path {folder}/{module};\n"))
        .concat();
    format!(
        "daemon off;\n\
         master_process off;\n\
         worker_processes 1;\n\
         pid {folder}/nginx.pid;\n\
         error_log stderr crit;\n\
         events {{ worker_connections {connections_max}; }}\n\
         http {{\n{temporary}\
         \x20   access_log off;\n\
         \x20   default_type text/plain;\n\
         \x20   keepalive_requests 1000000000;\n\
         {http}\
         \x20   server {{\n\
         \x20       {server}\n\
         \x20   }}\n\
         }}\n"
    )
}

/// Where the peers are built.
pub(crate) fn peers_target() -> PathBuf {
    root().join("target/bench-peers")
}

/// Builds the floor, ours and those of these peers that can be had; what is left out is said.
pub(crate) fn build(peers: &[Contender]) -> Outcome<Vec<Contender>> {
    let mut building = cargo();
    building.current_dir(root().join("bench/peers")).args(["build", "--release", "--locked"]);
    building.args(["-p", "peer-bare"]);
    for peer in peers.iter().filter(|peer| **peer != Contender::Nginx) {
        building.arg("-p").arg(format!("peer-{}", peer.name()));
    }
    if !building.arg("--target-dir").arg(peers_target()).status()?.success() {
        return Err("the peers do not build".into());
    }
    let mut contenders = vec![Contender::Bare];
    if build_ours()? {
        contenders.push(Contender::Ours);
    } else {
        eprintln!("ropewalk does not build: measuring the peers without it");
    }
    for peer in Contender::PEERS.into_iter().filter(|peer| peers.contains(peer)) {
        if peer == Contender::Nginx && Tool::named("nginx").and_then(|nginx| nginx.find()).is_none()
        {
            eprintln!("nginx is left out: it is not installed");
        } else {
            contenders.push(peer);
        }
    }
    Ok(contenders)
}

fn build_ours() -> Outcome<bool> {
    let mut building = cargo();
    building.args(["build", "--release", "-p", "ropewalk", "--example", "hello"]);
    // Where we look for it, whatever the environment says of target folders.
    Ok(building.arg("--target-dir").arg(root().join("target")).status()?.success())
}
