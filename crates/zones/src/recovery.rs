//! Which log is the truth, decided from what the members present say.
//!
//! A pure function: members in, verdict out. `docs/rfcs/0001` argues each rule; in short:
//! - a member votes by the *promise* in its superblock, and a majority of votes must be present, so
//!   the highest generation that may ever have acknowledged anything is known;
//! - every member in service in a generation has all that was acknowledged in it, so the longest
//!   chain of the highest generation, on *any* intact log, holds everything acknowledged (H1);
//! - a member whose log is behind what the others saw it acknowledge forgot, and has no vote (H7);
//! - damage below an acknowledged position is never cut (H4).

use std::collections::BTreeSet;

use crate::batch::{BatchKind, Generation};
use crate::member_log::Entry;
use crate::superblock::Promise;

/// What one member present says.
pub(crate) struct Voter {
    /// Its position in the member list.
    pub member: usize,
    pub promise: Promise,
    /// Its newest log file: number of its first batch, and the tag in its name.
    pub newest_file: Option<(u64, u64)>,
    /// Its log: number of the first entry scanned, and the entries. `None` when its log is lost.
    pub chain: Option<(u64, Vec<Option<Entry>>)>,
}

/// The checksum of a header that is damaged on every member, in [`Base::links`].
const UNKNOWN: [u8; 16] = [0; 16];

/// The truth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Base {
    /// Number of the last batch; 0 when the log is empty.
    pub tip: u64,
    /// Checksum of its header.
    pub tip_checksum: [u8; 16],
    /// Members that lost part of what they had acknowledged: to be copied anew.
    pub forgot: BTreeSet<usize>,
    /// Highest acknowledged position the chain itself records.
    pub acknowledged: u64,
    /// Highest counter seen anywhere.
    pub counter: u64,
    /// The member whose log is the longest chain.
    pub owner: usize,
    /// Number of the first batch scanned, and the header checksums from there to the tip.
    pub links: (u64, Vec<[u8; 16]>),
    /// Damaged batches at or below the caller's mark that no member holds any more.
    pub damaged: Vec<u64>,
}

/// Why there is no verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Fewer members vote than can know the truth.
    TooFew { votes: usize, needed: usize },
    /// The logs present cannot show what the generation acknowledged; members of this set can.
    NeedsOneOf { service: u64 },
    /// This batch may have been acknowledged and no good copy is present.
    Damaged { number: u64 },
}

impl Voter {
    fn entry(&self, number: u64) -> Option<&Entry> {
        let (first, entries) = self.chain.as_ref()?;
        let index = usize::try_from(number.checked_sub(*first)?).ok()?;
        entries.get(index)?.as_ref()
    }

    fn tip(&self) -> u64 {
        match &self.chain {
            Some((first, entries)) => (first + entries.len() as u64).saturating_sub(1),
            None => 0,
        }
    }

    fn acknowledged_seen(&self) -> u64 {
        let entries = self.chain.iter().flat_map(|(_, entries)| entries).flatten();
        entries
            .map(|entry| entry.header.acknowledged)
            .max()
            .unwrap_or(0)
    }

    /// Whether it has a log file of the promised generation itself, and every batch below it. Such
    /// a file is begun only after every member of the generation promised it, so its name proves
    /// that also when its first batch is damaged.
    fn has_promised_file(&self) -> bool {
        self.newest_file.is_some_and(|(first, tag)| {
            tag == self.promise.generation.tag && self.tip() + 1 >= first
        })
    }

    fn tip_generation(&self) -> Generation {
        self.entry(self.tip())
            .map_or(Generation::default(), |entry| entry.header.generation)
    }
}

/// Decides. `votes_needed` is the least count of members that meets every majority: to know the
/// truth takes no more; to put a generation in force takes a majority. Damage at or below `mark` is reported instead of refused: the index has those
/// batches, and only inline content of them is lost.
pub(crate) fn decide(voters: &[Voter], votes_needed: usize, mark: u64) -> Result<Base, Refusal> {
    let mut forgot = BTreeSet::new();
    loop {
        let present: Vec<&Voter> = voters
            .iter()
            .filter(|v| !forgot.contains(&v.member))
            .collect();
        if present.len() < votes_needed {
            return Err(Refusal::TooFew {
                votes: present.len(),
                needed: votes_needed,
            });
        }
        let (tip, owner) = longest(&present, votes_needed)?;
        let newly: Vec<usize> = present
            .iter()
            .filter(|voter| forgets(voter, owner, tip))
            .map(|voter| voter.member)
            .collect();
        if newly.is_empty() || strongroom_base::planted("recovery_believe_forgotten") {
            // A log without a vote may still hold a good copy of a batch: its bytes count.
            return finish(voters, owner, tip, forgot, mark);
        }
        forgot.extend(newly);
    }
}

