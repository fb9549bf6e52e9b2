//! Serving on more than one core.

use std::cell::RefCell;
use std::io;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;
use ropewalk::endpoint::ServerDescription;
use ropewalk::protocol::call_later;
use ropewalk::reactor::Reactor;
use ropewalk::shards::{Shards, cores};
use ropewalk::{Deferred, Failure};
use sd_notify::NotifyState;

use crate::daemon::Begun;
use crate::sandbox::{Needs, Sandbox};
use crate::serving::Shared;
use crate::signals::{Heard, SIGHUP, SIGUSR1, SIGUSR2, on_signal};
use crate::sink::Sink;
use crate::{inside, program, serving, upgrade};

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
        shared: &Shared,
        places: &[ServerDescription],
        sandbox: Option<&Needs>,
        serve: impl Fn(&Reactor) -> Result<Announce, String> + Sync,
    ) -> Result<ExitCode, String> {
        let driver = serving::driver(shared.reactor.as_deref())?;
        if let Some(Count(count)) = self.processes {
            can_be_shared(places, "--processes")?;
            return crate::processes::run(count, driver, &shared.daemon, sandbox, serve);
        }
        can_be_shared(places, "--workers")?;
        let here = match shared.daemon.begin()? {
            Begun::Elsewhere(code) => return Ok(code),
            Begun::Here(here) => Arc::new(here),
        };
        let sandbox = sandbox.map(|needs| Sandbox::begin(needs, driver)).transpose()?;
        crate::log::start();
        let Count(count) = self.workers;
        // The socket for operators has a thread of its own, and is there as long as any of the others.
        let (sandbox, control) = (Mutex::new(sandbox), Mutex::new(None));
        let ran = Shards::new(count).driver(driver).run(|shard| {
            inside::add(shard.reactor());
            let announce = serve(shard.reactor()).map_err(Failure::new)?;
            let reactor = shard.reactor();
            let first = (shard.index() == 0).then(|| inside::open_among(reactor, announce));
            // They start one after the other: the last knows that all have what they need.
            if shard.index() + 1 == shard.count() {
                here.settle().map_err(Failure::new)?;
                *lock(&control) = inside::control(false, true).map_err(Failure::new)?;
                let sandbox = lock(&sandbox).take();
                sandbox.map_or(Ok(()), Sandbox::close).map_err(Failure::new)?;
            }
            let Some(announce) = first.transpose().map_err(Failure::new)? else { return Ok(()) };
            let heard = RefCell::new(Some(listen(reactor)?));
            reactor.before_stop(move || {
                heard.take();
                Deferred::succeed(())
            });
            let (failing, here) = (shard.clone(), Arc::clone(&here));
            call_later(reactor, Duration::ZERO, move || {
                if let Err(error) = announce().and_then(|()| here.ready()) {
                    failing.fail(Failure::new(format!("cannot print: {error}")));
                    return;
                }
                program::notify(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
            });
            Ok(())
        });
        here.leave();
        match ran {
            Ok(_) => Ok(ExitCode::SUCCESS),
            Err(failed) => Err(serving::tell(&failed.failure)),
        }
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears what the program is asked for by signals.
fn listen(reactor: &Reactor) -> io::Result<Vec<Heard>> {
    let reload = || {
        Sink::reopen_chosen();
        // Users and certificates are followed by each thread for itself.
        tracing::info!(
            "reloaded: the log is opened anew; files of users and certificates are followed"
        );
    };
    let upgrade = || {
        let why =
            "several threads have no successor: use --processes, which SIGHUP replaces one by one";
        tracing::error!("this process goes on: {why}");
        upgrade::answer(&Err(why.to_owned()));
    };
    Ok(vec![
        on_signal(reactor, SIGHUP, reload)?,
        on_signal(reactor, SIGUSR1, Sink::reopen_chosen)?,
        on_signal(reactor, SIGUSR2, upgrade)?,
    ])
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
