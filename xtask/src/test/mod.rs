//! Everything that must hold before a change goes in, step by step.

mod count;
pub(crate) mod programs;
mod reactors;
mod report;
mod steps;
mod terminal;

use std::time::Instant;

use clap::Args;

use crate::test::report::Report;
use crate::test::steps::Step;
use crate::test::terminal::Terminal;

/// What to try.
///
/// Steps run in their order and go on when one fails. The last line is `N passed, N failed`: tests where
/// a step has tests, else steps.
#[derive(Args)]
pub(crate) struct Options {
    /// Do not fail when something had to be left out because a program is missing.
    #[arg(long)]
    allow_missing: bool,
    /// Only these steps.
    #[arg(long, value_name = "STEP", value_enum, num_args = 1.., value_delimiter = ',')]
    only: Vec<Step>,
    /// Only on this driver; on each that the machine has unless given.
    #[arg(long, value_name = "NAME")]
    reactor: Option<String>,
    /// Show the steps and the suites with the programs that they need, and do nothing.
    #[arg(long)]
    list: bool,
}

/// Runs the steps; whether all passed and, unless that is allowed, nothing was left out.
pub(crate) fn run(options: &Options) -> bool {
    let chosen: Vec<_> = Step::ALL
        .into_iter()
        .filter(|step| options.only.is_empty() || options.only.contains(step))
        .collect();
    if options.list {
        steps::list(&chosen);
        return true;
    }
    let terminal = Terminal::new();
    let mut report = Report::default();
    for step in chosen {
        terminal.headline(step.name());
        let start = Instant::now();
        let result = step.run(terminal, options.reactor.as_deref(), &mut report.left_out);
        report.add(step.name(), start.elapsed(), result);
    }
    report.print(terminal);
    report.is_good(options.allow_missing)
}
