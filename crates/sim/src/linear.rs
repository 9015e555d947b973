//! Whether what clients saw could have come from one store that does one thing at a time.
//!
//! Strong consistency is easily claimed and hard to see: a stale read looks like a read. So clients
//! write down when each request began, when its answer came and what it said, and afterwards this
//! looks for an order of the requests of each key, within those intervals, in which every answer is
//! the right one. When there is none, no store could have answered so. The search is Wing and Gong's
//! with Lowe's memory of what was tried; keys are independent of each other, which keeps it small.
//!
//! Invariants
//! - A request whose answer never came (a timeout, a crash, a 503) may have happened at any moment
//!   after it began, or not at all.
//! - Values are unique in a history, so that a read tells which write it saw.
//!
//! Where it stops: nothing is said of the order between keys. A list is taken as one read of every
//! key, each at some moment of the list's interval.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// What was asked of one key. Values stand for contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Get,
    Put(u64),
    /// `If-None-Match: *`.
    PutIfAbsent(u64),
    /// `If-Match` of the tag of `seen`.
    PutIfMatch {
        seen: u64,
        value: u64,
    },
    Delete,
}

/// What was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Done,
    /// A condition did not hold.
    Refused,
    /// What a read found.
    Found(Option<u64>),
    /// Nothing, or nothing that tells whether it happened.
    Unknown,
}

/// One request, in ticks of a counter that all clients share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub key: String,
    pub action: Action,
    pub outcome: Outcome,
    pub called: u64,
    pub returned: u64,
}

impl Request {
    /// Whether it left everything as it was.
    fn is_idle(&self) -> bool {
        matches!(self.outcome, Outcome::Found(_) | Outcome::Refused)
    }
}

/// No order explains the answers about a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    pub key: String,
    /// The requests of the longest explanation found, in its order.
    pub explained: Vec<Request>,
    /// Those that do not fit after them.
    pub stuck: Vec<Request>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: no order explains the answers", self.key)?;
        let tail = self.explained.len().saturating_sub(12);
        for request in &self.explained[tail..] {
            writeln!(f, "  explained {request:?}")?;
        }
        for request in &self.stuck {
            writeln!(f, "  stuck     {request:?}")?;
        }
        Ok(())
    }
}

/// A list as reads of `keys`, all the keys a history knows: those it names were found so, the others
/// were absent.
#[must_use]
pub fn reads_of_list(
    keys: &[String],
    listed: &BTreeMap<String, u64>,
    called: u64,
    returned: u64,
) -> Vec<Request> {
    let read = |key: &String| Request {
        key: key.clone(),
        action: Action::Get,
        outcome: Outcome::Found(listed.get(key).copied()),
        called,
        returned,
    };
    keys.iter().map(read).collect()
}

/// Checks a history whose keys were all absent before it.
///
/// # Errors
/// The first key whose answers nothing explains.
pub fn check_history(history: &[Request]) -> Result<(), Violation> {
    let mut keys: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in history {
        // A read without an answer says nothing.
        if (request.action, request.outcome) != (Action::Get, Outcome::Unknown) {
            keys.entry(&request.key).or_default().push(request);
        }
    }
    for (key, mut requests) in keys {
        requests.sort_by_key(|request| request.called);
        Search::new(&requests)
            .run()
            .map_err(|violation| Violation {
                key: key.to_owned(),
                ..violation
            })?;
    }
    Ok(())
}

/// The state after `request` when its answer fits `state`.
fn step(state: Option<u64>, request: &Request) -> Option<Option<u64>> {
    let applies = match request.action {
        Action::Get | Action::Put(_) | Action::Delete => true,
        Action::PutIfAbsent(_) => state.is_none(),
        Action::PutIfMatch { seen, .. } => state == Some(seen),
    };
    let after = match request.action {
        Action::Get => state,
        Action::Delete => None,
        Action::Put(value) | Action::PutIfAbsent(value) | Action::PutIfMatch { value, .. } => {
            Some(value)
        }
    };
    match request.outcome {
        Outcome::Done => applies.then_some(after),
        Outcome::Refused => (!applies).then_some(state),
        Outcome::Found(found) => (found == state).then_some(state),
        Outcome::Unknown => Some(if applies { after } else { state }),
    }
}

/// Requests of one key, a bit each.
type Bits = Vec<u64>;
/// The answered requests taken, and the state after them.
type Reached = (Bits, Option<u64>);

