//! `ropewalk web`: a directory over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{Args, ValueEnum};
use ropewalk::deferred::{Rest, gather};
use ropewalk::endpoint::ServerDescription;
use ropewalk::http::{Site, Uri};
use ropewalk::protocol::{Address, call_later};
use ropewalk::reactor::Reactor;
use ropewalk::service::AnyServing;

use crate::inside;
use crate::log::AccessLog;
use crate::offer::{House, Offer, Offered};
use crate::program::Extras;
use crate::sandbox::Needs;
use crate::serving::{self, Shared};
use crate::several::{Announce, Several};
use crate::site::SiteOptions;

/// Where to listen unless told otherwise: reachable from this machine only.
const LISTEN_DEFAULT: &str = "tcp:8080:interface=127.0.0.1";
/// What opens a browser on this system, unless `BROWSER` names one.
const OPENER: &str = if cfg!(target_os = "macos") {
    "open"
} else if cfg!(windows) {
    "explorer"
} else {
    "xdg-open"
};

/// Serve a directory over HTTP
#[derive(Args)]
#[command(
    long_about = "Serve a directory over HTTP.\n\n\
        Files are sent with their types, validators and ranges; directories are shown as their \
        index.html, or else as a listing. Names that begin with a dot are neither served nor \
        listed, save .well-known. Symbolic links are followed while they stay inside the \
        directory.\n\n\
        The addresses go to standard output, one a line; the access log and everything else to \
        standard error. Ctrl-C stops it: requests in progress get ten seconds to finish.",
    after_long_help = "Examples:\n  \
        ropewalk web\n      \
        the current directory at http://127.0.0.1:8080/, for this machine only\n  \
        ropewalk web --path ~/Photos --listen tcp:8000\n      \
        another directory, for everyone who can reach port 8000\n  \
        ropewalk web --listen tcp:0:interface=127.0.0.1\n      \
        on a port that is free; the line printed says which\n  \
        ropewalk web --listen tcp:8080 --listen 'tcp6:8080' --listen unix:/run/web.sock:mode=660\n      \
        in several places at once\n  \
        ropewalk web --listen tls:8443:self-signed\n      \
        at https://127.0.0.1:8443/, for development; its fingerprint is printed. Who can speaks HTTP/2\n  \
        systemd-socket-activate -l 8080 ropewalk web --listen systemd:0\n      \
        on a socket that the service manager has made\n  \
        ropewalk web --vhost example.com=site --vhost '*.example.com=others'\n      \
        other directories under other names\n  \
        ropewalk web --proxy /api=http://127.0.0.1:3000 --proxy /api=http://127.0.0.1:3001\n      \
        files, and below /api what two other servers answer by turns, WebSockets too\n  \
        ropewalk web --proxy /=unix:/run/app.sock --listen tls:443:certs=certs\n      \
        HTTPS in front of a server that speaks none\n  \
        ropewalk web --cgi /cgi-bin=programs --cgi '*.cgi'\n      \
        programs of a folder, and those in the served directory whose names end so, answer by CGI\n  \
        ropewalk web --cgi /git=/usr/lib/git-core/git-http-backend --cgi-env GIT_PROJECT_ROOT=/srv/git\n      \
        repositories, to be cloned from http://127.0.0.1:8080/git/NAME\n  \
        ropewalk web --spa --error-page 500=oops.html --cors https://app.example\n      \
        a program that runs in the browser, a page for our own failures, readers from elsewhere\n  \
        ropewalk web --gzip --header 'Cache-Control: max-age=600'\n      \
        compressed for those who take it, and kept by them for ten minutes\n  \
        ropewalk web --upload --path inbox\n      \
        takes files in: curl -T photo.jpg http://127.0.0.1:8080/ puts one there. After a break,\n      \
        curl -I tells in Upload-Offset how much has come, and curl -C THAT -T photo.jpg sends the\n      \
        rest. What is there already stays, unless --overwrite is said\n  \
        ropewalk web --listen tls:8443:self-signed --auth htpasswd:users:realm=Photos\n      \
        for the users of a file alone, which is followed; htpasswd -cB users alice makes one\n  \
        ropewalk web --log json 2>>access.log\n      \
        a log for machines\n  \
        ropewalk web --workers auto --listen tcp:8000\n      \
        on all cores, a thread for each\n  \
        ropewalk web --sandbox --path Photos\n      \
        in a sandbox, out of which a fault of the program's own reaches nothing but those photos\n\n\
        Endpoints:\n  \
        tcp:PORT[:interface=ADDRESS][:backlog=NUMBER]    IPv4\n  \
        tcp6:PORT[:interface=[ADDRESS]][:dual=yes]       IPv6, and IPv4 as well if dual\n  \
        unix:PATH[:mode=OCTAL]                           a Unix socket\n  \
        abstract:NAME                                    a Unix socket without a file\n  \
        systemd:INDEX or systemd:name=NAME               a socket that systemd hands over\n  \
        fd:NUMBER                                        a descriptor that the program is started with\n  \
        stdio                                            one connection, on standard input and output\n  \
        tls:PORT:self-signed                             HTTPS, as nobody in particular\n  \
        tls:PORT:cert=FILE[:key=FILE]                    HTTPS; the files are followed\n  \
        tls:PORT:certs=DIR                               HTTPS under all names in a folder\n  \
        websocket[:path=PATH]:ENDPOINT                   any of these, inside of WebSockets\n  \
        haproxy[:trust=NETWORKS]:ENDPOINT                any of these, behind a proxy that says who \
        its client is\n\n\
        Exit status: 0 after Ctrl-C or SIGTERM, 1 if it cannot serve, 2 for wrong usage."
)]
pub(crate) struct Web {
    /// Where to listen; may be given several times
    #[arg(long, value_name = "ENDPOINT", default_value = LISTEN_DEFAULT)]
    listen: Vec<String>,

