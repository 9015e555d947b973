//! Object Lock: what is locked stays, and locks only grow unless somebody may end them (RFC 0014).
//!
//! Two pure functions decide everything: [`check_unlocked`] whether a version may be removed, which
//! only `bury::remove_version` asks, and [`check_change`] whether a retention may become another.
//! Both go by the lock clock and not by the clock (H60).

use strongroom_base::{Timestamp, planted};
use strongroom_meta::Reads;
use strongroom_types::{ObjectKey, VersionId};

use super::versions::find_version;
use super::{BucketRef, Decided, Halt, Writes, load, writable_bucket};
use crate::error::{Error, Result};
use crate::lock::{DefaultRetention, LegalHold, Lock, LockMode, LockedBy, Retention};
use crate::records::{
    BucketId, BucketRecord, ConfigKind, LockDefaults, ObjectRecord, STANDARD, VersionRecord,
    Versioning, keys,
};

/// What was said and granted about governance locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bypass {
    /// Whether the request says anything about it, be it no.
    pub is_named: bool,
    /// Whether it asks to pass by, and who asks may.
    pub is_granted: bool,
}

/// Whether a governance lock was in force and was passed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passage {
    Unlocked,
    Bypassed,
}

/// Whether a version with this lock may be removed (OL26, OL29, OL35, OL37).
///
/// # Errors
/// `ObjectLocked`.
pub fn check_unlocked(lock: &Lock, at: Timestamp, bypass: Bypass) -> Result<Passage> {
    if lock.legal_hold == Some(LegalHold::On) {
        return Err(locked(LockedBy::LegalHold));
    }
    match lock.retention {
        Some(retention) if retention.holds(at) => check_bypass(retention.mode, bypass),
        _ => Ok(Passage::Unlocked),
    }
}

/// Whether a retention may become another, or none (OL21, OL22, OL23, OL26).
///
/// # Errors
/// `ObjectLocked`.
pub fn check_change(
    old: Option<Retention>,
    new: Option<Retention>,
    at: Timestamp,
    bypass: Bypass,
) -> Result<Passage> {
    let Some(old) = old.filter(|old| old.holds(at)) else {
        return Ok(Passage::Unlocked);
    };
    let is_longer = new.is_some_and(|new| new.mode == old.mode && new.until >= old.until);
    if is_longer || planted("lock-may-be-shortened") {
        return Ok(Passage::Unlocked);
    }
    check_bypass(old.mode, bypass)
}

const fn check_bypass(mode: LockMode, bypass: Bypass) -> Result<Passage> {
    match (mode, bypass.is_granted) {
        (LockMode::Compliance, _) => Err(locked(LockedBy::Compliance)),
        (LockMode::Governance, false) => Err(locked(LockedBy::Governance)),
        (LockMode::Governance, true) => Ok(Passage::Bypassed),
    }
}

const fn locked(by: LockedBy) -> Error {
    Error::ObjectLocked { by }
}

/// OL15: nothing is locked, asked or unlocked where there are no locks.
pub(super) fn check_has_locks(state: &BucketRecord) -> Result<()> {
    if state.lock_enabled {
        return Ok(());
    }
    let message = "Bucket is missing Object Lock Configuration";
    Err(Error::invalid_request(message))
}

/// OL38: a bypass, be it `false`, is of buckets with locks.
pub(super) fn check_bypass_named(state: &BucketRecord, bypass: Bypass) -> Result<()> {
    if state.lock_enabled || !bypass.is_named {
        return Ok(());
    }
    Err(Error::invalid_argument(
        "x-amz-bypass-governance-retention",
        "",
        "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.",
    ))
}

/// OL14 by the lock clock: where the clock is behind it, a lock that is over by it would be acknowledged
/// and hold nothing (OL43). What is over by the clock too was looked at before the content came.
pub(super) fn check_not_over(
    reads: &mut dyn Reads,
    asked: Option<Retention>,
    now: Timestamp,
) -> Result<()> {
    match asked {
        Some(retention) if retention.holds(now) && !retention.holds(reads.lock_clock()) => {
            Err(Error::retain_until_in_past())
        }
        _ => Ok(()),
    }
}

