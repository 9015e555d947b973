//! MFA delete (RFC 0015): devices and their codes, and where a second factor is demanded.
//!
//! Invariants
//! - A code is used up in a commit before what it allows, and its step is never good again.
//! - A wrong code is counted in a commit before it is answered.

use strongroom_base::Timestamp;
use strongroom_meta::Reads;
use strongroom_types::Owner;

use super::{BucketRef, Decided, Halt, Writes, bucket_state, load};
use crate::error::Error;
use crate::mfa::MfaSerial;
use crate::records::{BucketId, BucketRecord, MfaDeviceRecord, STANDARD, keys};
use crate::totp::{self, Match, Secret};

/// Most devices of one account: a guesser has as many times more tries.
pub const MFA_DEVICES_MAX: usize = 8;
/// Wrong codes in a row that cost nothing: people mistype.
pub const WRONG_CODES_FREE: u32 = 5;
/// How long a device is silent after the first wrong code beyond those; each further one doubles it.
pub const SILENCE_NANOS_MIN: u64 = 60 * 1_000_000_000;
/// Longest silence. One try a day finds a code of a million, of which three are good, in 900 years.
pub const SILENCE_NANOS_MAX: u64 = 24 * 60 * 60 * 1_000_000_000;

/// What becomes of a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodeUse {
    Accepted,
    /// The account has no such device, or it was not confirmed.
    NoDevice,
    /// The code, or a later one, was used before.
    Used,
    Wrong,
    /// Too many wrong codes: this one was not looked at.
    Silent,
}

/// What a code is given for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodePurpose {
    /// To confirm a device that was enrolled.
    Confirm,
    /// As the second factor of a request.
    Request,
}

/// Uses a code up, or counts it.
///
/// # Errors
/// Of the store.
pub fn use_code(
    reads: &mut dyn Reads,
    owner: &Owner,
    (serial, code): (&MfaSerial, &str),
    purpose: CodePurpose,
    now: Timestamp,
) -> Decided<CodeUse> {
    let key = keys::mfa_device(owner, serial);
    let device: Option<MfaDeviceRecord> = load(reads, &key)?;
    let is_wanted =
        |device: &MfaDeviceRecord| device.confirmed == (purpose == CodePurpose::Request);
    let Some(mut device) = device.filter(is_wanted) else {
        return Ok((Vec::new(), CodeUse::NoDevice));
    };
    if now < device.silent_until {
        return Ok((Vec::new(), CodeUse::Silent));
    }
    let answer = match totp::find(&device.secret, code, now, device.step_used) {
        // Known to who saw a request, and of no use to them: it is not counted.
        Match::Used => return Ok((Vec::new(), CodeUse::Used)),
        Match::Unused { step } => {
            device.step_used = Some(step);
            device.confirmed = true;
            device.wrong_codes = 0;
            device.silent_until = Timestamp(0);
            CodeUse::Accepted
        }
        Match::Wrong => {
            device.wrong_codes = device.wrong_codes.saturating_add(1);
            device.silent_until = Timestamp(now.0.saturating_add(silence(device.wrong_codes)));
            CodeUse::Wrong
        }
    };
    let mut writes = Writes::default();
    writes.put(key, &device);
    Ok((writes.finish(BucketId(0), STANDARD), answer))
}

/// How long a device is silent after this many wrong codes in a row.
fn silence(wrong_codes: u32) -> u64 {
    let Some(doublings) = wrong_codes.checked_sub(WRONG_CODES_FREE) else {
        return 0;
    };
    let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
    SILENCE_NANOS_MIN
        .saturating_mul(factor)
        .min(SILENCE_NANOS_MAX)
}

/// Enrolls a device that counts for nothing yet.
///
/// # Errors
/// `InvalidRequest` when the account has it, or as many as it may have.
pub fn enroll_device(
    reads: &mut dyn Reads,
    owner: &Owner,
    serial: &MfaSerial,
    secret: &Secret,
    now: Timestamp,
) -> Decided<()> {
    let key = keys::mfa_device(owner, serial);
    if reads.get(&key)?.is_some() {
        let message = "the account has a device with this serial: remove it first";
        return Err(Error::invalid_request(message).into());
    }
    let prefix = keys::mfa_devices_of(owner);
    if reads.scan(&prefix, None, MFA_DEVICES_MAX)?.len() >= MFA_DEVICES_MAX {
        let message = format!("an account has at most {MFA_DEVICES_MAX} devices");
        return Err(Error::invalid_request(message).into());
    }
    let device = MfaDeviceRecord {
        secret: secret.clone(),
        enrolled: now,
        confirmed: false,
        step_used: None,
        wrong_codes: 0,
        silent_until: Timestamp(0),
    };
    let mut writes = Writes::default();
    writes.put(key, &device);
    Ok((writes.finish(BucketId(0), STANDARD), ()))
}

/// Forgets a device.
///
/// # Errors
/// `InvalidRequest` when there is none.
pub fn remove_device(reads: &mut dyn Reads, owner: &Owner, serial: &MfaSerial) -> Decided<()> {
    let key = keys::mfa_device(owner, serial);
    if reads.get(&key)?.is_none() {
        let message = "the account has no device with this serial";
        return Err(Error::invalid_request(message).into());
    }
    let mut writes = Writes::default();
    writes.delete(key);
    Ok((writes.finish(BucketId(0), STANDARD), ()))
}

/// MF02, MF03: for a request that names versions. Guards the commit on the bucket's state, so that
/// what was enabled before it counts.
///
/// # Errors
/// `AccessDenied`, `NoSuchBucket`.
pub fn demand_for_versions(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    proof: Option<&Owner>,
) -> Result<(), Halt> {
    let state = bucket_state(reads, bucket)?;
    if state.mfa_delete == Some(true) {
        demand(&state, proof)?;
    }
    Ok(())
}

/// MF01: that the proof is of the bucket's owner.
pub(super) fn demand(state: &BucketRecord, proof: Option<&Owner>) -> Result<(), Error> {
    if proof == Some(&state.owner) {
        Ok(())
    } else {
        Err(Error::AccessDenied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_doubles_up_to_a_day() {
        // MF05
        let minutes = |wrong| silence(wrong) / 60 / 1_000_000_000;
        let found: Vec<u64> = (4..=9).map(minutes).collect();
        assert_eq!(found, [0, 1, 2, 4, 8, 16]);
        assert_eq!(
            [minutes(15), minutes(16), minutes(u32::MAX)],
            [1024, 1440, 1440]
        );
    }
}
