//! Durability: what a store loses in a year, from its layout and from the rates of failures.
//!
//! "Eleven nines" without the disks, the repair time and the loss of zones it was computed from
//! says nothing. This is the computation, small enough to be read: a Markov chain over the number
//! of dead disks in each zone, and the zones destroyed, up to the first state in which more than m
//! shards are gone.
//!
//! What holds
//! - A probability is computed without a subtraction, so that 1e-28 is as exact as 1e-5.
//! - Nothing here does I/O or knows a store: numbers in, numbers out.
//!
//! Where it stops: failures are independent but for what [`Assumptions`] names. Errors of people
//! and of programs are not in it, and over years they are the more likely ones.

mod chain;

use thiserror::Error;

/// Hours of a year.
pub const HOURS_PER_YEAR: f64 = 8766.0;
/// Most shards of a layout: the chain of a wider one has too many states to be solved at once.
pub const SHARDS_MAX: u32 = 24;
/// Longest time of a repair: beyond a century it is none.
pub const REPAIR_HOURS_MAX: f64 = 100.0 * HOURS_PER_YEAR;
/// Loss in a year of eleven nines.
pub const ELEVEN_NINES: f64 = 1e-11;
/// Steps of the search for a tolerated rate: each halves the interval, these exhaust an `f64`.
const SEARCH_STEPS: u32 = 100;
/// Where that search begins: below it a zone is never lost.
const ZONE_LOSS_MIN: f64 = 1e-18;

/// Why there is no answer.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum Error {
    /// The shards do not lie over the zones as the model needs it.
    #[error(
        "{data_shards}+{parity_shards} shards over {zones} zones of {shards_per_zone}: the model \
         needs k+m = zones x shards per zone, from 1 to {SHARDS_MAX}, and at least one data shard"
    )]
    Layout {
        data_shards: u32,
        parity_shards: u32,
        zones: u32,
        shards_per_zone: u32,
    },
    /// A rate or a time is out of bounds.
    #[error("{name} is {value}: {range}")]
    Assumption {
        name: &'static str,
        value: f64,
        range: &'static str,
    },
}

/// A code, spread evenly over zones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    data_shards: u32,
    parity_shards: u32,
    zones: u32,
    shards_per_zone: u32,
}

/// What a layout survives for every choice of the parts that are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Survives {
    /// Whole zones at once.
    pub zones: u32,
    /// Disks beside these zones.
    pub disks: u32,
}

impl Layout {
    /// `data_shards` + `parity_shards`, `shards_per_zone` of them in each of `zones`, each shard on
    /// a disk of its own.
    ///
    /// # Errors
    /// `Layout` when the numbers do not fit each other.
    pub const fn new(
        data_shards: u32,
        parity_shards: u32,
        zones: u32,
        shards_per_zone: u32,
    ) -> Result<Self, Error> {
        let total = data_shards.checked_add(parity_shards);
        let fits = match (total, zones.checked_mul(shards_per_zone)) {
            (Some(total), Some(places)) => total == places && total <= SHARDS_MAX,
            _ => false,
        };
        if data_shards == 0 || !fits {
            return Err(Error::Layout {
                data_shards,
                parity_shards,
                zones,
                shards_per_zone,
            });
        }
        Ok(Self {
            data_shards,
            parity_shards,
            zones,
            shards_per_zone,
        })
    }

    /// The commit log: a copy in each of `zones`.
    ///
    /// # Errors
    /// `Layout` when there is no zone, or more than [`SHARDS_MAX`].
    pub const fn copies(zones: u32) -> Result<Self, Error> {
        Self::new(1, zones.saturating_sub(1), zones, 1)
    }

    /// Whole zones, then disks beside them, that may go with every byte still there.
    #[must_use]
    pub const fn survives(self) -> Survives {
        Survives {
            zones: self.parity_shards / self.shards_per_zone,
            disks: self.parity_shards % self.shards_per_zone,
        }
    }

    /// Bytes of parity for each byte of data.
    #[must_use]
    pub fn overhead(self) -> f64 {
        f64::from(self.parity_shards) / f64::from(self.data_shards)
    }
}

/// How often parts fail, and how long they stay failed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Assumptions {
    /// Share of disks that die in a year (AFR), from 0 to less than 1.
    pub disk_failures_per_year: f64,
    /// Hours from the death of a disk to full redundancy.
    pub disk_repair_hours: f64,
    /// Share of zones destroyed with all their disks in a year, from 0 to less than 1.
    pub zone_losses_per_year: f64,
    /// Hours from the destruction of a zone to full redundancy.
    pub zone_repair_hours: f64,
    /// How much more often a disk dies in a zone that has a dead disk already. 1: not more often.
    pub hazard_beside_dead_disk: f64,
    /// Probability that a shard, read for the last possible rebuild, is found unreadable.
    pub latent_error: f64,
}