/// The lock of a new version: what was asked for, or what the bucket says (OL07, OL09, OL18).
pub(super) fn lock_of_new(
    reads: &mut dyn Reads,
    bucket: BucketId,
    state: &BucketRecord,
    asked: Lock,
    now: Timestamp,
) -> std::result::Result<Option<Lock>, Halt> {
    if !asked.is_empty() {
        check_has_locks(state)?;
    }
    if !state.lock_enabled {
        return Ok(None);
    }
    let mut lock = asked;
    if lock.retention.is_none() && !planted("lock-default-forgotten") {
        let defaults: Option<LockDefaults> =
            load(reads, &keys::config(bucket, ConfigKind::ObjectLock))?;
        if let Some(LockDefaults { default }) = defaults {
            // The clock too: while the lock clock stands, a lock made now would end with its
            // confirmation.
            let from = reads.lock_clock().max(now);
            lock.retention = Some(Retention {
                mode: default.mode,
                until: default.period.end(from),
            });
        }
    }
    Ok((!lock.is_empty()).then_some(lock))
}

/// Turns Object Lock on in a versioned bucket, and sets or takes away what it locks new versions by
/// (OL03, OL04). No version that is there changes (OL08).
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted`, `InvalidBucketState` (OL03).
pub fn set_lock_config(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    default: Option<DefaultRetention>,
    now: Timestamp,
) -> Decided<()> {
    let mut writes = Writes::default();
    let mut state = writable_bucket(reads, &mut writes, bucket, now)?;
    if state.versioning != Versioning::Enabled {
        let message = "Versioning must be 'Enabled' on the bucket to apply a Object Lock \
                       configuration";
        return Err(Error::InvalidBucketState { message }.into());
    }
    if !state.lock_enabled {
        state.lock_enabled = true;
        writes = Writes::default();
        writes.put(keys::bucket(bucket.id), &state);
    }
    let key = keys::config(bucket.id, ConfigKind::ObjectLock);
    match default {
        Some(default) => writes.put(key, &LockDefaults { default }),
        None if reads.get(&key)?.is_some() => writes.delete(key),
        None => {}
    }
    Ok((writes.finish(bucket.id, STANDARD), ()))
}

/// The version whose lock is changed.
#[derive(Clone, Debug)]
pub struct LockTarget {
    pub bucket: BucketRef,
    pub key: ObjectKey,
    pub version_id: Option<VersionId>,
    pub now: Timestamp,
}

/// What a change of a lock did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockChanged {
    pub version_id: VersionId,
    /// What was passed by, for the record of it.
    pub passage: Passage,
}

/// Sets or takes away the retention of a version; nothing else of it changes (OL25).
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted`, `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed` for a delete
/// marker, `InvalidRequest` (OL15), `InvalidArgument` (OL14, VE16), `ObjectLocked` (OL22, OL23).
pub fn set_retention(
    reads: &mut dyn Reads,
    target: &LockTarget,
    retention: Option<Retention>,
    bypass: Bypass,
) -> Decided<LockChanged> {
    // OL14: what is over already locks nothing.
    let is_over = |retention: &Retention| !retention.holds(target.now);
    if retention.as_ref().is_some_and(is_over) {
        return Err(Error::retain_until_in_past().into());
    }
    check_not_over(reads, retention, target.now)?;
    let at = reads.lock_clock();
    change_lock(reads, target, |lock| {
        let passage = check_change(lock.retention, retention, at, bypass)?;
        lock.retention = retention;
        Ok(passage)
    })
}

/// Sets the legal hold of a version; nothing else of it changes (OL25, OL27).
///
/// # Errors
/// As [`set_retention`], without `ObjectLocked`.
pub fn set_legal_hold(
    reads: &mut dyn Reads,
    target: &LockTarget,
    hold: LegalHold,
) -> Decided<LockChanged> {
    change_lock(reads, target, |lock| {
        lock.legal_hold = Some(hold);
        Ok(Passage::Unlocked)
    })
}

