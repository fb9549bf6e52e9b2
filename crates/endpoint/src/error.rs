use std::error::Error;
use std::fmt;
use std::ops::Range;

use ropewalk_protocol::BadNetwork;

use crate::{BACKLOG_MAX, HOST_MAX, NESTING_MAX, TIMEOUT_MAX, UNIX_PATH_MAX};

/// Why a string is not an endpoint, and where in it the fault stands.
///
/// Printed with `{}` it is one line. Printed with `{:#}`, or as [`report`](Self::report), it is two
/// that point at the fault:
///
/// ```
/// # use ropewalk_endpoint::ServerDescription;
/// let error = "tcp:80a0:interface=127.0.0.1".parse::<ServerDescription>().unwrap_err();
/// assert_eq!(
///     error.report(),
///     "tcp:80a0:interface=127.0.0.1\n    ^^^^ the port is not a number from 0 to 65535",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError {
    source: String,
    span: Range<usize>,
    fault: Fault,
}

/// What can be wrong with an endpoint: one variant a check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The string ends in a backslash that escapes nothing.
    TrailingBackslash,
    /// An argument begins with `=`.
    EmptyKeyword,
    /// There is nothing in the string.
    Empty {
        /// The kinds that there are.
        known: Vec<&'static str>,
    },
    /// Each argument has a keyword, so none names the kind.
    MissingKind {
        /// The kinds that there are.
        known: Vec<&'static str>,
    },
    /// No scheme goes by this name.
    UnknownKind {
        /// The name.
        kind: String,
        /// The kind that is spelled most like it.
        nearest: Option<&'static str>,
        /// The kinds that there are.
        known: Vec<&'static str>,
    },
    /// A URL in place of an endpoint.
    Url {
        /// What to write, where that can be told.
        instead: Option<String>,
    },
    /// A host, a port or both, without a kind.
    BareAddress {
        /// What to write.
        instead: String,
    },
    /// A path without a kind.
    BarePath {
        /// What to write.
        instead: String,
    },
    /// A server with a host where its port belongs.
    HostBeforePort {
        /// What to write.
        instead: String,
    },
    /// An IPv6 address whose colons part arguments.
    BareIpv6 {
        /// What to write.
        instead: String,
    },
    /// The endpoint that should follow is not there.
    MissingInner {
        /// How the kind is written.
        form: &'static str,
    },
    /// Too many endpoints stand one in another.
    DeepNesting,
    /// An argument that must be there is not.
    MissingArgument {
        /// Its name.
        name: &'static str,
        /// How the kind is written.
        form: &'static str,
    },
    /// There is an argument too many.
    ExtraArgument {
        /// How the kind is written.
        form: &'static str,
    },
    /// The kind has no argument of this name.
    UnknownKeyword {
        /// The name.
        keyword: String,
        /// The argument that is spelled most like it.
        nearest: Option<&'static str>,
        /// The arguments that the kind has.
        known: Vec<&'static str>,
    },
    /// An argument is there twice, by place or by any of its names.
    DuplicateArgument {
        /// Its name.
        name: &'static str,
    },
    /// Not a port to listen on.
    Port,
    /// Not a port to connect to.
    ClientPort,
    /// Not a host.
    Host,
    /// A host with an IPv4 address, where IPv6 is asked for.
    Ipv4Host,
    /// Not an IPv4 address to listen on.
    Ipv4Interface,
    /// Not an IPv6 address to listen on.
    Ipv6Interface,
    /// Both families are asked for, and an address that has only one.
    DualInterface,
    /// Not `yes` or `no`.
    Flag,
    /// Not an address to connect from.
    Bind,
    /// An address to connect from that cannot reach the host.
    BindFamily,
    /// Not a number of connections that may wait.
    Backlog,
    /// Not a time.
    Timeout,
    /// Not the permissions of a file.
    Mode,
    /// The path is empty.
    EmptyPath,
    /// The path has a zero byte in it.
    NulInPath,
    /// The path does not fit a socket's address.
    LongPath {
        /// Its length in bytes.
        length: usize,
    },
    /// A command without a program, with a quote that nothing closes, or with a zero byte.
    Command,
    /// What is to become of a program's standard error is none of the three things.
    ErrorOutput,
    /// No name of the abstract namespace.
    AbstractName {
        /// Its length in bytes.
        length: usize,
    },
    /// The name is empty.
    EmptyName,
    /// Not a descriptor that can have been handed over.
    Descriptor,
    /// Not a place among the sockets that a service manager hands over.
    SystemdIndex,
    /// Not a name that a service manager gives.
    SystemdName,
    /// Not a family of addresses.
    Family,
    /// Not a path of a WebSocket.
    WebSocketPath,
    /// Not the name of a subprotocol.
    Subprotocol,
    /// Not a network.
    Network(BadNetwork),
    /// Not a version of the PROXY protocol.
    ProxyVersion,
    /// An IPv6 address, which version 4 of SOCKS does not have.
    Ipv6ThroughSocks4,
    /// A user name or a password that cannot be said to such a proxy.
    Login,
    /// A password without a user name.
    PasswordWithoutUser,
    /// A second word that is not `self-signed`.
    SelfSigned,
    /// Nothing says who a server with TLS is.
    NoIdentity,
    /// Two things say who a server with TLS is.
    TwoIdentities,
    /// An argument that goes only with another.
    NotWithout {
        /// The name of the other.
        name: &'static str,
    },
    /// An argument that does not go with another.
    NotWith {
        /// The name of the other.
        name: &'static str,
    },
    /// Neither of two words.
    Word {
        /// The one.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Not application protocols.
    Alpn,
    /// Not the SHA-256 of a key.
    Pin,
    /// A version of TLS that is not spoken.
    SslMethod,
    /// A key exchange that is not spoken.
    DhParameters,
    /// The endpoint inside of this one is wrong.
    Inner(Box<EndpointError>),
    /// What a scheme of another crate found.
    Other(String),
}

