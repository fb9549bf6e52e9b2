//! `ropewalk web`: a directory over HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ropewalk::http::files::{Folder, Links};
use ropewalk::http::{Directory, Site};
use ropewalk::protocol::{Address, call_later};
use ropewalk::reactor::Exit;

use crate::log::AccessLog;
use crate::serving;

/// Where to listen unless told otherwise: reachable from this machine only.
const LISTEN_DEFAULT: &str = "tcp:8080:interface=127.0.0.1";
/// How long requests in progress may take to finish once the program is asked to stop.
const GOODBYE: Duration = Duration::from_secs(10);

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
        at https://127.0.0.1:8443/, for development; its fingerprint is printed\n  \
        systemd-socket-activate -l 8080 ropewalk web --listen systemd:0\n      \
        on a socket that the service manager has made\n  \
        ropewalk web --log json 2>>access.log\n      \
        a log for machines\n\n\
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
        haproxy[:trust=NETWORKS]:ENDPOINT                any of these, behind a proxy that says who \
        its client is\n\n\
        Exit status: 0 after Ctrl-C or SIGTERM, 1 if it cannot serve, 2 for wrong usage."
)]
pub(crate) struct Web {
    /// Where to listen; may be given several times
    #[arg(long, value_name = "ENDPOINT", default_value = LISTEN_DEFAULT)]
    listen: Vec<String>,

    /// The directory to serve
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: PathBuf,

    /// How to log each request, on standard error
    #[arg(long, value_enum, default_value = "common", value_name = "FORMAT")]
    log: LogFormat,

    /// Serve and list names that begin with a dot, too
    #[arg(long)]
    hidden: bool,

    /// The event loop's driver, one that `ropewalk reactors` lists
    #[arg(long, value_name = "NAME")]
    reactor: Option<String>,

    /// Which symbolic links to follow
    #[arg(long, value_enum, default_value = "inside", value_name = "WHICH")]
    links: LinksArg,
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

#[derive(Clone, Copy, ValueEnum)]
enum LinksArg {
    /// Those that stay inside the directory
    Inside,
    /// All, wherever they lead
    All,
    /// None
    None,
}

impl Web {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        crate::log::start();
        let places = serving::places(&self.listen)?.into_iter();
        let places: Vec<_> = places.map(|place| place.speaking(&["http/1.1"])).collect();
        let folder = self.folder()?;
        let reactor = serving::reactor(self.reactor.as_deref())?;
        let mut site = Site::new(Directory::new(folder, reactor.clone()));
        site = match self.log {
            LogFormat::Common => site.on_access(AccessLog::combined().into_sink()),
            LogFormat::Json => site.on_access(AccessLog::json().into_sink()),
            LogFormat::Off => site,
        };
        let mut ports = Vec::new();
        for place in &places {
            ports.push(serving::listen_at(&reactor, place, Box::new(site.clone()))?);
        }
        for (place, port) in places.iter().zip(&ports) {
            announce(&port.address(), place.is_encrypted())
                .map_err(|error| format!("cannot print: {error}"))?;
        }
        serving::stop_when_over(&reactor, &ports);
        let goodbye = reactor.clone();
        reactor.before_stop(move || {
            for port in ports {
                // The place is given up at once; there is nothing to wait for.
                port.stop_listening().detach();
            }
            let hurried = site.clone();
            call_later(&goodbye, GOODBYE, move || {
                let cut = hurried.abort_all();
                if cut > 0 {
                    tracing::warn!("{cut} connections were cut: their requests took too long");
                }
            });
            site.drain()
        });
        match reactor.run().map_err(|error| serving::tell(&error.into()))? {
            Exit::Stopped | Exit::Signal(_) => Ok(ExitCode::SUCCESS),
        }
    }

    fn folder(&self) -> Result<Folder, String> {
        serving::check_folder(&self.path, "--path")?;
        let shown = self.path.display();
        let folder = Folder::new(&self.path)
            .map_err(|error| format!("cannot read the directory {shown}: {error}"))?;
        let title = std::fs::canonicalize(&self.path)
            .ok()
            .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        Ok(folder.title(title.unwrap_or_else(|| "Files".to_owned())).hidden(self.hidden).links(
            match self.links {
                LinksArg::Inside => Links::Inside,
                LinksArg::All => Links::All,
                LinksArg::None => Links::None,
            },
        ))
    }
}

/// Prints where it listens, as a URL that a terminal makes clickable.
fn announce(address: &Address, is_encrypted: bool) -> io::Result<()> {
    let Address::Ip(address) = address else { return serving::print_line(address) };
    let host = match address.ip() {
        // Everywhere is nowhere to click at: the name for here is.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => "127.0.0.1".to_owned(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let scheme = if is_encrypted { "https" } else { "http" };
    serving::print_line(&format_args!("{scheme}://{host}:{}/", address.port()))
}
