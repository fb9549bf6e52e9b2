//! Tables, aligned for a terminal or in Markdown; and the median.

use std::fmt::Write;

/// A table whose first column is text and whose others are figures.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this head and no rows yet.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The table as text, a line a row.
    pub(crate) fn text(&self, markdown: bool) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let cells: Vec<_> = cells.collect();
            let line =
                if markdown { format!("| {} |", cells.join(" | ")) } else { cells.join("  ") };
            text.push_str(line.trim_end());
            text.push('\n');
            if markdown && index == 0 {
                let figures = "| ---: ".repeat(widths.len().saturating_sub(1));
                // Writing to a string cannot fail.
                let _ = writeln!(text, "| --- {figures}|");
            }
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        (0..columns).map(|column| width(column).unwrap_or(0)).collect()
    }
}

/// The middle one, or between the two in the middle; `None` of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => Some(values[middle]),
        _ if values.is_empty() => None,
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// A ratio to two digits; a dash when there was nothing to compare with.
pub(crate) fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
}

#[cfg(test)]
mod tests {
    use super::{Table, median, ratio};

    fn table() -> Table {
        let mut table = Table::new(&["server", "µs"]);
        table.row(vec!["bare".into(), "3.90".into()]);
        table
    }

    #[test]
    fn text_is_aligned() {
        assert_eq!(table().text(false), "server    µs\nbare    3.90\n");
    }

    #[test]
    fn markdown_has_its_rule() {
        let expected = "| server |   µs |\n| --- | ---: |\n| bare   | 3.90 |\n";
        assert_eq!(table().text(true), expected);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn ratios_need_something_to_compare_with() {
        assert_eq!(ratio(Some(1.5)), "1.50");
        assert_eq!(ratio(None), "–");
    }
}
