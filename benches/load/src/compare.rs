//! Two targets in one run: A B A B, step by step, so that both have the same machine.
//!
//! Speeds of a shared machine differ by half between two minutes. Neighbours in time differ less, so
//! each round gives a ratio of its own, and the middle one of the rounds is told with their range.

use serde::Serialize;

use crate::report::{Row, size_text, text};

/// One step on both targets, all rounds.
#[derive(Serialize)]
pub struct Pair {
    pub a: Vec<Row>,
    pub b: Vec<Row>,
}

impl Pair {
    pub const HEADINGS: &'static str = "| operation | size | connections | A op/s | B op/s | B to A | \
         least – most | p50 B to A | p99 B to A | server µs/op B to A |\n|---|---|---|---|---|---|---|---|---|---|";

    /// The pair as a line of a table.
    pub fn line(&self) -> String {
        let rate = |row: &Row| Some(row.operations_per_second);
        let rates = self.ratios(rate);
        let first = &self.a[0];
        format!(
            "| {} | {} | {} | {} | {} | {} | {} – {} | {} | {} | {} |",
            first.operation,
            size_text(first.size_bytes),
            first.connections,
            text(middle(self.a.iter().filter_map(rate).collect()), 0),
            text(middle(self.b.iter().filter_map(rate).collect()), 0),
            text(middle(rates.clone()), 2),
            text(rates.iter().copied().reduce(f64::min), 2),
            text(rates.iter().copied().reduce(f64::max), 2),
            text(middle(self.ratios(|row| Some(row.p50_milliseconds))), 2),
            text(middle(self.ratios(|row| Some(row.p99_milliseconds))), 2),
            text(middle(self.ratios(|row| row.server_cpu_microseconds)), 2),
        )
    }

    /// B to A of each round.
    fn ratios(&self, figure: impl Fn(&Row) -> Option<f64>) -> Vec<f64> {
        let pairs = self.a.iter().zip(&self.b);
        pairs
            .filter_map(|(a, b)| Some(figure(b)? / figure(a)?))
            .collect()
    }
}

/// The middle of the values, nothing of none.
fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    let upper = *values.get(count / 2)?;
    Some(if count % 2 == 1 {
        upper
    } else {
        f64::midpoint(values[count / 2 - 1], upper)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_of_the_sorted_values() {
        assert_eq!(middle(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(middle(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(middle(Vec::new()), None);
    }
}
