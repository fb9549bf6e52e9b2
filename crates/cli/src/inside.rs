//! What every verb that serves lets people see of it: metrics, a status page, a socket for operators.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use ropewalk::deferred::{Deferred, Rest, gather};
use ropewalk::endpoint::{Kinds, ServerDescription};
use ropewalk::http::{IntoReply, Request, Resource, Site, Tree};
use ropewalk::metrics::{Loops, Requests, StatusPage, prometheus};
use ropewalk::reactor::{Observer, Reactor};
use ropewalk::service::{Service as _, StreamServer};
use ropewalk_control::logs::{Levels, Spans};
#[cfg(unix)]
use ropewalk_control::{Control, Places, Subject};
use rustix::process::{Signal, getpid, kill_process};

use crate::application::At;
use crate::sandbox::Needs;
use crate::several::Announce;
use crate::{plugin, serving};

/// How long who looks on gets when the program stops: pages that go on for ever are looked at elsewhere then.
const MOMENT: Duration = Duration::from_secs(5);

/// Options of all that serves.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Seeing inside")]
pub(crate) struct Inside {
    /// The socket by which `ropewalk status`, `top` and the like reach the program, or off; unless told
    /// otherwise it is in a folder of yours where they find it
    #[arg(long, global = true, value_name = "PATH|off")]
    pub(crate) control: Option<PathBuf>,

    /// Answer Prometheus at this endpoint, or at this path of what `web` serves
    #[arg(long, global = true, value_name = "PATH|ENDPOINT")]
    metrics: Option<String>,

    /// Show a page with live charts at this endpoint, or at this path of what `web` serves
    #[arg(long, global = true, value_name = "PATH|ENDPOINT")]
    status: Option<String>,

    /// How to say what happens, on standard error
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// For whom lines are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line an event, for people
    #[default]
    Text,
    /// An object an event, for machines
    Json,
}

/// What this process shows of itself.
struct Shown {
    options: Inside,
    verb: String,
    loops: Loops,
    requests: Mutex<Vec<(Observer, Requests)>>,
    logs: Mutex<Option<(Levels, Spans)>>,
}

static SHOWN: OnceLock<Shown> = OnceLock::new();

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shown() -> &'static Shown {
    SHOWN.get_or_init(|| Shown::new(Inside::default(), "ropewalk"))
}

impl Shown {
    fn new(options: Inside, verb: &str) -> Self {
        Self {
            options,
            verb: verb.to_owned(),
            loops: Loops::new(),
            requests: Mutex::default(),
            logs: Mutex::default(),
        }
    }
}

/// Says what was asked for on the command line, before anything runs.
pub(crate) fn begin(options: &Inside, verb: &str) {
    let _ = SHOWN.set(Shown::new(options.clone(), verb));
}

/// How events are to be told.
pub(crate) fn log_format() -> LogFormat {
    shown().options.log_format
}

/// What changes the levels of logs, for operators.
pub(crate) fn set_logs(levels: Levels, spans: Spans) {
    *lock(&shown().logs) = Some((levels, spans));
}

/// Counts a line of the log that could not be written.
pub(crate) fn count_lost_line() {
    shown().loops.count_lost_line();
}

/// Shows this loop from now on; what comes back counts its requests.
pub(crate) fn add(reactor: &Reactor) -> Requests {
    let mut all = lock(&shown().requests);
    let observer = reactor.observer();
    if let Some((_, requests)) = all.iter().find(|(known, _)| *known == observer) {
        return requests.clone();
    }
    reactor.follow_deferreds(true);
    let requests = shown().loops.add(reactor);
    all.push((observer, requests.clone()));
    requests
}