impl EndpointError {
    /// A fault at these bytes of `source`.
    ///
    /// # Panics
    ///
    /// If `span` does not lie in `source`, on the bounds of its characters.
    pub fn new(source: &str, span: Range<usize>, fault: Fault) -> Self {
        assert!(source.get(span.clone()).is_some(), "{span:?} is no part of {source:?}");
        Self { source: source.to_owned(), span, fault }
    }

    /// The same fault in a string of which this one's is the part that begins at `start`.
    pub(crate) fn within(self, source: &str, start: usize) -> Self {
        let Range { start: from, end: to } = self.span;
        Self::new(source, start + from..start + to, self.fault)
    }

    /// What is wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The bytes that are to blame, empty where something is missing.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The string as it was given.
    pub fn description(&self) -> &str {
        &self.source
    }

    /// Two lines: the string, and a pointer at the fault.
    ///
    /// Columns are characters; one that would move the cursor is shown as `�`.
    pub fn report(&self) -> String {
        let indent = self.source[..self.span.start].chars().count();
        let width = self.source[self.span.clone()].chars().count().max(1);
        let source = printable(&self.source);
        format!("{source}\n{}{} {}", " ".repeat(indent), "^".repeat(width), self.fault)
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(&self.report());
        }
        write!(f, "endpoint \"{}\": {}", printable(&self.source), self.fault)
    }
}

