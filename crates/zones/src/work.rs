//! Who changes the log of which member, so that no two do at once.
//!
//! A copy into a returning member takes minutes and may hang; a recovery may begin meanwhile, the
//! commit thread may admit, and another look may find the member returning still. Two that begin
//! files in one log would supersede each other's batches. So: a member has at most one copy under
//! way or waiting for admission; a recovery makes copies begun before it worthless, waits for those
//! that still run, and goes on without a member whose copy hangs.

use std::time::Duration;
use strongroom_base::sync::{Arc, Mutex, MutexGuard};

use strongroom_base::tasks;

/// How often a recovery looks whether the copies it waits for have ended.
const POLL: Duration = Duration::from_millis(2);

/// The work on all members.
pub(crate) struct Works {
    state: Mutex<State>,
}

struct State {
    /// Recoveries so far.
    recoveries: u64,
    /// Threads that may change the log of each member.
    running: Vec<usize>,
    /// Members whose copy waits for admission.
    prepared: u64,
}

/// A thread that may change the log of a member: as long as this lives.
pub(crate) struct Working {
    works: Arc<Works>,
    member: usize,
    recoveries: u64,
}

/// A copy that waits for admission.
pub(crate) struct Waiting {
    works: Arc<Works>,
    member: usize,
    recoveries: u64,
}

impl Works {
    pub fn new(members: usize) -> Arc<Self> {
        let state = State {
            recoveries: 0,
            running: vec![0; members],
            prepared: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Work for the commit thread, which is alone in what it does.
    pub fn begin(self: &Arc<Self>, member: usize) -> Working {
        let mut state = self.state();
        state.running[member] += 1;
        Working {
            works: Arc::clone(self),
            member,
            recoveries: state.recoveries,
        }
    }

    /// A copy beside the commit thread; `None` when the member has one, or work that hangs.
    pub fn begin_copy(self: &Arc<Self>, member: usize) -> Option<Working> {
        let mut state = self.state();
        if state.running.get(member) != Some(&0) || state.prepared >> member & 1 == 1 {
            return None;
        }
        state.running[member] += 1;
        Some(Working {
            works: Arc::clone(self),
            member,
            recoveries: state.recoveries,
        })
    }

    /// Whether a copy into the member runs or waits.
    pub fn is_busy(&self, member: usize) -> bool {
        let state = self.state();
        state.running[member] > 0 || state.prepared >> member & 1 == 1
    }

    /// Begins a recovery: all copies become worthless. Returns the members whose work has not
    /// ended after `limit`.
    pub fn recover(&self, limit: Duration) -> u64 {
        {
            let mut state = self.state();
            state.recoveries += 1;
            state.prepared = 0;
        }
        let mut waited = Duration::ZERO;
        loop {
            let busy = self.running();
            if busy == 0 || waited >= limit {
                return busy;
            }
            tasks::sleep_thread(POLL);
            waited += POLL;
        }
    }

    fn running(&self) -> u64 {
        let state = self.state();
        let busy = (state.running.iter().enumerate()).filter(|(_, count)| **count > 0);
        busy.fold(0, |set, (member, _)| set | 1 << member)
    }
}

impl Working {
    /// Whether no recovery began since.
    pub fn is_current(&self) -> bool {
        self.works.state().recoveries == self.recoveries
    }

    /// Ends the work with a copy that waits for admission; `None` when a recovery began meanwhile.
    pub fn finish(self) -> Option<Waiting> {
        let mut state = self.works.state();
        if state.recoveries != self.recoveries {
            return None;
        }
        state.prepared |= 1 << self.member;
        drop(state);
        Some(Waiting {
            works: Arc::clone(&self.works),
            member: self.member,
            recoveries: self.recoveries,
        })
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.works.state().running[self.member] -= 1;
    }
}

impl Waiting {
    /// Whether no recovery began since the copy did.
    pub fn is_current(&self) -> bool {
        self.works.state().recoveries == self.recoveries
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.works.state();
        if state.recoveries == self.recoveries {
            state.prepared &= !(1 << self.member);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_one_copy_at_a_time_until_it_was_admitted_or_given_up() {
        let works = Works::new(2);
        let copy = works.begin_copy(1).unwrap();
        assert!(works.begin_copy(1).is_none());
        assert!(works.begin_copy(0).is_some());
        let waiting = copy.finish().unwrap();
        assert!(works.is_busy(1));
        assert!(works.begin_copy(1).is_none());
        drop(waiting);
        assert!(works.begin_copy(1).is_some());
    }

    #[test]
    fn a_recovery_makes_copies_worthless_and_names_those_that_still_run() {
        let works = Works::new(2);
        let running = works.begin_copy(0).unwrap();
        let waiting = works.begin_copy(1).unwrap().finish().unwrap();
        assert_eq!(works.recover(Duration::ZERO), 0b01);
        assert!(!running.is_current() && !waiting.is_current());
        assert!(running.finish().is_none());
        let next = works.begin_copy(1).unwrap().finish().unwrap();
        drop(waiting);
        assert!(works.is_busy(1), "an old copy does not free a newer one");
        drop(next);
        assert_eq!(works.recover(Duration::ZERO), 0);
    }
}
