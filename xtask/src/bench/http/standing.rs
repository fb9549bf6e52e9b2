//! Where everybody stands: medians, ratios, tables, and what is lost.

use super::row::Row;
use super::subject::Subject;
use crate::bench::table::{Table, median, ratio};

/// How much more CPU time than the bare loop ours may use.
const ALLOWANCE: f64 = 1.10;

/// One subject under a row in one round.
pub(super) struct Sample {
    pub(super) subject: Subject,
    pub(super) round: u32,
    /// Of CPU time, an operation.
    pub(super) microseconds: f64,
    /// Operations a second.
    pub(super) rate: f64,
}

/// A subject under one row: figures of each round, and their medians.
pub(super) struct Standing {
    subject: Subject,
    microseconds: f64,
    rate: f64,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy)]
struct Round {
    number: u32,
    microseconds: f64,
    rate: f64,
}

impl Standing {
    fn of<'a>(subject: Subject, samples: impl Iterator<Item = &'a Sample>) -> Option<Self> {
        let rounds: Vec<_> = samples
            .filter(|sample| sample.subject == subject)
            .map(|sample| Round {
                number: sample.round,
                microseconds: sample.microseconds,
                rate: sample.rate,
            })
            .collect();
        Some(Self {
            subject,
            microseconds: median(rounds.iter().map(|round| round.microseconds))?,
            rate: median(rounds.iter().map(|round| round.rate))?,
            rounds,
        })
    }

    /// The ratios within each round that both were measured in: what slows a whole round down does not show
    /// in them.
    fn by_rounds(&self, other: &Self, figure: fn(&Round) -> f64) -> Vec<f64> {
        let of_both = |this: &Round| {
            let that = other.rounds.iter().find(|that| that.number == this.number)?;
            Some(figure(this) / figure(that))
        };
        self.rounds.iter().filter_map(of_both).collect()
    }

    /// How many times the CPU time of that one it takes, in each round.
    fn times(&self, other: &Self) -> Vec<f64> {
        self.by_rounds(other, |round| round.microseconds)
    }

    /// The same in the middle.
    fn time_by(&self, other: &Self) -> Option<f64> {
        median(self.times(other))
    }

    /// How many times as many operations as that one it does.
    fn rate_by(&self, other: &Self) -> Option<f64> {
        median(self.by_rounds(other, |round| round.rate))
    }
}

/// The subjects under one row, the one that needs least first.
pub(super) fn standings(samples: &[Sample]) -> Vec<Standing> {
    let all = [Subject::Bare, Subject::Ours].into_iter().chain(Subject::PEERS);
    let mut standings: Vec<_> =
        all.filter_map(|subject| Standing::of(subject, samples.iter())).collect();
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
        let each = || standing.rounds.iter().map(|round| round.microseconds);
        let (least, most) = (each().fold(f64::INFINITY, f64::min), each().fold(0.0, f64::max));
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
        let times = peer.times(ours);
        let Some(share) = median(times.iter().copied()) else { continue };
        let name = peer.subject.name();
        let (ahead, rounds) = (times.iter().filter(|&&time| time > 1.0).count(), times.len());
        match (share < 1.0, is_decided(&times)) {
            (true, true) => lines.push(format!(
                "LOST to {name}: it takes {share:.2} of our CPU time, and less in {} of {rounds} rounds",
                rounds - ahead
            )),
            (_, false) => lines.push(format!(
                "UNDECIDED: {name} takes {share:.2} of our CPU time, and more in {ahead} of {rounds} rounds"
            )),
            (false, true) => (),
        }
    }
    lines.join("\n") + "\n"
}

/// Whether at least five of six rounds say the same.
fn is_decided(times: &[f64]) -> bool {
    let more = times.iter().filter(|&&time| time > 1.0).count();
    let less = times.iter().filter(|&&time| time < 1.0).count();
    more.min(less) * 6 <= times.len()
}

/// Whether ours is ahead of everybody, in nearly all rounds.
pub(super) fn is_won(standings: &[Standing]) -> bool {
    let Some(ours) = place(standings, Subject::Ours) else { return false };
    let mut peers = standings.iter().filter(|other| Subject::PEERS.contains(&other.subject));
    peers.all(|peer| {
        let times = peer.times(ours);
        is_decided(&times) && median(times).is_none_or(|share| share >= 1.0)
    })
}

