//! Walks every state, checks every recovery, and tells the shortest way to a loss.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::decide::{Refusal, decide, formed, list_of};
use crate::protocol::{Action, brought_up, successors};
use crate::rules::Broken;
use crate::state::{Kind, Process, Set, State, Stored, bits, count};

/// What a search found.
#[derive(Debug)]
pub struct Found {
    pub states: usize,
    /// Recoveries checked: a set of members present, in a state where the process is down.
    pub recoveries: usize,
    /// Whether every state within the budget was visited.
    pub complete: bool,
    /// The first thing that is wrong, with the steps that lead to it.
    pub violation: Option<String>,
}

/// What is wrong with one recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// An acknowledged value is not where it was.
    Lost { value: u8, number: u8 },
    /// Members that are unharmed and a majority, or all of them with one harmed, were refused.
    Refused(Refusal),
    /// All that is left, and still no majority could be brought up.
    NoMajority,
}

/// The verdict on one recovery.
enum Checked {
    Fine,
    /// No member present could know better: a member was set back, or its only copy rotted.
    Excused,
    Wrong(Wrong),
}

/// Searches from a formatted store breadth first, up to `states_max` states.
#[must_use]
pub fn explore(start: State, broken: Broken, states_max: usize) -> Found {
    let mut seen = HashSet::new();
    let mut parents: Vec<(u32, u32)> = vec![(0, 0)];
    let mut queue = VecDeque::from([(0u32, start.clone())]);
    seen.insert(fingerprint(&start));
    let mut recoveries = 0;
    while let Some((id, state)) = queue.pop_front() {
        let mut dead_end = false;
        if state.process == Process::Down {
            let everyone = ((1u16 << state.members.len()) - 1) as Set;
            for present in 1..=everyone {
                recoveries += 1;
                match check(&state, present, broken) {
                    Checked::Fine => {}
                    Checked::Excused => dead_end = true,
                    Checked::Wrong(wrong) => {
                        let trace = trace(&start, &parents, id, broken);
                        let violation = Some(format!("{trace}{present:03b} recover: {wrong:?}"));
                        return Found {
                            states: parents.len(),
                            recoveries,
                            complete: false,
                            violation,
                        };
                    }
                }
            }
        }
        for (index, (action, next)) in successors(&state, broken).into_iter().enumerate() {
            // A recovery that lost something with an excuse ends the story.
            let ends = matches!(action, Action::Recover(present) | Action::RecoverKilled { present, .. }
                if dead_end && matches!(check(&state, present, broken), Checked::Excused));
            if ends || !seen.insert(fingerprint(&next)) {
                continue;
            }
            if parents.len() >= states_max {
                return Found {
                    states: parents.len(),
                    recoveries,
                    complete: false,
                    violation: None,
                };
            }
            parents.push((id, index as u32));
            queue.push_back((parents.len() as u32 - 1, next));
        }
    }
    Found {
        states: parents.len(),
        recoveries,
        complete: true,
        violation: None,
    }
}

