//! Everything that writes, one durable step at a time, and everything that can go wrong.
//!
//! A step that writes to several members has one outcome for each subset that was written when the
//! process was killed, and one for each set of members whose write failed. So a kill between any
//! two durable writes is covered, without walking the orders that end in the same disks.

use crate::decide::{Base, decide};
use crate::rules::Broken;
use crate::state::{
    Batch, Budget, Generation, Kind, List, Member, Process, Promise, Set, State, Stored, bits,
    count,
};

/// How a write to several members ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    All,
    /// The process was killed; these members had it.
    Killed(Set),
    /// The write failed on `failed`; of those, `landed` have it all the same.
    Failed {
        failed: Set,
        landed: Set,
    },
}

/// One step of the store or one fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Write(End),
    Idle(End),
    Promise(Generation, End),
    Membership(End),
    /// Killed: these have the membership batch, the others a file with a torn one.
    MembershipTorn(Set),
    Kill,
    /// Recovery by these members, up to the promise.
    Recover(Set),
    /// Recovery by these members, killed when `member` had `length` batches of the copy.
    RecoverKilled {
        present: Set,
        member: usize,
        length: usize,
    },
    /// A returning member was copied to in the background, up to `length`.
    Copy {
        member: usize,
        length: usize,
    },
    Admit(usize),
    /// The list takes in, drains or gives up a member.
    TakeIn(usize),
    Drain(usize),
    GiveUp(usize),
    Image(usize),
    Destroy(usize),
    SetBack(usize),
    LoseLog(usize),
    Damage {
        member: usize,
        number: usize,
    },
}

/// All non-empty and empty subsets of `set`.
fn subsets(set: Set) -> impl Iterator<Item = Set> {
    (0..=set).filter(move |s| s & !set == 0)
}

/// Every way a write to `service` can end, with the budget that is left.
fn ends(service: Set, budget: Budget) -> Vec<(End, Budget)> {
    let mut ends = vec![(End::All, budget)];
    if budget.kills > 0 {
        let left = Budget {
            kills: budget.kills - 1,
            ..budget
        };
        ends.extend(subsets(service).map(|s| (End::Killed(s), left)));
    }
    for failed in subsets(service).filter(|f| *f != 0 && count(*f) <= budget.failures.into()) {
        let left = Budget {
            failures: budget.failures - count(failed) as u8,
            ..budget
        };
        ends.extend(subsets(failed).map(|landed| (End::Failed { failed, landed }, left)));
    }
    ends
}

fn landed_of(service: Set, end: End) -> Set {
    match end {
        End::All => service,
        End::Killed(landed) => landed,
        End::Failed { failed, landed } => (service & !failed) | landed,
    }
}

/// Puts `batch` at the end of `chain` on the members `landed`: a new file supersedes what was there.
fn put(state: &mut State, landed: Set, chain: &[Batch], batch: Batch) {
    for member in bits(landed) {
        let log = state.members[member].log.get_or_insert_with(Vec::new);
        assert!(
            log.len() >= chain.len(),
            "a member in service has the whole chain"
        );
        log.truncate(chain.len());
        log.push(Stored { batch, good: true });
    }
}

fn acknowledge(ledger: &mut Vec<(u8, u8)>, chain: &[Batch]) {
    for (index, batch) in chain.iter().enumerate() {
        let number = index as u8 + 1;
        if let Kind::Value(value) = batch.kind
            && !ledger.contains(&(value, number))
        {
            ledger.push((value, number));
        }
    }
}

/// Brings `member` to the first `length` batches of `chain`; `marked`: a log that starts from
/// nothing is not named in the superblock before it is complete.
fn copy_to(member: &mut Member, chain: &[Batch], length: usize, marked: bool) {
    let log = member.log.take();
    if log.is_none() && marked {
        member.named = false;
    }
    let mut log = log.unwrap_or_default();
    let agreed = log
        .iter()
        .zip(chain)
        .take_while(|(a, b)| a.good && a.batch == **b)
        .count();
    if length > agreed {
        log.truncate(agreed);
        let copies = chain[agreed..length].iter();
        log.extend(copies.map(|batch| Stored {
            batch: *batch,
            good: true,
        }));
    }
    member.log = Some(log);
}

/// A state's successors, in a fixed order.
pub fn successors(state: &State, broken: Broken) -> Vec<(Action, State)> {
    let mut out = Vec::new();
    match &state.process {
        Process::Down => {
            recoveries(state, broken, &mut out);
            faults(state, &mut out);
        }
        Process::Run { .. } => running(state, broken, &mut out),
        Process::Begin { .. } => promising(state, broken, &mut out),
        Process::Join { .. } => joining(state, &mut out),
    }
    out
}

