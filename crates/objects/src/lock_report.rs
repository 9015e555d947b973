//! What is locked until when: the locks of a bucket, added up page by page.

use std::collections::BTreeMap;

use strongroom_base::Timestamp;
use strongroom_types::BucketName;
use time::OffsetDateTime;

use crate::error::{Error, Result};
use crate::lock::{LegalHold, LockMode};
use crate::objects::Objects;
use crate::records::{RecordFormat, VersionRecord, keys};

/// Most versions looked at for one page.
pub const LOCKS_PAGE_MAX: usize = 10_000;

/// What locks of one kind that end in one month are added up under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LockedUntil {
    /// Until a month, written as year and month.
    Month(LockMode, i32, u8),
    /// Beyond the calendar.
    Never(LockMode),
    LegalHold,
}

/// Versions and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LockedCount {
    pub versions: u64,
    pub bytes: u64,
}

/// The locks of the versions that were looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LockedPage {
    pub locked: BTreeMap<LockedUntil, LockedCount>,
    /// Versions and markers looked at.
    pub examined: u64,
    /// The lock clock it was made by.
    pub time: Timestamp,
    /// Where to go on; none when the bucket has no more.
    pub next: Option<Vec<u8>>,
}

impl Objects {
    /// Adds up the locks in force among the next `limit` versions of a bucket, after the place that a page
    /// before gave. Costs a scan of so many records; what changes meanwhile may be counted or not.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidArgument` for a place of no page.
    pub async fn locked_page(
        &self,
        bucket: &BucketName,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<LockedPage> {
        let (bucket, _) = self.bucket(bucket).await?;
        let prefix = keys::versions(bucket.id, "");
        if after.is_some_and(|after| !after.starts_with(&prefix)) {
            let message = "this place is of no page of the bucket";
            return Err(Error::invalid_argument("after", "", message));
        }
        let time = self
            .decide(|reads| Ok((Vec::new(), reads.lock_clock())))
            .await?;
        let limit = limit.min(LOCKS_PAGE_MAX);
        let page = self.meta.scan(&prefix, after, limit).await?;
        let mut found = LockedPage {
            time,
            examined: page.records.len() as u64,
            ..LockedPage::default()
        };
        for (_, record) in &page.records {
            let version = VersionRecord::decode(&record.value)?;
            add(&mut found.locked, &version, time);
        }
        let last = page.records.last().map(|(key, _)| key.clone());
        found.next = last.filter(|_| page.more);
        Ok(found)
    }
}

fn add(locked: &mut BTreeMap<LockedUntil, LockedCount>, version: &VersionRecord, time: Timestamp) {
    let Some((object, lock)) = version
        .object
        .as_ref()
        .and_then(|object| Some((object, object.lock?)))
    else {
        return;
    };
    let retention = lock.retention.filter(|retention| retention.holds(time));
    let until = retention.map(|retention| month(retention.mode, retention.until));
    let hold = (lock.legal_hold == Some(LegalHold::On)).then_some(LockedUntil::LegalHold);
    for kind in until.into_iter().chain(hold) {
        let count = locked.entry(kind).or_default();
        count.versions += 1;
        count.bytes += object.size;
    }
}

fn month(mode: LockMode, until: u64) -> LockedUntil {
    let date = i64::try_from(until).ok();
    let date = date.and_then(|until| OffsetDateTime::from_unix_timestamp(until).ok());
    date.map_or(LockedUntil::Never(mode), |date| {
        LockedUntil::Month(mode, date.year(), u8::from(date.month()))
    })
}
