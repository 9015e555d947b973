//! Who may still write into a segment that is about to go (hazard H83).
//!
//! A repair decides where shards belong and writes them there, seconds later. A move that removes the
//! file meanwhile would take shards with it that repair has counted. So repairs pass a gate when they
//! begin, and a move, once it changed where the shard belongs, waits for those that began before.
//!
//! Invariant
//! - [`Gate::passed`] is true only when everyone has left who entered before the mark.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Default)]
pub(crate) struct Gate(Mutex<State>);

#[derive(Default)]
struct State {
    mark: u64,
    /// How many are inside, by the mark when they entered.
    inside: BTreeMap<u64, usize>,
}

/// Leaves when it is dropped.
pub(crate) struct Inside {
    gate: Arc<Gate>,
    mark: u64,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    pub(crate) fn enter(self: &Arc<Self>) -> Inside {
        let mut state = self.lock();
        let mark = state.mark;
        *state.inside.entry(mark).or_default() += 1;
        let gate = Arc::clone(self);
        Inside { gate, mark }
    }

    /// A mark: who enters from here on entered after it.
    pub(crate) fn mark(&self) -> u64 {
        let mut state = self.lock();
        state.mark += 1;
        state.mark
    }

    /// Whether all who entered before `mark` have left.
    pub(crate) fn passed(&self, mark: u64) -> bool {
        self.lock().inside.range(..mark).next().is_none()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if let Some(count) = state.inside.get_mut(&self.mark) {
            *count -= 1;
            if *count == 0 {
                state.inside.remove(&self.mark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_passed_when_those_before_it_left_whoever_came_after() {
        let gate = Arc::new(Gate::default());
        let (one, two) = (gate.enter(), gate.enter());
        let mark = gate.mark();
        let after = gate.enter();
        assert!(!gate.passed(mark));
        drop(one);
        assert!(!gate.passed(mark));
        drop(two);
        assert!(gate.passed(mark));
        assert!(!gate.passed(gate.mark()));
        drop(after);
    }
}
