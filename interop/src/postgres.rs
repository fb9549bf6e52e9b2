//! A server of PostgreSQL with an empty database of its own.

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use crate::{Peer, TempDir, free_port, tool, wait_for_port};

/// Who it runs as where we are root, which it refuses to be.
const USER: &str = "postgres";
/// Settings for something that nobody will miss.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'
fsync = off
max_connections = 20
shared_buffers = 16MB
";

/// A server, killed when dropped. Its user `alice` is its master, and is let in without being asked.
#[derive(Debug)]
pub struct PostgresServer {
    server: Option<Peer>,
    folder: TempDir,
    port: u16,
}

impl PostgresServer {
    /// Makes its database; it does not run yet.
    ///
    /// # Errors
    ///
    /// When that cannot be done.
    ///
    /// # Panics
    ///
    /// When its programs are not there.
    pub fn new() -> io::Result<Self> {
        let folder = TempDir::new("postgres")?;
        give(folder.path(), 0o700)?;
        let server = Self { server: None, folder, port: free_port()? };
        let mut init = command("initdb");
        init.args(["--no-sync", "-U", "alice", "-E", "UTF8", "--locale=C", "-A", "trust", "-D"]);
        let made = init.arg(server.data()).stdout(Stdio::null()).status()?;
        if !made.success() {
            return Err(io::Error::other("initdb made no database"));
        }
        server.write("postgresql.auto.conf", SETTINGS)?;
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file among its own, for it alone to read; `postgresql.auto.conf` is added to.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> io::Result<()> {
        let path = self.data().join(name);
        let before = match name {
            "postgresql.auto.conf" => fs::read_to_string(&path)?,
            _ => String::new(),
        };
        fs::write(&path, before + content)?;
        give(&path, 0o600)
    }

    /// Starts it, and waits until it listens, which is before it lets anybody in.
    ///
    /// # Errors
    ///
    /// When it does not; what it has to say is told then.
    ///
    /// # Panics
    ///
    /// When its programs are not there.
    pub fn start(&mut self) -> io::Result<()> {
        let mut server = command("postgres");
        server.arg("-D").arg(self.data());
        server.args(["-p", &self.port.to_string(), "-k"]).arg(self.folder.path());
        let log = self.folder.path().join("log");
        server.stderr(fs::File::create(&log)?);
        self.server = Some(Peer::start(&mut server)?);
        wait_for_port(self.address()).map_err(|error| {
            let said = fs::read_to_string(log).unwrap_or_default();
            io::Error::other(format!("{error}: {said}"))
        })
    }

    /// Kills it without a word; its other processes follow when they notice.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{}", self.port))
    }
}

fn is_root() -> io::Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// A command that is run as somebody who is not root.
fn command(program: &str) -> Command {
    let program = tool(program);
    if !is_root().unwrap_or(false) {
        return Command::new(program);
    }
    let mut command = Command::new(tool("setpriv"));
    command.args([&*format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", "--"]);
    command.arg(program);
    command
}

/// Gives a file to the server's user, alone.
fn give(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if !is_root()? {
        return Ok(());
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find_map(|line| line.strip_prefix(USER)?.strip_prefix(':'));
    let line = line.ok_or_else(|| io::Error::other(format!("there is no user {USER}")))?;
    let mut ids = line.split(':').skip(1).map(str::parse);
    let mut id = || ids.next().transpose().map_err(io::Error::other);
    chown(path, id()?, id()?)
}
