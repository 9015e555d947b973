//! Operations on locks, against both.
//!
//! Locks end at seconds that no step lies near: time passes in strides that no lock ends within, so the two
//! need not read the clock at the same moment.

use std::time::Duration;

use super::compare::{bucket_name, object_key, same};
use super::op::{LOCKED_BUCKET, Op};
use super::reference::{RefObject, marker_refused};
use super::run::{Model, agree};
use crate::api::ObjectVersion;
use crate::decide::Bypass;
use crate::error::Error;
use crate::lock::{
    DefaultRetention, LegalHold, Lock, LockMode, LockedBy, Retention, RetentionPeriod,
};
use crate::objects::Objects;

/// What passes in one step.
const STRIDE_SECONDS: u64 = 1_000;
/// Where locks end between two steps.
const BETWEEN_SECONDS: u64 = 500;
/// How far the two may have read the clock apart.
const APART_SECONDS_MAX: u64 = 100;

impl Op {
    /// Mostly something where there are locks; elsewhere seldom, what is refused there.
    pub(super) fn lock(&self, now: u64) -> Lock {
        let asks = match self.bucket {
            LOCKED_BUCKET => !self.seed.is_multiple_of(3),
            _ => self.seed.is_multiple_of(17),
        };
        if !asks {
            return Lock::default();
        }
        Lock {
            retention: self.retention(now).filter(|_| !self.pick.is_multiple_of(4)),
            legal_hold: match self.pick % 7 {
                0 => Some(LegalHold::On),
                1 => Some(LegalHold::Off),
                _ => None,
            },
        }
    }

    /// For one to four strides, or none.
    fn retention(&self, now: u64) -> Option<Retention> {
        let strides = (self.seed / 3) % 5;
        (strides > 0).then(|| Retention {
            mode: self.lock_mode(),
            until: now + strides * STRIDE_SECONDS - BETWEEN_SECONDS,
        })
    }

    const fn lock_mode(&self) -> LockMode {
        match (self.seed / 12) % 2 {
            0 => LockMode::Governance,
            _ => LockMode::Compliance,
        }
    }

    /// Seldom where there are no locks, where it is refused.
    pub(super) fn bypass(&self) -> Bypass {
        let is_place = self.bucket == LOCKED_BUCKET || self.seed.is_multiple_of(11);
        Bypass {
            is_named: is_place && !(self.seed / 24).is_multiple_of(3),
            is_granted: is_place && (self.seed / 24) % 3 > 1,
        }
    }

    /// As this, of the bucket that has locks but for a few.
    pub(super) fn of_locked(&self) -> Self {
        let bucket = match self.seed % 8 {
            0 => self.bucket,
            _ => LOCKED_BUCKET,
        };
        Self {
            bucket,
            ..self.clone()
        }
    }
}

impl Model {
    /// Takes over the time of the stores.
    pub(super) fn look_at_clock(&mut self, objects: &Objects) {
        let now = objects.clock.now().seconds();
        self.reference.lock_clock = self.reference.lock_clock.max(now);
    }

    fn lock_target(&self, op: &Op) -> ObjectVersion {
        ObjectVersion {
            bucket: bucket_name(op.bucket),
            key: object_key(op.key),
            version_id: self.pick_version(op, op.bucket, op.key),
        }
    }

    /// The object whose lock an operation is about.
    fn lock_of(
        &mut self,
        op: &Op,
        of: &ObjectVersion,
    ) -> std::result::Result<&mut RefObject, Error> {
        let bucket = self.reference.bucket(op.bucket)?;
        if !bucket.has_locks {
            return Err(Error::invalid_request(""));
        }
        let found = bucket.find(op.key, of.version_id)?;
        found.object.as_mut().ok_or_else(marker_refused)
    }

    pub(super) async fn set_retention(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let op = &op.of_locked();
        let of = self.lock_target(op);
        let (now, bypass) = (self.reference.lock_clock, op.bypass());
        let new = op.retention(now);
        let found = objects.put_object_retention(of.clone(), new, bypass).await;
        let expected = self.lock_of(op, &of).and_then(|object| {
            let old = object.lock.retention.filter(|old| old.until > now);
            let grows = |old: &Retention| {
                new.is_some_and(|new| new.mode == old.mode && new.until >= old.until)
            };
            match old {
                Some(old) if old.mode == LockMode::Compliance && !grows(&old) => {
                    return Err(Error::ObjectLocked {
                        by: LockedBy::Compliance,
                    });
                }
                Some(old) if !grows(&old) && !bypass.is_granted => {
                    return Err(Error::ObjectLocked {
                        by: LockedBy::Governance,
                    });
                }
                _ => object.lock.retention = new,
            }
            Ok(())
        });
        agree(found, expected)
    }

    pub(super) async fn set_hold(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let op = &op.of_locked();
        let of = self.lock_target(op);
        let hold = match op.seed % 3 {
            0 => LegalHold::On,
            _ => LegalHold::Off,
        };
        let found = objects.put_object_legal_hold(of.clone(), hold).await;
        let expected = self.lock_of(op, &of).map(|object| {
            object.lock.legal_hold = Some(hold);
        });
        agree(found, expected)
    }

    /// Only of the bucket that has locks: the others are never given any.
    pub(super) async fn configure_locks(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let default = op.seed.is_multiple_of(3).then(|| (op.lock_mode(), 1));
        let asked = default.map(|(mode, days)| DefaultRetention {
            mode,
            period: RetentionPeriod::Days(days),
        });
        let name = bucket_name(LOCKED_BUCKET);
        let found = objects.put_lock_config(&name, asked).await;
        if found.is_ok() {
            let kept = objects.lock_config(&name).await;
            same("default retention", &kept, &Ok(asked))?;
        }
        let expected = self.reference.bucket(LOCKED_BUCKET).map(|bucket| {
            bucket.default_lock = default;
        });
        agree(found, expected)
    }
}

/// One stride, or a day, which ends what a default locked.
pub(super) const fn passing(op: &Op) -> Duration {
    Duration::from_secs(match op.pick % 4 {
        0 => 87 * STRIDE_SECONDS,
        _ => STRIDE_SECONDS,
    })
}

/// Whether a lock is what the model says.
pub(super) fn same_lock(what: &str, found: Option<Lock>, expected: Lock) -> Result<(), String> {
    let found = found.unwrap_or_default();
    let near = |one: u64, other: u64| one.abs_diff(other) <= APART_SECONDS_MAX;
    let is_same = match (found.retention, expected.retention) {
        (None, None) => true,
        (Some(found), Some(expected)) => {
            found.mode == expected.mode && near(found.until, expected.until)
        }
        _ => false,
    };
    same(
        &format!("lock of {what}: {:?} and {:?}", found, expected),
        &(is_same, found.legal_hold),
        &(true, expected.legal_hold),
    )
}