fn running(state: &State, broken: Broken, out: &mut Vec<(Action, State)>) {
    let Process::Run {
        generation,
        service,
        chain,
        counter,
        list,
    } = &state.process
    else {
        return;
    };
    let list = *list;
    let (generation, service, counter) = (*generation, *service, *counter);
    let batch = |kind| Batch {
        generation,
        kind,
        acknowledged: chain.len() as u8,
        service,
    };
    if state.budget.values > 0 {
        let batch = batch(Kind::Value(state.next_value));
        let mut begun = state.clone();
        begun.budget.values -= 1;
        begun.next_value += 1;
        for (end, next) in append(&begun, service, chain, batch, (counter, list), broken) {
            out.push((Action::Write(end), next));
        }
    }
    let value_last = matches!(chain.last().map(|b| b.kind), Some(Kind::Value(_)));
    if state.budget.idles > 0 && value_last {
        let mut begun = state.clone();
        begun.budget.idles -= 1;
        let batch = batch(Kind::Idle);
        for (end, next) in append(&begun, service, chain, batch, (counter, list), broken) {
            out.push((Action::Idle(end), next));
        }
    }
    if state.budget.kills > 0 {
        let mut next = state.clone();
        next.budget.kills -= 1;
        next.process = Process::Down;
        out.push((Action::Kill, next));
    }
    if state.budget.set_back > 0 && state.image.is_none() {
        for member in 0..state.members.len() {
            let mut next = state.clone();
            next.image = Some((member, Box::new(state.members[member].clone())));
            out.push((Action::Image(member), next));
        }
    }
    for member in bits(list.members & !service) {
        returning(state, member, broken, out);
    }
    changes_of_list(state, out);
}

/// One member more, one drained, or one fewer.
fn changes_of_list(state: &State, out: &mut Vec<(Action, State)>) {
    let Process::Run {
        service,
        chain,
        counter,
        list,
        ..
    } = &state.process
    else {
        return;
    };
    let begin = |service: Set, members: Set, leaving: Set| Process::Begin {
        service,
        chain: chain.clone(),
        acknowledged: chain.len() as u8,
        counter: *counter,
        list: List {
            number: list.number + 1,
            members,
            leaving,
        },
    };
    let all_stay = |going: Set| list.members & !service & !going == 0;
    for member in (0..state.members.len()).filter(|m| list.members >> m & 1 == 0) {
        let blank = &state.members[member];
        let fresh = !blank.formed && blank.promise == Promise::default();
        let unharmed = state.harmed >> member & 1 == 0;
        if state.budget.joins > 0 && fresh && unharmed && all_stay(0) {
            let mut next = state.clone();
            next.budget.joins -= 1;
            next.members[member].joining = true;
            next.process = begin(*service, list.members | 1 << member, list.leaving);
            out.push((Action::TakeIn(member), next));
        }
    }
    for member in bits(list.members) {
        let one = 1 << member;
        let mut next = state.clone();
        if list.leaving == 0 && state.budget.leaves > 0 && count(list.members) > 2 {
            next.budget.leaves -= 1;
            next.process = begin(*service, list.members, one);
            out.push((Action::Drain(member), next));
        } else if list.leaving == one && all_stay(one) && count(service & !one) >= 2 {
            next.process = begin(service & !one, list.members & !one, 0);
            out.push((Action::GiveUp(member), next));
        }
    }
}

fn append(
    state: &State,
    service: Set,
    chain: &[Batch],
    batch: Batch,
    (counter, list): (u8, List),
    broken: Broken,
) -> Vec<(End, State)> {
    let mut longer = chain.to_vec();
    longer.push(batch);
    let one = |(end, budget): (End, Budget)| {
        let mut next = state.clone();
        next.budget = budget;
        let landed = landed_of(service, end);
        put(&mut next, landed, chain, batch);
        if broken == Broken::AckAfterOne && landed != 0 {
            acknowledge(&mut next.ledger, &longer);
        }
        next.process = match end {
            End::Killed(_) => Process::Down,
            End::All => {
                acknowledge(&mut next.ledger, &longer);
                Process::Run {
                    generation: batch.generation,
                    service,
                    chain: longer.clone(),
                    counter,
                    list,
                }
            }
            End::Failed { failed, .. } => {
                let service = service & !failed;
                if count(service) < list.majority() {
                    Process::Down
                } else {
                    if broken == Broken::AckBeforeGeneration {
                        acknowledge(&mut next.ledger, &longer);
                    }
                    Process::Begin {
                        service,
                        chain: longer.clone(),
                        acknowledged: chain.len() as u8,
                        counter,
                        list,
                    }
                }
            }
        };
        (end, next)
    };
    ends(service, state.budget).into_iter().map(one).collect()
}

