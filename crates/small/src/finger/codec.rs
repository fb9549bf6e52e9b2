use std::error::Error;
use std::fmt;

/// The longest query that a server reads, its end not counted, in bytes.
pub const QUERY_MAX: usize = 512;

/// What a client asks; it can always be written as a line.
///
/// ```
/// # use ropewalk_small::finger::Query;
/// let query = Query::user("alice")?.verbose().via("example.org")?;
/// assert_eq!(query.encode(), b"/W alice@example.org\r\n");
/// # Ok::<(), ropewalk_small::finger::BadQuery>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    is_verbose: bool,
    /// Empty asks for everyone. Holds graphic ASCII, no `@` and no `/` in front.
    user: String,
    /// The hosts that the query is passed on to, the last one first.
    hosts: Vec<String>,
}

impl Query {
    /// Asks who is there.
    pub fn everyone() -> Self {
        Self::default()
    }

    /// Asks about one user.
    ///
    /// # Errors
    ///
    /// [`BadQuery::Word`] if `name` cannot stand in a query, [`BadQuery::Long`] if it does not fit.
    pub fn user(name: &str) -> Result<Self, BadQuery> {
        Self { user: word(name)?, ..Self::default() }.bounded()
    }

    /// Asks for the long form of the answer.
    pub fn verbose(self) -> Self {
        Self { is_verbose: true, ..self }
    }

    /// Asks the server to pass the query on to `host`, after those that were named before.
    ///
    /// # Errors
    ///
    /// [`BadQuery::Word`] if `host` cannot stand in a query, [`BadQuery::Long`] if it does not fit.
    pub fn via(mut self, host: &str) -> Result<Self, BadQuery> {
        self.hosts.insert(0, word(host)?);
        self.bounded()
    }

    /// Whether the long form is asked for.
    pub fn is_verbose(&self) -> bool {
        self.is_verbose
    }

    /// The user that is asked about; `None` for everyone.
    pub fn user_name(&self) -> Option<&str> {
        Some(self.user.as_str()).filter(|user| !user.is_empty())
    }

    /// Whether the query is to be passed on.
    pub fn is_forwarded(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// The host that a server passes the query on to, and the query that is asked there.
    pub fn next_hop(&self) -> Option<(&str, Self)> {
        let (next, rest) = self.hosts.split_last()?;
        Some((next, Self { hosts: rest.to_vec(), ..self.clone() }))
    }

    /// The query as it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut line = String::new();
        if self.is_verbose {
            line.push_str("/W ");
        }
        line.push_str(&self.user);
        for host in &self.hosts {
            line.push('@');
            line.push_str(host);
        }
        line.push_str("\r\n");
        line.into_bytes()
    }

    /// Reads a query from its line, without the line's end.
    ///
    /// # Errors
    ///
    /// If the line is no query.
    pub fn decode(line: &[u8]) -> Result<Self, BadQuery> {
        let line = str::from_utf8(line).map_err(|_| BadQuery::Word)?.trim_ascii();
        let (is_verbose, rest) = match line.split_once(' ') {
            Some((switch, rest)) if switch.eq_ignore_ascii_case("/W") => (true, rest),
            _ if line.eq_ignore_ascii_case("/W") => (true, ""),
            _ => (false, line),
        };
        let mut words = rest.trim_ascii().split('@');
        let user = words.next().unwrap_or_default();
        let user = if user.is_empty() { String::new() } else { word(user)? };
        let hosts = words.map(word).collect::<Result<_, _>>()?;
        Self { is_verbose, user, hosts }.bounded()
    }

    /// Keeps queries so short that servers read them, the switch included.
    fn bounded(self) -> Result<Self, BadQuery> {
        let hosts: usize = self.hosts.iter().map(|host| host.len() + 1).sum();
        let is_short = "/W ".len() + self.user.len() + hosts <= QUERY_MAX;
        if is_short { Ok(self) } else { Err(BadQuery::Long) }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        self.hosts.iter().try_for_each(|host| write!(f, "@{host}"))
    }
}

/// Why a line is no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadQuery {
    /// It is longer than [`QUERY_MAX`].
    Long,
    /// A name in it is empty, begins with `/`, or holds something else than graphic ASCII.
    Word,
}

impl fmt::Display for BadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long => write!(f, "the query is longer than {QUERY_MAX} bytes"),
            Self::Word => f.write_str("a name in the query cannot be one"),
        }
    }
}

impl Error for BadQuery {}

/// A word of a query, checked once so that no later step has to.
fn word(text: &str) -> Result<String, BadQuery> {
    let fits = |c: char| c.is_ascii_graphic() && c != '@';
    if text.is_empty() || text.starts_with('/') || !text.chars().all(fits) {
        return Err(BadQuery::Word);
    }
    Ok(text.to_owned())
}
