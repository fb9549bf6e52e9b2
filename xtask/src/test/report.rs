//! What came of the steps.

use std::time::Duration;

use crate::Outcome;
use crate::test::count::Count;
use crate::test::terminal::Terminal;

/// What came of all steps so far.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    /// What was not tried, and why.
    pub(crate) left_out: Vec<String>,
}

struct Line {
    step: &'static str,
    took: Duration,
    count: Count,
    error: Option<String>,
}

impl Report {
    /// A step is over.
    pub(crate) fn add(&mut self, step: &'static str, took: Duration, result: Outcome<Count>) {
        let error = result.as_ref().err().map(ToString::to_string);
        let count = result.unwrap_or(Count::of_step(false));
        self.lines.push(Line { step, took, count, error });
    }

    fn total(&self) -> Count {
        self.lines.iter().fold(Count::default(), |sum, line| sum.and(line.count))
    }

    /// Whether nothing failed and, unless that is allowed, nothing was left out.
    pub(crate) fn is_good(&self, allow_missing: bool) -> bool {
        self.total().failed == 0 && (allow_missing || self.left_out.is_empty())
    }

    /// A line a step, then what was left out, then the sum.
    pub(crate) fn print(&self, terminal: Terminal) {
        terminal.headline("summary");
        for line in &self.lines {
            let Count { passed, failed } = line.count;
            let word = if failed == 0 { terminal.good("passed") } else { terminal.bad("FAILED") };
            let seconds = line.took.as_secs_f64();
            print!("{word}  {:<8} {seconds:>7.1} s  {passed} passed, {failed} failed", line.step);
            println!(
                "{}",
                line.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default()
            );
        }
        for left_out in &self.left_out {
            println!("{}  {left_out}", terminal.left_out("left out"));
        }
        let Count { passed, failed } = self.total();
        println!("{passed} passed, {failed} failed");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Count, Report};

    #[test]
    fn what_is_left_out_fails_unless_that_is_allowed() {
        let mut report = Report::default();
        report.add("unit", Duration::ZERO, Ok(Count { passed: 3, failed: 0 }));
        assert!(report.is_good(false));
        report.left_out.push("suite http: curl is missing".into());
        assert!(!report.is_good(false));
        assert!(report.is_good(true));
    }

    #[test]
    fn a_step_that_cannot_run_has_failed() {
        let mut report = Report::default();
        report.add("fmt", Duration::ZERO, Err("no cargo".into()));
        assert_eq!(report.total(), Count { passed: 0, failed: 1 });
        assert!(!report.is_good(true));
    }
}
