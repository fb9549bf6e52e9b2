//! The loops that are measured by their echo: how they are built and started.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use ropewalk_interop::{Peer, Tool, python_folder};

use crate::Outcome;
use crate::bench::contender::peers_target;
use crate::cargo::{cargo, root};

/// The folder of what is built for the echo, ours and the C programs.
const OURS: &str = "target/bench-loop/release";

/// An event loop with an echo on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Runner {
    /// The floor: a loop of epoll, `recv` and `send`.
    #[value(skip)]
    Bare,
    /// Ours on its default driver.
    #[value(skip)]
    Epoll,
    /// Ours on the other.
    #[value(skip)]
    IoUring,
    #[value(name = "tokio")]
    Tokio,
    #[value(name = "monoio")]
    Monoio,
    #[value(name = "libuv")]
    Libuv,
    #[value(name = "twisted")]
    Twisted,
}

/// A server that runs, until it is dropped.
pub(crate) struct Running {
    pub(crate) runner: Runner,
    pub(crate) address: SocketAddr,
    peer: Peer,
}

impl Running {
    /// The number by which the system knows its process.
    pub(crate) fn id(&self) -> u32 {
        self.peer.id()
    }
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bare => "bare",
            Self::Epoll => "ropewalk",
            Self::IoUring => "ropewalk, io_uring",
            Self::Tokio => "tokio",
            Self::Monoio => "monoio",
            Self::Libuv => "libuv",
            Self::Twisted => "Twisted",
        })
    }
}

impl Runner {
    /// All that are neither the floor nor ours.
    pub(crate) const PEERS: [Self; 4] = [Self::Tokio, Self::Monoio, Self::Libuv, Self::Twisted];

    /// Whether it is none of ours and not the floor.
    pub(crate) fn is_peer(self) -> bool {
        Self::PEERS.contains(&self)
    }

    /// Starts it on the CPU where the calling thread is.
    pub(crate) fn start(self) -> Outcome<Running> {
        let peers = peers_target().join("release");
        let ours = root().join(OURS).join("echo");
        let mut command = match self {
            Self::Bare => Command::new(peers.join("peer-bare-echo")),
            Self::Epoll | Self::IoUring => Command::new(ours),
            Self::Tokio => Command::new(peers.join("peer-tokio-echo")),
            Self::Monoio => Command::new(peers.join("peer-monoio-echo")),
            Self::Libuv => Command::new(libuv_program()),
            Self::Twisted => {
                let mut python = Command::new(python_folder().join("bin/python3"));
                python.arg(root().join("bench/peers/twisted/echo.py"));
                python
            }
        };
        let driver = if self == Self::IoUring { "io_uring" } else { "epoll" };
        command.env("ROPEWALK_REACTOR", driver).arg("0");
        let mut start = || -> Outcome<Running> {
            let mut peer = Peer::start(&mut command)?;
            let address = peer.listening()?;
            Ok(Running { runner: self, address, peer })
        };
        start().map_err(|error| format!("{self} does not start: {error}").into())
    }
}

/// The program that makes the load.
pub(crate) fn load() -> Command {
    Command::new(peers_target().join("release/peer-load"))
}

/// The program that measures timers.
pub(crate) fn timers() -> Command {
    Command::new(root().join(OURS).join("timers"))
}

/// Builds the programs of ours that are measured here.
pub(crate) fn build_ours() -> Outcome<()> {
    let mut building = cargo();
    building.current_dir(root().join("bench/loop")).args(["build", "--release", "--locked"]);
    let folder = root().join("target/bench-loop");
    let built = building.arg("--target-dir").arg(folder).status()?.success();
    if built { Ok(()) } else { Err("ours does not build".into()) }
}

/// Builds the floor, ours, the load and those of these peers that can be had; what is left out is said.
pub(crate) fn build(peers: &[Runner]) -> Outcome<Vec<Runner>> {
    let mut building = cargo();
    building.current_dir(root().join("bench/peers")).args(["build", "--release", "--locked"]);
    for program in ["bare-echo", "tokio-echo", "monoio-echo", "load"] {
        building.args(["-p", &format!("peer-{program}")]);
    }
    if !building.arg("--target-dir").arg(peers_target()).status()?.success() {
        return Err("the peers do not build".into());
    }
    build_ours()?;
    let mut runners = vec![Runner::Bare, Runner::Epoll, Runner::IoUring];
    for peer in Runner::PEERS.into_iter().filter(|peer| peers.contains(peer)) {
        let lacks = match peer {
            Runner::Libuv if !build_libuv() => "apt-get install libuv1-dev, and a C compiler",
            Runner::Twisted if Tool::named("twist").and_then(|twist| twist.find()).is_none() => {
                "cargo xtask test --only interop installs it"
            }
            _ => {
                runners.push(peer);
                continue;
            }
        };
        eprintln!("{peer} is left out: {lacks}");
    }
    Ok(runners)
}

fn libuv_program() -> PathBuf {
    peers_target().join("release/peer-libuv-echo")
}

/// Whether there is a compiler and a libuv to compile with.
fn build_libuv() -> bool {
    let source = root().join("bench/peers/libuv/echo.c");
    let mut compiler = Command::new("cc");
    compiler.arg("-O2").arg("-o").arg(libuv_program()).arg(source).arg("-luv");
    compiler.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
