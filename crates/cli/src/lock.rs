//! `lock`: the clock that locks expire by, and what is locked until when.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use strongroom_admin_api::{
    BUCKETS_PAGE_MAX, BucketsRequest, ConfirmClockRequest, LOCKS_PAGE_MAX, LockClock, LocksRequest,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::command::{LockCommand, LockReport};
use crate::show::{Table, size};
use crate::{Admin, CliError, json_text};

pub(crate) async fn lock(admin: &Admin, command: &LockCommand) -> Result<String, CliError> {
    match command {
        LockCommand::ConfirmClock(flags) => {
            let request = ConfirmClockRequest {
                time: flags.time.clone(),
            };
            let clock = admin.confirm_clock(&request).await?;
            Ok(match flags.connect.json {
                true => json_text(&clock),
                false => confirmed_text(&clock),
            })
        }
        LockCommand::Report(flags) => report(admin, flags).await,
    }
}

fn confirmed_text(clock: &LockClock) -> String {
    let time = time_text(clock.time_unix_seconds);
    format!("Locks expire by the server's clock again. It is {time}.\n")
}

fn time_text(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// What is locked, of all buckets that were asked for.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// The lock clock of the first page, as RFC 3339.
    time: String,
    versions_examined: u64,
    locks: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    bucket: String,
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    month: Option<String>,
    versions: u64,
    bytes: u64,
}

async fn report(admin: &Admin, flags: &LockReport) -> Result<String, CliError> {
    let mut report = Report::default();
    match &flags.bucket {
        Some(bucket) => add_bucket(admin, bucket, &mut report).await?,
        None => add_buckets(admin, &mut report).await?,
    }
    Ok(match flags.connect.json {
        true => json_text(&report),
        false => report_text(&report),
    })
}

async fn add_buckets(admin: &Admin, report: &mut Report) -> Result<(), CliError> {
    let mut after = None;
    loop {
        let request = BucketsRequest {
            after,
            limit: Some(BUCKETS_PAGE_MAX),
            ..BucketsRequest::default()
        };
        let page = admin.buckets(&request).await?;
        for bucket in &page.buckets {
            add_bucket(admin, &bucket.name, report).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn add_bucket(admin: &Admin, bucket: &str, report: &mut Report) -> Result<(), CliError> {
    let mut sums: BTreeMap<(String, Option<String>), (u64, u64)> = BTreeMap::new();
    let mut after = None;
    loop {
        let request = LocksRequest {
            bucket: bucket.to_owned(),
            after,
            limit: Some(LOCKS_PAGE_MAX),
        };
        let page = admin.locks(&request).await?;
        if report.time.is_empty() {
            report.time = time_text(page.time_unix_seconds);
        }
        report.versions_examined += page.versions_examined;
        for locked in page.locks {
            let sum = sums.entry((locked.mode, locked.month)).or_default();
            sum.0 += locked.versions;
            sum.1 += locked.bytes;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let rows = sums
        .into_iter()
        .map(|((mode, month), (versions, bytes))| Row {
            bucket: bucket.to_owned(),
            mode,
            month,
            versions,
            bytes,
        });
    report.locks.extend(rows);
    Ok(())
}

fn report_text(report: &Report) -> String {
    let mut table = Table::new(&["BUCKET", "LOCK", "UNTIL", "VERSIONS", "SIZE"], &[3, 4]);
    for row in &report.locks {
        table.row([
            row.bucket.clone(),
            row.mode.clone(),
            row.month.clone().unwrap_or_else(|| "no end".to_owned()),
            row.versions.to_string(),
            size(row.bytes),
        ]);
    }
    let mut text = table.text();
    let _ = writeln!(
        text,
        "{} versions were looked at; locks expire by {}.",
        report.versions_examined, report.time
    );
    text
}
