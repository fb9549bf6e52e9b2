//! What is served, as a configuration file says it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use ropewalk::endpoint::{EndpointError, ServerDescription, quote};
use ropewalk_config::{Document, Fault, Faults, Item, Table, Value, changes, nearest};

use crate::application::{Make, Planned};
use crate::daemon::{Daemon, DaemonOptions};
use crate::finger::FingerOptions;
use crate::inetd::InetdOptions;
use crate::offer::{House, Offered};
use crate::plugin::{self, ServiceKind};
use crate::portforward::PortforwardOptions;
use crate::program::Plan;
use crate::proxy::ProxyOptions;
use crate::serving::stamp;
use crate::simple::SimpleOptions;
use crate::sink::LogOptions;
use crate::socks::SocksOptions;
use crate::supervised::SupervisedOptions;
use crate::web::WebOptions;

/// The tables that a file may have.
const TABLES: &[&str] =
    &["daemon", "identities", "limits", "listeners", "log", "services", "users"];
/// The small services, which are kinds of their own here.
const SIMPLE: &[&str] = &["chargen", "daytime", "discard", "echo", "qotd", "time", "users"];

/// What the whole program is told.
#[derive(Args, Clone, Debug, Default)]
struct LimitOptions {
    /// How long connections get to finish, in seconds
    #[arg(long)]
    drain: Option<u64>,

    /// How many descriptors the process may have open
    #[arg(long)]
    descriptors: Option<u64>,
}

/// A configuration file, and what it said when it was last right.
pub(crate) struct Configuration {
    path: PathBuf,
    held: RefCell<Option<Held>>,
}

/// What a file said, and what its services meant by it.
struct Held {
    document: Document,
    meanings: BTreeMap<String, String>,
}

/// Where a service listens unless its section says otherwise, and what makes it.
struct Read {
    listen: Vec<String>,
    make: Make,
    /// What the files hold that are read when it is made.
    stamp: String,
}

impl Configuration {
    pub(crate) fn new(path: &Path) -> Rc<Self> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Rc::new(Self { path, held: RefCell::default() })
    }

    /// The options of daemons that the file has.
    pub(crate) fn daemon(&self) -> Result<Daemon, String> {
        let document = self.read().map_err(|faults| faults.report())?;
        daemon(document.root()).map_err(|faults| faults.report())
    }

    /// The plan that the file is.
    pub(crate) fn plan(self: &Rc<Self>) -> Result<Plan, String> {
        self.try_plan().map_err(|faults| faults.report())
    }

    fn read(&self) -> Result<Document, Faults> {
        // It is told as it was named: from where the program was started.
        Document::read(&self.path)
    }

    fn try_plan(self: &Rc<Self>) -> Result<Plan, Faults> {
        let document = self.read()?;
        let root = document.root();
        let mut faults = root.unknown_keys(TABLES);
        let mut keep = |fault: Faults| faults.extend(Vec::from(fault));
        let limits = match limits(root) {
            Ok(limits) => limits,
            Err(fault) => {
                keep(fault);
                LimitOptions::default()
            }
        };
        if let Err(fault) = daemon(root) {
            keep(fault);
        }
        let mut planned = Vec::new();
        let services = root.table("services").unwrap_or_else(|fault| {
            keep(fault);
            None
        });
        for (name, section) in services.map(sections).into_iter().flatten() {
            match section.and_then(|section| service(root, &name, section)) {
                Ok(service) => planned.push(service),
                Err(fault) => keep(fault),
            }
        }
        Faults::none_of(faults)?;
        if planned.is_empty() {
            return Err(root.fault("there is no service: begin one with [services.NAME]").into());
        }
        let meanings: BTreeMap<String, String> =
            planned.iter().map(|planned| (planned.name.clone(), planned.meaning.clone())).collect();
        let mut told = Vec::new();
        if let Some(held) = &*self.held.borrow() {
            let changes = changes(held.document.root(), root);
            told.extend(changes.iter().map(ToString::to_string));
            if changes.is_empty() {
                let is_other = |name: &&String| held.meanings.get(*name) != meanings.get(*name);
                let others = meanings.keys().filter(is_other);
                told.extend(
                    others.map(|name| format!("the files of services.{name} have changed")),
                );
            }
        }
        let (this, next) = (Rc::clone(self), document.clone());
        Ok(Plan {
            services: planned,
            patience: limits.drain.map(Duration::from_secs),
            changes: told,
            accept: Rc::new(move || {
                let (document, meanings) = (next.clone(), meanings.clone());
                this.held.replace(Some(Held { document, meanings }));
            }),
        })
    }
}

/// The tables in a table, each by its name.
fn sections(table: &Table) -> impl Iterator<Item = (String, Result<&Table, Faults>)> {
    table.entries().iter().filter_map(|entry| {
        let section = table.table(entry.key()).transpose()?;
        Some((entry.key().to_owned(), section))
    })
}