/// Background copies to a member that is out, and its admission.
fn returning(state: &State, member: usize, broken: Broken, out: &mut Vec<(Action, State)>) {
    let Process::Run {
        service,
        chain,
        counter,
        list,
        ..
    } = &state.process
    else {
        return;
    };
    if !state.members[member].formed && !state.members[member].joining {
        return;
    }
    let marked = broken != Broken::CopyUnmarked;
    if state.budget.copies > 0 {
        for length in 1..chain.len() {
            let mut next = state.clone();
            next.budget.copies -= 1;
            copy_to(&mut next.members[member], chain, length, marked);
            if next.members != state.members {
                out.push((Action::Copy { member, length }, next));
            }
        }
    }
    if state.budget.admissions > 0 {
        let mut next = state.clone();
        next.budget.admissions -= 1;
        copy_to(&mut next.members[member], chain, chain.len(), marked);
        next.process = Process::Begin {
            service: service | 1 << member,
            chain: chain.clone(),
            acknowledged: chain.len() as u8,
            counter: *counter,
            list: *list,
        };
        out.push((Action::Admit(member), next));
    }
}

/// Tags that a new attempt at `counter` may draw: lower and higher than those of earlier attempts.
fn tags(state: &State, counter: u8, broken: Broken) -> Vec<u8> {
    if broken == Broken::WithoutTag {
        return vec![1];
    }
    let taken: Vec<u8> = state
        .used
        .iter()
        .filter(|g| g.counter == counter)
        .map(|g| g.tag)
        .collect();
    if taken.is_empty() {
        return vec![4];
    }
    let low = taken.iter().min().map_or(4, |t| t - 1);
    let high = taken.iter().max().map_or(4, |t| t + 1);
    vec![low, high]
}

fn promising(state: &State, broken: Broken, out: &mut Vec<(Action, State)>) {
    let Process::Begin {
        service,
        chain,
        acknowledged,
        counter,
        list,
    } = &state.process
    else {
        return;
    };
    let list = *list;
    let (service, acknowledged) = (*service, *acknowledged);
    let counter = counter + 1;
    let early = broken == Broken::BatchBeforePromises;
    for tag in tags(state, counter, broken) {
        let generation = Generation { counter, tag };
        for (end, budget) in ends(service, state.budget) {
            let mut next = state.clone();
            next.budget = budget;
            if !next.used.contains(&generation) {
                next.used.push(generation);
            }
            let landed = landed_of(service, end);
            for member in bits(landed) {
                next.members[member].promise = Promise {
                    generation,
                    service,
                    list,
                };
                next.members[member].formed = true;
                next.members[member].joining = false;
                next.members[member].named = true;
            }
            if early && end != End::All {
                let batch = membership(generation, acknowledged, service);
                put(&mut next, landed, chain, batch);
            }
            next.process = match end {
                End::Killed(_) => Process::Down,
                End::All => Process::Join {
                    generation,
                    service,
                    chain: chain.clone(),
                    acknowledged,
                    list,
                },
                End::Failed { failed, .. } => {
                    again(list, service & !failed, chain, acknowledged, counter)
                }
            };
            out.push((Action::Promise(generation, end), next));
        }
    }
}

const fn membership(generation: Generation, acknowledged: u8, service: Set) -> Batch {
    Batch {
        generation,
        kind: Kind::Membership,
        acknowledged,
        service,
    }
}

fn again(list: List, service: Set, chain: &[Batch], acknowledged: u8, counter: u8) -> Process {
    if count(service) < list.majority() {
        return Process::Down;
    }
    Process::Begin {
        service,
        chain: chain.to_vec(),
        acknowledged,
        counter,
        list,
    }
}

fn joining(state: &State, out: &mut Vec<(Action, State)>) {
    let Process::Join {
        generation,
        service,
        chain,
        acknowledged,
        list,
    } = &state.process
    else {
        return;
    };
    let batch = membership(*generation, *acknowledged, *service);
    if state.budget.kills > 0 {
        for landed in subsets(*service).filter(|s| s != service) {
            let mut next = state.clone();
            next.budget.kills -= 1;
            put(&mut next, *service, chain, batch);
            for member in bits(service & !landed) {
                if let Some(torn) = next.members[member].log.iter_mut().flatten().last() {
                    torn.good = false;
                }
            }
            next.process = Process::Down;
            out.push((Action::MembershipTorn(landed), next));
        }
    }
    for (end, budget) in ends(*service, state.budget) {
        let mut next = state.clone();
        next.budget = budget;
        put(&mut next, landed_of(*service, end), chain, batch);
        next.process = match end {
            End::Killed(_) => Process::Down,
            End::All => {
                let mut chain = chain.clone();
                chain.push(batch);
                acknowledge(&mut next.ledger, &chain);
                Process::Run {
                    generation: *generation,
                    service: *service,
                    chain,
                    counter: generation.counter,
                    list: *list,
                }
            }
            End::Failed { failed, .. } => again(
                *list,
                service & !failed,
                chain,
                *acknowledged,
                generation.counter,
            ),
        };
        out.push((Action::Membership(end), next));
    }
}

