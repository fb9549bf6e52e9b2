//! `ropewalk run` and `ropewalk check`: what a file describes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::plan::{Configuration, descriptors};
use crate::program;
use crate::serving::Shared;

/// Serve what a configuration file describes
#[derive(Args)]
#[command(
    long_about = "Serve what a configuration file describes.\n\n\
        The file is TOML. Each [services.NAME] has a kind: web, finger, socks, proxy, portforward, inetd, process, \
        echo and the other small services. Its other keys are the long options of the subcommand of that name, without \
        their dashes: `ropewalk help web` is also the reference of a web service. `listen` names endpoints, or \
        listeners of the file. Relative paths begin where the program works.\n\n\
        SIGHUP reads the file anew: what is wrong with it is logged and nothing changes; else what changed is \
        logged and done, service by service. Places that stay are listened at without a break, and connections \
        of services that did not change stay as they are. Options of the command line count before the file's.",
    after_long_help = "A file:\n  \
        [limits]\n  \
        drain = 30                       # seconds for connections to finish\n\n  \
        [identities.site]\n  \
        cert = \"certs/site.pem\"\n\n  \
        [listeners]\n  \
        https = { endpoint = \"tcp:8443\", identity = \"site\" }\n\n  \
        [users.staff]\n  \
        file = \"users\"                   # htpasswd -cB users alice\n\n  \
        [services.site]\n  \
        kind = \"web\"\n  \
        listen = [\"https\", \"tcp:8080\"]\n  \
        path = \"site\"\n  \
        proxy = { \"/api\" = \"http://127.0.0.1:3000\" }\n  \
        users = \"staff\"\n\n  \
        [services.echo]\n  \
        listen = \"tcp:8007:interface=127.0.0.1\"\n\n\
        Examples:\n  \
        ropewalk run app.toml\n      \
        serves it in the foreground\n  \
        ropewalk run app.toml --daemon --pid-file app.pid --log-to file:app.log\n      \
        in the background; kill -HUP $(cat app.pid) reloads, ropewalk upgrade --pid-file app.pid upgrades\n\n\
        Exit status: 0 after Ctrl-C or SIGTERM, 1 if it cannot serve, 2 for wrong usage."
)]
pub(crate) struct Run {
    /// The file
    file: PathBuf,

    #[command(flatten)]
    shared: Shared,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let configuration = Configuration::new(&self.file);
        let daemon = self.shared.daemon.or(configuration.daemon()?);
        if let Some(count) = descriptors(&configuration)? {
            let limit = getrlimit(Resource::Nofile);
            let new = Rlimit { current: Some(count), maximum: limit.maximum.max(Some(count)) };
            let new = if limit.maximum.is_none() { Rlimit { maximum: None, ..new } } else { new };
            setrlimit(Resource::Nofile, new)
                .map_err(|error| format!("{count} descriptors cannot be had: {error}"))?;
        }
        let plan = Rc::clone(&configuration);
        let plan = Rc::new(move || plan.plan());
        program::serve(self.shared.reactor.as_deref(), &daemon, plan, program::Extras::default())
    }
}

/// Say what is wrong with a configuration file
#[derive(Args)]
#[command(
    long_about = "Say what is wrong with a configuration file, each thing at its line and column.\n\n\
        Nothing is served and nothing is changed. What the file names is looked at as far as that goes without \
        serving: files and folders have to be there.",
    after_long_help = "Examples:\n  \
        ropewalk check app.toml\n      \
        says nothing if all is well\n\n\
        Exit status: 0 if all is well, 1 if something is wrong, 2 for wrong usage."
)]
pub(crate) struct Check {
    /// The file
    file: PathBuf,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let configuration = Configuration::new(&self.file);
        let plan = configuration.plan()?;
        let house = crate::offer::House { reactor: crate::serving::reactor(None)?, sockets: None };
        let wrong: Vec<String> = plan
            .services
            .iter()
            .filter_map(|planned| (planned.make)(&house).err().map(|why| (planned.blame)(&why)))
            .collect();
        if wrong.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(wrong.join("\n")) }
    }
}
