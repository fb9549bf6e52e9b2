//! What the verbs that serve have in common.

use std::cell::RefCell;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use ropewalk::Failure;
use ropewalk::deferred::{Rest, gather};
use ropewalk::endpoint::ServerDescription;
use ropewalk::protocol::{Port, SeatFactory, call_later};
use ropewalk::reactor::{CannotListen, DriverKind, Exit, Reactor};

use crate::application::Planned;
use crate::daemon::Daemon;
use crate::inside::Open;
use crate::offer::Offered;
use crate::program::{Extras, Plan};
use crate::sandbox::Sandbox;
use crate::{plugin, program};

/// Options that every verb which serves has.
#[derive(Args)]
pub(crate) struct Shared {
    /// The event loop's driver, one that `ropewalk reactors` lists
    #[arg(long, value_name = "NAME")]
    pub(crate) reactor: Option<String>,

    #[command(flatten)]
    pub(crate) daemon: Daemon,
}

impl Shared {
    /// A reactor on the driver that is named, here or in the environment.
    pub(crate) fn reactor(&self) -> Result<Reactor, String> {
        reactor(self.reactor.as_deref())
    }
}

/// The places that these strings name.
pub(crate) fn places(listen: &[String]) -> Result<Vec<ServerDescription>, String> {
    let schemes = plugin::kinds().servers();
    let place = |string: &String| schemes.read(string).map_err(|error| error.to_string());
    listen.iter().map(place).collect()
}

/// A reactor on the driver that is named, by the command line or the environment.
pub(crate) fn reactor(named: Option<&str>) -> Result<Reactor, String> {
    on_driver(driver(named)?)
}

/// The driver that is named, by the command line or the environment.
pub(crate) fn driver(named: Option<&str>) -> Result<DriverKind, String> {
    let named = match named {
        Some(name) => name.parse().map(Some),
        None => DriverKind::from_environment(),
    };
    Ok(named.map_err(|error| error.to_string())?.unwrap_or_default())
}

/// A reactor on this driver.
pub(crate) fn on_driver(driver: DriverKind) -> Result<Reactor, String> {
    Reactor::with_driver(driver).map_err(|error| tell(&error.into()))
}

/// Listens at a place with what `factory` makes.
pub(crate) fn listen_at(
    reactor: &Reactor,
    place: &ServerDescription,
    factory: Box<dyn SeatFactory>,
) -> Result<Box<dyn Port>, String> {
    let listening = place.on_with(reactor, &plugin::kinds()).listen_seats(factory);
    reactor.run_until(listening).map_err(|failure| not_listening(place, &failure))
}

/// Why nobody listens there, with the next step where one is known.
pub(crate) fn not_listening(place: &ServerDescription, failure: &Failure) -> String {
    let complaint = match failure.check::<CannotListen>() {
        // It names the address itself.
        Some(_) => tell(failure),
        None => format!("no server at endpoint \"{place}\": {}", tell(failure)),
    };
    advise(failure).map_or_else(|| complaint.clone(), |advice| format!("{complaint}; {advice}"))
}

/// Serves as one service made of these options, says where, and returns when it is told to stop.
pub(crate) fn serve<T: Offered + 'static>(
    shared: &Shared,
    name: &str,
    places: Vec<ServerDescription>,
    options: T,
) -> Result<ExitCode, String> {
    serve_with(shared, name, places, options, Extras::default())
}

/// The same, and what few are asked for.
pub(crate) fn serve_with<T: Offered + 'static>(
    shared: &Shared,
    name: &str,
    places: Vec<ServerDescription>,
    options: T,
    extras: Extras,
) -> Result<ExitCode, String> {
    let (options, name) = (Rc::new(options), name.to_owned());
    let held = Rc::new(RefCell::new(None::<String>));
    let plan = move || {
        let stamp = stamp(&options.files());
        let was = held.borrow().clone();
        let changes = match was {
            Some(was) if was != stamp => vec![format!("the files of {name} have changed")],
            _ => Vec::new(),
        };
        let (making, accepted, held) = (Rc::clone(&options), stamp.clone(), Rc::clone(&held));
        let planned = Planned {
            name: name.clone(),
            places: places.clone(),
            meaning: stamp,
            make: Rc::new(move |house| making.offer(house)),
            blame: Rc::new(str::to_owned),
        };
        let accept = Rc::new(move || drop(held.replace(Some(accepted.clone()))));
        Ok(Plan { changes, accept, ..Plan::of(vec![planned]) })
    };
    program::serve(shared.reactor.as_deref(), &shared.daemon, Rc::new(plan), extras)
}