/// The members that recovery by `present` brings up to date: those that did not forget, and those
/// that did when there is no majority without them.
#[must_use]
pub fn brought_up(state: &State, present: Set, base: &Base, broken: Broken) -> Set {
    let list = base.list;
    let usable = bits(present & list.members)
        .filter(|m| state.members[*m].formed || broken == Broken::BlankVotes)
        .fold(0, |set, m| set | 1 << m);
    let remember = usable & !base.forgot;
    if count(remember) >= list.majority() || broken == Broken::NoQuorum {
        return remember;
    }
    let joining = bits(list.members)
        .filter(|m| state.members[*m].joining)
        .fold(0, |set: Set, m| set | 1 << m);
    // Rule 6 of RFC 0012: who goes on by the list without them meets the voters.
    if count(usable) > count(list.members & !joining) / 2 {
        return usable | (present & joining);
    }
    usable
}

fn recoveries(state: &State, broken: Broken, out: &mut Vec<(Action, State)>) {
    let everyone = ((1u16 << state.members.len()) - 1) as Set;
    let marked = broken != Broken::CopyUnmarked;
    for present in subsets(everyone) {
        let Ok(base) = decide(state, present, broken) else {
            continue;
        };
        let service = brought_up(state, present, &base, broken);
        if count(service) < base.list.majority() && broken != Broken::NoQuorum {
            continue;
        }
        let chain = &base.chain;
        let unharmed = present & !state.harmed;
        let forked = state.forked || (state.hidden && count(unharmed) < base.list.quorum_to_know());
        let mut next = state.clone();
        next.forked = forked;
        for member in bits(service) {
            let blank = &mut next.members[member];
            blank.formed = !blank.joining;
            copy_to(&mut next.members[member], chain, chain.len(), marked);
        }
        next.process = Process::Begin {
            service,
            chain: chain.clone(),
            acknowledged: if broken == Broken::ClaimEarly {
                chain.len() as u8
            } else {
                chain.iter().map(|b| b.acknowledged).max().unwrap_or(0)
            },
            counter: base.counter,
            list: base.list,
        };
        out.push((Action::Recover(present), next));
        if state.budget.kills == 0 {
            continue;
        }
        for member in bits(service) {
            for length in 1..=chain.len() {
                let mut next = state.clone();
                next.budget.kills -= 1;
                next.forked = forked;
                copy_to(&mut next.members[member], chain, length, marked);
                if next.members != state.members {
                    let action = Action::RecoverKilled {
                        present,
                        member,
                        length,
                    };
                    out.push((action, next));
                }
            }
        }
    }
}

fn faults(state: &State, out: &mut Vec<(Action, State)>) {
    for member in 0..state.members.len() {
        if !state.members[member].formed {
            continue;
        }
        let mut fault = |action, change: &dyn Fn(&mut State)| {
            let mut next = state.clone();
            next.harmed |= 1 << member;
            change(&mut next);
            out.push((action, next));
        };
        if state.budget.destroyed > 0 {
            fault(Action::Destroy(member), &|next| {
                next.budget.destroyed -= 1;
                let blank = &mut next.members[member];
                blank.formed = false;
                blank.joining = false;
                blank.promise = Promise::default();
                blank.log = Some(Vec::new());
            });
        }
        if state.budget.logs_lost > 0 && state.members[member].log.is_some() {
            fault(Action::LoseLog(member), &|next| {
                next.budget.logs_lost -= 1;
                next.members[member].log = None;
            });
        }
        if let Some((owner, image)) = &state.image
            && *owner == member
            && state.budget.set_back > 0
            && **image != state.members[member]
        {
            fault(Action::SetBack(member), &|next| {
                next.budget.set_back -= 1;
                next.hidden = true;
                next.members[member] = (**image).clone();
            });
        }
        let length = state.members[member].log.as_ref().map_or(0, Vec::len);
        for index in (0..length).filter(|_| state.budget.damaged > 0) {
            let number = index + 1;
            fault(Action::Damage { member, number }, &|next| {
                next.budget.damaged -= 1;
                next.hidden = true;
                if let Some(log) = &mut next.members[member].log {
                    log[index].good = false;
                }
            });
        }
    }
}