/// A line a row: our time, and how many times of it each other takes.
pub(super) fn summary(rows: &[(&Row, Vec<Standing>)]) -> Table {
    let mut table = Table::new(&["row", "rounds", "µs", "others, in times of it"]);
    for (row, standings) in rows {
        let Some(ours) = place(standings, Subject::Ours) else { continue };
        let others = standings.iter().filter(|other| other.subject != Subject::Ours);
        let others: Vec<_> = others
            .map(|other| format!("{} {}", other.subject.name(), ratio(other.time_by(ours))))
            .collect();
        let rounds = ours.rounds.len().to_string();
        table.row(vec![row.name.into(), rounds, figure(ours.microseconds), others.join(", ")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Sample, Subject, is_won, standings, summary, table, verdict};
    use crate::bench::http::row::ROWS;

    /// A figure a round of each, in the order of their rounds.
    fn samples(figures: &[(Subject, f64)]) -> Vec<Sample> {
        let mut samples: Vec<Sample> = Vec::new();
        for &(subject, microseconds) in figures {
            let before = samples.iter().filter(|sample| sample.subject == subject).count();
            let round = u32::try_from(before).unwrap_or(u32::MAX);
            samples.push(Sample { subject, round, microseconds, rate: 1e6 / microseconds });
        }
        samples
    }

    #[test]
    fn lost_cases_are_said() {
        use Subject::{Bare, Hyper, May, Ours};
        let figures =
            [(May, 4.5), (Bare, 4.0), (Hyper, 6.0), (Ours, 5.0), (Ours, 5.0), (Ours, 9.0)];
        let samples = samples(&figures);
        let standings = standings(&samples);
        let expected = "ropewalk: 1.25 times the bare loop (MISSED 1.10)\n\
                        LOST to may_minihttp: it takes 0.90 of our CPU time, and less in 1 of 1 rounds\n";
        assert_eq!(verdict(&standings), expected);
        assert!(!is_won(&standings));
        let text = table(&standings).text(false);
        let ours = text.lines().find(|line| line.starts_with("ropewalk")).expect("a row for ours");
        let cells: Vec<_> = ours.split_whitespace().collect();
        assert_eq!(cells, ["ropewalk", "5.00", "5.00–9.00", "1.00", "200000", "1.00"]);
        let text = summary(&[(&ROWS[0], standings)]).text(false);
        assert!(text.contains("bare 0.80, may_minihttp 0.90, hyper 1.20"), "{text}");
    }

    #[test]
    fn rounds_that_contradict_each_other_decide_nothing() {
        use Subject::{Nginx, Ours};
        let of = |theirs: &[f64]| {
            let theirs = theirs.iter().map(|&figure| (Nginx, figure));
            standings(&samples(&theirs.chain([(Ours, 5.0); 6]).collect::<Vec<_>>()))
        };
        let open = of(&[5.5, 5.6, 5.7, 5.5, 4.9, 4.8]);
        let said = "UNDECIDED: nginx takes 1.10 of our CPU time, and more in 4 of 6 rounds\n";
        assert_eq!((verdict(&open).as_str(), is_won(&open)), (said, false));
        let won = of(&[5.5, 5.6, 5.7, 5.5, 5.4, 4.8]);
        assert_eq!((verdict(&won).as_str(), is_won(&won)), ("\n", true));
    }

    #[test]
    fn who_missed_a_round_is_compared_in_the_others() {
        use Subject::{Nginx, Ours};
        let mut all = samples(&[(Ours, 4.0), (Ours, 40.0), (Nginx, 8.0), (Nginx, 80.0)]);
        all.retain(|sample| sample.subject == Nginx || sample.round == 1);
        let text = table(&standings(&all)).text(false);
        let theirs = text.lines().find(|line| line.starts_with("nginx")).expect("a row for nginx");
        assert!(theirs.contains("2.00"), "{text}");
    }

    #[test]
    fn without_ours_there_is_no_verdict() {
        let standings = standings(&samples(&[(Subject::Bare, 4.0)]));
        assert_eq!(verdict(&standings), "ropewalk was not measured.\n");
        assert!(table(&standings).text(false).contains('–'));
    }
}
