//! The verdict of recovery: which chain survives.

use crate::rules::Broken;
use crate::state::{Batch, Generation, Kind, List, Promise, Set, State, Stored, bits};

/// The surviving chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base {
    pub chain: Vec<Batch>,
    /// Members that lack what they had acknowledged.
    pub forgot: Set,
    /// Highest counter seen.
    pub counter: u8,
    pub list: List,
}

/// Why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    TooFew,
    NeedsOthers,
    Damaged,
    /// A member present remembers an acknowledgement that the chain does not hold.
    Contradiction,
}

/// A log as it reads: to the last good batch, with holes where damage is followed by good ones.
fn read(log: &[Stored], broken: Broken) -> Vec<Stored> {
    if broken == Broken::CutDamage {
        let end = log.iter().position(|s| !s.good).unwrap_or(log.len());
        return log[..end].to_vec();
    }
    let end = log.iter().rposition(|s| s.good).map_or(0, |i| i + 1);
    log[..end].to_vec()
}

/// The generation a log got to. A file of the promised generation is created after all members of
/// it promised, so its name proves that, even when no batch of it can be read; but only of a log
/// that reads up to where the file begins.
fn begun(log: &[Stored], promised: Generation, broken: Broken) -> Generation {
    let none = Generation { counter: 0, tag: 0 };
    let last = log.last().map_or(none, |s| s.batch.generation);
    let first = log.iter().position(|s| s.batch.generation == last);
    let end = read(log, broken).len();
    let trusted = broken != Broken::BelieveBatchesOnly && broken != Broken::CutDamage;
    if trusted
        && last == promised
        && first.is_some_and(|first| end >= first || broken == Broken::BelieveBegunFile)
    {
        return last;
    }
    end.checked_sub(1)
        .map_or(none, |tip| log[tip].batch.generation)
}

struct Voter {
    member: usize,
    promise: Promise,
    chain: Option<Vec<Stored>>,
    begun: Generation,
}

impl Voter {
    /// What chains are compared by: generation, length, and whether the last batch reads.
    fn tip(&self) -> (Generation, usize, bool) {
        let chain = self.chain.as_deref().unwrap_or_default();
        (
            self.begun,
            chain.len(),
            chain.last().is_some_and(|s| s.good),
        )
    }
}

/// Decides from the members `present`.
///
/// # Errors
/// [`Refusal`].
pub fn decide(state: &State, present: Set, broken: Broken) -> Result<Base, Refusal> {
    let list = list_of(state, present);
    let voters: Vec<Voter> = bits(present & list.members)
        .filter(|m| state.members[*m].formed || broken == Broken::BlankVotes)
        .map(|m| Voter {
            member: m,
            promise: state.members[m].promise,
            chain: if state.members[m].formed {
                state.members[m].readable().map(|log| read(log, broken))
            } else {
                Some(Vec::new())
            },
            begun: begun(
                state.members[m].readable().unwrap_or_default(),
                state.members[m].promise.generation,
                broken,
            ),
        })
        .collect();
    let needed = if broken == Broken::NoQuorum {
        1
    } else {
        list.quorum_to_know()
    };
    let mut forgot: Set = 0;
    loop {
        let votes: Vec<&Voter> = voters
            .iter()
            .filter(|v| forgot >> v.member & 1 == 0)
            .collect();
        let counts =
            |v: &&&Voter| list.leaving >> v.member & 1 == 0 || broken == Broken::LeavingKnows;
        // A majority goes on in any case: it meets every one of the list without the leaving member.
        let is_majority = votes.len() >= list.majority();
        let knowing = votes.iter().filter(counts).count();
        if votes.len() < needed || (knowing < needed && !is_majority && broken != Broken::NoQuorum)
        {
            return Err(Refusal::TooFew);
        }
        // Rule 6 of RFC 0012: joining members make up a majority of the voters.
        let joining = |set: Set| bits(set & list.members).filter(|m| state.members[*m].joining);
        let before = bits(list.members).count() - joining(list.members).count();
        let helped = votes.len() + joining(present).count();
        let goes_on = votes.len() >= list.majority()
            || (votes.len() > before / 2 && helped >= list.majority());
        let owner = choose(&votes, needed, list.number > 0 && !goes_on, broken)?;
        let chain = owner.chain.as_deref().expect("only intact logs own");
        let newly = votes
            .iter()
            .filter(|v| forgets(v, chain))
            .fold(0, |set, v| set | 1 << v.member);
        if newly == 0 || broken == Broken::BelieveForgotten {
            return finish(&voters, chain, forgot, list);
        }
        forgot |= newly;
    }
}