impl Assumptions {
    /// Disks alone: AFR 1.5 %, full redundancy after 24 h. Zones are not lost.
    pub const DISKS_ONLY: Self = Self {
        disk_failures_per_year: 0.015,
        disk_repair_hours: 24.0,
        zone_losses_per_year: 0.0,
        zone_repair_hours: 72.0,
        hazard_beside_dead_disk: 1.0,
        latent_error: 0.0,
    };
    /// And each zone destroyed once in a thousand years, restored after 72 h.
    pub const ZONES_TOO: Self = Self {
        zone_losses_per_year: 1e-3,
        ..Self::DISKS_ONLY
    };
    /// The same with repair within 4 h and zones restored within 24 h.
    pub const FAST_REPAIR: Self = Self {
        disk_repair_hours: 4.0,
        zone_repair_hours: 24.0,
        ..Self::ZONES_TOO
    };
    /// AFR 5 %, repair 72 h, a zone in a hundred years, restored after 168 h, and five times the
    /// deaths beside a dead disk.
    pub const BAD_YEAR: Self = Self {
        disk_failures_per_year: 0.05,
        disk_repair_hours: 72.0,
        zone_losses_per_year: 1e-2,
        zone_repair_hours: 168.0,
        hazard_beside_dead_disk: 5.0,
        latent_error: 0.0,
    };

    fn check(&self) -> Result<(), Error> {
        let share = |name, value: f64| {
            let fine = (0.0..1.0).contains(&value);
            refuse(fine, name, value, "use a share from 0 to less than 1")
        };
        let hours = |name, value: f64| {
            let fine = value > 0.0 && value <= REPAIR_HOURS_MAX;
            refuse(fine, name, value, "use hours from more than 0 to a century")
        };
        share("the share of disks that die", self.disk_failures_per_year)?;
        share("the share of zones destroyed", self.zone_losses_per_year)?;
        share("the share of unreadable shards", self.latent_error)?;
        hours("the repair time of a disk", self.disk_repair_hours)?;
        hours("the repair time of a zone", self.zone_repair_hours)?;
        let hazard = self.hazard_beside_dead_disk;
        refuse(
            (1.0..=1000.0).contains(&hazard),
            "the hazard beside a dead disk",
            hazard,
            "use a factor from 1 to 1000",
        )
    }
}

fn refuse(fine: bool, name: &'static str, value: f64, range: &'static str) -> Result<(), Error> {
    if fine {
        return Ok(());
    }
    Err(Error::Assumption { name, value, range })
}

/// The rate, per hour, at which a share of `per_year` is gone after a year.
fn rate(per_year: f64) -> f64 {
    -(-per_year).ln_1p() / HOURS_PER_YEAR
}

/// Probability that a given object is lost within a year.
///
/// # Errors
/// `Assumption` when a number is out of bounds.
pub fn loss_per_year(layout: Layout, assumptions: &Assumptions) -> Result<f64, Error> {
    assumptions.check()?;
    let hours = chain::mean_hours_to_loss(layout, assumptions);
    Ok(-(-HOURS_PER_YEAR / hours).exp_m1())
}

/// The nines of a probability of loss: 1e-11 has eleven. `None` when nothing is ever lost.
#[must_use]
pub fn nines(loss: f64) -> Option<f64> {
    (loss > 0.0).then(|| -loss.log10())
}

/// The largest share of zones destroyed in a year with which the loss stays at or below `target`;
/// `None` when disks alone exceed it.
///
/// # Errors
/// `Assumption` when a number is out of bounds.
pub fn zone_losses_tolerated(
    layout: Layout,
    assumptions: &Assumptions,
    target: f64,
) -> Result<Option<f64>, Error> {
    let holds = |zone_losses_per_year: f64| {
        let with = Assumptions {
            zone_losses_per_year,
            ..*assumptions
        };
        loss_per_year(layout, &with).map(|loss| loss <= target)
    };
    if !holds(0.0)? {
        return Ok(None);
    }
    // The loss grows with the rate: halve the interval, by the logarithm, as rates span magnitudes.
    let (mut low, mut high) = (ZONE_LOSS_MIN, 1.0);
    for _ in 0..SEARCH_STEPS {
        let middle = (low * high).sqrt();
        if middle < 1.0 && holds(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Some(low))
}
