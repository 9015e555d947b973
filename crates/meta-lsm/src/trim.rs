//! A round of trimming: proof first, then the log is removed.
//!
//! After a trim the views are part of the truth (hazard H23). So a round reads the view of every
//! member in service back from its disk and compares it, record by record, with another at the same
//! mark: with fewer than three members each keeps two. Only when all are durable above what is to go, all equal, and none has a record
//! with inline content there (H25), the files of the log go. `docs/rfcs/0006` argues each step.
//!
//! Invariants
//! - Nothing is removed unless every member in service has a view that was read back in this round
//!   and is still in use.
//! - One view at a time is closed; another answers reads meanwhile.
//! - A view is held at a mark for as long as it takes to look at it, never while it is read.

use std::sync::Arc;
use std::time::Duration;
use strongroom_base::sync::atomic::Ordering;

use strongroom_base::tasks;
use strongroom_meta::{Error, ErrorKind, Result, Trimmed};
use strongroom_zones::Store;

use crate::digest::{Digest, digest};
use crate::health::{SINGLE_VIEW_MEMBERS_MIN, Views};
use crate::state::{State, ViewKey, ViewSlot};
use crate::view::{Mark, ViewSnapshot};

/// Fewest views that must be there: while one zone is away, or of the only one, one of two may rot.
const VIEW_COUNT_MIN: usize = 2;
/// How long views are waited for that are behind, and how often they are looked at.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);
/// How long views are held until all stand at one mark: commits go on, and fill the overlay.
const HOLD_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// One round.
pub struct TrimRound<'a> {
    pub store: &'a Store,
    pub state: &'a Arc<State>,
    pub views: &'a Arc<Views>,
    /// Nothing above this batch goes.
    pub through: u64,
}

/// A look at one view of a member, and the view it is of.
type Look = (Arc<ViewSlot>, Box<dyn ViewSnapshot>);

/// Views that stand still until it is dropped.
struct Held(Vec<Arc<ViewSlot>>);

impl Drop for Held {
    fn drop(&mut self) {
        for slot in &self.0 {
            slot.hold.store(u64::MAX, Ordering::Release);
        }
    }
}

impl Held {
    /// Lets all go on but one.
    fn keep(mut self, key: ViewKey) -> Self {
        let (kept, released) = self.0.drain(..).partition(|slot| slot.key() == key);
        drop(Self(released));
        self.0 = kept;
        self
    }
}

fn refuse(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}

