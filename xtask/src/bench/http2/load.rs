//! The load: `h2load` of nghttp2.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use ropewalk_interop::Tool;

use crate::Outcome;

/// `h2load`, found.
pub(super) struct H2load(PathBuf);

/// What was counted.
#[derive(Debug, PartialEq)]
pub(super) struct Counted {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
}

impl H2load {
    pub(super) fn new() -> Outcome<Self> {
        let tool = Tool::named("h2load").ok_or("h2load is not listed")?;
        let missing = || format!("h2load is not installed: apt-get install {}", tool.package);
        Ok(Self(tool.find().ok_or_else(missing)?))
    }

    /// Asks for so many seconds, on one connection.
    pub(super) fn run(
        &self,
        address: SocketAddr,
        path: &str,
        streams: u16,
        seconds: u32,
    ) -> Outcome<Counted> {
        let mut command = Command::new(&self.0);
        command.args(["-t", "1", "-c", "1", "-m", &streams.to_string()]);
        // Windows in which neither end waits for the other: 30 bits.
        command.args(["-w", "30", "-W", "30", "-D", &seconds.to_string()]);
        let output = command.arg(format!("http://{address}{path}")).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(format!("h2load: {said}{complaint}").into());
        }
        parse(&said).ok_or_else(|| format!("h2load says nothing that we know: {said}").into())
    }
}

fn parse(said: &str) -> Option<Counted> {
    let line = said.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let number = |word: &str| {
        line.split(", ").find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
    };
    let status = said.lines().find_map(|line| line.strip_prefix("status codes: "))?;
    let good = status.split(',').find_map(|part| part.trim().strip_suffix(" 2xx")?.parse().ok())?;
    let failed: u64 = number("failed")?;
    Some(Counted { succeeded: good, failed: failed + number("errored")? })
}

#[cfg(test)]
mod tests {
    use super::{Counted, parse};

    #[test]
    fn counts_are_read_from_their_lines() {
        let said = "finished in 1.00s, 51234.00 req/s, 1.5MB/s\n\
                    requests: 51234 total, 51244 started, 51234 done, 51230 succeeded, 4 failed, 1 errored, 0 timeout\n\
                    status codes: 51230 2xx, 0 3xx, 4 4xx, 0 5xx\n";
        assert_eq!(parse(said), Some(Counted { succeeded: 51_230, failed: 5 }));
        assert_eq!(parse("nothing"), None);
    }
}
