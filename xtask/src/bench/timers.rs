//! CPU time for each timer, beside so many that wait.

use clap::Args;

use crate::Outcome;
use crate::bench::proc::{cpus, pinned};
use crate::bench::runner::{build_ours, timers};
use crate::bench::table::{Table, median, ratio};

/// How many timers wait.
const OUTSTANDING: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// How much dearer a timer may be beside a million than beside a thousand, or the other way round.
const SLOPE: f64 = 1.5;

/// How to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    build_ours()?;
    let (cpu, _) = cpus()?;
    for (what, words) in [("cancel", "added and cancelled"), ("fire", "added and come due")] {
        let mut table = Table::new(&["outstanding", "ropewalk, ns", "tokio, ns", "÷ tokio"]);
        let mut medians = Vec::new();
        for outstanding in OUTSTANDING {
            let mut each: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
            for _ in 0..options.rounds {
                for (whose, each) in ["ours", "tokio"].into_iter().zip(&mut each) {
                    let mut command = timers();
                    command.args([whose, what, &outstanding.to_string()]);
                    let output = pinned(cpu, || Ok(command.output()?))?;
                    if !output.status.success() {
                        return Err(String::from_utf8_lossy(&output.stderr).into());
                    }
                    each.push(String::from_utf8_lossy(&output.stdout).trim().parse()?);
                }
            }
            let [ours, tokio] = each;
            let by_rounds = median(ours.iter().zip(&tokio).map(|(ours, tokio)| ours / tokio));
            let of = |figures: &[f64]| median(figures.iter().copied()).unwrap_or(f64::NAN);
            medians.push(of(&ours));
            let figure = |figures: &[f64]| format!("{:.0}", of(figures));
            table.row(vec![
                outstanding.to_string(),
                figure(&ours),
                figure(&tokio),
                ratio(by_rounds),
            ]);
        }
        println!("Timers {words}; medians of {} rounds\n", options.rounds);
        println!("{}", table.text(options.markdown));
        println!("{}", verdict(&medians));
    }
    Ok(true)
}

/// Whether a timer costs the same however many wait.
fn verdict(medians: &[f64]) -> String {
    let most = medians.iter().copied().fold(f64::MIN, f64::max);
    let least = medians.iter().copied().fold(f64::MAX, f64::min);
    let slope = most / least;
    let word = if slope <= SLOPE { "within" } else { "MISSED" };
    format!("ropewalk: the dearest is {slope:.2} times the cheapest ({word} {SLOPE})\n")
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn what_grows_is_said() {
        let said = |medians: &[f64]| verdict(medians).contains("MISSED");
        assert!(said(&[50.0, 60.0, 80.0]));
        assert!(!said(&[50.0, 60.0, 70.0]));
    }
}
