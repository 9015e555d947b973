//! Running a decision in the metadata store.

use std::sync::{Arc, Mutex};

use strongroom_base::planted;
use strongroom_meta::{Durability, ErrorKind, Reads, Transaction};
use strongroom_types::BucketName;

use crate::decide::{BucketRef, Decided, Halt};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{BucketNameRecord, RecordFormat, keys};

/// How often the blobs of one commit are written anew because a disk went out between their sync
/// and the commit. A disk or two may go while one put runs; a store that loses more is not
/// available.
pub const BLOB_REWRITES_MAX: u32 = 3;

/// Why a commit did not happen.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// A blob is no longer durable enough: write it anew and commit again.
    BlobLost,
    Failed(Error),
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Failed(error) => error,
            CommitError::BlobLost => {
                let message = "disks went out while the bytes were written".to_owned();
                Self::Unavailable { message }
            }
        }
    }
}

impl Objects {
    /// Runs `decide` and commits its writes, if the blobs it refers to are still `durable`.
    pub(crate) async fn commit<T, F>(
        &self,
        durable: Vec<Durability>,
        mut decide: F,
    ) -> std::result::Result<T, CommitError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Reads) -> Decided<T> + Send + 'static,
    {
        let durable = if planted("objects-durability-not-asked") {
            Vec::new()
        } else {
            durable
        };
        let answer: Arc<Mutex<Option<Result<T>>>> = Arc::default();
        let slot = Arc::clone(&answer);
        let decide = Box::new(move |reads: &mut dyn Reads| {
            let (writes, decided) = match decide(reads) {
                Ok((writes, answer)) => (Some(writes), Ok(answer)),
                Err(Halt::Refused(error)) => (None, Err(error)),
                Err(Halt::Store(error)) => return Err(error),
            };
            *slot.lock().expect("no holder panics") = Some(decided);
            // Nothing to write is nothing to sync.
            Ok(writes.filter(|writes| !writes.is_empty()))
        });
        match self.meta.transact(Transaction { decide, durable }).await {
            Ok(()) => {}
            Err(error) if error.kind == ErrorKind::BlobLost => return Err(CommitError::BlobLost),
            Err(error) => return Err(CommitError::Failed(error.into())),
        }
        let decided = answer.lock().expect("no holder panics").take();
        decided
            .expect("a transaction that succeeded ran its decision")
            .map_err(CommitError::Failed)
    }

    /// As [`Self::commit`], for a decision that refers to no new blobs.
    pub(crate) async fn decide<T, F>(&self, decide: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Reads) -> Decided<T> + Send + 'static,
    {
        Ok(self.commit(Vec::new(), decide).await?)
    }

    /// Reads and decodes one record.
    pub(crate) async fn record<R: RecordFormat>(&self, key: &[u8]) -> Result<Option<R>> {
        match self.meta.get(key).await? {
            None => Ok(None),
            Some(record) => Ok(Some(R::decode(&record.value)?)),
        }
    }

    /// The bucket this name means now, if the account that is acted for owns it. Commits check that
    /// it still does (H14). Every operation comes through here.
    pub(crate) async fn bucket(&self, name: &BucketName) -> Result<(BucketRef, BucketNameRecord)> {
        let record: Option<BucketNameRecord> = self.record(&keys::bucket_name(name)).await?;
        let record = record.ok_or(Error::NoSuchBucket)?;
        if !self.reaches(&record) {
            return Err(Error::AccessDenied);
        }
        Ok((
            BucketRef {
                name: name.clone(),
                id: record.id,
            },
            record,
        ))
    }

    /// Whether the account this handle acts for may know more of the bucket than its name.
    pub(crate) fn reaches(&self, bucket: &BucketNameRecord) -> bool {
        self.acting_for
            .as_ref()
            .is_none_or(|owner| *owner == bucket.owner)
    }
}
