//! Unix sockets by a name of Linux's abstract namespace.

use std::fmt;
use std::time::Duration;

use crate::client::write_timeout;
use crate::description::quote;
use crate::error::{EndpointError, Fault};
use crate::scheme::{Arguments, Scheme};
use crate::server::write_backlog;
use crate::value::{self, BACKLOG_DEFAULT, TIMEOUT_DEFAULT};
use crate::{ClientDescription, ServerDescription};

/// A Unix socket by an abstract name to listen on: `abstract:NAME[:backlog=COUNT]`.
///
/// Linux alone has them. There is no file and there are no permissions: whoever is in the same network
/// namespace may connect, and [who that is](ropewalk_protocol::Conn::credentials) is for the protocol
/// to judge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AbstractServer {
    name: String,
    backlog: u16,
}

impl AbstractServer {
    /// Listens under `name`.
    ///
    /// # Errors
    ///
    /// [`Fault::AbstractName`] if no socket can have that name.
    pub fn new(name: &str) -> Result<Self, Fault> {
        Ok(Self { name: value::abstract_name(name)?, backlog: BACKLOG_DEFAULT })
    }

    /// Lets this many connections wait.
    ///
    /// # Errors
    ///
    /// [`Fault::Backlog`] if that is none.
    pub fn with_backlog(self, backlog: u16) -> Result<Self, Fault> {
        Ok(Self { backlog: value::check_backlog(backlog)?, ..self })
    }

    /// The name, without the zero byte that the system puts before it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many connections may wait.
    pub fn backlog(&self) -> u16 {
        self.backlog
    }

    pub(crate) fn scheme() -> Scheme<ServerDescription> {
        Scheme::new("abstract", "abstract:NAME[:backlog=COUNT]", |arguments| {
            let name = arguments.required("name", value::abstract_name)?;
            let backlog = arguments.optional("backlog", value::backlog)?;
            Ok(Self { name, backlog: backlog.unwrap_or(BACKLOG_DEFAULT) }.into())
        })
        .positional(&["name", "backlog"])
    }
}

impl From<AbstractServer> for ServerDescription {
    fn from(server: AbstractServer) -> Self {
        Self::Abstract(server)
    }
}

impl fmt::Display for AbstractServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, &self.name)?;
        write_backlog(f, self.backlog)
    }
}

/// A Unix socket by an abstract name to connect to: `abstract:NAME[:timeout=SECONDS]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AbstractClient {
    name: String,
    timeout: Duration,
}

impl AbstractClient {
    /// Connects to whoever listens under `name`.
    ///
    /// # Errors
    ///
    /// [`Fault::AbstractName`] if no socket can have that name.
    pub fn new(name: &str) -> Result<Self, Fault> {
        Ok(Self { name: value::abstract_name(name)?, timeout: TIMEOUT_DEFAULT })
    }

    /// Gives up after this time.
    ///
    /// # Errors
    ///
    /// [`Fault::Timeout`] if it is zero or above [`TIMEOUT_MAX`](crate::TIMEOUT_MAX).
    pub fn with_timeout(self, timeout: Duration) -> Result<Self, Fault> {
        Ok(Self { timeout: value::check_timeout(timeout)?, ..self })
    }

    /// The name, without the zero byte that the system puts before it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long connecting may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn scheme() -> Scheme<ClientDescription> {
        Scheme::new("abstract", "abstract:NAME[:timeout=SECONDS]", client)
            .positional(&["name"])
            .named(&["timeout"])
    }
}

fn client(arguments: &Arguments) -> Result<ClientDescription, EndpointError> {
    let name = arguments.required("name", value::abstract_name)?;
    let timeout = arguments.optional("timeout", value::timeout)?.unwrap_or(TIMEOUT_DEFAULT);
    Ok(AbstractClient { name, timeout }.into())
}

impl From<AbstractClient> for ClientDescription {
    fn from(client: AbstractClient) -> Self {
        Self::Abstract(client)
    }
}

impl fmt::Display for AbstractClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, &self.name)?;
        write_timeout(f, self.timeout)
    }
}

/// Named where by its place it would make a URL.
fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let key = if name.starts_with("//") { "name=" } else { "" };
    write!(f, "abstract:{key}{}", quote(name))
}