/// Whether the highest generation promised is known to have been in force: a member that was meant
/// for it has begun its log of it.
pub(crate) fn is_in_force(votes: &[&Voter]) -> bool {
    let promises = votes.iter().map(|voter| voter.promise);
    let promise = promises.max_by_key(|promise| promise.generation);
    let promise = promise.unwrap_or_default();
    let has_begun = |voter: &&&Voter| {
        voter.promise.generation == promise.generation
            && promise.service >> voter.member & 1 == 1
            && voter.chain.is_some()
            && (voter.has_promised_file() || voter.tip_generation() == promise.generation)
    };
    votes.iter().any(|voter| has_begun(&voter))
}

/// The member whose log is the truth, and its last number.
fn longest<'a>(present: &[&'a Voter], votes_needed: usize) -> Result<(u64, &'a Voter), Refusal> {
    let promise = present
        .iter()
        .map(|v| v.promise)
        .max_by_key(|p| p.generation);
    let promise = promise.unwrap_or_default();
    let intact: Vec<&Voter> = present
        .iter()
        .copied()
        .filter(|v| v.chain.is_some())
        .collect();
    // A member's chain counts as of the promised generation also when the batch that would show it
    // is damaged, as long as the file is there.
    let rank = |v: &Voter| {
        let promised = v.has_promised_file() && v.promise.generation == promise.generation;
        if promised {
            promise.generation
        } else {
            v.tip_generation()
        }
    };
    let best = if strongroom_base::planted("recovery_by_majority") {
        let mut tips: Vec<&Voter> = intact.clone();
        tips.sort_by_key(|v| v.tip());
        tips.get(tips.len().saturating_sub(votes_needed)).copied()
    } else {
        intact.iter().copied().max_by_key(|v| (rank(v), v.tip()))
    };
    let Some(best) = best else {
        return Err(Refusal::NeedsOneOf {
            service: promise.service,
        });
    };
    if intact.len() >= votes_needed {
        return Ok((best.tip(), best));
    }
    // With fewer intact logs than votes only a member of the promised generation itself, with its
    // own log of it, shows what that generation acknowledged. A copy made for a member that was
    // catching up does not.
    let is_of_it = |v: &&Voter| {
        v.promise.generation == promise.generation && promise.service >> v.member & 1 == 1
    };
    if intact
        .iter()
        .any(|v| is_of_it(v) && rank(v) == promise.generation)
    {
        return Ok((best.tip(), best));
    }
    // A member promises a generation it is meant for only once its log has everything acknowledged
    // before, and the generation is in force only once that member began a file of it: one that
    // promised and never began has it all.
    let never_began = |v: &&Voter| {
        v.newest_file
            .is_some_and(|(_, tag)| tag != promise.generation.tag)
    };
    let ready = intact
        .iter()
        .copied()
        .filter(|v| is_of_it(v) && never_began(v));
    let ready = ready.max_by_key(|v| (v.tip_generation(), v.tip()));
    let best = ready.ok_or(Refusal::NeedsOneOf {
        service: promise.service,
    })?;
    Ok((best.tip(), best))
}

/// Whether `voter` lacks what `owner`'s log shows it acknowledged.
fn forgets(voter: &Voter, owner: &Voter, tip: u64) -> bool {
    // A lost log is known to be lost: it votes by promise only and claims nothing.
    let Some((first, _)) = &voter.chain else {
        return false;
    };
    let Some((owner_first, entries)) = &owner.chain else {
        return false;
    };
    let bit = 1u64 << voter.member;
    let mut membership = *owner_first;
    let mut required = 0;
    for (index, entry) in entries.iter().enumerate() {
        let number = owner_first + index as u64;
        let Some(entry) = entry.as_ref().filter(|_| number <= tip) else {
            continue;
        };
        if entry.header.kind == BatchKind::Membership {
            membership = number;
        } else if entry.header.service & bit != 0 {
            // Its generation was in force: every member of it had all up to the membership batch,
            // and all that was acknowledged when this batch was written.
            required = required.max(entry.header.acknowledged).max(membership);
        }
    }
    if required == 0 {
        return false;
    }
    if voter.tip() < required {
        return true;
    }
    if required < *first || required < *owner_first {
        return false;
    }
    match (voter.entry(required), owner.entry(required)) {
        (Some(theirs), Some(ours)) => theirs.checksum != ours.checksum,
        // A hole with batches behind it is damage: it did get that far.
        _ => false,
    }
}

