//! The servers: how they are built and started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use ropewalk_interop::{Peer, TempDir, Tool, free_port, wait_for_port};

use crate::Outcome;
use crate::bench::contender::{nginx_with, peers_target};
use crate::cargo::{cargo, root};

/// A server program.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Subject {
    /// Ours.
    #[value(skip)]
    Ours,
    /// hyper on h2.
    #[value(name = "hyper")]
    Hyper,
    /// The server of nghttp2.
    #[value(name = "nghttpd")]
    Nghttpd,
    #[value(name = "nginx")]
    Nginx,
}

/// A program that serves, until it is dropped.
pub(super) struct Running {
    pub(super) subject: Subject,
    pub(super) address: SocketAddr,
    peer: Peer,
    _folder: TempDir,
}

impl Running {
    /// The number by which the system knows its process.
    pub(super) fn id(&self) -> u32 {
        self.peer.id()
    }
}

impl Subject {
    /// All that are not ours.
    pub(crate) const PEERS: [Self; 3] = [Self::Hyper, Self::Nghttpd, Self::Nginx];

    /// What it is called on the command line and in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ropewalk",
            Self::Hyper => "hyper",
            Self::Nghttpd => "nghttpd",
            Self::Nginx => "nginx",
        }
    }

    /// How many times our CPU time it is to take.
    pub(super) fn wanted(self) -> f64 {
        // Ours is to need a quarter less than hyper.
        if self == Self::Hyper { 4.0 / 3.0 } else { 1.0 }
    }

    /// The program from a package that it is.
    fn tool(self) -> Option<&'static str> {
        match self {
            Self::Nghttpd => Some("nghttpd"),
            Self::Nginx => Some("nginx"),
            Self::Ours | Self::Hyper => None,
        }
    }

    /// Starts it on the CPU where the calling thread is, with room for so many connections.
    pub(super) fn start(self, connections_max: usize) -> Outcome<Running> {
        let folder = TempDir::new("bench-http2")?;
        let path = folder.path();
        std::fs::create_dir(path.join("bytes"))?;
        folder.write("index.html", "Hello, World!")?;
        folder.write("bytes/1048576", vec![b'x'; 1024 * 1024])?;
        let mut command = match self {
            Self::Ours => {
                let mut command = Command::new(root().join("target/release/examples/measured"));
                command.args(["site", "0"]).arg(path);
                command
            }
            Self::Hyper => {
                let mut command = Command::new(peers_target().join("release/peer-hyper-http2"));
                command.arg("0");
                command
            }
            Self::Nghttpd | Self::Nginx => return self.start_tool(folder, connections_max),
        };
        let mut peer = Peer::start(&mut command)?;
        Ok(Running { subject: self, address: peer.listening()?, peer, _folder: folder })
    }

    fn start_tool(self, folder: TempDir, connections_max: usize) -> Outcome<Running> {
        let name = self.name();
        let tool = Tool::named(name).and_then(|tool| tool.find());
        let mut command = Command::new(tool.ok_or_else(|| format!("{name} is not installed"))?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let port = address.port();
        if self == Self::Nghttpd {
            command.args(["--no-tls", "-a", "127.0.0.1", "-d"]).arg(folder.path());
            // Windows in which neither end waits for the other: 30 bits.
            command.args(["-w", "30", "-W", "30", &port.to_string()]);
        } else {
            let text = nginx_config(folder.path(), port, connections_max);
            let config = folder.write("nginx.conf", text)?;
            command.arg("-p").arg(folder.path()).arg("-c").arg(config).args(["-e", "stderr"]);
        }
        let peer = Peer::start(&mut command)?;
        wait_for_port(address)?;
        Ok(Running { subject: self, address, peer, _folder: folder })
    }
}

fn nginx_config(folder: &Path, port: u16, connections_max: usize) -> String {
    // It hangs up on idle clients when less than a sixteenth of its connections is free.
    let connections_max = connections_max + connections_max / 8 + 64;
    let http = "    http2_max_concurrent_streams 128;\n    sendfile on;\n    \
                open_file_cache max=100 inactive=60s;\n";
    let root = folder.display();
    let server = format!(
        "listen 127.0.0.1:{port} http2 backlog=4096;\n\
         \x20       location = / {{ return 200 \"Hello, World!\"; }}\n\
         \x20       location /bytes/ {{ root {root}; }}"
    );
    nginx_with(folder, connections_max, http, &server)
}

/// Ours and those of these peers that can be had; what is left out is said.
pub(super) fn present(peers: &[Subject]) -> Vec<Subject> {
    let mut subjects = vec![Subject::Ours];
    for &peer in peers {
        let is_found = |name| Tool::named(name).and_then(|tool| tool.find()).is_some();
        if peer.tool().is_none_or(is_found) {
            subjects.push(peer);
        } else {
            eprintln!("{} is left out: it is not installed", peer.name());
        }
    }
    subjects
}

/// Builds what these need; an error if something does not build.
pub(super) fn build(subjects: &[Subject]) -> Outcome<()> {
    if subjects.contains(&Subject::Hyper) {
        let mut building = cargo();
        building.current_dir(root().join("bench/peers")).args(["build", "--release", "--locked"]);
        building.args(["-p", "peer-hyper-http2", "--target-dir"]).arg(peers_target());
        if !building.status()?.success() {
            return Err("the peers do not build".into());
        }
    }
    let mut building = cargo();
    building.args(["build", "--release", "-p", "ropewalk", "--example", "measured"]);
    // Where we look for it, whatever the environment says of target folders.
    building.arg("--target-dir").arg(root().join("target"));
    if building.status()?.success() { Ok(()) } else { Err("ropewalk does not build".into()) }
}
