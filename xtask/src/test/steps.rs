//! The steps, in their order.

use std::process::{Command, Stdio};

use clap::ValueEnum;
use ropewalk_interop::{SUITES, Source, Suite, Tool};

use crate::cargo::cargo;
use crate::test::count::{Count, run, run_tests};
use crate::test::programs::Programs;
use crate::test::terminal::Terminal;
use crate::{Outcome, walls};

/// The package whose tests need outside programs.
const INTEROP: &str = "ropewalk-interop";

/// A step.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Step {
    /// Everything is formatted.
    Fmt,
    /// No lint complains.
    Clippy,
    /// Dependencies point down; files and functions are short.
    Walls,
    /// The tests of all rooms.
    Unit,
    /// The examples in the documentation.
    Doctest,
    /// The documentation builds without a warning.
    Docs,
    /// The suites against outside programs.
    Interop,
}

impl Step {
    /// All steps, the quickest to fail first.
    pub(crate) const ALL: [Self; 7] = [
        Self::Fmt,
        Self::Clippy,
        Self::Walls,
        Self::Unit,
        Self::Doctest,
        Self::Docs,
        Self::Interop,
    ];

    /// What it is called on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Walls => "walls",
            Self::Unit => "unit",
            Self::Doctest => "doctest",
            Self::Docs => "docs",
            Self::Interop => "interop",
        }
    }

    /// Runs it; what it could not try is added to `left_out`.
    pub(crate) fn run(self, terminal: Terminal, left_out: &mut Vec<String>) -> Outcome<Count> {
        let mut command = cargo();
        let colours = terminal.cargo_colours();
        command.env("CARGO_TERM_COLOR", colours);
        match self {
            Self::Fmt => run(command.args(["fmt", "--all", "--check", "--", "--color", colours])),
            Self::Clippy => {
                let what = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
                run(command.args(what))
            }
            Self::Walls => walls::run().map(Count::of_step),
            Self::Unit => run_tests(unit_tests(&mut command, has_nextest())),
            Self::Doctest => run_tests(command.args(["test", "--workspace", "--doc"])),
            Self::Docs => {
                command.env("RUSTDOCFLAGS", "-D warnings");
                run(command.args(["doc", "--no-deps", "--workspace"]))
            }
            Self::Interop => interop(&mut command, left_out),
        }
    }
}

fn has_nextest() -> bool {
    let mut version = cargo();
    let version =
        version.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn unit_tests(command: &mut Command, has_nextest: bool) -> &mut Command {
    let rest = ["--workspace", "--all-targets", "--exclude", INTEROP];
    if has_nextest {
        command.args(["nextest", "run", "--no-fail-fast", "--no-tests", "pass"]).args(rest)
    } else {
        command.args(["test", "--no-fail-fast"]).args(rest)
    }
}

/// Tests the helpers of the suites, and all suites whose programs are there.
fn interop(command: &mut Command, left_out: &mut Vec<String>) -> Outcome<Count> {
    let programs = Programs::ensure(&tools_of(SUITES));
    let (ready, lacking): (Vec<_>, Vec<_>) =
        SUITES.iter().partition(|suite| programs.missing_of(suite.tools).is_empty());
    for suite in lacking {
        let missing = programs.missing_of(suite.tools);
        let wants = missing.iter().map(|tool| match tool.source() {
            Source::Debian(package) => format!("{} (apt: {package})", tool.name),
            Source::Python(package) => format!("{} (pip: {package})", tool.name),
        });
        let wants: Vec<_> = wants.collect();
        left_out.push(format!("suite {}: missing {}", suite.name, wants.join(", ")));
    }
    command.args(["test", "--no-fail-fast", "-p", INTEROP, "--lib"]);
    for suite in ready {
        command.args(["--test", suite.name]);
    }
    programs.tell(command);
    run_tests(command)
}

/// The programs that these suites need, each once.
fn tools_of(suites: &[Suite]) -> Vec<Tool> {
    let names = suites.iter().flat_map(|suite| suite.tools);
    let mut tools: Vec<_> = names.filter_map(|name| Tool::named(name)).collect();
    tools.sort_unstable_by_key(|tool| tool.name);
    tools.dedup();
    tools
}

/// Prints the steps, and the suites with what they need.
pub(crate) fn list(steps: &[Step]) {
    for step in steps {
        let value = step.to_possible_value();
        let help = value.as_ref().and_then(|value| value.get_help()).map(ToString::to_string);
        println!("{:<8} {}", step.name(), help.unwrap_or_default());
    }
    for suite in SUITES.iter().filter(|_| steps.contains(&Step::Interop)) {
        let wants =
            suite.tools.iter().map(|name| match Tool::named(name).and_then(|tool| tool.find()) {
                Some(path) => format!("{name} ({})", path.display()),
                None => format!("{name} (missing)"),
            });
        println!("  suite {}: {}", suite.name, wants.collect::<Vec<_>>().join(", "));
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::{Step, Suite, Tool, tools_of, unit_tests};
    use crate::cargo::cargo;

    #[test]
    fn steps_are_called_as_they_are_shown() {
        assert_eq!(Step::value_variants(), Step::ALL);
        for step in Step::ALL {
            let value = step.to_possible_value().expect("no step is hidden");
            assert_eq!(value.get_name(), step.name());
        }
    }

    #[test]
    fn unit_tests_need_no_outside_program() {
        for has_nextest in [false, true] {
            let mut command = cargo();
            let words: Vec<_> = unit_tests(&mut command, has_nextest).get_args().collect();
            assert!(words.windows(2).any(|pair| pair == ["--exclude", "ropewalk-interop"]));
        }
    }

    #[test]
    fn programs_are_looked_for_once() {
        let suites = [
            Suite { name: "http", tools: &["wrk", "curl"] },
            Suite { name: "tls", tools: &["curl"] },
        ];
        let names: Vec<_> = tools_of(&suites).iter().map(|tool: &Tool| tool.name).collect();
        assert_eq!(names, ["curl", "wrk"]);
    }
}