/// A site's resource with the pages that are asked for at paths of it.
pub(crate) fn mount(resource: Box<dyn Resource>, reactor: &Reactor) -> Box<dyn Resource> {
    let shown = shown();
    let path = |place: Option<&String>| place.filter(|place| place.starts_with('/')).cloned();
    let options = &shown.options;
    let (metrics, status) = (path(options.metrics.as_ref()), path(options.status.as_ref()));
    if metrics.is_none() && status.is_none() {
        return resource;
    }
    let mut text = prometheus(&shown.loops, reactor);
    let mut page = status.as_ref().map(|_| page(reactor));
    let around = move |request: Request, inner: &mut dyn Resource| {
        let path = request.uri().path();
        if metrics.as_deref() == Some(path) {
            return text.render(request);
        }
        if let (Some(at), Some(page)) = (status.as_deref(), &mut page) {
            let at = at.trim_end_matches('/');
            let rest = path.strip_prefix(at);
            if matches!(rest, Some("" | "/" | "/events")) && (!at.is_empty() || rest != Some("")) {
                return page.render(request);
            }
        }
        inner.render(request).into_reply()
    };
    Box::new(resource.wrap(around))
}

/// Whether a request is that of who looks on: these are not counted among the others.
pub(crate) fn is_own(path: Option<&str>) -> bool {
    let options = &shown().options;
    let Some(path) = path else { return false };
    let is_below = |at: &String| {
        let rest = path.strip_prefix(at.trim_end_matches('/'));
        matches!(rest, Some("" | "/" | "/events"))
    };
    options.metrics.as_deref() == Some(path)
        || options.status.as_ref().is_some_and(|at| at.starts_with('/') && is_below(at))
}

fn page(reactor: &Reactor) -> StatusPage {
    let title = format!("ropewalk {}", shown().verb);
    StatusPage::new(&title, &shown().loops, reactor)
}

/// What is open for those who look on, until it is dropped.
#[derive(Default)]
pub(crate) struct Open {
    servers: Vec<Rc<StreamServer<Site>>>,
    control: Option<Control>,
    /// What to say of it.
    pub(crate) said: Vec<String>,
}

/// What of this has to be in reach of a program in a sandbox.
pub(crate) fn tell_needs(needs: &mut Needs) -> Result<(), String> {
    let options = &shown().options;
    for place in [&options.metrics, &options.status].into_iter().flatten() {
        if !place.starts_with('/') {
            for place in &serving::places(std::slice::from_ref(place))? {
                needs.serve_at(place);
            }
        }
    }
    match &options.control {
        Some(off) if off.as_os_str() == "off" => (),
        Some(path) => needs.write_file(path),
        None => {
            if let Some(places) = Places::from_environment() {
                // Made now, so that the folder around it need not be in reach.
                if let Ok(own) = places.own(&shown().verb) {
                    needs.write_file(&own);
                }
            }
        }
    }
    Ok(())
}

/// Opens the places that are asked for, on the loop that is about to run.
pub(crate) fn open(reactor: &Reactor, kinds: &Kinds) -> Result<Open, String> {
    add(reactor);
    let mut open = Open::default();
    let options = &shown().options;
    let mut places: Vec<(&str, Tree, bool)> = Vec::new();
    for (option, place) in [("--status", &options.status), ("--metrics", &options.metrics)] {
        let Some(place) = place else { continue };
        if place.starts_with('/') {
            if shown().verb != "web" {
                return Err(format!(
                    "{option}: only web has pages of its own at which {place} could be; give an \
                     endpoint, as in {option} tcp:9100:interface=127.0.0.1"
                ));
            }
            continue;
        }
        let is_status = option == "--status";
        if let Some(there) = places.iter_mut().find(|(known, ..)| known == place) {
            there.2 |= is_status;
        } else {
            places.push((place, Tree::new(), is_status));
        }
    }
    for (place, tree, is_status) in places {
        let description: ServerDescription = match serving::places(&[place.to_owned()])?.pop() {
            Some(description) => description,
            None => continue,
        };
        let mut tree = tree.child("metrics", prometheus(&shown().loops, reactor));
        if is_status {
            let page = page(reactor);
            tree = tree.child("events", page.clone()).index(page);
        } else {
            tree = tree.index(prometheus(&shown().loops, reactor));
        }
        let at = At(description.on_with(reactor, kinds));
        let server = Rc::new(StreamServer::new(at, reactor.clone(), Site::new(tree)));
        reactor
            .run_until(server.prepare())
            .map_err(|failure| serving::not_listening(&description, &failure))?;
        if let Some(address) = server.address() {
            let what = if is_status { "status page" } else { "metrics" };
            let shown = crate::web::shown(&address, description.is_encrypted());
            open.said.push(format!("{what}: {shown}"));
        }
        open.servers.push(server);
    }
    Ok(open)
}

