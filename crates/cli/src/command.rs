//! The commands and their flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::doctor::Doctor;
use crate::mfa::Mfa;
use crate::target::Endpoint;
use crate::top::Top;

/// What a running store can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask a running store how it is
    Status(Connect),
    /// Look for what is wrong or will be, and say what to do
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Doctor),
    /// Say what would be left if zones or disks were lost, before it happens
    #[command(after_help = SIMULATE_HELP)]
    Simulate(Simulate),
    /// Show the store live in the terminal
    Top(Top),
    /// List the zones with their space
    Zones(Connect),
    /// List the disks with their space
    Disks(Connect),
    /// Change the disks of the store: replace, add, drain, remove
    #[command(subcommand)]
    Disk(Disk),
    /// Change the zones of the store: add, drain, remove
    #[command(subcommand)]
    Zone(Zone),
    /// List the buckets with what each holds
    Buckets(Buckets),
    /// Show one bucket and what it holds
    Bucket(Bucket),
    /// List incomplete multipart uploads, or abort them
    #[command(after_help = UPLOADS_HELP)]
    Uploads(Uploads),
    /// Show on which disks the shards of an object are
    Where(Where),
    /// Locks: what is locked until when, and the clock that locks expire by
    #[command(subcommand)]
    Lock(LockCommand),
    /// Devices that give the second factor of MFA delete: enroll, confirm, list, remove
    #[command(subcommand)]
    Mfa(Mfa),
    /// Read everything and repair what is bad: how far it is, or begin now
    Scrub(Scrub),
    /// Show how redundant what is stored is, how far repair is, and what is lost
    Repair(Repair),
}

impl Command {
    /// How the server is reached.
    #[must_use]
    pub const fn connect(&self) -> &Connect {
        match self {
            Self::Status(connect) | Self::Zones(connect) | Self::Disks(connect) => connect,
            Self::Doctor(flags) => &flags.connect,
            Self::Simulate(flags) => &flags.connect,
            Self::Top(flags) => &flags.connect,
            Self::Disk(flags) => flags.connect(),
            Self::Zone(flags) => flags.connect(),
            Self::Buckets(flags) => &flags.connect,
            Self::Bucket(flags) => &flags.connect,
            Self::Uploads(flags) => &flags.connect,
            Self::Where(flags) => &flags.connect,
            Self::Lock(command) => command.connect(),
            Self::Mfa(flags) => flags.connect(),
            Self::Scrub(flags) => flags.connect(),
            Self::Repair(flags) => flags.connect(),
        }
    }
}

/// What `lock` does.
#[derive(Debug, Subcommand)]
pub enum LockCommand {
    /// Add up what is locked, by bucket, mode and month of expiry; looks at every version
    Report(LockReport),
    /// Believe the server's clock although it is ahead of the time that can have passed, so that
    /// locks expire by it; can not be taken back
    ConfirmClock(ConfirmClock),
}

impl LockCommand {
    /// How the server is reached.
    #[must_use]
    pub const fn connect(&self) -> &Connect {
        match self {
            Self::Report(flags) => &flags.connect,
            Self::ConfirmClock(flags) => &flags.connect,
        }
    }
}

