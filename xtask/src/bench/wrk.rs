//! The load: wrk, how it is called and what it says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use ropewalk_interop::Tool;

use crate::Outcome;
use crate::cargo::root;

/// A way of asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// How many connections stand.
    pub(crate) connections: u16,
    /// What is asked for.
    pub(crate) path: &'static str,
    pub(crate) script: Script,
}

/// What the requests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// What wrk sends by itself.
    None,
    /// So many at once.
    Pipelined(u32),
    /// Ten fields, one of which is another in each request.
    Page,
    /// POST, with a body of so many bytes.
    Upload(u32),
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

/// Makes the requests before it begins, as the first word says.
const SCRIPT: &str = r#"
local made = {}
local turn = 0

local function page(index)
  wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
  wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
  wrk.headers["Accept-Language"] = "en-GB,en;q=0.9"
  wrk.headers["Accept-Encoding"] = "identity"
  wrk.headers["Referer"] = "http://localhost/users/4711"
  wrk.headers["Cookie"] = "session=8f14e45fceea167a5a36dedd4bea2543; seen=1"
  wrk.headers["Cache-Control"] = "max-age=0"
  wrk.headers["DNT"] = "1"
  wrk.headers["X-Request-Id"] = string.format("%032x", index * 2654435761 % 4294967296)
  return wrk.format()
end

function init(args)
  local number = tonumber(args[2])
  if args[1] == "pipelined" then
    made[1] = string.rep(wrk.format(), number)
  elseif args[1] == "upload" then
    made[1] = wrk.format("POST", nil, nil, string.rep("x", number))
  else
    for index = 1, 256 do made[index] = page(index) end
  end
end

function request()
  turn = turn % #made + 1
  return made[turn]
end
"#;

impl Wrk {
    /// Finds wrk and writes its script.
    pub(crate) fn new() -> Outcome<Self> {
        let wrk = Tool::named("wrk").ok_or("wrk is not listed")?;
        let missing = || format!("wrk is not installed: apt-get install {}", wrk.package);
        let script = root().join("target/bench-requests.lua");
        std::fs::create_dir_all(root().join("target"))?;
        std::fs::write(&script, SCRIPT)?;
        Ok(Self { program: wrk.find().ok_or_else(missing)?, script })
    }

    /// Asks for so many seconds.
    pub(crate) fn run(
        &self,
        address: SocketAddr,
        is_encrypted: bool,
        asking: Asking,
        seconds: u32,
    ) -> Outcome<Load> {
        let mut command = Command::new(&self.program);
        command.args(["--threads", "1", "--connections", &asking.connections.to_string()]);
        command.args(["--duration", &format!("{seconds}s"), "--timeout", "10s"]);
        let words = match asking.script {
            Script::None => None,
            Script::Pipelined(depth) => Some(("pipelined", depth)),
            Script::Page => Some(("page", 0)),
            Script::Upload(bytes) => Some(("upload", bytes)),
        };
        if words.is_some() {
            command.arg("--script").arg(&self.script);
        }
        let scheme = if is_encrypted { "https" } else { "http" };
        command.arg(format!("{scheme}://{address}{}", asking.path));
        if let Some((word, number)) = words {
            command.args(["--", word, &number.to_string()]);
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