fn limits(root: &Table) -> Result<LimitOptions, Faults> {
    root.table("limits")?.map_or_else(|| Ok(LimitOptions::default()), Table::options)
}

fn daemon(root: &Table) -> Result<Daemon, Faults> {
    let options = root.table("daemon")?;
    let options: DaemonOptions =
        options.map_or_else(|| Ok(DaemonOptions::default()), Table::options)?;
    let log = root.table("log")?;
    let log: LogOptions = match log {
        // In its own section an option needs no first name.
        Some(log) => log.with_prefix("log").options()?,
        None => LogOptions::default(),
    };
    Ok(Daemon { options, log })
}

/// The limit on descriptors that a file sets, if it sets one.
pub(crate) fn descriptors(configuration: &Configuration) -> Result<Option<u64>, String> {
    let document = configuration.read().map_err(|faults| faults.report())?;
    limits(document.root()).map(|limits| limits.descriptors).map_err(|faults| faults.report())
}

fn service(root: &Table, name: &str, section: &Table) -> Result<Planned, Faults> {
    let kind = section.text("kind")?.unwrap_or(name);
    let section = with_users(root, kind, section)?;
    let options = section.without(&["kind", "listen"]);
    let Read { listen, make, stamp } = read_kind(kind, &options, &section)?;
    let mut places = Vec::new();
    let mut faults = Vec::new();
    for (text, item) in section.texts("listen")? {
        match place(root, &section, text, item) {
            Ok(place) => places.push(place),
            Err(fault) => faults.push(fault),
        }
    }
    Faults::none_of(faults)?;
    if section.get("listen").is_none() {
        let schemes = plugin::kinds().servers();
        let read = listen.iter().map(|text| schemes.read(text));
        places = read
            .collect::<Result<_, EndpointError>>()
            .map_err(|error| section.fault(error.to_string()))?;
    }
    // What the section means depends on what it names elsewhere.
    let meaning = format!("{kind}: {}; {places:?}; {stamp}", Value::Table(options.clone()));
    let blamed = section.clone();
    Ok(Planned {
        name: name.to_owned(),
        places,
        meaning,
        make,
        blame: Rc::new(move |why| blamed.complaint(why).report()),
    })
}

fn read_kind(kind: &str, options: &Table, section: &Table) -> Result<Read, Faults> {
    if SIMPLE.contains(&kind) {
        return read::<SimpleOptions>(&options.with_text("name", kind));
    }
    match kind {
        "web" => read::<WebOptions>(options),
        "finger" => read::<FingerOptions>(options),
        "socks" => read::<SocksOptions>(options),
        "proxy" => read::<ProxyOptions>(options),
        "portforward" => read::<PortforwardOptions>(options),
        "inetd" => inetd(options, section),
        "process" => read::<SupervisedOptions>(options),
        other => match plugin::services().find(|plugin| plugin.name == other) {
            Some(plugin) => read_plugin(plugin, options),
            None => Err(unknown_kind(other, section).into()),
        },
    }
}

fn unknown_kind(kind: &str, section: &Table) -> Fault {
    let known = kinds();
    let message = match nearest(kind, known.iter().copied()) {
        Some(near) => format!("there is no kind of service {kind:?}; did you mean {near:?}?"),
        None => format!("there is no kind of service {kind:?}; there are {}", known.join(", ")),
    };
    match section.get("kind") {
        Some(item) => section.fault_at(item, message),
        None => section.fault(format!("{message} Say which with kind = \"web\"")),
    }
}

/// All kinds of services.
pub(crate) fn kinds() -> Vec<&'static str> {
    let own = ["finger", "inetd", "portforward", "process", "proxy", "socks", "web"];
    let mut kinds: Vec<_> = own.into_iter().chain(SIMPLE.iter().copied()).collect();
    kinds.extend(plugin::services().map(|plugin| plugin.name));
    kinds.sort_unstable();
    kinds
}

fn read<T: Offered + Args + 'static>(options: &Table) -> Result<Read, Faults> {
    let read: T = options.options()?;
    let (listen, stamp) = (read.listen(), stamp(&read.files()));
    Ok(Read { listen, make: Rc::new(move |house| read.offer(house)), stamp })
}

/// A super-server listens by itself.
fn inetd(options: &Table, section: &Table) -> Result<Read, Faults> {
    let options: InetdOptions = options.options()?;
    let mut places = Vec::new();
    for (text, item) in section.texts("listen")? {
        let place = text.parse().map_err(|error: EndpointError| {
            Faults::from(section.fault_at(item, error.to_string()))
        })?;
        places.push(place);
    }
    if places.is_empty() {
        return Err(section.fault("a super-server wants a place: listen = \"tcp:PORT\"").into());
    }
    let make = Rc::new(move |house: &House| options.offer_at(house, &places));
    Ok(Read { listen: Vec::new(), make, stamp: String::new() })
}