/// What `lock report` takes.
#[derive(Debug, Args)]
pub struct LockReport {
    /// Of this bucket only
    #[arg(long)]
    pub bucket: Option<String>,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `lock confirm-clock` takes.
#[derive(Debug, Args)]
pub struct ConfirmClock {
    /// The time as you read it elsewhere, such as 2026-11-23T12:00:00Z; the server's clock must agree
    /// to a minute
    pub time: String,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `disk` does.
#[derive(Debug, Subcommand)]
pub enum Disk {
    /// Put a blank disk in the place of one that is out of service
    Replace(DiskReplace),
    /// Add a blank disk to a zone
    Add(DiskAdd),
    /// Begin to empty a disk that works: what it has moves to other disks of its zone
    Drain(DiskDrain),
    /// End a drain: the disk takes new shards again
    Keep(DiskOne),
    /// Take a drained, empty disk out of the store; nothing on it is erased
    Remove(DiskOne),
}

impl Disk {
    /// How the server is reached.
    #[must_use]
    pub const fn connect(&self) -> &Connect {
        match self {
            Self::Replace(flags) => &flags.connect,
            Self::Add(flags) => &flags.connect,
            Self::Drain(flags) => &flags.connect,
            Self::Keep(flags) | Self::Remove(flags) => &flags.connect,
        }
    }
}

/// What `zone` does.
#[derive(Debug, Subcommand)]
pub enum Zone {
    /// Add a zone of blank disks; what is stored is spread over it in the background
    Add(ZoneAdd),
    /// Begin to empty a zone: what has shards in it is written anew in the others
    Drain(ZoneDrain),
    /// End a drain: the zone takes new shards again
    Keep(ZoneOne),
    /// Take a drained zone out of the store once nothing has shards in it; nothing in it is erased
    Remove(ZoneOne),
}

impl Zone {
    /// How the server is reached.
    #[must_use]
    pub const fn connect(&self) -> &Connect {
        match self {
            Self::Add(flags) => &flags.connect,
            Self::Drain(flags) => &flags.connect,
            Self::Keep(flags) | Self::Remove(flags) => &flags.connect,
        }
    }
}

/// What `zone drain` takes.
#[derive(Debug, Args)]
pub struct ZoneDrain {
    /// Its name
    pub zone: String,
    /// Wait until nothing is known to have shards in it. A drain that is under way already is waited for
    /// too
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `zone add` takes.
#[derive(Debug, Args)]
pub struct ZoneAdd {
    /// Its name and the empty folder of each of its disks, as absolute paths on the machine of the
    /// server
    #[arg(value_name = "NAME=DIR[,DIR...]")]
    pub zone: String,
    #[command(flatten)]
    pub connect: Connect,
}

/// A zone of the store.
#[derive(Debug, Args)]
pub struct ZoneOne {
    /// Its name
    pub zone: String,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `disk replace` takes.
#[derive(Debug, Args)]
pub struct DiskReplace {
    /// The dead disk: its id, or its folder as `disks` shows it
    pub disk: String,
    /// Empty folder on the new disk, as an absolute path on the machine of the server
    #[arg(long, value_name = "DIR")]
    pub folder: String,
    /// Although a disk of another zone is out of service too: gives up what only the old disk holds
    #[arg(long)]
    pub force: bool,
    /// Wait until everything is full again and was verified, and show how far it is
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `disk add` takes.
#[derive(Debug, Args)]
pub struct DiskAdd {
    /// Name of the zone
    #[arg(long)]
    pub zone: String,
    /// Empty folder on the new disk, as an absolute path on the machine of the server
    #[arg(long, value_name = "DIR")]
    pub folder: String,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `disk drain` takes.
#[derive(Debug, Args)]
pub struct DiskDrain {
    /// Its id, or its folder as `disks` shows it
    pub disk: String,
    /// Wait until nothing is on it any more. A drain that is under way already is waited for too
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub connect: Connect,
}

/// A disk of the store.
#[derive(Debug, Args)]
pub struct DiskOne {
    /// Its id, or its folder as `disks` shows it
    pub disk: String,
    #[command(flatten)]
    pub connect: Connect,
}

/// How the server is reached, and how its answer is shown.
#[derive(Debug, Args)]
pub struct Connect {
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Settings file of the server
    #[arg(long, value_name = "FILE", help_heading = "The server")]
    pub config: Option<PathBuf>,
    /// Data folder of the server, for its credentials [default: ./strongroom-data]
    #[arg(long, value_name = "DIR", help_heading = "The server")]
    pub data: Option<PathBuf>,
    /// Address of the administration port [default: 127.0.0.1:9001]
    #[arg(long, value_name = "HOST:PORT", help_heading = "The server")]
    pub admin_address: Option<String>,
    /// URL of the administration port, when it is elsewhere or behind TLS, as https://host:9001.
    /// Instead of --admin-address
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "admin_address",
        help_heading = "The server"
    )]
    pub endpoint: Option<Endpoint>,
    /// Certificate that the administration port presents, when it speaks TLS [default: that of the
    /// server's settings]
    #[arg(long, value_name = "FILE", help_heading = "The server")]
    pub tls_certificate: Option<PathBuf>,
    /// The server was started with --tls-development
    #[arg(long, conflicts_with = "tls_certificate", help_heading = "The server")]
    pub tls_development: bool,
    /// Authorities (PEM) that may have signed the server's certificate, instead of those this
    /// machine trusts
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["tls_certificate", "tls_development"],
        help_heading = "The server"
    )]
    pub ca: Option<PathBuf>,
    /// File with the root credentials
    #[arg(long, value_name = "FILE", help_heading = "The server")]
    pub credentials: Option<PathBuf>,
}

/// What `buckets` takes.
#[derive(Debug, Args)]
pub struct Buckets {
    /// Only buckets whose name starts with this
    #[arg(long)]
    pub prefix: Option<String>,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `bucket` takes.
#[derive(Debug, Args)]
pub struct Bucket {
    /// Its name
    pub name: String,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `uploads` takes.
#[derive(Debug, Args)]
pub struct Uploads {
    /// The uploads of this bucket, one by one; without it each bucket that has any, summed up
    #[arg(long)]
    pub bucket: Option<String>,
    /// Only uploads to keys that start with this
    #[arg(long, requires = "bucket")]
    pub prefix: Option<String>,
    /// Abort the upload with this id
    #[arg(
        long,
        value_name = "ID",
        requires = "bucket",
        conflicts_with = "prefix"
    )]
    pub abort: Option<String>,
    /// Abort the uploads started at least this long ago (30m, 12h, 7d), in the bucket or in all
    #[arg(long, value_name = "TIME", conflicts_with = "abort", value_parser = age)]
    pub abort_older_than: Option<Duration>,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `where` takes.
#[derive(Debug, Args)]
pub struct Where {
    /// The object, as s3://BUCKET/KEY
    pub object: String,
    /// This version instead of the current one
    #[arg(long, value_name = "ID")]
    pub version_id: Option<String>,
    /// Read every shard and check it
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `simulate` takes.
#[derive(Debug, Args)]
pub struct Simulate {
    /// What is lost, all at once: zone=NAME, disk=FOLDER or disk=ID, apart by commas; may stand again
    #[arg(long, value_name = "WHAT", required = true)]
    pub lose: Vec<String>,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `scrub` takes.
#[derive(Debug, Args)]
pub struct Scrub {
    #[command(subcommand)]
    pub action: ScrubAction,
}

/// What is done about scrub.
#[derive(Debug, Subcommand)]
pub enum ScrubAction {
    /// Show how far it is and when it last read everything
    Status(Connect),
    /// Begin a pass, or let the one under way run as fast as clients allow
    Start(ScrubStart),
}

impl Scrub {
    pub(crate) const fn connect(&self) -> &Connect {
        match &self.action {
            ScrubAction::Status(connect) => connect,
            ScrubAction::Start(start) => &start.connect,
        }
    }
}

/// What `scrub start` takes.
#[derive(Debug, Args)]
pub struct ScrubStart {
    /// Wait until a whole pass has ended, and show how far it is
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `repair` takes.
#[derive(Debug, Args)]
pub struct Repair {
    #[command(subcommand)]
    pub action: RepairAction,
}

/// What is done about repair.
#[derive(Debug, Subcommand)]
pub enum RepairAction {
    /// Show how redundant what is stored is, and how far repair is
    Status(RepairLook),
    /// List what can not be read any more; it can be deleted and overwritten
    Lost(Connect),
    /// Bound repair, from its next batch on and over restarts
    Set(RepairSet),
}

impl Repair {
    pub(crate) const fn connect(&self) -> &Connect {
        match &self.action {
            RepairAction::Status(look) => &look.connect,
            RepairAction::Lost(connect) => connect,
            RepairAction::Set(set) => &set.connect,
        }
    }
}

/// What `repair status` takes.
#[derive(Debug, Args)]
pub struct RepairLook {
    /// Wait until everything is full and was verified, and show how far it is
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `repair set` takes.
#[derive(Debug, Args)]
pub struct RepairSet {
    /// Most bytes in a second, such as 50MiB; 0 for no bound
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub rate: u64,
    #[command(flatten)]
    pub connect: Connect,
}

/// A whole number of bytes, with a unit or none.
fn bytes(text: &str) -> Result<u64, String> {
    let bad =
        || format!("`{text}` is no size: write a whole number and KiB, MiB or GiB, such as 50MiB");
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    let number = number.parse::<u64>().ok();
    number.and_then(|n| n.checked_mul(unit)).ok_or_else(bad)
}

const UPLOADS_HELP: &str = "\
Parts of an upload take space until the upload is completed or aborted. Clients that die leave
uploads behind.

Examples:
  strongroom uploads
  strongroom uploads --bucket backups
  strongroom uploads --bucket backups --abort 1878fe3a...
  strongroom uploads --abort-older-than 7d";

const SIMULATE_HELP: &str = "\
Nothing is changed and no object is read: the answer comes from the records and the map of segments.
Space is not looked at: what is left may be too little for what is written. Exit codes: 0 reads and
writes go on and all can be read; 1 not so.

Examples:
  strongroom simulate --lose zone=a
  strongroom simulate --lose zone=a,disk=/mnt/b1";

const DOCTOR_HELP: &str = "\
Exit codes, for monitoring: 0 nothing to do; 1 a warning; 2 act now (or a flag is wrong, with nothing
on standard output); 4 the server gave no answer. What it computes is told in docs/durability.md.

Examples:
  strongroom doctor
  strongroom doctor --afr 3% --repair-time 12h --zone-loss 0.0001";

/// A whole number with a unit.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no time: write a whole number and s, m, h or d, such as 7d");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(bad)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(bad()),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    seconds.map(Duration::from_secs).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("50MiB"), Ok(50 << 20));
        for text in [
            "",
            "MiB",
            "5 MiB",
            "5MB",
            "-5",
            "99999999999999999999",
            "17179869185GiB",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        assert_eq!(age("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(age("0s"), Ok(Duration::ZERO));
        for text in [
            "",
            "d",
            "7",
            "7w",
            "-7d",
            "7.5d",
            "+7d",
            "7 d",
            "99999999999999999999d",
            "é",
        ] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