/// Says what is not for several processes, each of which counts for itself.
pub(crate) fn check_for_processes() -> Result<(), String> {
    let options = &shown().options;
    for (option, place) in [("--status", &options.status), ("--metrics", &options.metrics)] {
        if place.as_ref().is_some_and(|place| !place.starts_with('/')) {
            return Err(format!(
                "with --processes each counts for itself: give a path of what is served, as in {option} /inside"
            ));
        }
    }
    Ok(())
}

impl Open {
    /// Whether the socket for operators has a place that only one process can have.
    fn has_own_place() -> bool {
        shown().options.control.as_ref().is_some_and(|path| path.as_os_str() != "off")
    }

    /// Opens the socket for operators of one of several processes, whose first has what is there once.
    pub(crate) fn answer_operators_of_one(&mut self) -> Result<(), String> {
        if !Self::has_own_place() {
            self.control = control(false, false)?;
        }
        Ok(())
    }

    /// Opens the socket for operators, as whoever the program is by now.
    pub(crate) fn answer_operators(&mut self, is_successor: bool) -> Result<(), String> {
        self.control = control(is_successor, true)?;
        Ok(())
    }

    /// Takes on nobody new; who is being answered gets a moment.
    pub(crate) fn leave(&self) -> Deferred<()> {
        let leaving = self.servers.iter().map(|server| {
            let (ending, server) = (server.drain(MOMENT), Rc::clone(server));
            ending.add_both(move |_| server.stop())
        });
        gather(leaving.collect::<Vec<_>>(), Rest::Leave).map(drop)
    }
}

/// The same on the first of several loops, which keeps it open as long as it goes.
pub(crate) fn open_among(reactor: &Reactor, announce: Announce) -> Result<Announce, String> {
    let open = open(reactor, &plugin::kinds())?;
    let said = open.said.clone();
    reactor.before_stop(move || open.leave());
    Ok(Box::new(move || {
        announce()?;
        said.iter().try_for_each(serving::print_line)
    }))
}

/// Opens the socket for operators, where there is to be one and a place for it.
#[cfg(unix)]
pub(crate) fn control(is_successor: bool, may_reload: bool) -> Result<Option<Control>, String> {
    let shown = shown();
    let mut subject = Subject::new(&shown.verb, env!("CARGO_PKG_VERSION"), &shown.loops);
    if let Some((levels, spans)) = lock(&shown.logs).clone() {
        subject = subject.with_levels(levels).with_spans(spans);
    }
    // One of several processes is replaced by the first of them.
    if may_reload {
        subject = subject.on_reload(|| {
            let told = kill_process(getpid(), Signal::HUP);
            told.map_err(|error| format!("it cannot be told: {error}"))?;
            Ok("it reads its files again; its log says what has changed".to_owned())
        });
    }
    match &shown.options.control {
        Some(off) if off.as_os_str() == "off" => Ok(None),
        Some(path) => {
            let told = |error: io::Error| format!("--control: {}: {error}", path.display());
            // Its predecessor answers there until now.
            let start = if is_successor { Control::take_over } else { Control::start };
            start(path, subject).map(Some).map_err(told)
        }
        None => {
            let Some(places) = Places::from_environment() else { return Ok(None) };
            let started = places.own(&shown.verb).and_then(|path| Control::start(&path, subject));
            // Nobody has asked for it.
            Ok(started.map_err(|error| tracing::debug!("no socket for operators: {error}")).ok())
        }
    }
}