fn choose<'a>(
    votes: &[&'a Voter],
    needed: usize,
    only_knows: bool,
    broken: Broken,
) -> Result<&'a Voter, Refusal> {
    let promise = votes.iter().map(|v| v.promise).max();
    let promise = promise.ok_or(Refusal::TooFew)?;
    let mut intact: Vec<&Voter> = votes
        .iter()
        .copied()
        .filter(|v| v.chain.is_some())
        .collect();
    intact.sort_by_key(|v| v.tip());
    if broken == Broken::MajorityVote {
        // The longest chain that as many members as make a majority have.
        let index = intact.len().saturating_sub(needed);
        return intact.get(index).copied().ok_or(Refusal::NeedsOthers);
    }
    let in_force = intact.iter().any(|v| {
        let member_of_it = promise.service >> v.member & 1 == 1 || broken == Broken::BelieveCopies;
        v.tip().0 == promise.generation && member_of_it
    });
    // Others may have gone on by the list before.
    if !in_force && only_knows && broken != Broken::NotInForceKnows {
        return Err(Refusal::NeedsOthers);
    }
    if !in_force && intact.len() < needed {
        return Err(Refusal::NeedsOthers);
    }
    intact.last().copied().ok_or(Refusal::NeedsOthers)
}

/// Whether `voter` lacks something that `chain` shows it acknowledged.
fn forgets(voter: &Voter, chain: &[Stored]) -> bool {
    let Some(own) = &voter.chain else {
        return false;
    };
    let (mut membership, mut required) = (0, 0);
    for (index, stored) in chain.iter().enumerate().filter(|(_, s)| s.good) {
        if stored.batch.kind == Kind::Membership {
            membership = index + 1;
        } else if stored.batch.service >> voter.member & 1 == 1 {
            required = required
                .max(usize::from(stored.batch.acknowledged))
                .max(membership);
        }
    }
    required > 0
        && (own.len() < required
            || (own[required - 1].good && own[required - 1].batch != chain[required - 1].batch))
}

fn finish(voters: &[Voter], chain: &[Stored], forgot: Set, list: List) -> Result<Base, Refusal> {
    let logs = || voters.iter().filter_map(|v| v.chain.as_ref());
    for (index, stored) in chain.iter().enumerate() {
        // The next header's chain checksum says which batch belongs in a hole.
        let copy = logs().any(|log| {
            log.get(index)
                .is_some_and(|s| s.good && s.batch == stored.batch)
        });
        let known = stored.good || index + 1 < chain.len();
        if !copy || !known {
            return Err(Refusal::Damaged);
        }
    }
    let chain: Vec<Batch> = chain.iter().map(|s| s.batch).collect();
    for log in logs() {
        let common = log
            .iter()
            .zip(&chain)
            .take_while(|(a, b)| a.batch == **b)
            .count();
        let remembered = log.iter().filter(|s| s.good).map(|s| s.batch.acknowledged);
        if usize::from(remembered.max().unwrap_or(0)) > common {
            return Err(Refusal::Contradiction);
        }
    }
    let in_logs = logs().flatten().map(|s| s.batch.generation.counter);
    let promised = voters.iter().map(|v| v.promise.generation.counter);
    Ok(Base {
        chain,
        forgot,
        counter: in_logs.chain(promised).max().unwrap_or(0),
        list,
    })
}

/// The member list that the highest promise among `present` carries.
#[must_use]
pub fn list_of(state: &State, present: Set) -> List {
    let formed = bits(present).filter(|m| state.members[*m].formed);
    let highest = formed.map(|m| state.members[m].promise).max();
    highest.map_or_else(List::default, |promise| promise.list)
}

/// The members of `list` that vote at all among `present`.
#[must_use]
pub fn formed(state: &State, present: Set, list: List) -> Set {
    bits(present & list.members)
        .filter(|m| state.members[*m].formed)
        .fold(0, |s, m| s | 1 << m)
}
