//! `ropewalk finger`: who is where.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ropewalk::endpoint::{ClientDescription, TcpClient};
use ropewalk::small::finger::{self, Plans, Query};

use crate::offer::{House, Offer, Offered, finishing};
use crate::plugin;
use crate::serving::{self, Shared};

/// Where to listen unless told otherwise: reachable from this machine only, and by anybody's hand.
const LISTEN_DEFAULT: &str = "tcp:8079:interface=127.0.0.1";
/// The port of Finger servers.
const PORT: u16 = 79;

/// Ask a host about its users, or answer such questions
#[derive(Args)]
#[command(
    long_about = "Ask a host about its users by Finger (RFC 1288), or answer such questions.\n\n\
        The answer goes to standard output, without anything in it that could drive a terminal. \
        With --serve it is this program that answers: what the file `alice` in a folder holds is \
        the answer about alice, and who asks for everyone gets each file's name and first line. \
        Files whose names begin with a dot are not told of, and no query is passed on to other \
        hosts.",
    after_long_help = "Examples:\n  \
        ropewalk finger alice@example.org\n      \
        what example.org has to say about alice\n  \
        ropewalk finger -l @example.org\n      \
        who is at example.org, in the long form\n  \
        ropewalk finger alice --at tcp:localhost:8079\n      \
        about alice, at a server on another port than 79\n  \
        ropewalk finger --serve ~/plans\n      \
        the files of a folder, on port 8079 and for this machine only\n  \
        ropewalk finger --serve ~/plans --listen tcp:79 --listen tcp6:79\n      \
        the same for everyone, where finger clients ask\n\n\
        Exit status: 0 after an answer, Ctrl-C or SIGTERM, 1 if there is none or it cannot serve, \
        2 for wrong usage."
)]
pub(crate) struct Finger {
    /// Whom to ask about, and where: USER, USER@HOST or @HOST; everyone on this machine if left out
    #[arg(value_name = "USER@HOST")]
    query: Option<String>,

    /// Ask for the long form
    #[arg(short, long)]
    long: bool,

    /// Where to ask instead of at port 79 of the host: a client endpoint such as tcp:localhost:8079
    #[arg(long, value_name = "ENDPOINT")]
    at: Option<String>,

    /// Answer, with the files in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["query", "long", "at"])]
    serve: Option<PathBuf>,

    /// Where to listen; may be given several times
    #[arg(long, value_name = "ENDPOINT", default_value = LISTEN_DEFAULT, requires = "serve")]
    listen: Vec<String>,

    #[command(flatten)]
    shared: Shared,
}

impl Finger {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        match self.serve {
            Some(path) => {
                let places = serving::places(&self.listen)?;
                serving::check_folder(&path, "--serve")?;
                let options = FingerOptions { path };
                serving::serve(&self.shared, "finger", places, options)
            }
            None => {
                self.shared.daemon.refuse("questions are asked in the foreground")?;
                crate::log::start();
                self.ask()
            }
        }
    }

    fn ask(&self) -> Result<ExitCode, String> {
        let asked = self.query.as_deref().unwrap_or_default();
        let (asked, host) = match (&self.at, asked.rsplit_once('@')) {
            // The last host named is the one that is asked, unless another place is.
            (None, Some((asked, host))) => (asked, host),
            _ => (asked, "localhost"),
        };
        let query = Query::decode(asked.as_bytes())
            .map_err(|bad| format!("{bad}; ask for USER, USER@HOST or @HOST"))?;
        let query = if self.long { query.verbose() } else { query };
        let place = match &self.at {
            Some(place) => {
                plugin::kinds().clients().read(place).map_err(|error| error.to_string())?
            }
            None => TcpClient::new(host, PORT)
                .map(ClientDescription::from)
                .map_err(|fault| format!("cannot ask at \"{host}\": {fault}"))?,
        };
        let reactor = self.shared.reactor()?;
        let answer = finger::ask(&*place.on_with(&reactor, &plugin::kinds()), &query);
        let answer = reactor
            .run_until(answer)
            .map_err(|failure| format!("no answer from {place}: {}", serving::tell(&failure)))?;
        let mut out = io::stdout().lock();
        let end = if answer.is_empty() || answer.ends_with('\n') { "" } else { "\n" };
        let written = write!(out, "{answer}{end}").and_then(|()| out.flush());
        written.map_err(|error| format!("cannot print: {error}"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The files that answer.
#[derive(Args)]
pub(crate) struct FingerOptions {
    /// The folder whose files are the answers
    #[arg(long, value_name = "DIR")]
    path: PathBuf,
}

impl Offered for FingerOptions {
    const LISTEN: Option<&'static str> = Some(LISTEN_DEFAULT);

    fn offer(&self, house: &House) -> Result<Offer, String> {
        serving::check_folder(&self.path, "--path")?;
        let plans = Plans::new(&self.path, house.reactor.clone());
        Ok(Offer::of(finishing(finger::serve(plans))))
    }
}
