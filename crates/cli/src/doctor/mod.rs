//! `doctor`: what is wrong or will be, in sentences, each with what to do next.
//!
//! A store that serves can still be one failure away from losing data: three zones on one disk, a
//! disk that has been out for a month, space that ends next week. The doctor asks for everything
//! that is known, judges it, and says what it does not know instead of leaving it out.
//!
//! What it ends with, for monitoring: 0 nothing to do, 1 a warning, 2 act now; and as every command
//! 2 for a wrong flag (with nothing on standard output) and 4 for no answer.
//!
//! Judging is pure (`checks`, `nines`): what was asked goes in, findings come out.

mod checks;
mod flags;
mod nines;
mod overdue;

use std::fmt::Write;

use serde::Serialize;
use strongroom_admin_api::{NoParameters, RepairStatus, ScrubStatus, Status, Topology};
use strongroom_base::{Clock, SystemClock};

pub use flags::Doctor;

use crate::show::escaped;
use crate::{Admin, Answer, CliError, json_text};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// As it should be, or a thing to know.
    Ok,
    /// Something to do before it gets worse.
    Warning,
    /// Act now: something does not work, or the next failure may lose data.
    Critical,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }
}

/// One thing found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Finding {
    pub level: Level,
    /// What was looked at: `service`, `zones`, `devices`, and so on.
    pub check: &'static str,
    /// A sentence.
    pub message: String,
    /// What to do, when there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            check,
            message: message.into(),
            next: None,
        }
    }

    pub(crate) fn at(
        level: Level,
        check: &'static str,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            level,
            next: Some(next.into()),
            ..Self::ok(check, message)
        }
    }
}

/// What was asked.
pub(crate) struct Facts {
    pub status: Status,
    /// None while the store is being opened.
    pub topology: Option<Topology>,
    /// How far scrub is; none while the store is being opened.
    pub scrub: Option<ScrubStatus>,
    /// How all stands and how far repair is; none while the store is being opened.
    pub repair: Option<RepairStatus>,
    /// The clock of this machine when the topology was answered, in seconds since 1970.
    pub own_time_seconds: u64,
}

/// What the doctor says.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Report {
    /// The worst of the findings.
    pub level: Level,
    pub findings: Vec<Finding>,
    /// What is lost in a year; absent when it can not be computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<nines::Durability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
}

pub(crate) async fn doctor(admin: &Admin, flags: &Doctor) -> Result<Answer, CliError> {
    let status = admin.status(&NoParameters {}).await?;
    let topology = match &status.store {
        Some(_) => Some(admin.topology(&NoParameters {}).await?),
        None => None,
    };
    let scrub = match &topology {
        Some(_) => Some(admin.scrub_status(&NoParameters {}).await?),
        None => None,
    };
    let repair = match &topology {
        Some(_) => Some(admin.repair_status(&NoParameters {}).await?),
        None => None,
    };
    let facts = Facts {
        scrub,
        repair,
        status,
        topology,
        own_time_seconds: SystemClock::new().now().seconds(),
    };
    let report = examine(facts, flags)?;
    let exit_code = match report.level {
        Level::Ok => 0,
        Level::Warning => 1,
        Level::Critical => 2,
    };
    let text = if flags.connect.json {
        json_text(&report)
    } else {
        text(&report)
    };
    Ok(Answer { text, exit_code })
}

fn examine(facts: Facts, flags: &Doctor) -> Result<Report, CliError> {
    let mut findings = checks::all(&facts);
    let mut durability = None;
    if let Some(topology) = &facts.topology {
        let (found, finding) = nines::durability(topology, &facts, flags)?;
        findings.push(finding);
        durability = found;
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let worst = findings.first().map_or(Level::Ok, |finding| finding.level);
    Ok(Report {
        level: worst,
        findings,
        durability,
        topology: facts.topology,
    })
}

/// The first line is a whole answer: monitoring shows it alone.
fn text(report: &Report) -> String {
    let count = |level| {
        let at = report.findings.iter().filter(|f| f.level == level);
        at.count()
    };
    let (critical, warnings) = (count(Level::Critical), count(Level::Warning));
    let mut text = match report.level {
        Level::Ok => "OK: nothing to do\n".to_owned(),
        level => format!(
            "{}: {critical} critical, {warnings} to see to; worst: {}\n",
            level.word(),
            escaped(&report.findings[0].message)
        ),
    };
    for finding in &report.findings {
        let (level, check) = (finding.level.word(), finding.check);
        let message = escaped(&finding.message);
        let _ = write!(text, "\n{level:<8}  {check:<10}  {message}\n");
        if let Some(next) = &finding.next {
            let _ = writeln!(text, "{:22}-> {}", "", escaped(next));
        }
    }
    text
}

#[cfg(test)]
mod tests;
