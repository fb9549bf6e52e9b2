//! Serving with several processes.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use ropewalk::protocol::process::{ChildDescriptor, Command};
use ropewalk::reactor::{DriverKind, Reactor};
use ropewalk::shards::{Binder, Worker, WorkerOptions, Workers};

use crate::sandbox::{Needs, Sandbox};
use crate::serving;
use crate::several::{Announce, GOODBYE};
use crate::signals::{Heard, on_signal};

/// How much longer than its requests a process may take to stop.
const LEEWAY: Duration = Duration::from_secs(5);
/// The signal that replaces the processes.
const RELOAD: i32 = 1;

/// Serves as one of several processes if it was started as one, and looks after so many otherwise.
pub(crate) fn run(
    count: usize,
    driver: DriverKind,
    sandbox: Option<&Needs>,
    serve: impl Fn(&Reactor) -> Result<Announce, String>,
) -> Result<ExitCode, String> {
    if let Some(worker) = Worker::from_environment().map_err(|error| told(&error.into()))? {
        let sandbox = sandbox.map(|needs| Sandbox::begin(needs, driver)).transpose()?;
        let reactor = serving::on_driver(driver)?;
        let ready = worker.join(&reactor).map_err(|error| told(&error.into()))?;
        // It is the parent who says where.
        let _announce = serve(&reactor)?;
        return serving::run(&reactor, sandbox, move || ready.tell());
    }
    // Who looks after processes starts programs, and serves nobody: it is in no sandbox.
    let reactor = serving::on_driver(driver)?;
    let binder = Binder::on(&reactor);
    let announce = serve(&reactor)?;
    let command = this_program()
        .map_err(|error| format!("this program cannot be started again: {error}"))?
        .descriptor(0, ChildDescriptor::Null)
        .descriptor(1, ChildDescriptor::Inherit(1))
        .descriptor(2, ChildDescriptor::Inherit(2));
    let mut options = WorkerOptions::default();
    options.grace = GOODBYE + LEEWAY;
    let (spawner, clock, listeners) = (reactor.clone(), reactor.clone(), binder.listeners());
    let workers = Workers::start(spawner, clock, command.clone(), listeners, count, options);
    let watch = reload_on_signal(&reactor, &workers, command)
        .map_err(|error| format!("SIGHUP cannot be watched: {error}"))?;
    reactor.before_stop(move || {
        drop(watch);
        workers.stop()
    });
    serving::run(&reactor, None, announce)
}

fn told(failure: &ropewalk::Failure) -> String {
    serving::tell(failure)
}

/// The same program with the same arguments.
fn this_program() -> io::Result<Command> {
    let mut arguments = std::env::args_os();
    let command = Command::new(std::env::current_exe()?);
    let command = match arguments.next() {
        Some(name) => command.arg0(name),
        None => command,
    };
    Ok(command.args(arguments))
}

/// Replaces the processes one by one at each SIGHUP.
fn reload_on_signal(reactor: &Reactor, workers: &Workers, command: Command) -> io::Result<Heard> {
    let workers = workers.clone();
    on_signal(reactor, RELOAD, move || {
        workers.reload(command.clone()).on_result(|reloaded| match reloaded {
            Ok(()) => tracing::info!("all processes were replaced"),
            Err(failure) => tracing::error!("the old processes go on: {}", told(&failure)),
        });
    })
}