impl TrimRound<'_> {
    /// Removes what it may, when it is worth what the round costs.
    ///
    /// # Errors
    /// `Unavailable`: why nothing was removed, or not everywhere.
    pub fn run(mut self) -> Result<Trimmed> {
        let log = self.store.reader();
        let status = log.status();
        if let Some(why) = status.stalled {
            return Err(refuse(why));
        }
        // The end of the log stays, so that every log tells where it got to.
        self.through = self.through.min(status.acknowledged.saturating_sub(1));
        let first = log.first().ok_or_else(|| refuse("no log is in reach"))?;
        let gain = log.bytes_through(self.through);
        if gain == 0 {
            return Ok(Trimmed { first, bytes: 0 });
        }
        let count = status.members.iter().filter(|m| !m.is_removed).count();
        if count < SINGLE_VIEW_MEMBERS_MIN && self.views.copies(count) < VIEW_COUNT_MIN {
            return Err(refuse(format!(
                "the log of a store of {count} failure domains is kept whole: its index is kept once \
                 in each"
            )));
        }
        let slots = self.slots()?;
        let cost = slots.iter().map(|slot| slot.view.size_bytes()).max();
        // Every view is read twice: a trim that gives back less is not worth it yet.
        if gain < cost.unwrap_or(0) {
            return Ok(Trimmed { first, bytes: 0 });
        }
        let keys: Vec<ViewKey> = slots.iter().map(|slot| slot.key()).collect();
        drop(slots);
        let mut proven = Vec::new();
        for key in keys {
            if strongroom_base::planted("trim_without_proof") {
                self.store.trim(self.through).map_err(|why| refuse(why.0))?;
                return Ok(Trimmed { first, bytes: gain });
            }
            proven.push(self.prove(key)?);
        }
        self.remove(&proven)
    }

    /// The views of each member in service.
    fn slots(&self) -> Result<Vec<Arc<ViewSlot>>> {
        let (all, disks) = (self.views.all(), &self.store.opened().disks);
        let mut slots = Vec::new();
        let members = self.store.reader().status().members;
        let there = members.iter().filter(|member| !member.is_removed);
        let copies = self.views.copies(there.count());
        for (index, member) in members.iter().enumerate().filter(|(_, m)| m.in_service) {
            let is_of = |slot: &&Arc<ViewSlot>| {
                disks.find(slot.disk).is_some_and(|disk| {
                    usize::from(disk.member.0) == index && disk.in_service().is_some()
                })
            };
            for copy in 0..copies {
                let slot = all.iter().filter(is_of).find(|slot| slot.copy == copy);
                let none = || refuse(format!("an index on {} is not ready", member.name));
                slots.push(Arc::clone(slot.ok_or_else(none)?));
            }
        }
        if slots.len() < VIEW_COUNT_MIN {
            return Err(refuse("too few zones are in service"));
        }
        Ok(slots)
    }

    /// Waits until the views of all members in service have caught up.
    fn wait_caught_up(&self) -> Result<Vec<Arc<ViewSlot>>> {
        let mut waited = Duration::ZERO;
        loop {
            let slots = self.slots()?;
            let is_behind = |slot: &&Arc<ViewSlot>| {
                slot.lagging.load(Ordering::Acquire)
                    || slot.applied.load(Ordering::Acquire) < self.through
            };
            match slots.iter().find(is_behind) {
                None => return Ok(slots),
                Some(slot) if waited >= CATCH_UP_LIMIT || self.state.is_stopping() => {
                    return Err(refuse(format!("the index on {} is behind", slot.name)));
                }
                Some(_) => {}
            }
            drop(slots);
            tasks::sleep_thread(POLL);
            waited += POLL;
        }
    }

    /// Makes all of `slots` stand still at one mark.
    fn hold(&self, slots: &[Arc<ViewSlot>]) -> Result<(Held, u64)> {
        let held = Held(slots.to_vec());
        let mut number = self.state.acknowledged();
        let mut waited = Duration::ZERO;
        loop {
            let applied = |slot: &Arc<ViewSlot>| slot.applied.load(Ordering::Acquire);
            // One was further than we knew when it was told to stand still.
            number = slots.iter().map(applied).fold(number, u64::max);
            for slot in slots {
                slot.hold.store(number, Ordering::Release);
            }
            // Those that wait for a batch would rest only once their wait is over.
            self.state.wake_all();
            let stands = |slot: &Arc<ViewSlot>| {
                slot.resting.load(Ordering::Acquire) && applied(slot) == number
            };
            if slots.iter().all(stands) {
                return Ok((held, number));
            }
            if waited >= HOLD_LIMIT || self.state.is_stopping() {
                return Err(refuse("the indexes did not reach one batch in time"));
            }
            tasks::sleep_thread(POLL);
            waited += POLL;
        }
    }

    /// Reads a view back from its disk, compares it with another at the same
    /// mark, and looks for inline content. The view, which is in use again.
    fn prove(&self, key: ViewKey) -> Result<Arc<ViewSlot>> {
        let slots = self.wait_caught_up()?;
        let (held, number) = self.hold(&slots)?;
        let (mut own, others): (Vec<_>, Vec<_>) =
            slots.into_iter().partition(|slot| slot.key() == key);
        let own = own.pop().ok_or_else(|| refuse("an index went away"))?;
        let name = own.name.clone();
        let others: Vec<Look> = others
            .into_iter()
            .map(|slot| {
                let snapshot = slot.view.snapshot();
                (slot, snapshot)
            })
            .collect();
        if let Err(error) = own.view.persist() {
            self.state.view_broke(&own, &error.0);
            return Err(refuse(format!(
                "the index on {name} is not durable: {error}"
            )));
        }
        let mark = own.view.mark().ok().flatten();
        let mark = mark.filter(|mark| mark.number == number);
        let mark = mark.ok_or_else(|| refuse(format!("the index on {name} has another mark")))?;
        let slot = self.reopen(own, held.keep(key), mark)?;
        self.compare(slot, mark, &others)
    }

    /// Closes a view that stands at `mark` and opens it from its disk. It is followed again; the
    /// look is of the moment before.
    fn reopen(&self, own: Arc<ViewSlot>, mut held: Held, mark: Mark) -> Result<Look> {
        let (key, name) = (own.key(), own.name.clone());
        let mut waited = Duration::ZERO;
        while self.state.is_primary(&own) {
            self.state.leave_primary(|slot| slot.key() != key);
            if waited >= HOLD_LIMIT {
                return Err(refuse("no other index can answer reads in its place"));
            }
            tasks::sleep_thread(POLL);
            waited += POLL;
        }
        let (store, state) = (self.store, self.state);
        let reopened = self.views.reopen(store, state, key, || {
            state.view_gone(&own);
            // It is not let go: its follower ends, and must not apply one more batch before.
            held.0.clear();
            drop(own);
        });
        let (slot, snapshot, found) =
            reopened.map_err(|why| refuse(format!("the index on {name}: {why}")))?;
        if found != Some(mark) {
            return Err(refuse(format!(
                "the index on {name} lost what was durable: batch {} was read back instead of {}",
                found.map_or(0, |found| found.number),
                mark.number
            )));
        }
        Ok((slot, snapshot))
    }

    /// Compares what was read back with the others at the same mark.
    fn compare(&self, own: Look, mark: Mark, others: &[Look]) -> Result<Arc<ViewSlot>> {
        let (slot, snapshot) = own;
        let found = self.digest_of(&slot, &*snapshot)?;
        if let Some(batch) = found.inline_oldest.filter(|oldest| *oldest <= self.through) {
            return Err(refuse(format!(
                "a record holds inline content in batch {batch}"
            )));
        }
        let mut opinions = Vec::new();
        for (other, snapshot) in others {
            let opinion = self.digest_of(other, &**snapshot)?;
            if opinion.mark != Some(mark) {
                return Err(refuse("an index moved while it was compared"));
            }
            opinions.push((other, opinion));
            // Another look is needed only to say which of two is wrong.
            if opinions.len() == 1 && opinion == found {
                return Ok(slot);
            }
        }
        let agree = |digest: &Digest| opinions.iter().filter(|(_, other)| other == digest).count();
        let wrong = match opinions.first() {
            Some((other, opinion)) if agree(&found) > 0 && agree(opinion) == 1 => Some(*other),
            Some((_, opinion)) if agree(opinion) > 1 && agree(&found) == 0 => Some(&slot),
            _ => None,
        };
        tracing::error!(view = %slot.name, odd = wrong.map(|slot| slot.name.as_str()),
            batch = mark.number, "index views differ");
        if let Some(wrong) = wrong {
            self.state.view_broke(wrong, "it differs from the others");
        }
        Err(refuse(format!(
            "the index on {} differs from another at batch {}",
            slot.name, mark.number
        )))
    }

    fn digest_of(&self, slot: &Arc<ViewSlot>, snapshot: &dyn ViewSnapshot) -> Result<Digest> {
        match digest(snapshot, &mut |_, _| !self.state.is_stopping()) {
            Ok(Some(digest)) => Ok(digest),
            Ok(None) => Err(refuse("the store is stopping")),
            Err(error) => {
                self.state.view_broke(slot, &error.0);
                Err(refuse(format!("the index on {}: {error}", slot.name)))
            }
        }
    }

    /// Removes the log, while nobody opens or discards a view.
    fn remove(&self, proven: &[Arc<ViewSlot>]) -> Result<Trimmed> {
        let opening = self.views.opening();
        let _opening = opening.ok_or_else(|| refuse("indexes are being opened"))?;
        let is_proven =
            |slot: &Arc<ViewSlot>| slot.is_usable() && proven.iter().any(|p| Arc::ptr_eq(p, slot));
        if !self.slots()?.iter().all(is_proven) {
            return Err(refuse("an index changed while the others were read"));
        }
        let bytes = self.store.trim(self.through).map_err(|why| refuse(why.0))?;
        let first = self.store.reader().first();
        let first = first.ok_or_else(|| refuse("no log is in reach"))?;
        tracing::info!(first, bytes, "log trimmed");
        Ok(Trimmed { first, bytes })
    }
}
