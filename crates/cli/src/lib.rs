//! The program `ropewalk`, for programs that are it and more.
//!
//! [`main`] is all of it. A crate that registers something of its own, as [`plugin`] says, and calls that has a
//! program that knows it.

#![forbid(unsafe_code)]

mod application;
mod daemon;
mod demo;
mod finger;
mod inetd;
mod inside;
mod log;
mod logins;
mod offer;
mod operate;
mod pages;
mod plan;
pub mod plugin;
mod portforward;
mod processes;
mod program;
mod programs;
mod proxy;
mod reactors;
mod run;
mod sandbox;
mod serving;
mod several;
mod signals;
mod simple;
mod sink;
mod site;
mod sockets;
mod socks;
mod supervised;
mod tables;
mod top;
mod upgrade;
mod web;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Serve from the command line, on one event loop.
#[derive(Parser)]
#[command(
    name = "ropewalk",
    version,
    arg_required_else_help = true,
    long_about = "Serve from the command line, on one event loop.\n\n\
        Each subcommand serves something, or asks somebody who does. Where it listens is an endpoint, a string such as \
        tcp:8080, tls:443:cert=FILE or unix:PATH; --listen may be given several times. Without a word about \
        it servers are reachable from this machine only. They run in the foreground until Ctrl-C, print where they \
        are on standard output and log to standard error; --daemon, --uid, --pid-file and --log-to make daemons \
        of them. Several of them together are a file: see `ropewalk help run`.",
    after_help = "Start here:\n  \
        ropewalk demo             a page, a WebSocket and more, with what to try\n  \
        ropewalk web              browse the current directory at http://127.0.0.1:8080/\n  \
        ropewalk help web         all that `web` can do, with examples",
    after_long_help = "Start here:\n  \
        ropewalk demo             a page, a WebSocket and more, with what to try\n  \
        ropewalk web              browse the current directory at http://127.0.0.1:8080/\n  \
        ropewalk help web         all that `web` can do, with examples\n  \
        ropewalk run app.toml     several services, as a file describes them\n\n\
        A program ropewalk-NAME in a folder of PATH is run as `ropewalk NAME`.\n\n\
        Environment:\n  \
        ROPEWALK_LOG              how much to log: error, warn, info, debug, or as in ropewalk::http=debug\n  \
        ROPEWALK_REACTOR          the event loop's driver, one that `ropewalk reactors` lists\n  \
        NO_COLOR                  no colours in the log\n\n\
        Exit status: 0 if all went well, 1 if it did not, 2 for wrong usage."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    inside: inside::Inside,
}

#[derive(Subcommand)]
enum Command {
    Web(web::Web),
    Finger(finger::Finger),
    Simple(simple::Simple),
    Socks(socks::Socks),
    Proxy(proxy::Proxy),
    Portforward(portforward::Portforward),
    Inetd(inetd::Inetd),
    Run(run::Run),
    Check(run::Check),
    Upgrade(upgrade::Upgrade),
    Demo(demo::Demo),
    Completions(pages::Completions),
    Man(pages::Man),
    Status(operate::Status),
    Top(operate::Top),
    LogLevel(operate::LogLevel),
    Drain(operate::Drain),
    Reload(operate::Reload),
    Dump(operate::Dump),
    /// List the drivers of the event loop, and which of them work here
    Reactors,
}

/// The program's options and those of all its subcommands, those of other crates too.
fn command() -> clap::Command {
    plugin::subcommands()
        .fold(Arguments::command(), |command, plugin| command.subcommand((plugin.command)()))
}

/// Does what the command line says; answers the program's exit status.
pub fn main() -> ExitCode {
    let command = command();
    if let Some((program, arguments)) = program_on_path(&command) {
        return become_program(program, arguments);
    }
    // Clap answers wrong usage itself: what is wrong, the usage, and exit status 2.
    let matches = command.get_matches();
    let outcome = match plugin::subcommands().find_map(|plugin| {
        Some((plugin, matches.subcommand_matches((plugin.command)().get_name())?))
    }) {
        Some((plugin, matches)) => (plugin.run)(matches),
        None => match Arguments::from_arg_matches(&matches) {
            Ok(arguments) => {
                inside::begin(&arguments.inside, matches.subcommand_name().unwrap_or("ropewalk"));
                run(arguments.command, &arguments.inside)
            }
            Err(error) => error.exit(),
        },
    };
    match outcome {
        Ok(code) => code,
        Err(complaint) => {
            eprintln!("ropewalk: {complaint}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, inside: &inside::Inside) -> Result<ExitCode, String> {
    match command {
        Command::Web(web) => web.run(),
        Command::Finger(finger) => finger.run(),
        Command::Simple(simple) => simple.run(),
        Command::Socks(socks) => socks.run(),
        Command::Proxy(proxy) => proxy.run(),
        Command::Portforward(portforward) => portforward.run(),
        Command::Inetd(inetd) => inetd.run(),
        Command::Run(run) => run.run(),
        Command::Check(check) => check.run(),
        Command::Upgrade(upgrade) => upgrade.run(),
        Command::Demo(demo) => demo.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::Status(status) => status.run(inside),
        Command::Top(top) => top.run(inside),
        Command::LogLevel(log_level) => log_level.run(inside),
        Command::Drain(drain) => drain.run(inside),
        Command::Reload(reload) => reload.run(inside),
        Command::Dump(dump) => dump.run(inside),
        Command::Reactors => reactors::run(),
    }
}

/// The program `ropewalk-NAME` in a folder of `PATH`, if the first word is that name and none of our own.
fn program_on_path(command: &clap::Command) -> Option<(PathBuf, Vec<OsString>)> {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next()?.into_string().ok()?;
    let is_name = !name.is_empty()
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if !is_name || name == "help" || command.find_subcommand(&name).is_some() {
        return None;
    }
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let programs = folders.map(|folder| folder.join(format!("ropewalk-{name}")));
    let is_program = |path: &PathBuf| {
        rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
    };
    Some((programs.into_iter().find(is_program)?, arguments.collect()))
}

fn become_program(program: PathBuf, arguments: Vec<OsString>) -> ExitCode {
    let shown = program.display().to_string();
    let mut command = std::process::Command::new(program);
    let error = std::os::unix::process::CommandExt::exec(command.args(arguments));
    eprintln!("ropewalk: cannot run {shown}: {error}");
    ExitCode::FAILURE
}
