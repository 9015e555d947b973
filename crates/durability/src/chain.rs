//! The chain: states, what leads from one to another, and the mean time until one is final.
//!
//! A state is, for each zone, the number of its disks that are dead, or that the zone is destroyed.
//! Zones are alike, so a state is kept sorted and the chain stays small. Loss is no state: it is
//! where the chain ends.
//!
//! States are eliminated one by one (Grassmann, Taksar, Heyman), with additions, multiplications
//! and divisions of positive numbers only: no digit is cancelled, however rare the loss.

use std::collections::HashMap;

use crate::{Assumptions, Layout, rate};

/// Dead disks of each zone, sorted; `shards_per_zone + 1` for a zone that is destroyed.
type State = Vec<u32>;

/// What leads away from a state.
#[derive(Default)]
struct Exits {
    /// The state and the rate, per hour.
    to: Vec<(usize, f64)>,
    /// Rate of losses.
    loss: f64,
}

/// Mean hours from a whole object to its loss. Infinite when nothing fails.
pub(crate) fn mean_hours_to_loss(layout: Layout, assumptions: &Assumptions) -> f64 {
    mean_hours(&Chain::explore(layout, assumptions))
}

/// The states found, in the order they were found: the first is the whole object.
struct Chain {
    layout: Layout,
    numbers: HashMap<State, usize>,
    states: Vec<State>,
    /// Rates of the transitions, per hour.
    disk_death: f64,
    disk_repair: f64,
    zone_loss: f64,
    zone_repair: f64,
    hazard: f64,
    /// Probability that the rebuild out of the last k shards meets one that can not be read.
    rebuild_fails: f64,
}

impl Chain {
    fn explore(layout: Layout, assumptions: &Assumptions) -> Vec<Exits> {
        let whole = vec![0; layout.zones as usize];
        let data_shards = f64::from(layout.data_shards);
        let mut chain = Self {
            layout,
            numbers: HashMap::from([(whole.clone(), 0)]),
            states: vec![whole],
            disk_death: rate(assumptions.disk_failures_per_year),
            disk_repair: 1.0 / assumptions.disk_repair_hours,
            zone_loss: rate(assumptions.zone_losses_per_year),
            zone_repair: 1.0 / assumptions.zone_repair_hours,
            hazard: assumptions.hazard_beside_dead_disk,
            rebuild_fails: -(data_shards * (-assumptions.latent_error).ln_1p()).exp_m1(),
        };
        let mut exits = Vec::new();
        while let Some(state) = chain.states.get(exits.len()).cloned() {
            exits.push(chain.exits(&state));
        }
        exits
    }

    fn exits(&mut self, state: &[u32]) -> Exits {
        let mut exits = Exits::default();
        for (zone, &dead) in state.iter().enumerate() {
            for (dead, rate) in self.events(dead) {
                let mut next = state.to_vec();
                next[zone] = dead;
                next.sort_unstable();
                self.step(&mut exits, state, next, rate);
            }
        }
        exits
    }

    /// What happens to a zone with so many dead disks: how many are dead then, and the rate.
    fn events(&self, dead: u32) -> Vec<(u32, f64)> {
        let disks = self.layout.shards_per_zone;
        let destroyed = disks + 1;
        if dead == destroyed {
            return vec![(0, self.zone_repair)];
        }
        let hazard = if dead > 0 { self.hazard } else { 1.0 };
        let mut events = vec![(destroyed, self.zone_loss)];
        if dead < disks {
            let alive = f64::from(disks - dead);
            events.push((dead + 1, alive * self.disk_death * hazard));
        }
        if dead > 0 {
            events.push((dead - 1, f64::from(dead) * self.disk_repair));
        }
        events
    }

    /// Adds the way from `state` to `next`, or to the loss of the object.
    fn step(&mut self, exits: &mut Exits, state: &[u32], next: State, mut rate: f64) {
        if rate == 0.0 {
            return;
        }
        let missing = self.missing(&next);
        let parity = self.layout.parity_shards;
        if missing > parity {
            exits.loss += rate;
            return;
        }
        if missing == parity && self.missing(state) < parity {
            exits.loss += rate * self.rebuild_fails;
            rate *= 1.0 - self.rebuild_fails;
        }
        let found = self.states.len();
        let number = *self.numbers.entry(next.clone()).or_insert(found);
        if number == found {
            self.states.push(next);
        }
        exits.to.push((number, rate));
    }

    fn missing(&self, state: &[u32]) -> u32 {
        let disks = self.layout.shards_per_zone;
        state.iter().map(|dead| (*dead).min(disks)).sum()
    }
}

/// The mean time from the first state to the loss.
fn mean_hours(exits: &[Exits]) -> f64 {
    let count = exits.len();
    // Rates between states; the last column is the loss.
    let mut rates = vec![vec![0.0; count + 1]; count];
    for (from, exits) in exits.iter().enumerate() {
        for (to, rate) in &exits.to {
            rates[from][*to] += rate;
        }
        rates[from][count] += exits.loss;
    }
    // Hours spent, for each stay in a state, in it and in those eliminated behind it, times the
    // rate of leaving it.
    let mut weights = vec![1.0; count];
    for gone in (1..count).rev() {
        let (kept, rest) = rates.split_at_mut(gone);
        let leaving = &rest[0];
        let total: f64 = leaving[..gone].iter().sum::<f64>() + leaving[count];
        for (from, row) in kept.iter_mut().enumerate() {
            if row[gone] == 0.0 {
                continue;
            }
            let share = row[gone] / total;
            for to in (0..gone).filter(|to| *to != from) {
                row[to] += share * leaving[to];
            }
            row[count] += share * leaving[count];
            weights[from] += share * weights[gone];
        }
    }
    weights[0] / rates[0][count]
}
