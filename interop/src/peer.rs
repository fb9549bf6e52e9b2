//! A running program that dies with its owner.

use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take to say that it is ready.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often a port that is not open yet is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// A running program, killed when dropped; what it prints can be read line by line.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    lines: Receiver<String>,
}

impl Peer {
    /// Starts a program with nothing to read. What it complains of goes where ours goes.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        if let Some(out) = child.stdout.take() {
            // Reads on when nobody listens any more: a full pipe would stop the program.
            let read = move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            };
            thread::Builder::new().name("peer's output".into()).spawn(read)?;
        }
        Ok(Self { child, lines })
    }

    /// The number by which the system knows it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What follows `prefix` on the first line, from here on, that begins with it.
    ///
    /// # Errors
    ///
    /// When no such line comes within [`PATIENCE`], or the program ends its output first.
    pub fn line_after(&mut self, prefix: &str) -> io::Result<String> {
        self.line_within(prefix, PATIENCE)
    }

    /// The same within another time.
    ///
    /// # Errors
    ///
    /// As [`line_after`](Self::line_after).
    pub fn line_within(&mut self, prefix: &str, patience: Duration) -> io::Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Ok(rest.to_owned());
                    }
                }
                Err(why) => {
                    let kind = match why {
                        RecvTimeoutError::Timeout => io::ErrorKind::TimedOut,
                        RecvTimeoutError::Disconnected => io::ErrorKind::UnexpectedEof,
                    };
                    return Err(io::Error::new(kind, format!("no line `{prefix}…` was printed")));
                }
            }
        }
    }

    /// The address after `listening `, the line with which our servers say that they are ready.
    ///
    /// # Errors
    ///
    /// As [`line_after`](Self::line_after), and when what follows is no address.
    pub fn listening(&mut self) -> io::Result<SocketAddr> {
        let address = self.line_after("listening ")?;
        address.trim().parse().map_err(|error| io::Error::other(format!("{address}: {error}")))
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on loopback that was free a moment ago, for programs that cannot choose one themselves.
///
/// # Errors
///
/// When there is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until somebody accepts connections at this address.
///
/// # Errors
///
/// When nobody does within [`PATIENCE`].
pub fn wait_for_port(address: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => thread::sleep(RETRY),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::TcpListener;
    use std::process::Command;

    use super::{Peer, free_port, wait_for_port};

    fn shell(script: &str) -> Peer {
        Peer::start(Command::new("sh").args(["-c", script])).expect("a shell")
    }

    #[test]
    fn a_peer_says_where_it_listens() {
        let mut peer = shell("echo hello; echo listening 127.0.0.1:80; exec sleep 100");
        assert_eq!(peer.listening().expect("an address"), ([127, 0, 0, 1], 80).into());
        assert_eq!(peer.ended().expect("an answer"), None);
    }

    #[test]
    fn a_peer_that_ends_first_is_an_error() {
        let mut peer = shell("echo hello");
        let error = peer.line_after("listening ").expect_err("nothing listens");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(peer.wait().expect("its end").success());
    }

    #[test]
    fn a_peer_dies_with_its_owner() {
        let mut peer = shell("echo up; exec sleep 100");
        assert_eq!(peer.line_after("u").expect("a line"), "p");
        let id = peer.id().to_string();
        drop(peer);
        let alive = Command::new("sh").args(["-c", "kill -0 $0 2>&-", &id]).status();
        assert!(!alive.expect("a shell").success());
    }

    #[test]
    fn open_ports_are_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        wait_for_port(listener.local_addr().expect("its address")).expect("it is open");
        assert_ne!(free_port().expect("a port"), 0);
    }
}