/// Walks at random from a formatted store, `walks` times, choosing by `seed`.
#[must_use]
pub fn walk(start: &State, broken: Broken, seed: u64, walks: usize) -> Found {
    let mut random = seed | 1;
    let (mut states, mut recoveries) = (0, 0);
    for _ in 0..walks {
        let mut state = start.clone();
        let mut steps = String::new();
        loop {
            if state.process == Process::Down {
                let everyone = ((1u16 << state.members.len()) - 1) as Set;
                for present in 1..=everyone {
                    recoveries += 1;
                    if let Checked::Wrong(wrong) = check(&state, present, broken) {
                        let violation = Some(format!(
                            "seed {seed}\n{steps}{present:05b} recover: {wrong:?}"
                        ));
                        return Found {
                            states,
                            recoveries,
                            complete: false,
                            violation,
                        };
                    }
                }
            }
            let mut next = successors(&state, broken);
            next.retain(|(action, _)| match action {
                Action::Recover(present) | Action::RecoverKilled { present, .. } => {
                    !matches!(check(&state, *present, broken), Checked::Excused)
                }
                _ => true,
            });
            if next.is_empty() {
                break;
            }
            // Xorshift: good enough to choose, and the same everywhere.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (action, chosen) = next.swap_remove((random % next.len() as u64) as usize);
            let _ = writeln!(steps, "{action:?}");
            state = chosen;
            states += 1;
        }
    }
    Found {
        states,
        recoveries,
        complete: false,
        violation: None,
    }
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

fn trace(start: &State, parents: &[(u32, u32)], mut id: u32, broken: Broken) -> String {
    let mut steps = Vec::new();
    while id != 0 {
        let (parent, index) = parents[id as usize];
        steps.push(index);
        id = parent;
    }
    let mut state = start.clone();
    let mut text = String::new();
    for index in steps.into_iter().rev() {
        let (action, next) = successors(&state, broken).swap_remove(index as usize);
        let _ = writeln!(text, "{action:?}");
        state = next;
    }
    for (index, member) in state.members.iter().enumerate() {
        let promise = member.promise;
        let _ = write!(
            text,
            "  member {index}: {} promise {}.{} of {:03b}, log{}",
            if member.formed { "formed" } else { "blank" },
            promise.generation.counter,
            promise.generation.tag,
            promise.service,
            if member.named { "" } else { " (unnamed)" },
        );
        for stored in member.log.iter().flatten() {
            let batch = stored.batch;
            let _ = write!(
                text,
                " [{}.{} {:?} acked {} of {:03b}{}]",
                batch.generation.counter,
                batch.generation.tag,
                batch.kind,
                batch.acknowledged,
                batch.service,
                if stored.good { "" } else { " DAMAGED" }
            );
        }
        text.push_str(if member.log.is_none() {
            " lost\n"
        } else {
            "\n"
        });
    }
    let _ = writeln!(text, "  acknowledged (value, number): {:?}", state.ledger);
    text
}

/// Checks a recovery by `present` against what clients were told.
fn check(state: &State, present: Set, broken: Broken) -> Checked {
    match decide(state, present, broken) {
        Err(refusal) => check_refusal(state, present, refusal),
        Ok(base) => {
            for (value, number) in &state.ledger {
                let batch = base.chain.get(usize::from(*number) - 1);
                if batch.is_some_and(|b| b.kind == Kind::Value(*value)) {
                    continue;
                }
                let (value, number) = (*value, *number);
                return if excused(state, present, value, number) {
                    Checked::Excused
                } else {
                    Checked::Wrong(Wrong::Lost { value, number })
                };
            }
            let everyone = present == ((1u16 << state.members.len()) - 1) as Set;
            let enough = count(formed(state, present, base.list)) >= base.list.majority();
            if everyone
                && enough
                && count(brought_up(state, present, &base, broken)) < base.list.majority()
            {
                return Checked::Wrong(Wrong::NoMajority);
            }
            Checked::Fine
        }
    }
}

/// A refusal is right unless the members present are unharmed and a majority, or all members are
/// present, at most one was harmed, and more than one copy was promised.
fn check_refusal(state: &State, present: Set, refusal: Refusal) -> Checked {
    let everyone = ((1u16 << state.members.len()) - 1) as Set;
    let list = list_of(state, present);
    let votes = formed(state, present, list);
    let unharmed = present & state.harmed == 0 && count(votes) >= list.majority();
    let one_harmed = present == everyone
        && count(state.harmed) <= 1
        && count(list.members) >= 2
        && (count(votes & !list.leaving) >= list.quorum_to_know()
            || count(votes) >= list.majority());
    if !state.forked && (unharmed || one_harmed) {
        Checked::Wrong(Wrong::Refused(refusal))
    } else {
        Checked::Fine
    }
}

/// Whether the loss of `value` can be blamed on a fault nobody present could see. Losing members
/// (destroyed, blank, a lost log) never excuses: the protocol must refuse instead.
fn excused(state: &State, present: Set, value: u8, number: u8) -> bool {
    if !state.hidden {
        return false;
    }
    let logs = || bits(present).filter_map(|m| Some((m, state.members[m].readable()?)));
    let index = usize::from(number) - 1;
    let witness = logs().any(|(_, log)| {
        log.get(index)
            .is_some_and(|s| s.good && s.batch.kind == Kind::Value(value))
    });
    // Only a log of the same history can remember: after a fork the same number is another batch.
    let remembers = logs().any(|(_, log)| {
        let same = log
            .get(index)
            .is_some_and(|s| s.batch.kind == Kind::Value(value));
        same && log.iter().any(|s| s.good && s.batch.acknowledged >= number)
    });
    let provable = logs()
        .any(|(_, log)| logs().any(|(member, own)| required_of(member, log) > length_of(own)));
    (!witness || state.forked) && !remembers && !provable
}

fn length_of(log: &[Stored]) -> usize {
    log.iter().rposition(|s| s.good).map_or(0, |i| i + 1)
}

/// How long the log of `member` must be, by what another log says it acknowledged.
fn required_of(member: usize, log: &[Stored]) -> usize {
    log.iter()
        .filter(|s| s.good && s.batch.kind != Kind::Membership)
        .filter(|s| s.batch.service >> member & 1 == 1)
        .map(|s| usize::from(s.batch.acknowledged))
        .max()
        .unwrap_or(0)
}