/// Cuts a torn end, and checks that every batch of the chain has a good copy that is linked to the
/// next.
fn finish(
    voters: &[Voter],
    owner: &Voter,
    tip: u64,
    forgot: BTreeSet<usize>,
    mark: u64,
) -> Result<Base, Refusal> {
    let counter = highest_counter(voters);
    let mut base = Base {
        tip,
        tip_checksum: [0; 16],
        forgot,
        acknowledged: owner.acknowledged_seen(),
        counter,
        owner: owner.member,
        links: (tip + 1, Vec::new()),
        damaged: Vec::new(),
    };
    let Some((first, _)) = owner.chain else {
        return Ok(base);
    };
    let good = |number: u64, checksum: [u8; 16]| {
        voters.iter().any(|v| {
            v.entry(number)
                .is_some_and(|e| e.good && e.checksum == checksum)
        })
    };
    // Above every acknowledged position anyone remembers, a batch without a good copy is torn.
    let acknowledged = voters
        .iter()
        .map(Voter::acknowledged_seen)
        .max()
        .unwrap_or(0);
    while base.tip >= first {
        let entry = owner.entry(base.tip);
        if entry.is_some_and(|entry| good(base.tip, entry.checksum)) {
            break;
        }
        if base.tip <= acknowledged {
            return Err(Refusal::Damaged { number: base.tip });
        }
        base.tip -= 1;
    }
    if base.tip < first {
        if first > 1 {
            return Err(Refusal::Damaged { number: first - 1 });
        }
        return Ok(base);
    }
    let mut link = owner
        .entry(base.tip)
        .map(|entry| (entry.checksum, entry.header.previous));
    base.tip_checksum = link.map_or([0; 16], |(checksum, _)| checksum);
    let mut links = vec![base.tip_checksum];
    for number in (first..base.tip).rev() {
        let wanted = link.map(|(_, previous)| previous);
        let mut entries = owner
            .entry(number)
            .into_iter()
            .chain(voters.iter().filter_map(|v| v.entry(number)));
        let found = entries.find(|entry| {
            wanted.is_none_or(|checksum| entry.checksum == checksum) && good(number, entry.checksum)
        });
        if found.is_none() {
            if number > mark {
                return Err(Refusal::Damaged { number });
            }
            base.damaged.push(number);
        }
        links.push(
            wanted
                .or_else(|| found.map(|entry| entry.checksum))
                .unwrap_or(UNKNOWN),
        );
        link = found.map(|entry| (entry.checksum, entry.header.previous));
    }
    links.reverse();
    base.links = (first, links);
    match voters.iter().find_map(|voter| contradicts(voter, &base)) {
        Some(number) => Err(Refusal::Damaged { number }),
        None => Ok(base),
    }
}

/// Where `voter` leaves the chain although it remembers acknowledgements at or above that place:
/// evidence that the chain misses something, which must never pass in silence.
fn contradicts(voter: &Voter, base: &Base) -> Option<u64> {
    let (first, links) = &base.links;
    let leaves = (*first..=voter.tip()).find(|number| {
        let index = usize::try_from(number - first).unwrap_or(usize::MAX);
        let differs = |entry: &Entry| {
            links
                .get(index)
                .is_none_or(|sum| *sum != UNKNOWN && *sum != entry.checksum)
        };
        voter.entry(*number).is_some_and(differs)
    })?;
    (voter.acknowledged_seen() >= leaves).then_some(leaves)
}

fn highest_counter(voters: &[Voter]) -> u64 {
    let in_logs = voters
        .iter()
        .filter_map(|v| v.chain.as_ref())
        .flat_map(|(_, entries)| entries);
    let in_logs = in_logs
        .flatten()
        .map(|entry| entry.header.generation.counter);
    let promised = voters.iter().map(|v| v.promise.generation.counter);
    in_logs.chain(promised).max().unwrap_or(0)
}
