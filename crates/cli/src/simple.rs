//! `ropewalk simple`: the services of RFC 862 to 868.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use ropewalk::service::AnyServing;
use ropewalk::small::{chargen, datagrams, daytime, discard, echo, qotd, time, users};

use crate::offer::{self, Beside, House, Offer, Offered, closing, finishing};
use crate::serving::{self, Shared};

/// The quote of each day, where no others are given.
const QUOTE: &str = "Three strands hold what one would not.\n";
/// How large a file of quotes may be, in bytes.
const QUOTES_MAX: u64 = 16 << 20;

/// Serve one of the small services of RFC 862 to 868
#[derive(Args)]
#[command(
    long_about = "Serve one of the small services of RFC 862 to 868, over TCP or UDP.\n\n\
        They are good for trying out a network, a firewall or a client. Each takes at most 100 \
        connections from one address and 10,000 in all, and ends those on which nothing moves for \
        two minutes.\n\n\
        The addresses go to standard output, one a line; everything else to standard error. \
        Ctrl-C stops it.",
    after_long_help = "Examples:\n  \
        ropewalk simple echo\n      \
        says back what it hears, at 127.0.0.1:8007; try it with: nc 127.0.0.1 8007\n  \
        ropewalk simple daytime --listen tcp:13 --listen tcp6:13\n      \
        the time for everyone, where daytime clients ask\n  \
        ropewalk simple qotd --quotes wisdom.txt\n      \
        another quote each day, of a file in which lines of a single % part them\n  \
        ropewalk simple users --user alice --user bob\n      \
        names, one a line\n  \
        ropewalk simple chargen --listen unix:/run/characters.sock\n      \
        characters for ever, on a Unix socket\n  \
        ropewalk simple time --udp 127.0.0.1:8037\n      \
        the time over datagrams; a sender at a port below 1024 gets no answer, for two services would \
        answer each other for ever\n\n\
        Exit status: 0 after Ctrl-C or SIGTERM, 1 if it cannot serve, 2 for wrong usage."
)]
pub(crate) struct Simple {
    /// Where to listen, may be given several times; on 127.0.0.1, 8000 above the service's own port,
    /// if left out
    #[arg(long, value_name = "ENDPOINT")]
    listen: Vec<String>,

    #[command(flatten)]
    options: SimpleOptions,

    #[command(flatten)]
    shared: Shared,
}

/// Which of them, and what it says.
#[derive(Args)]
pub(crate) struct SimpleOptions {
    /// The service
    #[arg(value_enum)]
    name: Name,

    /// For qotd: a file of quotes, parted by lines of a single %
    #[arg(long, value_name = "FILE")]
    quotes: Option<PathBuf>,

    /// For users: somebody who is there; may be given several times
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,

    /// Answer datagrams at this address and port too; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    udp: Vec<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Says back what it hears (RFC 862)
    Echo,
    /// Forgets what it hears (RFC 863)
    Discard,
    /// Says the same characters for ever (RFC 864)
    Chargen,
    /// Says the quote of the day (RFC 865)
    Qotd,
    /// Says who is there (RFC 866)
    Users,
    /// Says the time, for people (RFC 867)
    Daytime,
    /// Says the time, for machines (RFC 868)
    Time,
}

impl Name {
    /// The service's own port.
    fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Users => 11,
            Self::Daytime => 13,
            Self::Qotd => 17,
            Self::Chargen => 19,
            Self::Time => 37,
        }
    }
}

impl Simple {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let options = self.options;
        options.check()?;
        let listen = if self.listen.is_empty() { options.listen() } else { self.listen };
        let places = serving::places(&listen)?;
        serving::serve(&self.shared, "simple", places, options)
    }
}

impl Offered for SimpleOptions {
    const LISTEN: Option<&'static str> = None;

    fn listen(&self) -> Vec<String> {
        // Who asks for datagrams alone gets those alone.
        let is_wanted = self.udp.is_empty();
        let default = || format!("tcp:{}:interface=127.0.0.1", 8000 + self.name.port());
        is_wanted.then(default).into_iter().collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.quotes.iter().cloned().collect()
    }

    fn offer(&self, house: &House) -> Result<Offer, String> {
        self.check()?;
        let quotes: Rc<[String]> = match &self.quotes {
            Some(file) => read_quotes(file)?.into(),
            None => [QUOTE.to_owned()].into(),
        };
        let beside = |place: &SocketAddr| self.answer_datagrams(house, *place, &quotes);
        let beside = self.udp.iter().map(beside).collect();
        Ok(Offer { beside, ..Offer::of(self.serving(&quotes)) })
    }
}

