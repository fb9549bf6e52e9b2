//! Networks that lose, delay and reorder: between two network namespaces made for that.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk_interop::{Peer, TempDir, leave_out, tool};

use crate::scenes::{play, play_client};

/// How many clients there are at once, and how many bytes each has sent back.
const CLIENTS: usize = 4;
const BYTES: usize = 1024 * 1024;

/// Two network namespaces that know each other by nothing yet; they go with their owner.
struct Namespaces {
    names: [String; 2],
}

impl Namespaces {
    /// None where that is not permitted.
    fn new(what: &str) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let count = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("ropewalk-{}-{count}-{side}", std::process::id());
        let namespaces = Self { names: ["here", "there"].map(name) };
        for name in &namespaces.names {
            let made = run(Command::new(tool("ip")).args(["netns", "add", name]));
            if let Err(why) = made {
                leave_out(what, why);
                return None;
            }
            Self::ip(name, &["link", "set", "lo", "up"]);
        }
        Some(namespaces)
    }

    /// Runs `ip` in one of them.
    fn ip(namespace: &str, words: &[&str]) {
        run(Command::new(tool("ip")).args(["-n", namespace]).args(words)).expect("ip");
    }

    /// What runs a program in one of them.
    fn inside(namespace: &str) -> Command {
        let mut command = Command::new(tool("ip"));
        command.args(["netns", "exec", namespace]);
        command
    }

    /// Joins them by a cable, with these addresses.
    fn join(&self, addresses: [&str; 2]) {
        let [here, there] = &self.names;
        Self::ip(here, &["link", "add", "cable", "type", "veth", "peer", "cable", "netns", there]);
        for (name, address) in self.names.iter().zip(addresses) {
            Self::ip(name, &["addr", "add", &format!("{address}/24"), "dev", "cable"]);
            Self::ip(name, &["link", "set", "cable", "up"]);
        }
    }

    /// Has every packet that comes in lost with this chance.
    fn lose(&self, percent: u8) -> Result<(), String> {
        let folder = TempDir::new("nft").expect("a folder");
        // One statement a line: nft's grammar wants an end after a closing brace too.
        let rules = format!(
            "table inet loss {{\nchain incoming {{\ntype filter hook input priority 0;\n\
             numgen random mod 100 < {percent} drop\n}}\n}}\n"
        );
        let rules = folder.write("rules", rules).expect("a file");
        self.names.iter().try_for_each(|name| {
            run(Self::inside(name).arg(tool("nft")).arg("-f").arg(&rules)).map(drop)
        })
    }

    /// Serves in the first, and has several clients in the second have everything sent back.
    fn talk(&self, address: &str) {
        let [here, there] = &self.names;
        let mut command = Self::inside(here);
        play(&mut command, "server", &format!("{address}:0"));
        let mut server = Peer::start(&mut command).expect("a server");
        let address: SocketAddr = server.listening().expect("its address");
        let mut clients: Vec<Peer> = (0..CLIENTS)
            .map(|_| {
                let mut command = Self::inside(there);
                play_client(&mut command, address, BYTES);
                Peer::start(&mut command).expect("a client")
            })
            .collect();
        for client in &mut clients {
            client.line_after("ended in order").expect("everything came back");
        }
        assert_eq!(server.ended().expect("a state"), None);
        for name in &self.names {
            assert!(Self::disorder(name) > 0, "the network did nothing of what it is for");
        }
    }

    /// How many segments came to one of them before others that were sent earlier.
    fn disorder(namespace: &str) -> u64 {
        let counts = run(Self::inside(namespace).args(["cat", "/proc/net/netstat"])).expect("cat");
        let counts = String::from_utf8_lossy(&counts.stdout).into_owned();
        let mut lines = counts.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let mut fields = || lines.next().unwrap_or_default().split_whitespace();
        let (names, counts) = (fields(), fields());
        let mut counts = names.zip(counts);
        let count = counts.find(|(name, _)| *name == "TCPOFOQueue").expect("a count").1;
        count.parse().expect("a number")
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            // The second may never have been made.
            let _ = run(Command::new(tool("ip")).args(["netns", "del", name]));
        }
    }
}

/// What a program says that did not do what it should.
fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[test]
fn a_network_that_loses_one_packet_of_twenty_costs_no_byte() {
    let Some(namespaces) = Namespaces::new("a network that loses") else { return };
    namespaces.join(["10.97.0.1", "10.97.0.2"]);
    if let Err(why) = namespaces.lose(5) {
        return leave_out("a network that loses", why);
    }
    namespaces.talk("10.97.0.1");
}

#[test]
fn packets_that_come_late_and_out_of_order_and_twice_cost_no_byte() {
    let Some(namespaces) = Namespaces::new("a network that reorders") else { return };
    if let Err(error) = std::fs::File::open("/dev/net/tun") {
        return leave_out("a network that reorders", format!("/dev/net/tun: {error}"));
    }
    let seed = std::time::UNIX_EPOCH.elapsed().expect("a time after 1970").as_nanos().to_string();
    println!("seed {seed}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.py");
    let [here, there] = &namespaces.names;
    let mut shim = Command::new(tool("python3"));
    shim.args([script, &seed, here, "10.98.0.1", there, "10.98.0.2"]);
    let mut shim = Peer::start(&mut shim).expect("python");
    shim.line_after("ready").expect("two devices");
    namespaces.talk("10.98.0.1");
}
