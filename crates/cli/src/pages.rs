//! `ropewalk completions` and `ropewalk man`: what shells and manuals know of the program.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

/// Print what a shell needs to complete this program's words
#[derive(Args)]
#[command(after_long_help = "Examples:\n  \
        ropewalk completions bash > ~/.local/share/bash-completion/completions/ropewalk\n      \
        for bash, from the next shell on\n  \
        ropewalk completions fish > ~/.config/fish/completions/ropewalk.fish\n      \
        for fish\n\n\
        Exit status: 0 if it could be printed, 1 if not, 2 for wrong usage.")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::command(), "ropewalk", &mut script);
        print(&script)
    }
}

/// Print this program's manual page, or write those of all subcommands
#[derive(Args)]
#[command(after_long_help = "Examples:\n  \
        ropewalk man > ropewalk.1\n      \
        the program's own page\n  \
        ropewalk man --directory man\n      \
        a page for the program and for each subcommand: man/ropewalk.1, man/ropewalk-web.1 and so on\n\n\
        Exit status: 0 if they could be written, 1 if not, 2 for wrong usage.")]
pub(crate) struct Man {
    /// Write a page for each subcommand into this directory, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let cannot = |error: io::Error| format!("the manual cannot be written: {error}");
        let mut command = crate::command();
        // Names of subcommands are complete only then.
        command.build();
        let Some(directory) = self.directory else {
            return print(&page(command, "ropewalk").map_err(cannot)?);
        };
        fs::create_dir_all(&directory).map_err(cannot)?;
        let subcommands: Vec<_> = command.get_subcommands().cloned().collect();
        let pages = subcommands.into_iter().filter(|each| each.get_name() != "help").map(|each| {
            let name = format!("ropewalk-{}", each.get_name());
            (name, each)
        });
        for (name, each) in pages.chain([("ropewalk".to_owned(), command)]) {
            let text = page(each, &name).map_err(cannot)?;
            fs::write(directory.join(format!("{name}.1")), text).map_err(cannot)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn page(command: clap::Command, name: &str) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command).title(name).render(&mut text)?;
    Ok(text)
}

fn print(text: &[u8]) -> Result<ExitCode, String> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(format!("cannot print: {error}")),
    }
}
