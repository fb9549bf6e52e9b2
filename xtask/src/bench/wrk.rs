//! The load: wrk, how it is called and what it says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use ropewalk_interop::Tool;

use crate::Outcome;
use crate::cargo::root;

/// A way of asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// How many connections stand.
    pub(crate) connections: u16,
    /// How many requests each sends at once.
    pub(crate) depth: u16,
}

/// The ways of asking that are measured.
pub(crate) const SHAPES: [Shape; 3] = [
    Shape { connections: 64, depth: 1 },
    Shape { connections: 256, depth: 1 },
    Shape { connections: 64, depth: 16 },
];

impl Shape {
    /// What it is called in tables.
    pub(crate) fn name(self) -> String {
        match self.depth {
            1 => format!("{} connections", self.connections),
            depth => format!("{} connections, pipelined {depth} deep", self.connections),
        }
    }
}

/// wrk, ready to run.
pub(crate) struct Wrk {
    program: PathBuf,
    script: PathBuf,
}

/// What wrk counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    /// Answers that were no success and sockets that failed, in wrk's words.
    pub(crate) faults: Vec<String>,
}

/// Makes one request out of as many as the script's argument says.
const SCRIPT: &str = "\
function init(args)
  local depth = tonumber(args[1])
  batch = string.rep(wrk.format(), depth)
end

function request()
  return batch
end
";

impl Wrk {
    /// Finds wrk and writes its script.
    pub(crate) fn new() -> Outcome<Self> {
        let wrk = Tool::named("wrk").ok_or("wrk is not listed")?;
        let missing = || format!("wrk is not installed: apt-get install {}", wrk.package);
        let script = root().join("target/bench-pipeline.lua");
        std::fs::create_dir_all(root().join("target"))?;
        std::fs::write(&script, SCRIPT)?;
        Ok(Self { program: wrk.find().ok_or_else(missing)?, script })
    }

    /// Asks for so many seconds.
    pub(crate) fn run(&self, address: SocketAddr, shape: Shape, seconds: u32) -> Outcome<Load> {
        let mut command = Command::new(&self.program);
        command.args(["--threads", "1", "--connections", &shape.connections.to_string()]);
        command.args(["--duration", &format!("{seconds}s"), "--timeout", "10s"]);
        if shape.depth > 1 {
            command.arg("--script").arg(&self.script);
        }
        command.arg(format!("http://{address}/"));
        if shape.depth > 1 {
            command.args(["--", &shape.depth.to_string()]);
        }
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("wrk: {said}{}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Load::parse(&said).ok_or_else(|| format!("wrk says nothing that we know: {said}").into())
    }
}

impl Load {
    fn parse(said: &str) -> Option<Self> {
        let lines = || said.lines().map(str::trim);
        let requests = lines().find_map(|line| line.split_once(" requests in ")?.0.parse().ok())?;
        let rate = lines().find_map(|line| line.strip_prefix("Requests/sec:"))?;
        let faults = lines().filter(|line| {
            line.starts_with("Socket errors") || line.starts_with("Non-2xx or 3xx responses")
        });
        Some(Self {
            requests,
            requests_per_second: rate.trim().parse().ok()?,
            faults: faults.map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Load;

    #[test]
    fn counts_are_read_from_their_lines() {
        let said = "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  \
                    240034 requests in 2.00s, 30.22MB read\nRequests/sec: 119922.53\n\
                    Transfer/sec:     15.10MB\n";
        let load = Load { requests: 240_034, requests_per_second: 119_922.53, faults: vec![] };
        assert_eq!(Load::parse(said), Some(load));
    }

    #[test]
    fn faults_are_told() {
        let said = "  7 requests in 2.00s, 30.22MB read\n  \
                    Socket errors: connect 0, read 3, write 0, timeout 0\n  \
                    Non-2xx or 3xx responses: 7\nRequests/sec: 3.5\n";
        let load = Load::parse(said).expect("it is whole");
        assert_eq!(load.faults.len(), 2, "{:?}", load.faults);
        assert_eq!(Load::parse("unable to connect to 127.0.0.1:1"), None);
    }
}
