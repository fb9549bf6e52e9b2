//! Where everybody stands: medians, ratios, tables, and what is lost.

use super::row::Row;
use super::subject::Subject;
use crate::bench::table::{Table, median, ratio};

/// How much more CPU time than the bare loop ours may use.
const ALLOWANCE: f64 = 1.10;

/// One subject under one row in one round.
pub(super) struct Sample {
    pub(super) subject: Subject,
    pub(super) row: usize,
    /// Of CPU time, an operation.
    pub(super) microseconds: f64,
    /// Operations a second.
    pub(super) rate: f64,
}

/// A subject under one row: a figure a round, and their medians.
pub(super) struct Standing {
    subject: Subject,
    microseconds: f64,
    rate: f64,
    each_microseconds: Vec<f64>,
    each_rate: Vec<f64>,
}

impl Standing {
    fn of<'a>(subject: Subject, samples: impl Iterator<Item = &'a Sample>) -> Option<Self> {
        let (each_microseconds, each_rate): (Vec<_>, Vec<_>) = samples
            .filter(|sample| sample.subject == subject)
            .map(|sample| (sample.microseconds, sample.rate))
            .unzip();
        Some(Self {
            subject,
            microseconds: median(each_microseconds.iter().copied())?,
            rate: median(each_rate.iter().copied())?,
            each_microseconds,
            each_rate,
        })
    }

    /// How many times the CPU time of that one it takes.
    fn time_by(&self, other: &Self) -> Option<f64> {
        by_rounds(&self.each_microseconds, &other.each_microseconds)
    }

    /// How many times as many operations as that one it does.
    fn rate_by(&self, other: &Self) -> Option<f64> {
        by_rounds(&self.each_rate, &other.each_rate)
    }
}

/// The median of the ratios within each round: what slows a whole round down does not show in it.
fn by_rounds(these: &[f64], those: &[f64]) -> Option<f64> {
    median(these.iter().zip(those).map(|(this, that)| this / that))
}

/// The subjects under one row, the one that needs least first.
pub(super) fn standings(samples: &[Sample], row: usize) -> Vec<Standing> {
    let all = [Subject::Bare, Subject::Ours].into_iter().chain(Subject::PEERS);
    let of_row = || samples.iter().filter(|sample| sample.row == row);
    let mut standings: Vec<_> = all.filter_map(|subject| Standing::of(subject, of_row())).collect();
    standings.sort_by(|one, other| one.microseconds.total_cmp(&other.microseconds));
    standings
}

fn place(standings: &[Standing], subject: Subject) -> Option<&Standing> {
    standings.iter().find(|standing| standing.subject == subject)
}

/// All figures of one row.
pub(super) fn table(standings: &[Standing]) -> Table {
    let head = ["subject", "µs CPU each", "least–most", "÷ ours", "a second", "÷ ours"];
    let mut table = Table::new(&head);
    let ours = place(standings, Subject::Ours);
    for standing in standings {
        let least = standing.each_microseconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = standing.each_microseconds.iter().copied().fold(0.0, f64::max);
        table.row(vec![
            standing.subject.name().into(),
            figure(standing.microseconds),
            format!("{}–{}", figure(least), figure(most)),
            ratio(ours.and_then(|ours| standing.time_by(ours))),
            format!("{:.0}", standing.rate),
            ratio(ours.and_then(|ours| standing.rate_by(ours))),
        ]);
    }
    table
}

/// Three digits are enough.
fn figure(microseconds: f64) -> String {
    match microseconds {
        ..10.0 => format!("{microseconds:.2}"),
        ..100.0 => format!("{microseconds:.1}"),
        _ => format!("{microseconds:.0}"),
    }
}

/// Where ours stands: its distance from the bare loop, and everybody who does better.
pub(super) fn verdict(standings: &[Standing]) -> String {
    let Some(ours) = place(standings, Subject::Ours) else {
        return "ropewalk was not measured.\n".into();
    };
    let mut lines = Vec::new();
    let bare = place(standings, Subject::Bare);
    if let Some(times) = bare.and_then(|bare| ours.time_by(bare)) {
        let word = if times <= ALLOWANCE { "within" } else { "MISSED" };
        lines.push(format!("ropewalk: {times:.2} times the bare loop ({word} {ALLOWANCE:.2})"));
    }
    for peer in standings.iter().filter(|other| Subject::PEERS.contains(&other.subject)) {
        if let Some(share) = peer.time_by(ours).filter(|&share| share < 1.0) {
            let name = peer.subject.name();
            lines.push(format!("LOST to {name}: it takes {share:.2} of our CPU time"));
        }
    }
    lines.join("\n") + "\n"
}

/// A line a row: our time, and how many times of it each other takes.
pub(super) fn summary(rows: &[&Row], samples: &[Sample]) -> Table {
    let mut table = Table::new(&["row", "µs", "others, in times of it"]);
    for (index, row) in rows.iter().enumerate() {
        let standings = standings(samples, index);
        let Some(ours) = place(&standings, Subject::Ours) else { continue };
        let others = standings.iter().filter(|other| other.subject != Subject::Ours);
        let others: Vec<_> = others
            .map(|other| format!("{} {}", other.subject.name(), ratio(other.time_by(ours))))
            .collect();
        table.row(vec![row.name.into(), figure(ours.microseconds), others.join(", ")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Sample, Subject, standings, summary, table, verdict};
    use crate::bench::http::row::ROWS;

    fn samples(figures: &[(Subject, f64)]) -> Vec<Sample> {
        let sample = |&(subject, microseconds)| Sample {
            subject,
            row: 0,
            microseconds,
            rate: 1e6 / microseconds,
        };
        figures.iter().map(sample).collect()
    }

    #[test]
    fn lost_cases_are_said() {
        use Subject::{Bare, Hyper, May, Ours};
        let figures =
            [(May, 4.5), (Bare, 4.0), (Hyper, 6.0), (Ours, 5.0), (Ours, 5.0), (Ours, 9.0)];
        let samples = samples(&figures);
        let standings = standings(&samples, 0);
        let expected = "ropewalk: 1.25 times the bare loop (MISSED 1.10)\n\
                        LOST to may_minihttp: it takes 0.90 of our CPU time\n";
        assert_eq!(verdict(&standings), expected);
        let text = table(&standings).text(false);
        let ours = text.lines().find(|line| line.starts_with("ropewalk")).expect("a row for ours");
        let cells: Vec<_> = ours.split_whitespace().collect();
        assert_eq!(cells, ["ropewalk", "5.00", "5.00–9.00", "1.00", "200000", "1.00"]);
        let text = summary(&[&ROWS[0]], &samples).text(false);
        assert!(text.contains("bare 0.80, may_minihttp 0.90, hyper 1.20"), "{text}");
    }

    #[test]
    fn without_ours_there_is_no_verdict() {
        let standings = standings(&samples(&[(Subject::Bare, 4.0)]), 0);
        assert_eq!(verdict(&standings), "ropewalk was not measured.\n");
        assert!(table(&standings).text(false).contains('–'));
    }
}
