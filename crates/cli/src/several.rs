//! Serving on more than one core.

use std::io;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use ropewalk::Failure;
use ropewalk::endpoint::ServerDescription;
use ropewalk::protocol::call_later;
use ropewalk::reactor::{DriverKind, Reactor};
use ropewalk::shards::{Shards, cores};

use crate::sandbox::{Needs, Sandbox};
use crate::{inside, serving};

/// How long requests in progress may take to finish once the program is asked to stop.
pub(crate) const GOODBYE: Duration = Duration::from_secs(10);
/// The most threads or processes that may be asked for.
const COUNT_MAX: usize = 1024;

/// What is to be done once signals are heard.
pub(crate) type Announce = Box<dyn FnOnce() -> io::Result<()>>;

/// On how many cores.
#[derive(Args)]
pub(crate) struct Several {
    /// How many threads serve, each with an event loop of its own; auto is one a core
    #[arg(long, value_name = "N|auto", default_value = "1")]
    workers: Count,

    #[arg(
        long,
        value_name = "N|auto",
        conflicts_with = "workers",
        help = "How many processes serve on the same sockets instead; one that dies is started again, \
                and SIGHUP replaces them one by one"
    )]
    processes: Option<Count>,
}

/// A number of threads or processes.
#[derive(Clone, Copy, Debug)]
struct Count(usize);

impl FromStr for Count {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "auto" {
            return Ok(Self(cores()));
        }
        let count = word.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count));
        let wanted = || format!("a number from 1 to {COUNT_MAX} is wanted, or auto");
        count.map(Self).ok_or_else(wanted)
    }
}

impl Several {
    /// Whether one thread of one process serves.
    pub(crate) fn is_one(&self) -> bool {
        self.workers.0 == 1 && self.processes.is_none()
    }

    /// Calls `serve` with each reactor, then runs them until they are told to stop.
    pub(crate) fn run(
        &self,
        driver: DriverKind,
        places: &[ServerDescription],
        sandbox: Option<&Needs>,
        serve: impl Fn(&Reactor) -> Result<Announce, String> + Sync,
    ) -> Result<ExitCode, String> {
        #[cfg(unix)]
        if let Some(Count(count)) = self.processes {
            can_be_shared(places, "--processes")?;
            return crate::processes::run(count, driver, sandbox, serve);
        }
        #[cfg(not(unix))]
        if self.processes.is_some() {
            return Err("processes cannot share sockets on this system; use --workers".to_owned());
        }
        let Count(count) = self.workers;
        let sandbox = sandbox.map(|needs| Sandbox::begin(needs, driver)).transpose()?;
        if count == 1 {
            let reactor = serving::on_driver(driver)?;
            let announce = serve(&reactor)?;
            return serving::run(&reactor, sandbox, announce);
        }
        can_be_shared(places, "--workers")?;
        let sandbox = Mutex::new(sandbox);
        let ran = Shards::new(count).driver(driver).run(|shard| {
            inside::add(shard.reactor());
            let announce = serve(shard.reactor()).map_err(Failure::new)?;
            if shard.index() == 0 {
                let announce =
                    inside::open_among(shard.reactor(), announce).map_err(Failure::new)?;
                let here = shard.clone();
                call_later(shard.reactor(), Duration::ZERO, move || {
                    if let Err(error) = announce() {
                        here.fail(Failure::new(format!("cannot print: {error}")));
                    }
                });
            }
            if shard.index() + 1 == shard.count() {
                // The last to start: all have what they need.
                let sandbox = sandbox.lock().unwrap_or_else(PoisonError::into_inner).take();
                sandbox.map_or(Ok(()), Sandbox::close).map_err(Failure::new)?;
            }
            Ok(())
        });
        match ran {
            Ok(_) => Ok(ExitCode::SUCCESS),
            Err(failed) => Err(serving::tell(&failed.failure)),
        }
    }
}

/// Says which of these places cannot be one for several.
fn can_be_shared(places: &[ServerDescription], option: &str) -> Result<(), String> {
    for place in places {
        let written = place.to_string();
        let words = || written.split([':', '=', '\\']);
        if words().any(|word| word == "self-signed") {
            return Err(format!(
                "with {option} each would make a certificate of its own for {written:?}: give one \
                 with cert=FILE"
            ));
        }
        if words().any(|word| matches!(word, "fd" | "systemd" | "stdio")) {
            return Err(format!(
                "{written:?} is there once, and cannot be shared out with {option}"
            ));
        }
    }
    Ok(())
}