impl Error for EndpointError {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::TrailingBackslash => r"this backslash escapes nothing; for a backslash write \\",
            Self::EmptyKeyword => r"no name before =; for a value that begins with = write \=",
            Self::Empty { known } => &format!("this is empty; begin with {}", or(known)),
            Self::MissingKind { known } => &format!("no kind is named; begin with {}", or(known)),
            Self::UnknownKind { kind, nearest, known } => {
                &format!("there is no kind \"{kind}\"; {}", suggestion(*nearest, known))
            }
            Self::Url { instead: None } => "this is a URL, not a kind with its arguments",
            Self::Url { instead: Some(instead) } => {
                &format!("this is a URL; did you mean \"{instead}\"?")
            }
            Self::BareAddress { instead } | Self::BarePath { instead } => {
                &format!("no kind stands in front; did you mean \"{instead}\"?")
            }
            Self::HostBeforePort { instead } => {
                &format!("a server's port comes first; did you mean \"{instead}\"?")
            }
            Self::BareIpv6 { instead } => {
                &format!("an IPv6 address stands in brackets; did you mean \"{instead}\"?")
            }
            Self::MissingInner { form } => {
                &format!("the endpoint that this one is around is missing; write {form}")
            }
            Self::DeepNesting => {
                &format!("more than {NESTING_MAX} endpoints stand one in another here")
            }
            Self::MissingArgument { name, form } => &format!("the {name} is missing; write {form}"),
            Self::ExtraArgument { form } => &format!("this is an argument too many; write {form}"),
            Self::UnknownKeyword { keyword, nearest, known } => {
                &format!("there is no argument \"{keyword}\"; {}", suggestion(*nearest, known))
            }
            Self::DuplicateArgument { name } => &format!("the {name} is given twice"),
            Self::Port => "the port is not a number from 0 to 65535",
            Self::ClientPort => "the port is not a number from 1 to 65535",
            Self::Host => &format!("this is no address and no name of up to {HOST_MAX} bytes"),
            Self::Ipv4Host => "tcp6 cannot reach an IPv4 address; write tcp",
            Self::Ipv4Interface => "this is not an IPv4 address such as 127.0.0.1 (IPv6: tcp6)",
            Self::Ipv6Interface => "this is not an IPv6 address such as [::1] (IPv4: tcp)",
            Self::DualInterface => "dual=yes goes with no interface but [::]",
            Self::Flag => "this is neither yes nor no",
            Self::Bind => "this is not an IP address to connect from",
            Self::BindFamily => "this address cannot reach the host: one is IPv4, the other IPv6",
            Self::Backlog => &format!("the backlog is not a number from 1 to {BACKLOG_MAX}"),
            Self::Timeout => {
                let longest = TIMEOUT_MAX.as_secs();
                &format!("the timeout is not a number of seconds above 0, up to {longest}")
            }
            Self::Mode => "the mode is not an octal number from 0 to 777",
            Self::EmptyPath => "the path is empty",
            Self::NulInPath => "the path has a zero byte in it",
            Self::LongPath { length } => {
                &format!("the path has {length} bytes, a socket's at most {UNIX_PATH_MAX}")
            }
            Self::AbstractName { length } => {
                &format!("a name has 1 to {UNIX_PATH_MAX} bytes, and this one {length}")
            }
            Self::Command => {
                "the command is words with blanks between them, the program first; quotes are closed"
            }
            Self::ErrorOutput => "the standard error is for log, drop or inherit",
            Self::EmptyName => "the name is empty",
            Self::Descriptor => "this is no number of a descriptor from 3 on; 0 and 1 are stdio",
            Self::SystemdIndex => {
                "the index is not a number from 0 to 65535; for a name write name=NAME"
            }
            Self::SystemdName => "this is no name of 1 to 255 printable characters without a colon",
            Self::Family => "this is neither INET, INET6 nor UNIX",
            Self::WebSocketPath => "this is no path such as /chat or /chat?room=1",
            Self::Subprotocol => "this is no name of letters, digits and -.+_ alone",
            Self::Network(bad) => &bad.to_string(),
            Self::ProxyVersion => "the version is neither 1, 2 nor 2c (2 with a checksum)",
            Self::Ipv6ThroughSocks4 => "SOCKS 4 has no IPv6 addresses; write socks5",
            Self::Login => "this cannot be said to such a proxy as a user name and password",
            Self::PasswordWithoutUser => "a password wants a user name; write user=NAME too",
            Self::SelfSigned => "after the port comes self-signed, or arguments with their names",
            Self::NoIdentity => {
                "nothing says who the server is; add self-signed, cert=FILE with key=FILE, or certs=DIR"
            }
            Self::TwoIdentities => "of self-signed, cert= and certs= there is one",
            Self::NotWithout { name } => &format!("this goes only with {name}"),
            Self::NotWith { name } => &format!("this does not go with {name}="),
            Self::Word { first, second } => &format!("this is neither {first} nor {second}"),
            Self::Alpn => {
                "this is no list of protocols of 1 to 255 bytes, with commas between them"
            }
            Self::Pin => "this is no SHA-256 in 64 hexadecimal digits",
            Self::SslMethod => "TLS 1.2 and 1.3 are all that is spoken; leave this out",
            Self::DhParameters => "keys are exchanged over curves alone; leave this out",
            Self::Inner(error) => {
                &format!("the endpoint inside, {:?}: {}", error.source, error.fault)
            }
            Self::Other(message) => message,
        };
        f.write_str(&printable(text))
    }
}

impl Error for Fault {}

fn suggestion(nearest: Option<&str>, known: &[&str]) -> String {
    let known = known.join(", ");
    match nearest {
        Some(nearest) => format!("did you mean {nearest}? (known: {known})"),
        None => format!("known: {known}"),
    }
}

fn or(known: &[&str]) -> String {
    match known {
        [] => "a kind".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Text with nothing in it that would move the cursor, as many characters long.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
