//! Who logs in where, and how much there may be of what.

use std::fmt;
use std::time::Duration;

use ropewalk_tls::TlsClient;

/// How much there may be of what a server, or a caller, can make much of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls that wait for their answers on one connection; 1,024.
    pub calls_max: usize,
    /// Bytes that wait to be sent; 64 MiB.
    pub output_max: u64,
    /// Bytes of one message; 64 MiB.
    pub message_max: usize,
    /// Bytes of all rows of one result; 256 MiB.
    pub result_max: usize,
    /// Statements that are kept prepared on one connection; 128.
    pub statements_max: usize,
    /// How long it may take from the connection to the end of the login; 10 seconds.
    pub login_patience: Duration,
    /// How long nothing may come while calls wait for their answers; 5 minutes. A statement that thinks
    /// for longer wants another value here.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_max: 1024,
            output_max: 64 << 20,
            message_max: 64 << 20,
            result_max: 256 << 20,
            statements_max: 128,
            login_patience: Duration::from_secs(10),
            patience: Duration::from_mins(5),
        }
    }
}

/// Who logs in, and to what.
///
/// ```
/// use ropewalk_database::postgres::Config;
///
/// let config = Config::new("alice").password("secret").database("shop");
/// # drop(config);
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) user: String,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) tls: Option<(TlsClient, String)>,
    pub(crate) may_be_read: bool,
    pub(crate) limits: Limits,
}

impl Config {
    /// Logs in as this user, to the database of the same name.
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: None,
            settings: vec![("client_encoding".to_owned(), "UTF8".to_owned())],
            tls: None,
            may_be_read: false,
            limits: Limits::default(),
        }
    }

    /// Proves it by this password, in the way that the server asks for: SCRAM-SHA-256 or MD5; as it is
    /// only over TLS or a Unix socket.
    pub fn password(self, password: impl Into<Vec<u8>>) -> Self {
        Self { password: Some(password.into()), ..self }
    }

    /// Logs in to this database.
    pub fn database(self, database: impl Into<String>) -> Self {
        self.setting("database", database)
    }

    /// Has the server use this value of a setting, such as `application_name`, `search_path` or
    /// `statement_timeout`.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Encrypts, and lets nobody in between: the server has to have a certificate for `name`. A server that
    /// does not speak TLS is refused.
    pub fn tls(self, client: TlsClient, name: impl Into<String>) -> Self {
        Self { tls: Some((client, name.into())), ..self }
    }

    /// Sends the password as it is, if the server asks for that, also where others could read it.
    pub fn danger_cleartext(self) -> Self {
        Self { may_be_read: true, ..self }
    }

    /// Has other limits.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("user", &self.user)
            .field("settings", &self.settings)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}