impl SimpleOptions {
    fn check(&self) -> Result<(), String> {
        if self.quotes.is_some() && self.name != Name::Qotd {
            return Err("--quotes is for qotd: leave it out, or serve that".to_owned());
        }
        if self.name == Name::Users && self.user.is_empty() {
            return Err("nobody is there: say who is, with --user NAME".to_owned());
        }
        if self.name != Name::Users && !self.user.is_empty() {
            return Err("--user is for users: leave it out, or serve that".to_owned());
        }
        Ok(())
    }

    /// Answers where that is.
    fn answer_datagrams(&self, house: &House, place: SocketAddr, quotes: &Rc<[String]>) -> Beside {
        match self.name {
            Name::Echo => offer::datagrams(house, place, datagrams::echo),
            Name::Discard => offer::datagrams(house, place, datagrams::discard),
            Name::Chargen => offer::datagrams(house, place, datagrams::chargen),
            Name::Daytime => offer::datagrams(house, place, || datagrams::daytime(now)),
            Name::Time => offer::datagrams(house, place, || datagrams::time(now)),
            Name::Users => {
                let users = self.user.clone();
                offer::datagrams(house, place, move || {
                    let users = users.clone();
                    datagrams::users(move || users.clone())
                })
            }
            Name::Qotd => {
                let quotes = Rc::clone(quotes);
                offer::datagrams(house, place, move || {
                    let quotes = Rc::clone(&quotes);
                    datagrams::qotd(move || of_the_day(&quotes, now()).to_owned())
                })
            }
        }
    }

    fn serving(&self, quotes: &Rc<[String]>) -> AnyServing {
        match self.name {
            Name::Echo => closing(echo::serve()),
            Name::Discard => closing(discard::serve()),
            Name::Chargen => closing(chargen::serve()),
            Name::Daytime => finishing(daytime::serve(now)),
            Name::Time => finishing(time::serve(now)),
            Name::Users => {
                let users = self.user.clone();
                finishing(users::serve(move || users.clone()))
            }
            Name::Qotd => {
                let quotes = Rc::clone(quotes);
                finishing(qotd::serve(move || of_the_day(&quotes, now()).to_owned()))
            }
        }
    }
}

fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "these services tell the time of day")]
    SystemTime::now()
}

/// The quotes in a file.
fn read_quotes(file: &Path) -> Result<Vec<String>, String> {
    let shown = file.display();
    let cannot = |error| format!("cannot read the quotes in {shown}: {error}");
    let size = std::fs::metadata(file).map_err(cannot)?.len();
    if size > QUOTES_MAX {
        return Err(format!("{shown} has {size} bytes, where {QUOTES_MAX} are allowed"));
    }
    let text = std::fs::read(file).map_err(cannot)?;
    let quotes = parted(&String::from_utf8_lossy(&text));
    if quotes.is_empty() { Err(format!("there is no quote in {shown}")) } else { Ok(quotes) }
}

/// The texts between lines of a single `%`.
fn parted(text: &str) -> Vec<String> {
    let mut quotes = vec![String::new()];
    for line in text.lines() {
        match (line.trim_end(), quotes.last_mut()) {
            ("%", _) => quotes.push(String::new()),
            (_, Some(quote)) => {
                quote.push_str(line);
                quote.push('\n');
            }
            (_, None) => (),
        }
    }
    quotes.retain(|quote| !quote.trim().is_empty());
    quotes
}

/// The same quote for a whole day, in UTC, and the next on the next.
fn of_the_day(quotes: &[String], now: SystemTime) -> &str {
    const DAY: u64 = 24 * 60 * 60;
    let day = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY;
    let index = day.checked_rem(quotes.len() as u64).unwrap_or(0) as usize;
    quotes.get(index).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{of_the_day, parted};

    #[test]
    fn quotes_are_parted_by_lines_of_a_percent_sign() {
        assert_eq!(parted("one\ntwo\n%\n%\nthree%\n% \n\n"), ["one\ntwo\n", "three%\n"]);
        assert!(parted("%\n\n%").is_empty());
    }

    #[test]
    fn each_day_has_its_quote() {
        let quotes = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let at = |hours| of_the_day(&quotes, UNIX_EPOCH + Duration::from_hours(hours));
        assert_eq!([at(0), at(23), at(24), at(71), at(72)], ["a", "a", "b", "c", "a"]);
        assert_eq!(of_the_day(&[], UNIX_EPOCH), "");
    }
}
