//! What this store loses in a year, by the model of docs/durability.md.

use std::time::Duration;

use serde::Serialize;
use strongroom_admin_api::{RepairStatus, Topology};
use strongroom_durability::{Assumptions, Error, HOURS_PER_YEAR, Layout, loss_per_year, nines};

use super::{Doctor, Facts, Finding, Level};
use crate::CliError;
use crate::show::{size, span};

/// Probability that a shard becomes unreadable in a year in which it is not verified: 8.5 % of
/// nearline disks have latent errors, reckoned at a hundred bad places each, over 1 MiB of 4 TB.
const LATENT_ERRORS_PER_SHARD_YEAR: f64 = 2.2e-6;
/// A probability the model takes, whatever the clock of the last pass says.
const LATENT_ERROR_MAX: f64 = 0.5;
/// Time to full redundancy while nothing was repaired yet: a day, with the wait for a disk.
const REPAIR_TIME_ASSUMED: Duration = Duration::from_secs(24 * 3600);
/// Longest time that is reckoned with: a year.
const REPAIR_TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Years that count as unverified when nothing was ever verified: the life of a disk.
const UNVERIFIED_YEARS: f64 = 5.0;
/// Loss in a year from which on the doctor warns: one object in a thousand is what a disk without
/// any redundancy comes near to, and no store with some.
const LOSS_WARNING: f64 = 1e-3;

/// The figures, with what they were computed from.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Durability {
    pub data_shards: u32,
    pub parity_shards: u32,
    pub zones: u32,
    pub shards_per_zone: u32,
    /// Whole zones that may go at once, and disks beside them.
    pub survives_zones: u32,
    pub survives_disks: u32,
    pub disk_failures_per_year: f64,
    pub disk_repair_hours: f64,
    /// Bytes in a second by which that was computed; absent when it is assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_bytes_per_second: Option<u64>,
    pub zone_losses_per_year: f64,
    pub zone_repair_hours: f64,
    /// Absent when nothing was ever verified.
    pub verified_age_seconds: Option<u64>,
    pub latent_error: f64,
    /// Probability that the bytes of an object are lost in a year.
    pub bytes_loss_per_year: f64,
    /// Probability that its record is.
    pub log_loss_per_year: f64,
    /// Both.
    pub loss_per_year: f64,
    /// Absent when nothing is ever lost.
    pub nines: Option<f64>,
}

/// The figures, and the finding that tells them.
///
/// # Errors
/// `Usage` when a flag is out of what the model takes.
pub(super) fn durability(
    topology: &Topology,
    facts: &Facts,
    flags: &Doctor,
) -> Result<(Option<Durability>, Finding), CliError> {
    let repair = repair_time(topology, facts.repair.as_ref(), flags);
    let age = facts.scrub.as_ref().and_then(|scrub| scrub.age_seconds);
    let years = age.map_or(UNVERIFIED_YEARS, |seconds| {
        Duration::from_secs(seconds).as_secs_f64() / 3600.0 / HOURS_PER_YEAR
    });
    let assumptions = Assumptions {
        disk_failures_per_year: flags.afr,
        disk_repair_hours: repair.time.as_secs_f64() / 3600.0,
        zone_losses_per_year: flags.zone_loss,
        zone_repair_hours: flags.zone_repair_time.as_secs_f64() / 3600.0,
        hazard_beside_dead_disk: 1.0,
        latent_error: (LATENT_ERRORS_PER_SHARD_YEAR * years).min(LATENT_ERROR_MAX),
    };
    match figures(topology, age, &assumptions) {
        Ok(mut found) => {
            found.repair_bytes_per_second = repair.rate;
            let finding = told(&found, &repair, flags);
            Ok((Some(found), finding))
        }
        Err(Error::Layout { .. }) => Ok((
            None,
            Finding::ok("durability", "the model does not cover this layout"),
        )),
        Err(error @ Error::Assumption { .. }) => Err(CliError::Usage(error.to_string())),
    }
}

/// How long a disk's shards are missing.
struct RepairTime {
    time: Duration,
    /// Of repair, when the time was computed by it.
    rate: Option<u64>,
}

impl RepairTime {
    fn told(&self) -> String {
        self.rate
            .map(|rate| format!(" (a new disk, then {}/s as measured)", size(rate)))
            .unwrap_or_default()
    }
}

