//! `ropewalk portforward`: one place for another.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ropewalk::endpoint::ClientDescription;
use ropewalk::forward::{Forward, RelayOptions};
use ropewalk::framing::policy::Limits;
use ropewalk::proxy::{Version, announce};

use crate::offer::{House, Offer, Offered, finishing};
use crate::plugin;
use crate::serving::{self, Shared};

/// Pass on what comes in at one place to another
#[derive(Args)]
#[command(
    long_about = "Pass on what comes in at one place to another, whatever kind of place each is.\n\n\
        Each connection gets one of its own to the other place, and all bytes go through, both ways, \
        only as fast as they are taken. An end of stream in one direction leaves the other open. \
        Where the other place cannot be reached, the connection is reset.\n\n\
        The addresses go to standard output, one a line; everything else to standard error. \
        ROPEWALK_LOG=info shows what could not be passed on, debug also what was. Ctrl-C stops it.",
    after_long_help = "Examples:\n  \
        ropewalk portforward --listen tcp:8080 --to tcp:web.example.org:80\n      \
        another machine's port 80, for everyone who can reach port 8080 here\n  \
        ropewalk portforward --listen tcp:2222:interface=127.0.0.1 --to unix:/run/app.sock\n      \
        a Unix socket as a port for this machine\n  \
        ropewalk portforward --listen tcp:8080 --listen tcp6:8080 --to tcp:10.0.0.7:80 --header v2\n      \
        telling the other side who its client is (PROXY protocol)\n  \
        ropewalk portforward --listen haproxy:trust=10.0.0.0/8:tcp:8080 --to tcp:10.0.0.7:80 --header v1\n      \
        being told so, and passing it on\n  \
        ropewalk portforward --listen tcp:5432:interface=127.0.0.1 \\\n                       \
        --to socks5:db.example.org:5432:tcp:proxy.example.org:1080\n      \
        through a proxy, for programs that know none\n\n\
        Exit status: 0 after Ctrl-C or SIGTERM, 1 if it cannot serve, 2 for wrong usage."
)]
pub(crate) struct Portforward {
    /// Where to listen; may be given several times
    #[arg(long, value_name = "ENDPOINT", required = true)]
    listen: Vec<String>,

    #[command(flatten)]
    options: PortforwardOptions,

    #[command(flatten)]
    shared: Shared,
}

/// Where it leads, and how.
#[derive(Args)]
pub(crate) struct PortforwardOptions {
    /// Where to connect to for each connection
    #[arg(long, value_name = "ENDPOINT")]
    to: String,

    /// Begin each connection with a header that says who the client is
    #[arg(long, value_enum, default_value = "none", value_name = "VERSION")]
    header: Header,

    /// How many connections there may be at a time
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    clients: usize,

    /// End connections on which nothing has moved for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    idle: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Header {
    /// No header
    None,
    /// A line of text (PROXY protocol, version 1)
    V1,
    /// Bytes (PROXY protocol, version 2)
    V2,
}

impl Header {
    fn version(self) -> Option<Version> {
        match self {
            Self::None => None,
            Self::V1 => Some(Version::V1),
            Self::V2 => Some(Version::V2),
        }
    }
}

impl Portforward {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let places = serving::places(&self.listen)?;
        let options = self.options;
        options.far()?;
        serving::serve(&self.shared, "portforward", places, options)
    }
}

impl PortforwardOptions {
    fn far(&self) -> Result<ClientDescription, String> {
        plugin::kinds().clients().read(&self.to).map_err(|error| error.to_string())
    }
}

impl Offered for PortforwardOptions {
    const LISTEN: Option<&'static str> = None;

    fn offer(&self, house: &House) -> Result<Offer, String> {
        let far = self.far()?.on_with(&house.reactor, &plugin::kinds());
        let idle = Some(Duration::from_secs(self.idle));
        let limits = Limits { total: Some(self.clients), per_peer: None, ..Limits::default() };
        let forward = Forward::to(far)
            .options(RelayOptions { idle, ..RelayOptions::default() })
            .limits(limits);
        let forward = match self.header.version() {
            Some(version) => {
                forward.dressed(move |peer, local, seat| announce(peer, local, version, seat))
            }
            None => forward,
        };
        Ok(Offer::of(finishing(forward)))
    }
}
