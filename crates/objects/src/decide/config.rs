//! Configurations of a bucket (RFC 0005).

use strongroom_base::Timestamp;
use strongroom_meta::Reads;

use super::{BucketRef, Decided, Halt, Writes, writable_bucket};
use crate::records::{BucketConfig, BucketId, ConfigKind, STANDARD, keys};

/// Most configurations of one bucket: a thousand of each of the four kinds that have names (LI02),
/// and one of each other.
pub const CONFIGS_MAX: usize = 5000;

/// Puts a configuration. Reads the bucket's name and state, so that it goes to the bucket that was
/// asked for and not to one that is being deleted (H12, H13, H14).
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted`.
pub fn put_config<C: BucketConfig>(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    config: &C,
    now: Timestamp,
) -> Decided<()> {
    let mut writes = Writes::default();
    writable_bucket(reads, &mut writes, bucket, now)?;
    writes.put(keys::config(bucket.id, C::KIND), config);
    Ok((writes.finish(bucket.id, STANDARD), ()))
}

/// Deletes a configuration, if there is one.
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted`.
pub fn delete_config(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    kind: ConfigKind,
    now: Timestamp,
) -> Decided<()> {
    let mut writes = Writes::default();
    writable_bucket(reads, &mut writes, bucket, now)?;
    let key = keys::config(bucket.id, kind);
    if reads.get(&key)?.is_some() {
        writes.delete(key);
    }
    Ok((writes.finish(bucket.id, STANDARD), ()))
}

/// Deletes all configurations, with the bucket (BK06). What the scan sees is guarded by the bucket's
/// state: since it was closed, no configuration was put without changing that.
pub(super) fn remove_configs(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    bucket: BucketId,
) -> Result<(), Halt> {
    for (key, _) in reads.scan(&keys::configs(bucket), None, CONFIGS_MAX)? {
        writes.delete(key);
    }
    Ok(())
}