    #[command(flatten)]
    options: WebOptions,

    #[command(flatten)]
    several: Several,

    #[command(flatten)]
    shared: Shared,

    /// Open the first address in your browser
    #[arg(long)]
    open: bool,

    #[arg(
        long,
        help = "Serve in a sandbox: out of reach are all files but those that are served or followed, all \
                programs, and, without --proxy, all other servers. Only on Linux; the log says what holds"
    )]
    sandbox: bool,
}

/// What is served, and what is said of it.
#[derive(Args)]
pub(crate) struct WebOptions {
    #[command(flatten)]
    site: SiteOptions,

    /// How to log each request, on standard error
    #[arg(long, value_enum, default_value = "common", value_name = "FORMAT")]
    log: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// A line a request, in the combined log format
    Common,
    /// An object a line
    Json,
    /// Nothing
    Off,
}

impl Web {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let places = serving::places(&self.listen)?;
        let sandbox = self.sandbox.then(|| self.needs(&places)).transpose()?;
        let options = self.options;
        if self.several.is_one() {
            let show = self.open.then_some(browse as fn(&Reactor, String));
            let extras = Extras { show, sandbox };
            return serving::serve_with(&self.shared, "web", places, options, extras);
        }
        let patience = self.shared.daemon.patience();
        let open = self.open;
        let serve = |reactor: &Reactor| options.serve(reactor, &places, patience, open);
        self.several.run(&self.shared, &places, sandbox.as_ref(), serve)
    }

    /// What it needs in a sandbox.
    fn needs(&self, places: &[ServerDescription]) -> Result<Needs, String> {
        if self.open {
            return Err(
                "--sandbox: in a sandbox no browser is started: leave --open out".to_owned()
            );
        }
        let mut needs = Needs::default();
        self.options.site.tell_needs(&mut needs)?;
        for place in places {
            needs.serve_at(place);
        }
        self.shared.daemon.tell_needs(&mut needs);
        inside::tell_needs(&mut needs)?;
        Ok(needs)
    }
}

impl Offered for WebOptions {
    const LISTEN: Option<&'static str> = Some(LISTEN_DEFAULT);

    fn files(&self) -> Vec<PathBuf> {
        self.site.files()
    }

    fn offer(&self, house: &House) -> Result<Offer, String> {
        let site = self.site(&house.reactor)?;
        Ok(Offer {
            shown,
            has_passwords: self.site.has_logins(),
            ..Offer::of(AnyServing::new(site))
        })
    }
}