fn read_plugin(plugin: &'static ServiceKind, options: &Table) -> Result<Read, Faults> {
    let matches = options.matches((plugin.options)())?;
    let make = move |house: &House| match (plugin.make)(&matches, &house.reactor) {
        Ok(made) => Ok(made.0),
        Err(failure) => Err(crate::serving::tell(&failure)),
    };
    Ok(Read { listen: Vec::new(), make: Rc::new(make), stamp: String::new() })
}

/// A place by its name among the listeners, or as an endpoint.
fn place(
    root: &Table,
    section: &Table,
    text: &str,
    item: &Item,
) -> Result<ServerDescription, Fault> {
    let wrong = |message: String| section.fault_at(item, message);
    let schemes = plugin::kinds().servers();
    let listeners = root.table("listeners").map_err(first)?;
    let Some(listener) = listeners.and_then(|listeners| listeners.get(text)) else {
        let names = listeners.into_iter().flat_map(Table::entries);
        let near = nearest(text, names.map(ropewalk_config::Entry::key));
        return schemes.read(text).map_err(|error| match near {
            Some(near) if !text.contains(':') => {
                wrong(format!("there is no listener {text:?}; did you mean {near:?}?"))
            }
            _ => wrong(error.to_string()),
        });
    };
    match listener.value() {
        Value::Text(endpoint) => schemes.read(endpoint).map_err(|error| match listeners {
            Some(listeners) => listeners.fault_at(listener, error.to_string()),
            None => wrong(error.to_string()),
        }),
        Value::Table(table) => {
            let unknown = table.unknown_keys(&["endpoint", "identity"]).into_iter().next();
            unknown.map_or(Ok(()), Err)?;
            let endpoint = table.text("endpoint").map_err(first)?;
            let endpoint = endpoint.ok_or_else(|| table.fault("a listener wants an endpoint"))?;
            let written = match table.text("identity").map_err(first)? {
                Some(name) => encrypted(root, table, endpoint, name)?,
                None => endpoint.to_owned(),
            };
            let at = |error: EndpointError| table.fault_of("endpoint", error.to_string());
            schemes.read(&written).map_err(at)
        }
        other => Err(wrong(format!("the listener {text:?} is no endpoint but {other}"))),
    }
}

fn first(faults: Faults) -> Fault {
    let none = || Fault::of_file("", "nothing is wrong");
    Vec::from(faults).into_iter().next().unwrap_or_else(none)
}

/// An endpoint inside of TLS, with an identity that the file names.
fn encrypted(root: &Table, table: &Table, endpoint: &str, name: &str) -> Result<String, Fault> {
    let identities = root.table("identities").map_err(first)?;
    let identity =
        identities.map(|identities| identities.table(name)).transpose().map_err(first)?;
    let Some(identity) = identity.flatten() else {
        let names = identities.into_iter().flat_map(Table::entries);
        let near = nearest(name, names.map(ropewalk_config::Entry::key));
        let hint = match near {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("begin it with [identities.{name}]"),
        };
        return Err(table.fault_of("identity", format!("there is no identity {name:?}; {hint}")));
    };
    let known = ["cert", "key", "certs", "self_signed", "client_ca"];
    identity.unknown_keys(&known).into_iter().next().map_or(Ok(()), Err)?;
    let mut written = format!("tls:endpoint={}", quote(endpoint));
    for (key, parameter) in
        [("cert", "cert"), ("key", "key"), ("certs", "certs"), ("client_ca", "client-ca")]
    {
        if let Some(value) = identity.text(key).map_err(first)? {
            written = format!("{written}:{parameter}={}", quote(value));
        }
    }
    match identity.get("self_signed").map(Item::value) {
        Some(Value::Boolean(true)) => written.push_str(":self-signed=yes"),
        Some(Value::Boolean(false)) | None => (),
        Some(other) => {
            let message = format!("\"self_signed\" is true or false, and not {other}");
            return Err(identity.fault_of("self_signed", message));
        }
    }
    Ok(written)
}

/// Puts what `users` names in the place of its name.
fn with_users(root: &Table, kind: &str, section: &Table) -> Result<Table, Faults> {
    if kind == "users" {
        return Ok(section.clone());
    }
    let (Some(name), Some(users)) = (section.text("users")?, root.table("users")?) else {
        return Ok(section.clone());
    };
    let Some(users) = users.table(name)? else { return Ok(section.clone()) };
    if let Some(fault) = users.unknown_keys(&["file", "realm"]).into_iter().next() {
        return Err(fault.into());
    }
    let file = users.text("file")?;
    let file =
        file.ok_or_else(|| Faults::from(users.fault("users are in a file: file = \"…\"")))?;
    if kind != "web" {
        return Ok(section.with_text("users", file));
    }
    let realm = users.text("realm")?.map(|realm| format!(":realm={realm}"));
    let auth = format!("htpasswd:{file}{}", realm.unwrap_or_default());
    Ok(section.without(&["users"]).with_text("auth", &auth))
}