/// What files hold, in so many words that another content has others.
pub(crate) fn stamp(files: &[PathBuf]) -> String {
    let one = |file: &PathBuf| {
        let mut hasher = DefaultHasher::new();
        // What cannot be read is told by whoever wants to.
        std::fs::read(file).ok().hash(&mut hasher);
        format!("{} {:016x}", file.display(), hasher.finish())
    };
    files.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Says that passwords can be read on their way.
pub(crate) fn warn_of_passwords(shown: &str) {
    tracing::warn!("passwords go to {shown} in the clear; let it be tls: for others");
}

/// Runs until it is told to stop. `announce` is called once signals are heard: whoever reads what it
/// prints may stop the program by one at once. Before that the sandbox is closed, if there is one. What is `open` ends
/// with it.
pub(crate) fn run(
    reactor: &Reactor,
    open: Open,
    sandbox: Option<Sandbox>,
    announce: impl FnOnce() -> io::Result<()> + 'static,
) -> Result<ExitCode, String> {
    sandbox.map_or(Ok(()), Sandbox::close)?;
    let said = open.said.clone();
    let open = Rc::new(open);
    let leaving = Rc::clone(&open);
    reactor.before_stop(move || leaving.leave());
    let announce = move || {
        announce()?;
        said.iter().try_for_each(print_line)
    };
    let unheard = Rc::new(RefCell::new(None));
    let (complaint, stopped) = (Rc::clone(&unheard), reactor.clone());
    call_later(reactor, Duration::ZERO, move || {
        if let Err(error) = announce() {
            complaint.replace(Some(format!("cannot print: {error}")));
            stopped.stop();
        }
    });
    let (Exit::Stopped | Exit::Signal(_)) = reactor.run().map_err(|error| tell(&error.into()))?;
    unheard.take().map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Stops the reactor when nobody can come any more: when all these are places of one connection, and
/// those are over.
pub(crate) fn stop_when_over(reactor: &Reactor, ports: &[Box<dyn Port>]) {
    let Some(all) = ports.iter().map(|port| port.over()).collect::<Option<Vec<_>>>() else {
        return;
    };
    if all.is_empty() {
        // What is served is served elsewhere, as over datagrams.
        return;
    }
    let reactor = reactor.clone();
    gather(all, Rest::Leave).on_result(move |over| {
        if let Err(failure) = over {
            tracing::error!("{}", tell(&failure));
        }
        reactor.stop();
    });
}

/// Says what is wrong with a directory that cannot be served; `option` names it.
pub(crate) fn check_folder(path: &Path, option: &str) -> Result<(), String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => {
            Err(format!("{shown} is not a directory; give the one that holds it with {option}"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("there is no directory {shown}; make it, or name another with {option}"))
        }
        Err(error) => Err(format!("cannot read the directory {shown}: {error}")),
    }
}

/// Prints a line and has it seen at once.
pub(crate) fn print_line(line: &impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// A failure and its causes in one line.
pub(crate) fn tell(failure: &Failure) -> String {
    let words: Vec<String> = failure.chain().map(ToString::to_string).collect();
    words.join(": ")
}

/// The next step, where one is known.
fn advise(failure: &Failure) -> Option<String> {
    let refused = failure.check::<CannotListen>()?;
    let port = refused.address.ip().map(|address| address.port());
    Some(match (refused.error.kind(), port) {
        (io::ErrorKind::AddrInUse, Some(port)) => {
            let other = if port == 8080 { 8081 } else { 8080 };
            format!(
                "something else listens there: stop it, or choose another port, as in \
                 --listen tcp:{other}:interface=127.0.0.1"
            )
        }
        (io::ErrorKind::AddrInUse, None) => {
            "something else listens there: stop it, or choose another path".to_owned()
        }
        (io::ErrorKind::PermissionDenied, Some(1..=1023)) => {
            "ports below 1024 want privilege: choose one above, as in --listen tcp:8080".to_owned()
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            "this machine has no such address: leave interface= out to listen on all it has"
                .to_owned()
        }
        // The reactor knows the rest; only what the program's own options can do is said here.
        _ => refused.advice()?.to_owned(),
    })
}
