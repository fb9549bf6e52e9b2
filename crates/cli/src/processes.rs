//! Serving with several processes.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use ropewalk::protocol::process::{ChildDescriptor, Command};
use ropewalk::reactor::{DriverKind, Reactor};
use ropewalk::shards::{Binder, Worker, WorkerOptions, Workers};
use rustix::process::Signal;
use sd_notify::NotifyState;

use crate::daemon::{self, Begun, Daemon};
use crate::sandbox::{Needs, Sandbox};
use crate::several::Announce;
use crate::signals::{Heard, SIGHUP, SIGUSR1, SIGUSR2, on_signal};
use crate::sink::Sink;
use crate::{inside, plugin, program, serving, upgrade};

/// How much longer than its requests a process may take to stop.
const LEEWAY: Duration = Duration::from_secs(5);

/// Serves as one of several processes if it was started as one, and looks after so many otherwise.
pub(crate) fn run(
    count: usize,
    driver: DriverKind,
    daemon: &Daemon,
    sandbox: Option<&Needs>,
    serve: impl Fn(&Reactor) -> Result<Announce, String>,
) -> Result<ExitCode, String> {
    inside::check_for_processes()?;
    daemon.check_for_processes()?;
    if let Some(worker) = Worker::from_environment().map_err(|error| told(&error.into()))? {
        return serve_as_one(worker, driver, daemon, sandbox, serve);
    }
    // Who looks after processes starts programs, and serves nobody: it is in no sandbox.
    let here = match daemon.begin()? {
        Begun::Elsewhere(code) => return Ok(code),
        Begun::Here(here) => here,
    };
    crate::log::start();
    let reactor = serving::on_driver(driver)?;
    let binder = Binder::on(&reactor);
    let announce = serve(&reactor)?;
    let mut open = inside::open(&reactor, &plugin::kinds())?;
    here.settle()?;
    open.answer_operators(false)?;
    let folder = here.started_in.clone();
    // Who started a daemon waits until nobody has the other ends.
    let output = |number| {
        if here.is_daemon() { ChildDescriptor::Null } else { ChildDescriptor::Inherit(number) }
    };
    let (out, errors) = (output(1), output(2));
    let command = move || {
        let command = upgrade::this_program()?;
        // Where it is to work is said from there.
        let command = match &folder {
            Some(folder) => command.current_dir(folder),
            None => command,
        };
        Ok::<_, io::Error>(
            command
                .descriptor(0, ChildDescriptor::Null)
                .descriptor(1, out.clone())
                .descriptor(2, errors.clone()),
        )
    };
    let first =
        command().map_err(|error| format!("this program cannot be started again: {error}"))?;
    let mut options = WorkerOptions::default();
    options.grace = daemon.patience() + LEEWAY;
    let (spawner, clock, listeners) = (reactor.clone(), reactor.clone(), binder.listeners());
    let workers = Workers::start(spawner, clock, first, listeners, count, options);
    let heard = listen(&reactor, &workers, command)
        .map_err(|error| format!("no signal can be heard: {error}"))?;
    reactor.before_stop(move || {
        drop(heard);
        program::notify(&[NotifyState::Stopping]);
        workers.stop()
    });
    let here = std::rc::Rc::new(here);
    let ready = std::rc::Rc::clone(&here);
    let ran = serving::run(&reactor, open, None, move || {
        announce()?;
        ready.ready()?;
        program::notify(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
        Ok(())
    });
    here.leave();
    ran
}

/// Serves as one of them.
fn serve_as_one(
    worker: Worker,
    driver: DriverKind,
    daemon: &Daemon,
    sandbox: Option<&Needs>,
    serve: impl Fn(&Reactor) -> Result<Announce, String>,
) -> Result<ExitCode, String> {
    daemon.begin_as_one()?;
    let sandbox = sandbox.map(|needs| Sandbox::begin(needs, driver)).transpose()?;
    crate::log::start();
    let reactor = serving::on_driver(driver)?;
    let ready = worker.join(&reactor).map_err(|error| told(&error.into()))?;
    // It is the parent who says where.
    let _announce = serve(&reactor)?;
    let mut open = inside::open(&reactor, &plugin::kinds())?;
    open.answer_operators_of_one()?;
    let heard = on_signal(&reactor, SIGUSR1, Sink::reopen_chosen);
    let heard = heard.map_err(|error| format!("no signal can be heard: {error}"))?;
    reactor.before_stop(move || {
        drop(heard);
        ropewalk::Deferred::succeed(())
    });
    serving::run(&reactor, open, sandbox, move || ready.tell())
}

fn told(failure: &ropewalk::Failure) -> String {
    serving::tell(failure)
}

/// Replaces the processes one by one at each SIGHUP, and at each SIGUSR2, which wants to know how that went; has all open
/// their log anew at SIGUSR1.
fn listen(
    reactor: &Reactor,
    workers: &Workers,
    command: impl Fn() -> io::Result<Command> + Clone + 'static,
) -> io::Result<Vec<Heard>> {
    let replace = move |workers: &Workers, done: fn(&Result<u32, String>)| match command() {
        Ok(command) => drop(workers.reload(command).on_result(move |reloaded| {
            let outcome = reloaded.map(|()| std::process::id()).map_err(|failure| told(&failure));
            match &outcome {
                Ok(_) => tracing::info!("all processes were replaced"),
                Err(why) => tracing::error!("the old processes go on: {why}"),
            }
            done(&outcome);
        })),
        Err(error) => {
            tracing::error!("the old processes go on: {error}");
            done(&Err(error.to_string()));
        }
    };
    let (reloading, upgrading, reopening) = (workers.clone(), workers.clone(), workers.clone());
    let again = replace.clone();
    let reopen = move || {
        Sink::reopen_chosen();
        for pid in reopening
            .states()
            .iter()
            .filter(|state| state.is_ready)
            .filter_map(|state| state.process)
        {
            if let Err(why) = daemon::signal(pid.cast_signed(), Signal::USR1) {
                tracing::warn!("a process does not open its log anew: {why}");
            }
        }
    };
    let reload = move || {
        Sink::reopen_chosen();
        replace(&reloading, |_| ());
    };
    Ok(vec![
        on_signal(reactor, SIGHUP, reload)?,
        on_signal(reactor, SIGUSR1, reopen)?,
        on_signal(reactor, SIGUSR2, move || again(&upgrading, upgrade::answer))?,
    ])
}
