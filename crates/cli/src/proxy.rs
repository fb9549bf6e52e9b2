//! `ropewalk proxy`: a forward HTTP proxy.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ropewalk::auth::{FailureDelay, InMemory, Portal, UsernamePassword, Users};
use ropewalk::endpoint::ReactorOutlet;
use ropewalk::forward::RelayOptions;
use ropewalk::http::auth::Guard;
use ropewalk::http::proxy::ForwardProxy;
use ropewalk::http::{Limits, Resource, Site};
use ropewalk::service::AnyServing;
use ropewalk::socks::Login;

use crate::offer::{House, Offer, Offered};
use crate::serving::{self, Shared};
use crate::socks::{Rules, ports, read_users};

/// Where to listen unless told otherwise: reachable from this machine only.
const LISTEN_DEFAULT: &str = "tcp:3128:interface=127.0.0.1";

/// Take clients elsewhere as an HTTP proxy
#[derive(Args)]
#[command(
    long_about = "Take clients elsewhere as an HTTP proxy: requests with a whole http: URI, and tunnels \
        (CONNECT), in which what is encrypted stays so.\n\n\
        Clients are taken to the public Internet alone, and not to this machine or to private \
        networks, unless that is allowed. What counts is the address that is dialled: a name that \
        leads inside is refused as well. Tunnels lead to port 443 alone.\n\n\
        The addresses go to standard output, one a line; everything else to standard error. \
        ROPEWALK_LOG=info shows who was refused, and where tunnels lead. Ctrl-C stops it.",
    after_long_help = "Examples:\n  \
        ropewalk proxy\n      \
        for this machine, at 127.0.0.1:3128; try it with:\n      \
        curl --proxy 127.0.0.1:3128 https://example.org/\n  \
        ropewalk proxy --listen tcp:3128 --users users.txt\n      \
        for everyone who has a password; the file has a line NAME:PASSWORD for each\n  \
        ropewalk proxy --allow 10.1.0.0/16 --tunnel-port 443 --tunnel-port 8443\n      \
        to a private network too, and with tunnels to two ports\n\n\
        Exit status: 0 after Ctrl-C or SIGTERM, 1 if it cannot serve, 2 for wrong usage."
)]
pub(crate) struct Proxy {
    /// Where to listen; may be given several times
    #[arg(long, value_name = "ENDPOINT", default_value = LISTEN_DEFAULT)]
    listen: Vec<String>,

    #[command(flatten)]
    options: ProxyOptions,

    #[command(flatten)]
    shared: Shared,
}

/// Whom it serves, and where it takes them.
#[derive(Args)]
pub(crate) struct ProxyOptions {
    #[command(flatten)]
    rules: Rules,

    /// Lead tunnels to this port or range of ports; may be given several times
    #[arg(long, value_name = "PORT[-PORT]", value_parser = ports, default_value = "443")]
    tunnel_port: Vec<RangeInclusive<u16>>,

    /// Serve those alone who are in this file, with a line NAME:PASSWORD each
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,

    /// End tunnels in which nothing has moved for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    idle: u64,
}

impl Proxy {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let places = serving::places(&self.listen)?;
        let options = self.options;
        serving::serve(&self.shared, "proxy", places, options)
    }
}

impl Offered for ProxyOptions {
    const LISTEN: Option<&'static str> = Some(LISTEN_DEFAULT);

    fn files(&self) -> Vec<PathBuf> {
        self.users.iter().cloned().collect()
    }

    fn offer(&self, house: &House) -> Result<Offer, String> {
        let users = self.users.as_deref().map(read_users).transpose()?;
        let reactor = &house.reactor;
        let relay =
            RelayOptions { idle: Some(Duration::from_secs(self.idle)), ..RelayOptions::default() };
        let outlet = ReactorOutlet::new(reactor);
        let proxy = ForwardProxy::new(outlet, reactor.clone(), self.rules.destinations())
            .tunnel_ports(self.tunnel_port.clone())
            .relay(relay);
        let proxy: Box<dyn Resource> = match users {
            Some(users) => {
                let users = users.iter().try_fold(InMemory::new(), known)?;
                let portal = Portal::new(Users).checker::<UsernamePassword>(users);
                let guard = Guard::new(portal).basic("proxy").proxy();
                Box::new(guard.delay(FailureDelay::new(reactor.clone())).around(proxy))
            }
            None => Box::new(proxy),
        };
        // It is the origin's to say how much it takes.
        let limits = Limits { body_max: None, ..Limits::default() };
        Ok(Offer::of(AnyServing::new(Site::new(proxy).limits(limits))))
    }
}

/// Those whom a portal knows, and this one.
fn known(users: InMemory, login: &Login) -> Result<InMemory, String> {
    let user = String::from_utf8_lossy(login.user());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned());
    match (text(login.user()), text(login.password())) {
        (Ok(user), Ok(password)) => Ok(users.with(user, password)),
        _ => Err(format!("the name or the password of {user} is no text in UTF-8")),
    }
}
