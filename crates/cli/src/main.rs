//! The program `ropewalk`.

#![forbid(unsafe_code)]

mod finger;
mod log;
mod logins;
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
}

#[derive(Subcommand)]
enum Command {
    Web(web::Web),
    Finger(finger::Finger),
    Simple(simple::Simple),
    Socks(socks::Socks),
    Proxy(proxy::Proxy),
    Portforward(portforward::Portforward),
    /// List the drivers of the event loop, and which of them work here
    Reactors,
}

fn main() -> ExitCode {
    // Clap answers wrong usage itself: what is wrong, the usage, and exit status 2.
    let outcome = match Arguments::parse().command {
        Command::Web(web) => web.run(),
        Command::Finger(finger) => finger.run(),
        Command::Simple(simple) => simple.run(),
        Command::Socks(socks) => socks.run(),
        Command::Proxy(proxy) => proxy.run(),
        Command::Portforward(portforward) => portforward.run(),
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
