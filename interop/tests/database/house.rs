//! A server of PostgreSQL that belongs to one test.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

use ropewalk_database::PoolOptions;
use ropewalk_database::postgres::{Client, Config, Pool, PostgresError, ServerError, connect};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_endpoint::client_from_string;
use ropewalk_interop::{PATIENCE, Peer, TempDir, free_port, tool, wait_for_port};
use ropewalk_protocol::{ClientEndpoint, timeout};
use ropewalk_reactor::Reactor;

use crate::support::reactor;

/// Who the server runs as where we are root, which it refuses to be.
const USER: &str = "postgres";
/// Who may come in, and how.
const DOORS: &str = "\
local   all all                    trust
host    all alice     127.0.0.1/32 trust
host    all scram     127.0.0.1/32 scram-sha-256
host    all hashed    127.0.0.1/32 md5
host    all plain     127.0.0.1/32 password
hostssl all encrypted 127.0.0.1/32 scram-sha-256
";
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
fsync = off
max_connections = 20
shared_buffers = 16MB
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
";

/// A running server, and a reactor for its clients.
pub(crate) struct House {
    server: Option<Peer>,
    folder: TempDir,
    port: u16,
    pub(crate) reactor: Reactor,
    /// The certificate that the server shows.
    pub(crate) certificate: String,
}

/// A command that is run as somebody who is not root.
fn command(program: &str) -> Command {
    let program = tool(program);
    if fs::metadata("/proc/self").expect("this process").uid() != 0 {
        return Command::new(program);
    }
    let mut command = Command::new(tool("setpriv"));
    let user = format!("--reuid={USER}");
    command.args([&*user, &format!("--regid={USER}"), "--clear-groups", "--"]).arg(program);
    command
}

/// Gives a file to the server's user, alone.
fn give(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    if fs::metadata("/proc/self").expect("this process").uid() != 0 {
        return;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    let line =
        users.lines().find_map(|line| line.strip_prefix("postgres:")).expect("the package's user");
    let mut ids = line.split(':').skip(1).map(|id| id.parse().expect("a number"));
    chown(path, ids.next(), ids.next()).expect("we are root");
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new("postgres").expect("a folder");
        give(folder.path(), 0o700);
        let data = folder.path().join("data");
        let mut init = command("initdb");
        init.args(["--no-sync", "-U", "alice", "-E", "UTF8", "--locale=C", "-A", "trust", "-D"])
            .arg(&data);
        let made = init.stdout(Stdio::null()).status().expect("initdb runs");
        assert!(made.success(), "there is a database");
        let papers = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("papers");
        let settings = data.join("postgresql.auto.conf");
        for (name, content) in [
            (&*settings, SETTINGS.to_owned()),
            (&*data.join("pg_hba.conf"), DOORS.to_owned()),
            (&*data.join("server.pem"), papers.cert.pem()),
            (&*data.join("server.key"), papers.signing_key.serialize_pem()),
        ] {
            fs::write(name, content).expect("it is written");
            give(name, 0o600);
        }
        let port = free_port().expect("a port");
        let certificate = papers.cert.pem();
        let mut house = Self { server: None, folder, port, reactor: reactor(), certificate };
        house.start();
        house
    }

    /// Starts the server, and waits until it takes connections.
    pub(crate) fn start(&mut self) {
        let mut server = command("postgres");
        server.arg("-D").arg(self.folder.path().join("data"));
        server.args(["-p", &self.port.to_string(), "-k"]).arg(self.folder.path());
        let log = self.folder.path().join("log");
        server.stderr(fs::File::create(&log).expect("a log"));
        self.server = Some(Peer::start(&mut server).expect("PostgreSQL starts"));
        if let Err(error) = wait_for_port(self.address()) {
            panic!("it does not listen: {error}: {:?}", fs::read_to_string(log));
        }
        // It listens before it lets anybody in.
        loop {
            match self.wait(self.client(Config::new("alice").database("postgres"))) {
                Ok(_) => return,
                Err(failure) => match failure.check::<PostgresError>() {
                    Some(PostgresError::Server(error)) if error.code == "57P03" => (),
                    _ => panic!("{failure:?}"),
                },
            }
        }
    }

    /// Kills the server without a word; its other processes follow when they notice.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub(crate) fn endpoint(&self) -> Rc<dyn ClientEndpoint> {
        let description = format!("tcp:127.0.0.1:{}", self.port);
        Rc::from(client_from_string(&self.reactor, &description).expect("an endpoint"))
    }

    /// The same server by its Unix socket.
    pub(crate) fn unix_endpoint(&self) -> Rc<dyn ClientEndpoint> {
        let socket = self.folder.path().join(format!(".s.PGSQL.{}", self.port));
        let description = format!("unix:{}", socket.display());
        Rc::from(client_from_string(&self.reactor, &description).expect("an endpoint"))
    }

    pub(crate) fn client(&self, config: Config) -> Deferred<Client> {
        connect(&self.endpoint(), config)
    }

    /// A client that is let in without being asked.
    pub(crate) fn alice(&self) -> Client {
        self.told(self.client(alice()))
    }

    pub(crate) fn pool(&self, options: PoolOptions) -> Pool {
        let description = format!("tcp:127.0.0.1:{}", self.port);
        let endpoint = client_from_string(&self.reactor, &description).expect("an endpoint");
        Pool::new(&self.reactor, endpoint, alice(), options)
    }

    pub(crate) fn wait<T: 'static>(&self, answer: Deferred<T>) -> Result<T, Failure> {
        self.reactor.run_until(timeout(&self.reactor, PATIENCE, answer))
    }

    #[track_caller]
    pub(crate) fn told<T: 'static>(&self, answer: Deferred<T>) -> T {
        self.wait(answer).expect("an answer")
    }

    #[track_caller]
    pub(crate) fn refused<T: std::fmt::Debug + 'static>(
        &self,
        answer: Deferred<T>,
    ) -> PostgresError {
        let failure = self.wait(answer).expect_err("it is refused");
        failure.check::<PostgresError>().unwrap_or_else(|| panic!("{failure:?}")).clone()
    }

    /// The `SQLSTATE` of a refusal.
    #[track_caller]
    pub(crate) fn code<T: std::fmt::Debug + 'static>(&self, answer: Deferred<T>) -> String {
        match self.refused(answer) {
            PostgresError::Server(error) => {
                let ServerError { code, .. } = *error;
                code
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn alice() -> Config {
    Config::new("alice").database("postgres")
}
