//! What should have been done by now: scrub, repair, the sweep, the trimming of the log; and how all that
//! is stored stands.

use strongroom_admin_api::{EngineStatus, RepairStatus, ScrubStatus};

use super::{Facts, Finding, Level};
use crate::show::{size, span};
use crate::upkeep::unprotected;

/// How long objects may be reduced before a person should look: repair begins within seconds, and an hour
/// is more than a restart or a loose cable takes.
const REDUCED_SECONDS_MAX: u64 = 3600;
/// How many times the size from which on the log is packed it may have before it counts as not given back:
/// packing begins at once of it, and a round may take as much again.
const LOG_TIMES_MAX: u64 = 4;
/// How much longer than the hold-back a deletion may wait for its sweep, in seconds: rounds of the sweep and
/// a search for orphans lie between.
const SWEEP_SECONDS_MAX: u64 = 6 * 3600;

/// Every check.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let uptime = facts.status.uptime_seconds;
    findings.extend(facts.repair.iter().flat_map(standing));
    findings.extend(facts.scrub.as_ref().map(|scrub| verified(scrub, uptime)));
    findings.extend(facts.status.store.iter().flat_map(given_back));
    findings
}

/// How blobs stand by the last walk over them.
fn standing(repair: &RepairStatus) -> Vec<Finding> {
    if repair.walked.is_none() {
        let message =
            "the blobs were not walked over yet since the start: how they stand is not known";
        return vec![Finding::ok("standing", message)];
    }
    let mut findings = Vec::new();
    let mut add = |name: &str, what: &str, next: &str| {
        let found = repair.levels.iter().find(|level| level.level == name);
        let Some(found) = found.filter(|found| found.blobs > 0) else {
            return;
        };
        let (blobs, bytes) = (found.blobs, size(found.bytes));
        let message = format!("{blobs} objects or parts ({bytes}) {what}");
        findings.push(Finding::at(Level::Critical, "standing", message, next));
    };
    add(
        "lost",
        "are lost: no disk that is known has enough of them",
        "list them with strongroom repair lost; they can be deleted and overwritten",
    );
    add(
        "unreachable",
        "can not be read until disks that are out come back",
        "bring the disks back: strongroom disks, docs/operations/disk-dies.md",
    );
    add(
        "critical",
        "may be lost with the next disk",
        "bring disks back or replace them; strongroom repair status shows how far repair is",
    );
    findings.extend(reduced(repair));
    if !repair.failed.is_empty() {
        let count = repair.failed.len();
        findings.push(Finding::at(
            Level::Warning,
            "standing",
            format!("the last round of repair could not make {count} blobs whole"),
            "see the log of the server; strongroom repair status names them",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "standing",
            "by the last walk every blob is full",
        ));
    }
    findings
}

/// Objects that have been reduced for long.
fn reduced(repair: &RepairStatus) -> Option<Finding> {
    let since = repair.since_seconds?;
    let oldest = repair.oldest.as_ref();
    let oldest = oldest.map_or(String::new(), |oldest| {
        format!("; the oldest: {}", unprotected(oldest))
    });
    let message = format!("not every blob is full since {} ago{oldest}", span(since));
    Some(match since {
        0..=REDUCED_SECONDS_MAX => Finding::ok("standing", message),
        _ => Finding::at(
            Level::Warning,
            "standing",
            message,
            "repair waits for disks, or is slow: strongroom repair status, strongroom disks",
        ),
    })
}

/// When every byte was last read and checked.
fn verified(scrub: &ScrubStatus, uptime: u64) -> Finding {
    let period = scrub.period_seconds;
    let late = |message: String| {
        Finding::at(
            Level::Warning,
            "verified",
            message,
            format!(
                "a pass is meant to end every {}: see strongroom scrub status, and strongroom scrub start",
                span(period)
            ),
        )
    };
    if scrub.blobs_lost > 0 {
        let lost = scrub.blobs_lost;
        return Finding::at(
            Level::Critical,
            "verified",
            format!("scrub found {lost} blobs lost"),
            "list them with strongroom repair lost",
        );
    }
    match scrub.age_seconds {
        None if period > 0 && uptime > period => late(format!(
            "never verified as a whole, {} after the start",
            span(uptime)
        )),
        None => Finding::ok(
            "verified",
            "never verified as a whole: damage to what is not read is found when it is read",
        ),
        Some(age) if period > 0 && age > period => late(format!(
            "scrub is overdue: the last full pass ended {} ago",
            span(age)
        )),
        Some(age) => Finding::ok(
            "verified",
            format!("the last full pass of scrub ended {} ago", span(age)),
        ),
    }
}