/// By the flag; else by the rate that repair had, when it had one; else a day.
#[allow(clippy::cast_precision_loss)]
fn repair_time(topology: &Topology, repair: Option<&RepairStatus>, flags: &Doctor) -> RepairTime {
    let assumed = |time| RepairTime { time, rate: None };
    if let Some(time) = flags.repair_time {
        return assumed(time);
    }
    let Some(repair) = repair.filter(|repair| repair.bytes_per_second > 0) else {
        return assumed(REPAIR_TIME_ASSUMED);
    };
    let disks: usize = topology.zones.iter().map(|zone| zone.disks.len()).sum();
    let shards = topology.data_shards.saturating_add(topology.parity_shards);
    let content: u64 = repair.levels.iter().map(|level| level.bytes).sum();
    // Every blob with a shard on the disk is read once to repair it, and once to verify.
    let share = (f64::from(shards) / disks.max(1) as f64).min(1.0);
    let seconds = content as f64 * share * 2.0 / repair.bytes_per_second as f64;
    let work = Duration::try_from_secs_f64(seconds).unwrap_or(REPAIR_TIME_MAX);
    let time = flags.disk_wait.saturating_add(work);
    RepairTime {
        // The model takes no time of zero, nor more than the years of a disk.
        time: time.clamp(Duration::from_secs(1), REPAIR_TIME_MAX),
        rate: Some(repair.bytes_per_second),
    }
}

fn figures(
    topology: &Topology,
    age: Option<u64>,
    assumptions: &Assumptions,
) -> Result<Durability, Error> {
    let (data, parity) = (topology.data_shards, topology.parity_shards);
    let per_zone = topology.shards_per_zone.max(1);
    let zones = data.saturating_add(parity) / per_zone;
    let layout = Layout::new(data, parity, zones, per_zone)?;
    let log = log_layout(topology)?;
    let bytes = loss_per_year(layout, assumptions)?;
    let log = loss_per_year(log, assumptions)?;
    let both = (bytes + log).min(1.0);
    let survives = layout.survives();
    Ok(Durability {
        data_shards: data,
        parity_shards: parity,
        zones,
        shards_per_zone: per_zone,
        survives_zones: survives.zones,
        survives_disks: survives.disks,
        disk_failures_per_year: assumptions.disk_failures_per_year,
        disk_repair_hours: assumptions.disk_repair_hours,
        repair_bytes_per_second: None,
        zone_losses_per_year: assumptions.zone_losses_per_year,
        zone_repair_hours: assumptions.zone_repair_hours,
        verified_age_seconds: age,
        latent_error: assumptions.latent_error,
        bytes_loss_per_year: bytes,
        log_loss_per_year: log,
        loss_per_year: both,
        nines: nines(both),
    })
}

/// A copy of the log in each zone; in a store of one zone, on each disk.
fn log_layout(topology: &Topology) -> Result<Layout, Error> {
    let count = |len: usize| {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        len.min(strongroom_durability::SHARDS_MAX)
    };
    match &topology.zones[..] {
        [zone] => {
            let disks = count(zone.disks.len());
            Layout::new(1, disks.saturating_sub(1), 1, disks)
        }
        zones => Layout::copies(count(zones.len())),
    }
}

fn told(found: &Durability, repair: &RepairTime, flags: &Doctor) -> Finding {
    let nines = found.nines.map_or("no loss".to_owned(), |nines| {
        format!("{nines:.1} nines ({:.1e})", found.loss_per_year)
    });
    let message = format!(
        "{nines} for an object in a year: {}+{} over {} zones, of disks that fail alone; bytes \
         {:.1e}, record {:.1e}; assumed: AFR {:.2} %, repair {}{}, zones lost {:.2e} a year and back \
         in {}",
        found.data_shards,
        found.parity_shards,
        found.zones,
        found.bytes_loss_per_year,
        found.log_loss_per_year,
        flags.afr * 100.0,
        span(repair.time.as_secs()),
        repair.told(),
        flags.zone_loss,
        span(flags.zone_repair_time.as_secs()),
    );
    if found.loss_per_year > LOSS_WARNING {
        let next =
            "more zones, or more disks in each: docs/durability.md has what each layout gives";
        return Finding::at(Level::Warning, "durability", message, next);
    }
    Finding::ok("durability", message)
}