/// The search for an order of the requests of one key.
struct Search<'a> {
    requests: &'a [&'a Request],
    /// Which requests are in the order so far, as bits.
    taken: Vec<u64>,
    /// The order so far, and the state before each.
    order: Vec<(usize, Option<u64>)>,
    /// Those without an answer.
    unknown: Vec<u64>,
    /// For the answered requests taken and the state after them: the unanswered ones taken as well.
    /// Who took more of them can do less from there.
    tried: HashMap<Reached, Vec<Bits>>,
    longest: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(requests: &'a [&'a Request]) -> Self {
        let none = vec![0; requests.len().div_ceil(64)];
        let mut unknown = none.clone();
        for (index, request) in requests.iter().enumerate() {
            if request.outcome == Outcome::Unknown {
                unknown[index / 64] |= 1 << (index % 64);
            }
        }
        Self {
            requests,
            taken: none,
            unknown,
            order: Vec::new(),
            tried: HashMap::new(),
            longest: Vec::new(),
        }
    }

    fn is_taken(&self, index: usize) -> bool {
        self.taken[index / 64] >> (index % 64) & 1 == 1
    }

    fn flip(&mut self, index: usize) {
        self.taken[index / 64] ^= 1 << (index % 64);
    }

    /// Those that may be next: begun before any that is left has ended.
    fn next_candidates(&self, state: Option<u64>) -> Vec<usize> {
        let left = || (0..self.requests.len()).filter(|index| !self.is_taken(*index));
        let ends = left().filter(|index| self.requests[*index].outcome != Outcome::Unknown);
        let first_end = ends.map(|index| self.requests[index].returned).min();
        let Some(first_end) = first_end else {
            return Vec::new();
        };
        // What nobody answered has an effect only if it is not overwritten at once.
        let last = self.order.last().map(|(index, _)| self.requests[*index]);
        let is_wasted = last.is_some_and(|last| last.outcome == Outcome::Unknown);
        let mut candidates: Vec<usize> = left()
            .filter(|index| self.requests[*index].called <= first_end)
            .filter(|index| !is_wasted || !self.overwrites(*index))
            .collect();
        // What fits and changes nothing may as well come now: later it may not fit.
        let is_free = |index: &&usize| {
            let request = self.requests[**index];
            request.is_idle() && step(state, request).is_some()
        };
        if let Some(free) = candidates.iter().find(is_free) {
            return vec![*free];
        }
        // The last is tried first: those that were answered.
        candidates.sort_by_key(|index| self.requests[*index].outcome != Outcome::Unknown);
        candidates
    }

    fn overwrites(&self, index: usize) -> bool {
        matches!(self.requests[index].action, Action::Put(_) | Action::Delete)
    }

    /// Notes that `state` is reached with what is taken; false when that was tried with less.
    fn is_new(&mut self, state: Option<u64>) -> bool {
        let both = |keep: fn(u64, u64) -> u64| {
            let words = self.taken.iter().zip(&self.unknown);
            words
                .map(|(taken, unknown)| keep(*taken, *unknown))
                .collect()
        };
        let answered: Vec<u64> = both(|taken, unknown| taken & !unknown);
        let used: Vec<u64> = both(|taken, unknown| taken & unknown);
        let tried = self.tried.entry((answered, state)).or_default();
        let is_within =
            |less: &Vec<u64>| less.iter().zip(&used).all(|(less, used)| less & !used == 0);
        if tried.iter().any(is_within) {
            return false;
        }
        tried.push(used);
        true
    }

    fn is_explained(&self) -> bool {
        let mut all = self.requests.iter().enumerate();
        all.all(|(index, request)| request.outcome == Outcome::Unknown || self.is_taken(index))
    }

    /// Depth first, without recursion: histories are long.
    fn run(mut self) -> Result<(), Violation> {
        let mut state = None;
        let mut choices = vec![self.next_candidates(state)];
        while let Some(choice) = choices.last_mut() {
            let Some(index) = choice.pop() else {
                choices.pop();
                if let Some((index, before)) = self.order.pop() {
                    self.flip(index);
                    state = before;
                }
                continue;
            };
            let request = self.requests[index];
            let Some(after) = step(state, request) else {
                continue;
            };
            if request.outcome == Outcome::Unknown && after == state {
                continue;
            }
            self.flip(index);
            if !self.is_new(after) {
                self.flip(index);
                continue;
            }
            self.order.push((index, state));
            state = after;
            if self.order.len() > self.longest.len() {
                self.longest = self.order.iter().map(|(index, _)| *index).collect();
            }
            if self.is_explained() {
                return Ok(());
            }
            choices.push(self.next_candidates(state));
        }
        match self.is_explained() {
            true => Ok(()),
            false => Err(self.violation()),
        }
    }

    fn violation(&self) -> Violation {
        let request = |index: &usize| self.requests[*index].clone();
        let left = (0..self.requests.len()).filter(|index| !self.longest.contains(index));
        Violation {
            key: String::new(),
            explained: self.longest.iter().map(request).collect(),
            stuck: left.take(8).map(|index| request(&index)).collect(),
        }
    }
}