/// Space that should have been given back.
fn given_back(store: &EngineStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    let due = store.hold_back_seconds.saturating_add(SWEEP_SECONDS_MAX);
    if let Some(waited) = store.buried_seconds.filter(|waited| *waited > due) {
        findings.push(Finding::at(
            Level::Warning,
            "sweep",
            format!(
                "the sweep is late: something deleted {} ago still takes its space, hold-back is {}",
                span(waited),
                span(store.hold_back_seconds)
            ),
            "bytes on a disk that is out wait for it; else see strongroom_sweep_kept_total and the log",
        ));
    }
    let wanted = store.log_bytes_wanted;
    let large = |bytes: &u64| wanted > 0 && *bytes / LOG_TIMES_MAX > wanted;
    if let Some(bytes) = store.log_bytes.filter(large) {
        findings.push(Finding::at(
            Level::Warning,
            "log",
            format!(
                "the commit log was not given back: it has {}, and is packed from {} on",
                size(bytes),
                size(wanted)
            ),
            "see strongroom_log_trims_refused_total and the log of the server: a zone that is out \
             keeps it",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "overdue",
            "the sweep and the trimming of the log are not late",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use strongroom_admin_api::LevelCount;

    use super::*;

    fn stands(level: &str, since: u64) -> RepairStatus {
        RepairStatus {
            walked: Some("now".to_owned()),
            levels: vec![LevelCount {
                level: level.to_owned(),
                blobs: 2,
                bytes: 2048,
            }],
            since_seconds: (since > 0).then_some(since),
            ..RepairStatus::default()
        }
    }

    fn worst(findings: &[Finding]) -> Level {
        findings.iter().map(|f| f.level).max().unwrap()
    }

    /// AZ28: what is lost or about to be is never told less of than the walk found.
    #[test]
    fn az28_lost_and_critical_objects_are_critical_and_counted() {
        for level in ["lost", "unreachable", "critical"] {
            let found = standing(&stands(level, 1));
            assert_eq!(worst(&found), Level::Critical, "{level}");
            assert!(found[0].message.starts_with("2 objects or parts (2.0 KiB)"));
        }
        assert_eq!(worst(&standing(&stands("full", 0))), Level::Ok);
        let never = standing(&RepairStatus::default());
        assert!(never[0].message.contains("not known"), "{never:?}");
    }

    #[test]
    fn objects_reduced_for_an_hour_are_a_warning() {
        assert_eq!(worst(&standing(&stands("reduced", 3600))), Level::Ok);
        let late = standing(&stands("reduced", 3601));
        assert_eq!(worst(&late), Level::Warning);
        assert!(late[0].next.is_some());
    }

    #[test]
    fn scrub_beyond_its_period_is_overdue() {
        let mut scrub = ScrubStatus {
            period_seconds: 100,
            age_seconds: Some(100),
            ..ScrubStatus::default()
        };
        assert_eq!(verified(&scrub, 1).level, Level::Ok);
        scrub.age_seconds = Some(101);
        assert_eq!(verified(&scrub, 1).level, Level::Warning);
        scrub.age_seconds = None;
        assert_eq!(verified(&scrub, 100).level, Level::Ok);
        assert_eq!(verified(&scrub, 101).level, Level::Warning);
        scrub.blobs_lost = 1;
        assert_eq!(verified(&scrub, 1).level, Level::Critical);
    }

    #[test]
    fn a_late_sweep_and_a_log_that_is_kept_are_warnings() {
        let mut store = EngineStatus {
            hold_back_seconds: 10,
            buried_seconds: Some(10 + SWEEP_SECONDS_MAX),
            log_bytes_wanted: 100,
            log_bytes: Some(400),
            ..EngineStatus::default()
        };
        assert_eq!(worst(&given_back(&store)), Level::Ok);
        store.buried_seconds = Some(11 + SWEEP_SECONDS_MAX);
        store.log_bytes = Some(404);
        let found = given_back(&store);
        assert_eq!(found.len(), 2);
        assert_eq!(worst(&found), Level::Warning);
    }
}