fn change_lock(
    reads: &mut dyn Reads,
    target: &LockTarget,
    change: impl FnOnce(&mut Lock) -> Result<Passage>,
) -> Decided<LockChanged> {
    let bucket = &target.bucket;
    let mut writes = Writes::default();
    let state = writable_bucket(reads, &mut writes, bucket, target.now)?;
    check_has_locks(&state)?;
    let (stamp, mut version) = find_version(
        reads,
        bucket.id,
        &target.key,
        state.versioning,
        target.version_id,
    )?;
    let version_id = version.id(stamp);
    let object = object_of(&mut version, version_id)?;
    let before = object.lock;
    let mut lock = before.unwrap_or_default();
    let passage = change(&mut lock)?;
    object.lock = (!lock.is_empty()).then_some(lock);
    if object.lock != before {
        writes.put(keys::version(bucket.id, &target.key, stamp), &version);
    }
    let done = LockChanged {
        version_id,
        passage,
    };
    Ok((writes.finish(bucket.id, STANDARD), done))
}

fn object_of(version: &mut VersionRecord, version_id: VersionId) -> Result<&mut ObjectRecord> {
    let last_modified = version.last_modified;
    version.object.as_mut().ok_or(Error::MethodNotAllowed {
        version_id,
        last_modified,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000;
    const AT: Timestamp = Timestamp(NOW * 1_000_000_000);
    const ASKS: Bypass = Bypass {
        is_named: true,
        is_granted: true,
    };
    const DOES_NOT_ASK: Bypass = Bypass {
        is_named: false,
        is_granted: false,
    };

    fn retention(mode: LockMode, until: u64) -> Option<Retention> {
        Some(Retention { mode, until })
    }

    /// None, and both modes: over, over at this very second, and in force for two times.
    fn retentions() -> Vec<Option<Retention>> {
        let modes = [LockMode::Governance, LockMode::Compliance];
        let untils = [NOW - 1, NOW, NOW + 1, NOW + 2];
        let some = modes
            .into_iter()
            .flat_map(|mode| untils.map(|until| retention(mode, until)));
        std::iter::once(None).chain(some).collect()
    }

    #[test]
    fn what_is_in_force_holds_and_bypass_passes_governance_only() {
        // OL26, OL29, OL35, OL37: written again here from the rules, over all pairs.
        for retention in retentions() {
            for legal_hold in [None, Some(LegalHold::Off), Some(LegalHold::On)] {
                for bypass in [ASKS, DOES_NOT_ASK] {
                    let lock = Lock {
                        retention,
                        legal_hold,
                    };
                    let in_force = retention.filter(|lock| lock.until > NOW);
                    let expected = match (legal_hold, in_force.map(|lock| lock.mode)) {
                        (Some(LegalHold::On), _) => Err(LockedBy::LegalHold),
                        (_, None) => Ok(Passage::Unlocked),
                        (_, Some(LockMode::Compliance)) => Err(LockedBy::Compliance),
                        (_, Some(LockMode::Governance)) if bypass == ASKS => Ok(Passage::Bypassed),
                        (_, Some(LockMode::Governance)) => Err(LockedBy::Governance),
                    };
                    let expected = expected.map_err(|by| Error::ObjectLocked { by });
                    assert_eq!(check_unlocked(&lock, AT, bypass), expected, "{lock:?}");
                }
            }
        }
    }

    #[test]
    fn a_lock_in_force_only_grows_but_for_who_may_pass_governance() {
        // OL21, OL22, OL23, over all pairs of states.
        for old in retentions() {
            for new in retentions() {
                for bypass in [ASKS, DOES_NOT_ASK] {
                    let result = check_change(old, new, AT, bypass);
                    let Some(held) = old.filter(|old| old.until > NOW) else {
                        assert_eq!(result, Ok(Passage::Unlocked), "{old:?} to {new:?}");
                        continue;
                    };
                    let grows =
                        new.is_some_and(|new| new.mode == held.mode && new.until >= held.until);
                    let may_pass = held.mode == LockMode::Governance && bypass == ASKS;
                    assert_eq!(result.is_ok(), grows || may_pass, "{old:?} to {new:?}");
                    let passed = result == Ok(Passage::Bypassed);
                    assert_eq!(passed, !grows && may_pass, "{old:?} to {new:?}");
                }
            }
        }
    }
}
