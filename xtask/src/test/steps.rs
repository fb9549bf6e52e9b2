//! The steps, in their order.

use std::process::{Command, Stdio};

use clap::ValueEnum;
use ropewalk_interop::{REACTORLESS, SUITES, Source, Suite, Tool};

use crate::cargo::cargo;
use crate::test::count::{Count, run, run_tests};
use crate::test::programs::Programs;
use crate::test::reactors;
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
    /// The tests of all rooms; those that need a reactor on each driver that the machine has.
    Unit,
    /// The examples in the documentation.
    Doctest,
    /// The documentation builds without a warning.
    Docs,
    /// The suites against outside programs, on each driver as well.
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

    /// Runs it, on just the driver that is named if one is; what it could not try is added to
    /// `left_out`.
    pub(crate) fn run(
        self,
        terminal: Terminal,
        reactor: Option<&str>,
        left_out: &mut Vec<String>,
    ) -> Outcome<Count> {
        let colours = terminal.cargo_colours();
        let command = || {
            let mut command = cargo();
            command.env("CARGO_TERM_COLOR", colours);
            command
        };
        match self {
            Self::Fmt => run(command().args(["fmt", "--all", "--check", "--", "--color", colours])),
            Self::Clippy => {
                let what = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
                run(command().args(what))
            }
            Self::Walls => walls::run_alone().map(Count::of_step),
            Self::Unit => on_each(reactor, |reactor, is_first| {
                let only = if is_first { None } else { Some(reactors::users()?) };
                let mut command = command();
                unit_tests(&mut command, has_nextest(), only.as_deref());
                run_tests(command.env(reactors::VARIABLE, reactor), left_out)
            }),
            Self::Doctest => run_tests(command().args(["test", "--workspace", "--doc"]), left_out),
            Self::Docs => {
                let mut command = command();
                command.env("RUSTDOCFLAGS", "-D warnings");
                run(command.args(["doc", "--no-deps", "--workspace"]))
            }
            Self::Interop => {
                let programs = Programs::ensure(&tools_of(SUITES));
                let ready = ready(&programs, left_out);
                on_each(reactor, |reactor, is_first| {
                    let mut command = command();
                    if !interop(&mut command, &ready, is_first) {
                        return Ok(Count::default());
                    }
                    programs.tell(&mut command);
                    run_tests(command.env(reactors::VARIABLE, reactor), left_out)
                })
            }
        }
    }
}

/// Runs tests on the driver that is named, or else on each that there is; the first time, with those
/// that need none.
fn on_each(
    reactor: Option<&str>,
    mut run: impl FnMut(&str, bool) -> Outcome<Count>,
) -> Outcome<Count> {
    let reactors = match reactor {
        Some(name) => vec![name.to_owned()],
        None => reactors::available()?,
    };
    let mut count = Count::default();
    for (index, reactor) in reactors.iter().enumerate() {
        println!("on {reactor}:");
        count = count.and(run(reactor, index == 0)?);
    }
    Ok(count)
}

fn has_nextest() -> bool {
    let mut version = cargo();
    let version =
        version.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// The tests of all packages, or only of some.
fn unit_tests(command: &mut Command, has_nextest: bool, only: Option<&[String]>) {
    let only = only.map(|names| names.iter().filter(|name| *name != INTEROP));
    // The whole workspace is selected all the same, so that nothing is built anew.
    let rest = ["--workspace", "--all-targets", "--exclude", INTEROP];
    match (has_nextest, only) {
        (true, only) => {
            command.args(["nextest", "run", "--no-fail-fast", "--no-tests", "pass"]).args(rest);
            if let Some(names) = only {
                let sets: Vec<_> = names.map(|name| format!("package(={name})")).collect();
                command.args(["-E", &sets.join(" + ")]);
            }
        }
        (false, None) => {
            command.args(["test", "--no-fail-fast"]).args(rest);
        }
        (false, Some(names)) => {
            command.args(["test", "--no-fail-fast", "--all-targets"]);
            names.for_each(|name| {
                command.args(["-p", name]);
            });
        }
    }
}

/// The suites whose programs are there; of the others it is said what they lack.
fn ready(programs: &Programs, left_out: &mut Vec<String>) -> Vec<&'static Suite> {
    let (ready, lacking): (Vec<_>, Vec<_>) =
        SUITES.iter().partition(|suite| programs.missing_of(suite.tools).is_empty());
    for suite in lacking {
        let missing = programs.missing_of(suite.tools);
        let wants = missing.iter().map(|tool| match tool.source() {
            Source::Debian(package) => format!("{} (apt: {package})", tool.name),
            Source::Python(package) => format!("{} (pip: {package})", tool.name),
            Source::Node(package) => format!("{} (npm: {package})", tool.name),
        });
        let wants: Vec<_> = wants.collect();
        left_out.push(format!("suite {}: missing {}", suite.name, wants.join(", ")));
    }
    ready
}

/// Tests these suites; the first time also those without a reactor, and the helpers of all. Whether
/// there is anything to test.
fn interop(command: &mut Command, suites: &[&Suite], is_first: bool) -> bool {
    let suites: Vec<_> =
        suites.iter().filter(|suite| is_first || !REACTORLESS.contains(&suite.name)).collect();
    command.args(["test", "--no-fail-fast", "-p", INTEROP]);
    if is_first {
        command.arg("--lib");
    }
    for suite in &suites {
        command.args(["--test", suite.name]);
    }
    is_first || !suites.is_empty()
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
        let words = |has_nextest, only: Option<&[String]>| {
            let mut command = cargo();
            unit_tests(&mut command, has_nextest, only);
            let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
            words.collect::<Vec<_>>().join(" ")
        };
        let some = ["ropewalk-reactor".to_owned(), "ropewalk-interop".to_owned()];
        assert!(words(false, None).contains("--exclude ropewalk-interop"));
        assert!(words(true, None).ends_with("--exclude ropewalk-interop"));
        assert!(words(true, Some(&some)).ends_with("-E package(=ropewalk-reactor)"));
        assert!(words(false, Some(&some)).ends_with("-p ropewalk-reactor"));
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
