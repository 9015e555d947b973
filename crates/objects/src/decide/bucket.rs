//! CreateBucket and the steps of DeleteBucket.

use strongroom_base::Timestamp;
use strongroom_meta::{Reads, Stamp};
use strongroom_types::{BucketName, Owner};

use super::config::remove_configs;
use super::{BucketRef, Decided, Writes, bucket_state, is_believed, load};
use crate::error::Error;
use crate::records::{
    BucketId, BucketNameRecord, BucketRecord, Closing, ConfigKind, STANDARD, Versioning, keys,
};
use crate::tags::Tags;

/// Makes a bucket with these tags, with locks if asked so. Its id is a stamp, so no other bucket ever had it (H14).
///
/// # Errors
/// `BucketAlreadyOwnedByYou`, `BucketAlreadyExists`, `OperationAborted` while one of the name is
/// being deleted.
pub fn create_bucket(
    reads: &mut dyn Reads,
    name: &BucketName,
    owner: &Owner,
    tags: &Tags,
    lock_enabled: bool,
    now: Timestamp,
) -> Decided<()> {
    let name_key = keys::bucket_name(name);
    if let Some(existing) = load::<BucketNameRecord>(reads, &name_key)? {
        let bucket = BucketRef {
            name: name.clone(),
            id: existing.id,
        };
        let closing = bucket_state(reads, &bucket)?.closing;
        // BK03
        return Err(match closing {
            Some(closing) if is_believed(closing, now) => Error::OperationAborted,
            _ if existing.owner == *owner => Error::BucketAlreadyOwnedByYou,
            _ => Error::BucketAlreadyExists,
        }
        .into());
    }
    let id = BucketId(reads.issue_stamp(Stamp(0)).0);
    let owner = owner.clone();
    let mut writes = Writes::default();
    writes.put(
        name_key,
        &BucketNameRecord {
            id,
            owner: owner.clone(),
            created: now,
            versioned: lock_enabled,
        },
    );
    let state = BucketRecord {
        name: name.clone(),
        owner,
        created: now,
        // BK02, IX01
        versioning: if lock_enabled {
            Versioning::Enabled
        } else {
            Versioning::Never
        },
        lock_enabled,
        closing: None,
        mfa_delete: None,
    };
    writes.put(keys::bucket(id), &state);
    if !tags.is_empty() {
        writes.put(keys::config(id, ConfigKind::Tagging), tags);
    }
    Ok((writes.finish(id, STANDARD), ()))
}

/// First step of DeleteBucket: closes the bucket against writers (H13) and gives the token the
/// other steps need.
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted` when another delete is at work.
pub fn close_bucket(reads: &mut dyn Reads, bucket: &BucketRef, now: Timestamp) -> Decided<Stamp> {
    let mut state = bucket_state(reads, bucket)?;
    if state
        .closing
        .is_some_and(|closing| is_believed(closing, now))
    {
        return Err(Error::OperationAborted.into());
    }
    let token = reads.issue_stamp(Stamp(0));
    state.closing = Some(Closing { token, since: now });
    let mut writes = Writes::default();
    writes.put(keys::bucket(bucket.id), &state);
    Ok((writes.finish(bucket.id, STANDARD), token))
}

/// Opens the bucket again, if it is still closed by this token.
///
/// # Errors
/// `NoSuchBucket`.
pub fn reopen_bucket(reads: &mut dyn Reads, bucket: &BucketRef, token: Stamp) -> Decided<()> {
    let mut state = bucket_state(reads, bucket)?;
    let mut writes = Writes::default();
    if state.closing.is_some_and(|closing| closing.token == token) {
        state.closing = None;
        writes.put(keys::bucket(bucket.id), &state);
    }
    Ok((writes.finish(bucket.id, STANDARD), ()))
}

/// Last step of DeleteBucket, once a scan found nothing in the closed bucket.
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted` when the bucket was reopened since.
pub fn remove_bucket(reads: &mut dyn Reads, bucket: &BucketRef, token: Stamp) -> Decided<()> {
    let state = bucket_state(reads, bucket)?;
    if state.closing.is_none_or(|closing| closing.token != token) {
        return Err(Error::OperationAborted.into());
    }
    let mut writes = Writes::default();
    writes.delete(keys::bucket_name(&bucket.name));
    writes.delete(keys::bucket(bucket.id));
    writes.delete(keys::usage(bucket.id, STANDARD));
    remove_configs(reads, &mut writes, bucket.id)?;
    Ok((writes.finish(bucket.id, STANDARD), ()))
}
