//! What a run found: rows, the limits of the machine beside them, and the ratios of the two.

use serde::{Deserialize, Serialize};

use crate::client::PARTS;
use crate::driver::Step;
use crate::limits::{Limits, milliseconds};
use crate::phase::Outcome;
use crate::target::Used;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What the target used for one step; what can not be known is absent.
#[derive(Clone, Copy, Default)]
pub struct Use {
    cpu_seconds: Option<f64>,
    written: Option<f64>,
    stored: u64,
    syncs: Option<f64>,
    resident: Option<u64>,
}

impl Use {
    pub fn between(before: &Used, after: &Used, stored: u64) -> Self {
        let both = before.process.zip(after.process);
        Self {
            cpu_seconds: both.map(|(a, b)| b.cpu.saturating_sub(a.cpu).as_secs_f64()),
            written: both.map(|(a, b)| b.written.saturating_sub(a.written) as f64),
            stored,
            syncs: before.syncs.zip(after.syncs).map(|(a, b)| b - a),
            resident: after.process.map(|usage| usage.resident),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub operation: String,
    pub size_bytes: usize,
    pub connections: usize,
    pub operations: usize,
    pub refused: u64,
    pub operations_per_second: f64,
    pub megabytes_per_second: Option<f64>,
    pub p50_milliseconds: f64,
    pub p99_milliseconds: f64,
    pub max_milliseconds: f64,
    pub server_cpu_microseconds: Option<f64>,
    pub client_cpu_microseconds: f64,
    pub written_per_stored: Option<f64>,
    pub syncs_per_operation: Option<f64>,
    pub resident_mebibytes: Option<f64>,
}

impl Row {
    pub fn new(operation: &str, step: Step, outcome: &mut Outcome, used: Use) -> Self {
        let operations = outcome.latencies.count();
        let count = operations.max(1) as f64;
        let rate = operations as f64 / outcome.took.as_secs_f64().max(f64::MIN_POSITIVE);
        let moved = match operation {
            "put" | "get" | "bare hyper" => Some(step.size as f64),
            "multipart" => Some((step.size as u64 * PARTS) as f64),
            _ => None,
        };
        let mut at = |percent| milliseconds(outcome.latencies.percentile(percent));
        Self {
            operation: operation.to_owned(),
            size_bytes: step.size,
            connections: step.connections,
            operations,
            refused: outcome.refused,
            operations_per_second: rate,
            megabytes_per_second: moved.map(|bytes| bytes * rate / 1e6),
            p50_milliseconds: at(50),
            p99_milliseconds: at(99),
            max_milliseconds: at(100),
            server_cpu_microseconds: used.cpu_seconds.map(|seconds| seconds * 1e6 / count),
            client_cpu_microseconds: outcome.client_cpu.as_secs_f64() * 1e6 / count,
            written_per_stored: used
                .written
                .filter(|_| used.stored > 0)
                .map(|bytes| bytes / used.stored as f64),
            syncs_per_operation: used.syncs.map(|syncs| syncs / count),
            resident_mebibytes: used.resident.map(|bytes| bytes as f64 / MIB as f64),
        }
    }

    pub const HEADINGS: &'static str = "| operation | size | connections | op/s | MB/s | p50 ms | \
         p99 ms | max ms | server µs/op | client µs/op | written/stored | syncs/op | resident MiB | \
         refused |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

    /// The row as a line of a table.
    pub fn line(&self) -> String {
        format!(
            "| {} | {} | {} | {:.0} | {} | {:.2} | {:.2} | {:.1} | {} | {:.1} | {} | {} | {} | {} |",
            self.operation,
            size_text(self.size_bytes),
            self.connections,
            self.operations_per_second,
            text(self.megabytes_per_second, 1),
            self.p50_milliseconds,
            self.p99_milliseconds,
            self.max_milliseconds,
            text(self.server_cpu_microseconds, 0),
            self.client_cpu_microseconds,
            text(self.written_per_stored, 2),
            text(self.syncs_per_operation, 2),
            text(self.resident_mebibytes, 0),
            self.refused,
        )
    }
}

/// A figure with so many decimals, or a dash.
pub fn text(value: Option<f64>, decimals: usize) -> String {
    value
        .filter(|value| value.is_finite())
        .map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// A size as people say it.
pub fn size_text(bytes: usize) -> String {
    match bytes {
        0 => "0".to_owned(),
        bytes if bytes % MIB == 0 => format!("{} MiB", bytes / MIB),
        bytes if bytes % KIB == 0 => format!("{} KiB", bytes / KIB),
        bytes => format!("{bytes} B"),
    }
}

/// A figure beside the machine's limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ratio {
    pub what: String,
    pub ratio: f64,
    pub goal: f64,
    /// Whether more than the goal is good; otherwise less is.
    pub more_is_better: bool,
}

impl Ratio {
    pub fn line(&self) -> String {
        let (sign, met) = if self.more_is_better {
            ("≥", self.ratio >= self.goal)
        } else {
            ("≤", self.ratio <= self.goal)
        };
        let met = if met { "yes" } else { "no" };
        format!(
            "| {} | {:.2} | {sign} {} | {met} |",
            self.what, self.ratio, self.goal
        )
    }
}

/// All of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub version: String,
    /// Seconds since 1970.
    pub taken_at: u64,
    pub machine: String,
    pub processors: usize,
    pub seconds_per_phase: u64,
    pub limits: Limits,
    pub rows: Vec<Row>,
    pub ratios: Vec<Ratio>,
}

/// The ratios that can be told from `rows`: those of which both sides were measured.
pub fn ratios(rows: &[Row], limits: &Limits) -> Vec<Ratio> {
    let row = |operation: &str, size: usize, connections: usize| {
        rows.iter().find(|row| {
            (row.operation.as_str(), row.size_bytes, row.connections)
                == (operation, size, connections)
        })
    };
    let small = 4 * KIB;
    let mut all = Vec::new();
    let mut add = |what: &str, ratio: Option<f64>, goal, more_is_better| {
        if let Some(ratio) = ratio.filter(|ratio| ratio.is_finite()) {
            let what = what.to_owned();
            all.push(Ratio {
                what,
                ratio,
                goal,
                more_is_better,
            });
        }
    };
    for operation in ["put", "delete"] {
        let rate = row(operation, small, 64).map(|row| row.operations_per_second);
        let what = format!("{operation} 4 KiB at 64, to batched syncs of 64 writers");
        add(
            &what,
            rate.map(|rate| rate / limits.batched_records_per_second),
            0.5,
            true,
        );
    }
    let p50 = row("put", small, 1).map(|row| row.p50_milliseconds / limits.sync_p50_milliseconds);
    add(
        "put 4 KiB at 1, p50 to that of one sync of three folders",
        p50,
        1.5,
        false,
    );
    let least = row("bare hyper", small, 64)
        .and_then(|row| row.server_cpu_microseconds)
        .map(|cpu| cpu + limits.signature_microseconds + limits.index_read_microseconds);
    let cpu = row("get", small, 64).and_then(|row| row.server_cpu_microseconds);
    let what = "get 4 KiB at 64, processor time of (bare hyper + signature + index read) to ours";
    add(
        what,
        least.zip(cpu).map(|(least, cpu)| least / cpu),
        0.6,
        true,
    );
    for (size, connections) in [(MIB, 8), (64 * MIB, 2)] {
        let rate = |operation| Some(row(operation, size, connections)?.operations_per_second);
        let what = format!("get {} at {connections}, to bare hyper", size_text(size));
        let ratio = rate("get")
            .zip(rate("bare hyper"))
            .map(|(ours, bare)| ours / bare);
        add(&what, ratio, 0.7, true);
        let speed = row("put", size, connections).and_then(|row| row.megabytes_per_second);
        let what = format!(
            "put {} at {connections}, to MD5 of one stream",
            size_text(size)
        );
        add(
            &what,
            speed.map(|speed| speed / limits.md5_megabytes_per_second),
            1.0,
            true,
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(operation: &str, size_bytes: usize, connections: usize, rate: f64) -> Row {
        Row {
            operation: operation.to_owned(),
            size_bytes,
            connections,
            operations: 10,
            refused: 0,
            operations_per_second: rate,
            megabytes_per_second: Some(rate * size_bytes as f64 / 1e6),
            p50_milliseconds: 2.0,
            p99_milliseconds: 3.0,
            max_milliseconds: 4.0,
            server_cpu_microseconds: Some(100.0),
            client_cpu_microseconds: 10.0,
            written_per_stored: None,
            syncs_per_operation: None,
            resident_mebibytes: None,
        }
    }

    #[test]
    fn a_ratio_is_told_only_when_both_sides_were_measured() {
        let limits = Limits {
            sync_p50_milliseconds: 1.0,
            batched_records_per_second: 2000.0,
            signature_microseconds: 5.0,
            index_read_microseconds: 15.0,
            md5_megabytes_per_second: 600.0,
            ..Limits::default()
        };
        let mut rows = vec![row("put", 4096, 64, 1500.0), row("get", 4096, 64, 9000.0)];
        let found = ratios(&rows, &limits);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].line(),
            "| put 4 KiB at 64, to batched syncs of 64 writers | 0.75 | ≥ 0.5 | yes |"
        );
        rows.push(row("bare hyper", 4096, 64, 30_000.0));
        rows.push(row("put", 4096, 1, 500.0));
        let found = ratios(&rows, &limits);
        assert_eq!(found.len(), 3);
        assert!((found[1].ratio - 2.0).abs() < 1e-9 && found[1].line().ends_with("| no |"));
        assert!((found[2].ratio - 1.2).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        assert_eq!(text(None, 1), "–");
        assert_eq!(text(Some(f64::NAN), 1), "–");
        assert_eq!(text(Some(1.26), 1), "1.3");
        assert_eq!(
            [size_text(0), size_text(4096), size_text(8 * MIB)],
            ["0", "4 KiB", "8 MiB"]
        );
    }
}
