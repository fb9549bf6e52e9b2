//! `ropewalk reactors`: what the loop can run on here.

use std::io::{self, Write};
use std::process::ExitCode;

use ropewalk::reactor::DriverKind;

pub(crate) fn run() -> Result<ExitCode, String> {
    print(&mut io::stdout().lock()).map_err(|error| format!("cannot print: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write) -> io::Result<()> {
    for kind in DriverKind::ALL {
        let default = if kind == DriverKind::default() { " (default)" } else { "" };
        writeln!(out, "{}{default}", kind.name())?;
        writeln!(out, "    {}", kind.describe())?;
        if let Err(why) = kind.availability() {
            writeln!(out, "    not here: {why}")?;
        }
    }
    writeln!(out)?;
    writeln!(out, "The default is the one that measured best on small messages over loopback.")?;
    writeln!(out, "Choose another with --reactor NAME or ROPEWALK_REACTOR=NAME.")
}