impl WebOptions {
    fn site(&self, reactor: &Reactor) -> Result<Site, String> {
        let has_logins = self.site.has_logins();
        let resource = inside::mount(self.site.resource(reactor)?, reactor);
        let requests = inside::add(reactor);
        let log = match self.log {
            LogFormat::Common => Some(AccessLog::combined()),
            LogFormat::Json => Some(AccessLog::json()),
            LogFormat::Off => None,
        };
        let log = log.map(|log| log.with_users(has_logins).into_sink());
        Ok(self.site.furnish(Site::new(resource)).on_access(move |access| {
            if !inside::is_own(access.uri.as_ref().map(Uri::path)) {
                requests.record(access.status.as_u16(), access.took);
            }
            if let Some(log) = &log {
                log(access);
            }
        }))
    }

    /// Serves on this reactor, one of several, until it stops; what is to be done once signals are heard.
    fn serve(
        &self,
        reactor: &Reactor,
        places: &[ServerDescription],
        patience: Duration,
        open: bool,
    ) -> Result<Announce, String> {
        let has_logins = self.site.has_logins();
        let site = self.site(reactor)?;
        let mut ports = Vec::new();
        for place in places {
            ports.push(serving::listen_at(reactor, place, Box::new(site.clone()))?);
        }
        let shown: Vec<_> = places
            .iter()
            .zip(&ports)
            .map(|(place, port)| shown(&port.address(), place.is_encrypted()))
            .collect();
        let overheard: Vec<_> = places
            .iter()
            .zip(&ports)
            .zip(&shown)
            .filter(|((place, port), _)| is_overheard(&port.address(), place.is_encrypted()))
            .map(|(_, shown)| shown.clone())
            .filter(|_| has_logins)
            .collect();
        serving::stop_when_over(reactor, &ports);
        let goodbye = reactor.clone();
        reactor.before_stop(move || {
            let places: Vec<_> = ports.iter().map(|port| port.stop_listening()).collect();
            let hurried = site.clone();
            call_later(&goodbye, patience, move || {
                let cut = hurried.abort_all();
                if cut > 0 {
                    tracing::warn!("{cut} connections were cut: their requests took too long");
                }
            });
            // Who waited to be accepted has been by then.
            gather(places, Rest::Leave).add_both(move |_| site.drain())
        });
        let opener = reactor.clone();
        Ok(Box::new(move || {
            for shown in overheard {
                serving::warn_of_passwords(&shown);
            }
            shown.iter().try_for_each(serving::print_line)?;
            if let Some(first) = shown.into_iter().next().filter(|_| open) {
                browse(&opener, first);
            }
            Ok(())
        }))
    }
}

/// Whether others on the network can read what is sent there.
fn is_overheard(address: &Address, is_encrypted: bool) -> bool {
    !is_encrypted && address.ip().is_some_and(|address| !address.ip().is_loopback())
}

/// Where it listens, as a URL that a terminal makes clickable.
pub(crate) fn shown(address: &Address, is_encrypted: bool) -> String {
    let Address::Ip(address) = address else { return address.to_string() };
    let host = match address.ip() {
        // Everywhere is nowhere to click at: the name for here is.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => "127.0.0.1".to_owned(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let scheme = if is_encrypted { "https" } else { "http" };
    format!("{scheme}://{host}:{}/", address.port())
}

/// Shows `url` in the browser that the person or the system has chosen.
fn browse(reactor: &Reactor, url: String) {
    let chosen = std::env::var_os("BROWSER").filter(|chosen| !chosen.is_empty());
    let program = chosen.unwrap_or_else(|| OPENER.into());
    let shown = program.to_string_lossy().into_owned();
    let opened = reactor.defer_to_thread(move || {
        Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).status()
    });
    let _ = opened.on_result(move |opened| match opened {
        Ok(status) if status.success() => (),
        Ok(status) => tracing::warn!("{shown} could not open the browser: {status}"),
        Err(failure) => {
            tracing::warn!("no browser was opened with {shown}: {}", serving::tell(&failure));
        }
    });
}
