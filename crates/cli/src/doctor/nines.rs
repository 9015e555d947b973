//! What this store loses in a year, by the model of docs/durability.md.

use std::time::Duration;

use serde::Serialize;
use strongroom_admin_api::{ScrubStatus, Topology};
use strongroom_durability::{Assumptions, Error, HOURS_PER_YEAR, Layout, loss_per_year, nines};

use super::{Doctor, Finding, Level};
use crate::CliError;
use crate::show::span;

/// Probability that a shard becomes unreadable in a year in which it is not verified: 8.5 % of
/// nearline disks have latent errors, reckoned at a hundred bad places each, over 1 MiB of 4 TB.
const LATENT_ERRORS_PER_SHARD_YEAR: f64 = 2.2e-6;
/// A probability the model takes, whatever the clock of the last pass says.
const LATENT_ERROR_MAX: f64 = 0.5;
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
    scrub: Option<&ScrubStatus>,
    flags: &Doctor,
) -> Result<(Option<Durability>, Finding), CliError> {
    let age = scrub.and_then(|scrub| scrub.age_seconds);
    let years = age.map_or(UNVERIFIED_YEARS, |seconds| {
        Duration::from_secs(seconds).as_secs_f64() / 3600.0 / HOURS_PER_YEAR
    });
    let assumptions = Assumptions {
        disk_failures_per_year: flags.afr,
        disk_repair_hours: flags.repair_time.as_secs_f64() / 3600.0,
        zone_losses_per_year: flags.zone_loss,
        zone_repair_hours: flags.zone_repair_time.as_secs_f64() / 3600.0,
        hazard_beside_dead_disk: 1.0,
        latent_error: (LATENT_ERRORS_PER_SHARD_YEAR * years).min(LATENT_ERROR_MAX),
    };
    match figures(topology, age, &assumptions) {
        Ok(found) => {
            let finding = told(&found, flags);
            Ok((Some(found), finding))
        }
        Err(Error::Layout { .. }) => Ok((
            None,
            Finding::ok("durability", "the model does not cover this layout"),
        )),
        Err(error @ Error::Assumption { .. }) => Err(CliError::Usage(error.to_string())),
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

fn told(found: &Durability, flags: &Doctor) -> Finding {
    let nines = found.nines.map_or("no loss".to_owned(), |nines| {
        format!("{nines:.1} nines ({:.1e})", found.loss_per_year)
    });
    let message = format!(
        "{nines} for an object in a year: {}+{} over {} zones, of disks that fail alone; bytes \
         {:.1e}, record {:.1e}; assumed: AFR {:.2} %, repair {}, zones lost {:.2e} a year and back \
         in {}",
        found.data_shards,
        found.parity_shards,
        found.zones,
        found.bytes_loss_per_year,
        found.log_loss_per_year,
        flags.afr * 100.0,
        span(flags.repair_time.as_secs()),
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
