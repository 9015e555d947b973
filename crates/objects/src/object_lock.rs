//! Object Lock: the configuration of buckets, and retention and legal hold of versions.
//!
//! Who may pass by a governance lock is the caller's to say ([`Bypass`]); everything else is decided
//! in `decide::lock`. Every refusal and every passage leaves a record of what and why.

use strongroom_types::BucketName;

use crate::api::ObjectVersion;
use crate::decide::{self, BucketRef, Bypass, LockChanged, LockTarget};
use crate::error::{Error, Result};
use crate::lock::{DefaultRetention, LegalHold, Lock, Retention};
use crate::objects::Objects;
use crate::records::{BucketRecord, ConfigKind, LockDefaults, keys};

impl Objects {
    /// What a bucket with Object Lock locks new versions by: nothing, when it has locks and no
    /// default.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchConfiguration` when the bucket has no locks (OL02).
    pub async fn lock_config(&self, bucket: &BucketName) -> Result<Option<DefaultRetention>> {
        let (bucket, _) = self.bucket(bucket).await?;
        if !self.has_locks(&bucket).await? {
            let kind = ConfigKind::ObjectLock;
            return Err(Error::NoSuchConfiguration { kind });
        }
        let defaults = self.lock_defaults(&bucket).await?;
        Ok(defaults.map(|defaults| defaults.default))
    }

    /// Turns Object Lock on, for good, and sets or takes away the default retention (OL03, OL04).
    /// Durable and in force once this returns; no version that is there changes (OL08).
    ///
    /// # Errors
    /// `NoSuchBucket`, `OperationAborted`, `InvalidBucketState` (OL03).
    pub async fn put_lock_config(
        &self,
        bucket: &BucketName,
        default: Option<DefaultRetention>,
    ) -> Result<()> {
        let (bucket, _) = self.bucket(bucket).await?;
        let now = self.clock.now();
        self.decide(move |reads| decide::set_lock_config(reads, &bucket, default, now))
            .await
    }

    /// The retention of a version, also one that is over.
    ///
    /// # Errors
    /// Those of [`Self::object_tags`], `InvalidRequest` (OL15), `NoSuchObjectLock` (OL20).
    pub async fn object_retention(&self, of: ObjectVersion) -> Result<Retention> {
        let lock = self.object_lock(of).await?;
        lock.retention.ok_or(Error::NoSuchObjectLock)
    }

    /// The legal hold of a version.
    ///
    /// # Errors
    /// Those of [`Self::object_retention`] (OL28).
    pub async fn object_legal_hold(&self, of: ObjectVersion) -> Result<LegalHold> {
        let lock = self.object_lock(of).await?;
        lock.legal_hold.ok_or(Error::NoSuchObjectLock)
    }

    /// Sets the retention of a version, or takes it away. Durable and in force once this returns;
    /// nothing else of the version changes (OL25).
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed` for a delete marker,
    /// `InvalidRequest` (OL15), `InvalidArgument` (OL14), `ObjectLocked` (OL22, OL23),
    /// `OperationAborted`.
    pub async fn put_object_retention(
        &self,
        of: ObjectVersion,
        retention: Option<Retention>,
        bypass: Bypass,
    ) -> Result<()> {
        let target = self.lock_target(&of).await?;
        let changed = self
            .decide(move |reads| decide::set_retention(reads, &target, retention, bypass))
            .await;
        let passage = changed.as_ref().map(|changed| changed.passage);
        self.record_lock("PutObjectRetention", &of, passage);
        changed.map(|LockChanged { .. }| ())
    }

    /// Sets the legal hold of a version. Durable and in force once this returns; nothing else of the
    /// version changes (OL25, OL27).
    ///
    /// # Errors
    /// As [`Self::put_object_retention`], without `ObjectLocked`.
    pub async fn put_object_legal_hold(&self, of: ObjectVersion, hold: LegalHold) -> Result<()> {
        let target = self.lock_target(&of).await?;
        self.decide(move |reads| decide::set_legal_hold(reads, &target, hold))
            .await
            .map(|LockChanged { .. }| ())
    }

    /// OL16: whether content for this bucket must come with a digest, because it is locked at once.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn locks_new_versions(&self, bucket: &BucketName) -> Result<bool> {
        let (bucket, name) = self.bucket(bucket).await?;
        // A bucket with locks is versioned.
        if !name.versioned {
            return Ok(false);
        }
        Ok(self.lock_defaults(&bucket).await?.is_some())
    }

    /// Refuses before the content is read what the commit would refuse after it, and a lock that is
    /// over already (OL14, OL15).
    pub(crate) async fn check_lock_asked(&self, bucket: &BucketRef, lock: Lock) -> Result<()> {
        if lock.is_empty() {
            return Ok(());
        }
        self.demand_locks(bucket).await?;
        match lock.retention {
            Some(retention) if !retention.holds(self.clock.now()) => {
                Err(Error::retain_until_in_past())
            }
            _ => Ok(()),
        }
    }

    async fn object_lock(&self, of: ObjectVersion) -> Result<Lock> {
        let (bucket, name) = self.bucket(&of.bucket).await?;
        self.demand_locks(&bucket).await?;
        let find = |id| self.find(&bucket, name.versioned, &of.key, id);
        let found = match find(of.version_id).await {
            // By its id a marker is answered as VE21 wants it; a read of it says NoSuchKey.
            Err(Error::NoSuchKey {
                delete_marker: Some(marker),
            }) => find(Some(marker)).await?,
            found => found?,
        };
        Ok(found.object.lock.unwrap_or_default())
    }

    async fn lock_target(&self, of: &ObjectVersion) -> Result<LockTarget> {
        let (bucket, _) = self.bucket(&of.bucket).await?;
        Ok(LockTarget {
            bucket,
            key: of.key.clone(),
            version_id: of.version_id,
            now: self.clock.now(),
        })
    }

    /// OL15.
    async fn demand_locks(&self, bucket: &BucketRef) -> Result<()> {
        if self.has_locks(bucket).await? {
            return Ok(());
        }
        let message = "Bucket is missing Object Lock Configuration";
        Err(Error::invalid_request(message))
    }

    async fn has_locks(&self, bucket: &BucketRef) -> Result<bool> {
        let state: Option<BucketRecord> = self.record(&keys::bucket(bucket.id)).await?;
        // Between the two looks the bucket may have been deleted.
        Ok(state.ok_or(Error::NoSuchBucket)?.lock_enabled)
    }

    async fn lock_defaults(&self, bucket: &BucketRef) -> Result<Option<LockDefaults>> {
        let key = keys::config(bucket.id, ConfigKind::ObjectLock);
        self.record(&key).await
    }
}
