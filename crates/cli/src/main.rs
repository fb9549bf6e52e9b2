//! The program `ropewalk`.

#![forbid(unsafe_code)]

mod finger;
mod inside;
mod log;
mod logins;
#[cfg(unix)]
mod operate;
mod portforward;
#[cfg(unix)]
mod processes;
mod programs;
mod proxy;
mod reactors;
mod serving;
mod several;
mod simple;
mod site;
mod socks;
#[cfg(unix)]
mod tables;
#[cfg(unix)]
mod top;
mod web;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Serve from the command line, on one event loop.
#[derive(Parser)]
#[command(
    name = "ropewalk",
    version,
    arg_required_else_help = true,
    after_help = "Start here:\n  \
        ropewalk web              browse the current directory at http://127.0.0.1:8080/\n  \
        ropewalk help web         all that `web` can do, with examples"
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
    #[cfg(unix)]
    Status(operate::Status),
    #[cfg(unix)]
    Top(operate::Top),
    #[cfg(unix)]
    LogLevel(operate::LogLevel),
    #[cfg(unix)]
    Drain(operate::Drain),
    #[cfg(unix)]
    Reload(operate::Reload),
    #[cfg(unix)]
    Dump(operate::Dump),
    /// List the drivers of the event loop, and which of them work here
    Reactors,
}

impl Command {
    /// What a program that serves so is called where it is looked for.
    fn verb(&self) -> &'static str {
        match self {
            Self::Web(_) => "web",
            Self::Finger(_) => "finger",
            Self::Simple(_) => "simple",
            Self::Socks(_) => "socks",
            Self::Proxy(_) => "proxy",
            Self::Portforward(_) => "portforward",
            _ => "ropewalk",
        }
    }
}

fn main() -> ExitCode {
    // Clap answers wrong usage itself: what is wrong, the usage, and exit status 2.
    let Arguments { command, inside } = Arguments::parse();
    inside::begin(&inside, command.verb());
    let outcome = match command {
        Command::Web(web) => web.run(),
        Command::Finger(finger) => finger.run(),
        Command::Simple(simple) => simple.run(),
        Command::Socks(socks) => socks.run(),
        Command::Proxy(proxy) => proxy.run(),
        Command::Portforward(portforward) => portforward.run(),
        #[cfg(unix)]
        Command::Status(status) => status.run(&inside),
        #[cfg(unix)]
        Command::Top(top) => top.run(&inside),
        #[cfg(unix)]
        Command::LogLevel(log_level) => log_level.run(&inside),
        #[cfg(unix)]
        Command::Drain(drain) => drain.run(&inside),
        #[cfg(unix)]
        Command::Reload(reload) => reload.run(&inside),
        #[cfg(unix)]
        Command::Dump(dump) => dump.run(&inside),
        Command::Reactors => reactors::run(),
    };
    match outcome {
        Ok(code) => code,
        Err(complaint) => {
            eprintln!("ropewalk: {complaint}");
            ExitCode::FAILURE
        }
    }
}
