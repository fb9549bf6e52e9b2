//! `ropewalk socks`: a SOCKS proxy.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ropewalk::endpoint::ReactorOutlet;
use ropewalk::forward::RelayOptions;
use ropewalk::framing::policy::Limits;
use ropewalk::protocol::Network;
use ropewalk::socks::{Destinations, Login, Service};

use crate::offer::{House, Offer, Offered, finishing_beside};
use crate::serving::{self, Shared};

/// Where to listen unless told otherwise: reachable from this machine only.
const LISTEN_DEFAULT: &str = "tcp:1080:interface=127.0.0.1";
/// How large a file of users may be, in bytes.
const USERS_MAX: u64 = 1 << 20;

/// Take clients elsewhere as a SOCKS proxy
#[derive(Args)]
#[command(
    long_about = "Take clients elsewhere as a SOCKS proxy, in versions 4, 4a and 5.\n\n\
        Clients are taken to the public Internet alone, and not to this machine or to private \
        networks, unless that is allowed. What counts is the address that is dialled: a name that \
        leads inside is refused as well. A client may also ask to be connected to (BIND), \
        and send datagrams (UDP ASSOCIATE), each judged in the same way.\n\n\
        The addresses go to standard output, one a line; everything else to standard error. \
        ROPEWALK_LOG=info shows who went where, and who was refused. Ctrl-C stops it.",
    after_long_help = "Examples:\n  \
        ropewalk socks\n      \
        for this machine, at 127.0.0.1:1080; try it with:\n      \
        curl --socks5-hostname 127.0.0.1 https://example.org/\n  \
        ropewalk socks --listen tcp:1080 --users users.txt\n      \
        for everyone who has a password; the file has a line NAME:PASSWORD for each\n  \
        ropewalk socks --allow 10.1.0.0/16 --deny 10.1.2.3\n      \
        to a private network too, but to one machine of it\n  \
        ropewalk socks --anywhere --port 22 --port 8000-8999\n      \
        to whatever this machine can reach, at these ports\n  \
        ssh -o ProxyCommand='nc -X 5 -x 127.0.0.1:1080 %h %p' host.example.org\n      \
        a client that goes through it\n\n\
        Exit status: 0 after Ctrl-C or SIGTERM, 1 if it cannot serve, 2 for wrong usage."
)]
pub(crate) struct Socks {
    /// Where to listen; may be given several times
    #[arg(long, value_name = "ENDPOINT", default_value = LISTEN_DEFAULT)]
    listen: Vec<String>,

    #[command(flatten)]
    options: SocksOptions,

    #[command(flatten)]
    shared: Shared,
}

/// Whom it serves, and where it takes them.
#[derive(Args)]
pub(crate) struct SocksOptions {
    #[command(flatten)]
    rules: Rules,

    /// Serve those alone who are in this file, with a line NAME:PASSWORD each
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,

    /// How many clients there may be at a time
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    clients: usize,

    /// Pass no datagrams on (UDP ASSOCIATE)
    #[arg(long)]
    no_udp: bool,

    /// End connections on which nothing has moved for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    idle: u64,
}

impl Socks {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let places = serving::places(&self.listen)?;
        let options = self.options;
        serving::serve(&self.shared, "socks", places, options)
    }
}

impl Offered for SocksOptions {
    const LISTEN: Option<&'static str> = Some(LISTEN_DEFAULT);

    fn files(&self) -> Vec<PathBuf> {
        self.users.iter().cloned().collect()
    }

    fn offer(&self, house: &House) -> Result<Offer, String> {
        let users = self.users.as_deref().map(read_users).transpose()?;
        let reactor = &house.reactor;
        let relay =
            RelayOptions { idle: Some(Duration::from_secs(self.idle)), ..RelayOptions::default() };
        let limits = Limits { total: Some(self.clients), ..Limits::default() };
        let service = Service::new(ReactorOutlet::new(reactor))
            .destinations(self.rules.destinations())
            .relay(relay)
            .limits(limits);
        let service = match users {
            Some(users) => service.users(users),
            None => service,
        };
        let service = if self.no_udp { service.without_datagrams() } else { service };
        let silent = service.silent();
        Ok(Offer::of(finishing_beside(service, silent)))
    }
}

/// Where clients are taken.
#[derive(Args)]
pub(crate) struct Rules {
    /// Take clients to this network or address too; may be given several times
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<Network>,

    /// Do not take clients to this network or address, whatever is allowed; may be given several times
    #[arg(long, value_name = "NETWORK")]
    deny: Vec<Network>,

    /// Take clients wherever this machine can go, itself and private networks included
    #[arg(long)]
    anywhere: bool,

    /// Take clients to this port or range of ports alone; may be given several times
    #[arg(long, value_name = "PORT[-PORT]", value_parser = ports)]
    port: Vec<RangeInclusive<u16>>,
}

impl Rules {
    pub(crate) fn destinations(&self) -> Destinations {
        let first = if self.anywhere { Destinations::anywhere() } else { Destinations::public() };
        let allowed = self.allow.iter().copied().fold(first, Destinations::allow);
        let denied = self.deny.iter().copied().fold(allowed, Destinations::deny);
        denied.ports(self.port.iter().cloned())
    }
}

/// A port, or two with a dash between them.
pub(crate) fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err("write a port from 0 to 65535, or two as in 8000-8999".to_owned()),
    }
}

/// The users in a file: a line `NAME:PASSWORD` each. Empty lines and those that begin with `#` do not
/// count.
pub(crate) fn read_users(file: &Path) -> Result<Vec<Login>, String> {
    let shown = file.display();
    let cannot = |error| format!("cannot read the users in {shown}: {error}");
    let size = std::fs::metadata(file).map_err(cannot)?.len();
    if size > USERS_MAX {
        return Err(format!("{shown} has {size} bytes, where {USERS_MAX} are allowed"));
    }
    let text = std::fs::read_to_string(file).map_err(cannot)?;
    parse_users(&text).map_err(|complaint| format!("{shown}, {complaint}"))
}

fn parse_users(text: &str) -> Result<Vec<Login>, String> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let users: Vec<_> = lines
        .map(|(index, line)| {
            let at = |complaint| format!("line {}: {complaint}", index + 1);
            let (user, password) =
                line.split_once(':').ok_or_else(|| at("write NAME:PASSWORD".to_owned()))?;
            Login::new(user, password).map_err(|bad| at(bad.to_string()))
        })
        .collect::<Result<_, _>>()?;
    if users.is_empty() {
        Err("nobody is in it: write NAME:PASSWORD".to_owned())
    } else {
        Ok(users)
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_users, ports};

    #[test]
    fn users_have_a_line_each() {
        let users = parse_users("alice:a:b\n\n# nobody\nbob:\n").expect("two users");
        let users: Vec<_> = users.iter().map(|login| (login.user(), login.password())).collect();
        assert_eq!(users, [(&b"alice"[..], &b"a:b"[..]), (b"bob", b"")]);
        let told = |text: &str| parse_users(text).expect_err(text);
        assert_eq!(told("alice:x\nbob\n"), "line 2: write NAME:PASSWORD");
        assert_eq!(told("# x\n"), "nobody is in it: write NAME:PASSWORD");
        assert!(told(&format!("{}:x", "a".repeat(256))).starts_with("line 1: the user name"));
    }

    #[test]
    fn ports_are_one_or_a_range() {
        assert_eq!(ports("22"), Ok(22..=22));
        assert_eq!(ports("8000-8999"), Ok(8000..=8999));
        for text in ["", "-", "1-", "9-8", "65536", "a", "1-2-3"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }
}
