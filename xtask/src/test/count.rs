//! Runs a command, shows what it prints and counts the tests that it tells of.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use ropewalk_interop::LEFT_OUT;

use crate::Outcome;

/// How many tests went well and how many did not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    /// A step without tests is one by itself.
    pub(crate) fn of_step(is_good: bool) -> Self {
        Self { passed: u64::from(is_good), failed: u64::from(!is_good) }
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }

    /// A step with tests that failed without telling of a failed test did not even build.
    fn with_end(self, is_good: bool) -> Self {
        if is_good || self.failed > 0 { self } else { self.and(Self::of_step(false)) }
    }

    /// What this line tells: the last line of a test binary, or of nextest.
    fn told_by(line: &str) -> Self {
        let line = plain(line);
        let line = line.trim_start();
        let is_summary = line.starts_with("test result:") || line.starts_with("Summary [");
        if !is_summary {
            return Self::default();
        }
        let number_before = |word: &str| {
            let mut parts = line.split([';', ',', ':', '.']);
            let part = parts.find_map(|part| part.trim().strip_suffix(word));
            part.and_then(|part| part.trim().parse().ok()).unwrap_or(0)
        };
        let failed = number_before(" failed") + number_before(" timed out");
        Self { passed: passed_in(line, number_before(" passed")), failed }
    }
}

/// nextest adds in brackets how many of those that passed were slow.
fn passed_in(line: &str, plainly: u64) -> u64 {
    let before_bracket = line.split_once(" passed (").map(|(before, _)| before);
    let number = before_bracket.and_then(|before| before.split_whitespace().last()?.parse().ok());
    number.unwrap_or(plainly)
}

/// The line without colours.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// Runs it with its output shown as it comes; whether it went well.
pub(crate) fn run(command: &mut Command) -> Outcome<Count> {
    show(command);
    Ok(Count::of_step(command.stdin(Stdio::null()).status()?.success()))
}

/// Runs tests with their output shown as it comes; how many there were. What they say that they left
/// out is added to `left_out`, each once.
pub(crate) fn run_tests(command: &mut Command, left_out: &mut Vec<String>) -> Outcome<Count> {
    show(command);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    let errors = child.stderr.take().ok_or("no output of errors")?;
    let mut said = Vec::new();
    let counted = thread::scope(|scope| {
        let errors = scope.spawn(|| pass_on(errors, io::stderr(), &mut said));
        let counted = pass_on(out, io::stdout(), &mut Vec::new());
        counted.and(errors.join().unwrap_or_default())
    });
    for line in said {
        if !left_out.contains(&line) {
            left_out.push(line);
        }
    }
    Ok(counted.with_end(child.wait()?.success()))
}

fn show(command: &Command) {
    let words = command.get_args().map(|word| word.to_string_lossy());
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or(&program);
    println!("$ {name} {}", words.collect::<Vec<_>>().join(" "));
}

/// Copies line by line and counts; a line that is not text is copied all the same. What is said to be
/// left out is added to `left_out`.
fn pass_on(from: impl Read, mut to: impl Write, left_out: &mut Vec<String>) -> Count {
    let mut from = BufReader::new(from);
    let mut count = Count::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        // Whoever closed our output does not want it; the tests go on.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        let text = String::from_utf8_lossy(&line);
        count = count.and(Count::told_by(&text));
        left_out.extend(text.trim_end().strip_prefix(LEFT_OUT).map(str::to_owned));
        line.clear();
    }
    count
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Count, pass_on, run_tests};

    #[track_caller]
    fn check(line: &str, passed: u64, failed: u64) {
        assert_eq!(Count::told_by(line), Count { passed, failed }, "{line}");
    }

    #[test]
    fn tests_are_counted_by_their_summaries() {
        let rest = "0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        check(&format!("test result: ok. 14 passed; 0 failed; {rest}"), 14, 0);
        check(&format!("test result: FAILED. 29 passed; 2 failed; {rest}"), 29, 2);
        check("     Summary [   0.018s] 14 tests run: 14 passed, 0 skipped", 14, 0);
        check("     Summary [   1.018s] 9 tests run: 7 passed (1 slow), 2 failed, 3 skipped", 7, 2);
        check("Summary [ 9.0s] 3 tests run: 1 passed, 1 failed, 1 timed out, 0 skipped", 1, 2);
        check(
            "\x1b[32;1m     Summary\x1b[0m [   0.018s] \x1b[1m2\x1b[0m tests run: \
               \x1b[1m2\x1b[0m \x1b[32;1mpassed\x1b[0m, \x1b[1m0\x1b[0m skipped",
            2,
            0,
        );
        check("test a_test_of_7 passed ... ok", 0, 0);
    }

    #[test]
    fn what_does_not_build_fails() {
        let mut failing = Command::new("sh");
        let count = run_tests(failing.args(["-c", "exit 1"]), &mut Vec::new()).expect("a shell");
        assert_eq!(count, Count { passed: 0, failed: 1 });
        let failed = Count { passed: 3, failed: 2 };
        assert_eq!(failed.with_end(false), failed);
    }

    #[test]
    fn what_was_left_out_is_told_once() {
        let mut command = Command::new("sh");
        command.args(["-c", "for _ in 1 2; do echo 'left out: nets: no right' >&2; done"]);
        let mut left_out = Vec::new();
        run_tests(&mut command, &mut left_out).expect("a shell");
        run_tests(&mut command, &mut left_out).expect("a shell");
        assert_eq!(left_out, ["nets: no right"]);
    }

    #[test]
    fn output_is_shown_as_it_is() {
        let text = b"test result: ok. 3 passed; 0 failed;
\xff
test result: ok. 4 passed";
        let mut shown = Vec::new();
        let count = pass_on(text.as_slice(), &mut shown, &mut Vec::new());
        assert_eq!(count, Count { passed: 7, failed: 0 });
        assert_eq!(shown, text);
    }
}
