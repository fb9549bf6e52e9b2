//! A server of PostgreSQL that belongs to one test.

use std::rc::Rc;

use ropewalk_database::PoolOptions;
use ropewalk_database::postgres::{Client, Config, Pool, PostgresError, ServerError, connect};
use ropewalk_deferred::Deferred;
use ropewalk_endpoint::client_from_string;
use ropewalk_interop::PostgresServer;
use ropewalk_protocol::ClientEndpoint;
use ropewalk_reactor::Reactor;

use crate::answers::Asks;
use crate::support::reactor;

/// Who may come in, and how.
const DOORS: &str = "\
local   all all                    trust
host    all alice     127.0.0.1/32 trust
host    all scram     127.0.0.1/32 scram-sha-256
host    all hashed    127.0.0.1/32 md5
host    all plain     127.0.0.1/32 password
hostssl all encrypted 127.0.0.1/32 scram-sha-256
";
const SETTINGS: &str = "ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
";

/// A running server, and a reactor for its clients.
pub(crate) struct House {
    server: PostgresServer,
    pub(crate) reactor: Reactor,
    /// The certificate that the server shows.
    pub(crate) certificate: String,
}

impl House {
    pub(crate) fn new() -> Self {
        let server = PostgresServer::new().expect("a database");
        let papers = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("papers");
        for (name, content) in [
            ("postgresql.auto.conf", SETTINGS),
            ("pg_hba.conf", DOORS),
            ("server.pem", &papers.cert.pem()),
            ("server.key", &papers.signing_key.serialize_pem()),
        ] {
            server.write(name, content).expect("it is written");
        }
        let mut house = Self { server, reactor: reactor(), certificate: papers.cert.pem() };
        house.start();
        house
    }

    /// Starts the server, and waits until it lets somebody in.
    pub(crate) fn start(&mut self) {
        self.server.start().expect("it runs");
        loop {
            match self.wait(self.client(alice())) {
                Ok(_) => return,
                Err(failure) => match failure.check::<PostgresError>() {
                    Some(PostgresError::Server(error)) if error.code == "57P03" => (),
                    _ => panic!("{failure:?}"),
                },
            }
        }
    }

    /// Kills the server without a word.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    pub(crate) fn endpoint(&self) -> Rc<dyn ClientEndpoint> {
        let description = format!("tcp:{}", self.server.address());
        Rc::from(client_from_string(&self.reactor, &description).expect("an endpoint"))
    }

    /// The same server by its Unix socket.
    pub(crate) fn unix_endpoint(&self) -> Rc<dyn ClientEndpoint> {
        let description = format!("unix:{}", self.server.socket().display());
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
        let description = format!("tcp:{}", self.server.address());
        let endpoint = client_from_string(&self.reactor, &description).expect("an endpoint");
        Pool::new(&self.reactor, endpoint, alice(), options)
    }

    #[track_caller]
    pub(crate) fn refused<T: std::fmt::Debug + 'static>(
        &self,
        answer: Deferred<T>,
    ) -> PostgresError {
        self.refused_as(answer)
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

impl Asks for House {
    fn reactor(&self) -> &Reactor {
        &self.reactor
    }
}

pub(crate) fn alice() -> Config {
    Config::new("alice").database("postgres")
}
