//! The administration calls over the domain.
//!
//! Names and numbers come as text from people and scripts; here they become the domain's types, or
//! an error that says what is wrong with them. What a call may cost is bounded here, by page sizes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_admin_api::{
    AbortUploadRequest, AbortUploadsRequest, Aborted, AddDiskRequest, AddZoneRequest, AdminApi,
    ApiError, BUCKETS_PAGE_DEFAULT, BUCKETS_PAGE_MAX, Bucket, BucketPage, BucketRequest,
    BucketsRequest, ConfirmClockRequest, DiskChanged, DiskInZone, DiskJoined, DiskRequest, Disks,
    ErrorCode, LOCKS_PAGE_DEFAULT, LOCKS_PAGE_MAX, LockClock, LocksPage, LocksRequest,
    LostPackedPage, LostPackedRequest, LostPage, LostRequest, MfaChanged, MfaConfirmRequest,
    MfaDevicePage, MfaDeviceRequest, MfaDevicesRequest, MfaEnrolled, NoParameters, ObjectPlaces,
    PARTS_PAGE_MAX, RepairSetRequest, RepairStatus, ReplaceDiskRequest, Result, ScrubStatus,
    SimulateRequest, Simulated, Status, Topology, UPLOADS_PAGE_DEFAULT, UPLOADS_PAGE_MAX, Upload,
    UploadPage, UploadsRequest, VERIFY_PARTS_MAX, WhereRequest, ZoneChanged, ZoneRequest,
    ZoneStatus, ZoneSummary, Zones,
};
use strongroom_base::{Clock, Timestamp, tasks};
use strongroom_objects::{
    AbortUpload, BucketUsage, Error, ListBucketUsage, ListUploadUsage, LocateObject, Objects,
    UploadUsage,
};
use strongroom_types::{BucketName, ObjectKey, UploadId, VersionId};

use crate::locks;
use crate::mfa;
use crate::places::{rfc3339, wire_part};
use crate::simulate;
use crate::status::{DiskOrder, StoreSource, ZoneOrder};
use crate::upkeep::{self, UpkeepSource};

/// Hexadecimal digits of an upload id at the front of a place in a list of uploads.
const UPLOAD_ID_DIGITS: usize = 32;

/// Answers the calls.
pub struct AdminService {
    source: Arc<dyn StoreSource>,
    clock: Arc<dyn Clock>,
}

impl AdminService {
    /// A service over these.
    #[must_use]
    pub fn new(source: Arc<dyn StoreSource>, clock: Arc<dyn Clock>) -> Self {
        Self { source, clock }
    }

    fn objects(&self) -> Result<Objects> {
        let opening = || ApiError::new(ErrorCode::Unavailable, "the store is being opened");
        self.source.objects().ok_or_else(opening)
    }

    fn upkeep(&self) -> Result<Arc<dyn UpkeepSource>> {
        self.source.upkeep().ok_or_else(upkeep::absent)
    }

    async fn change_zone(&self, order: ZoneOrder, request: &ZoneRequest) -> Result<ZoneChanged> {
        let (source, request) = (Arc::clone(&self.source), request.clone());
        tasks::blocking(move || source.change_zone(order, &request)).await
    }

    async fn store_status(&self) -> Status {
        let source = Arc::clone(&self.source);
        tasks::blocking(move || source.status()).await
    }

    fn age_of(&self, initiated: Timestamp) -> u64 {
        self.clock
            .now()
            .seconds()
            .saturating_sub(initiated.seconds())
    }
}

#[async_trait]
impl AdminApi for AdminService {
    async fn status(&self, _: NoParameters) -> Result<Status> {
        Ok(self.store_status().await)
    }

    async fn zones(&self, _: NoParameters) -> Result<Zones> {
        self.objects()?;
        let store = self.store_status().await.store.unwrap_or_default();
        let summary = |zone: &ZoneStatus| ZoneSummary {
            blobs_left: store.blobs_reduced.filter(|_| zone.draining),
            ..ZoneSummary::from(zone)
        };
        Ok(Zones {
            zones: store.zones.iter().map(summary).collect(),
        })
    }

    async fn disks(&self, _: NoParameters) -> Result<Disks> {
        self.objects()?;
        let mut disks = Vec::new();
        for zone in self.store_status().await.store.unwrap_or_default().zones {
            let name = zone.name;
            disks.extend(zone.disks.into_iter().map(|disk| DiskInZone {
                zone: name.clone(),
                disk,
            }));
        }
        Ok(Disks { disks })
    }

    async fn topology(&self, _: NoParameters) -> Result<Topology> {
        let source = Arc::clone(&self.source);
        let found = tasks::blocking(move || source.topology()).await;
        found.ok_or_else(|| ApiError::new(ErrorCode::Unavailable, "the store is being opened"))
    }

    async fn replace_disk(&self, request: ReplaceDiskRequest) -> Result<DiskJoined> {
        self.objects()?;
        let source = Arc::clone(&self.source);
        tasks::blocking(move || source.replace_disk(&request)).await
    }

    async fn add_disk(&self, request: AddDiskRequest) -> Result<DiskJoined> {
        self.objects()?;
        let source = Arc::clone(&self.source);
        tasks::blocking(move || source.add_disk(&request)).await
    }

    async fn drain_disk(&self, request: DiskRequest) -> Result<DiskChanged> {
        self.objects()?;
        let source = Arc::clone(&self.source);
        tasks::blocking(move || source.change_disk(DiskOrder::Drain, &request)).await
    }

    async fn keep_disk(&self, request: DiskRequest) -> Result<DiskChanged> {
        self.objects()?;
        let source = Arc::clone(&self.source);
        tasks::blocking(move || source.change_disk(DiskOrder::Keep, &request)).await
    }

    async fn remove_disk(&self, request: DiskRequest) -> Result<DiskChanged> {
        self.objects()?;
        let source = Arc::clone(&self.source);
        tasks::blocking(move || source.change_disk(DiskOrder::Remove, &request)).await
    }

    async fn add_zone(&self, request: AddZoneRequest) -> Result<ZoneChanged> {
        self.objects()?;
        let source = Arc::clone(&self.source);
        tasks::blocking(move || source.add_zone(&request)).await
    }

    async fn drain_zone(&self, request: ZoneRequest) -> Result<ZoneChanged> {
        self.objects()?;
        self.change_zone(ZoneOrder::Drain, &request).await
    }

    async fn keep_zone(&self, request: ZoneRequest) -> Result<ZoneChanged> {
        self.objects()?;
        self.change_zone(ZoneOrder::Keep, &request).await
    }

    async fn remove_zone(&self, request: ZoneRequest) -> Result<ZoneChanged> {
        let objects = self.objects()?;
        let refuse = |left: u64| {
            Err(ApiError::invalid(format!(
                "{left} blobs are still to be written anew in the other zones: wait until `strongroom \
                 zones` shows none left"
            )))
        };
        let store = self.store_status().await.store.unwrap_or_default();
        let mut zones = store.zones.iter();
        let drained = zones.any(|zone| zone.name == request.zone && zone.draining);
        let marked = objects.blobs_reduced().await.map_err(refusal)?;
        if drained && marked > 0 {
            return refuse(marked);
        }
        self.change_zone(ZoneOrder::Leave, &request).await?;
        match objects.count_reduced().await.map_err(refusal)? {
            0 => self.change_zone(ZoneOrder::Remove, &request).await,
            left => refuse(left),
        }
    }

    async fn buckets(&self, request: BucketsRequest) -> Result<BucketPage> {
        let list = ListBucketUsage {
            prefix: request.prefix.unwrap_or_default(),
            after: request.after.as_deref().map(bucket_name).transpose()?,
            buckets_max: limit(request.limit, BUCKETS_PAGE_DEFAULT, BUCKETS_PAGE_MAX)?,
        };
        let page = self.objects()?.list_bucket_usage(list).await;
        let page = page.map_err(refusal)?;
        let next = page.next.map(|name| name.as_str().to_owned());
        Ok(BucketPage {
            buckets: page.buckets.into_iter().map(wire_bucket).collect(),
            next,
        })
    }

    async fn bucket(&self, request: BucketRequest) -> Result<Bucket> {
        let name = bucket_name(&request.bucket)?;
        let usage = self.objects()?.bucket_usage(&name).await;
        usage.map(wire_bucket).map_err(refusal)
    }

    async fn uploads(&self, request: UploadsRequest) -> Result<UploadPage> {
        let list = ListUploadUsage {
            bucket: bucket_name(&request.bucket)?,
            prefix: request.prefix.unwrap_or_default(),
            after: request.after.as_deref().map(upload_place).transpose()?,
            uploads_max: limit(request.limit, UPLOADS_PAGE_DEFAULT, UPLOADS_PAGE_MAX)?,
        };
        let page = self.objects()?.list_upload_usage(list).await;
        let page = page.map_err(refusal)?;
        let wire = |upload: UploadUsage| Upload {
            key: upload.key.as_str().to_owned(),
            upload_id: upload.upload_id.to_string(),
            initiated: rfc3339(upload.initiated),
            age_seconds: self.age_of(upload.initiated),
            parts: upload.parts,
            bytes: upload.bytes,
        };
        Ok(UploadPage {
            uploads: page.uploads.into_iter().map(wire).collect(),
            next: page.next.map(upload_place_text),
        })
    }

    async fn abort_upload(&self, request: AbortUploadRequest) -> Result<Aborted> {
        let abort = AbortUpload {
            bucket: bucket_name(&request.bucket)?,
            key: object_key(&request.key)?,
            upload_id: upload_id(&request.upload_id)?,
        };
        let objects = self.objects()?;
        let done = objects.abort_upload_counted(abort).await;
        done.map(wire_aborted).map_err(refusal)
    }

    async fn abort_uploads(&self, request: AbortUploadsRequest) -> Result<Aborted> {
        let list = ListUploadUsage {
            bucket: bucket_name(&request.bucket)?,
            prefix: request.prefix.unwrap_or_default(),
            after: request.after.as_deref().map(upload_place).transpose()?,
            uploads_max: limit(request.limit, UPLOADS_PAGE_DEFAULT, UPLOADS_PAGE_MAX)?,
        };
        let older_than = Duration::from_secs(request.older_than_seconds).as_nanos();
        let older_than = u64::try_from(older_than).unwrap_or(u64::MAX);
        let before = Timestamp(self.clock.now().0.saturating_sub(older_than));
        let done = self.objects()?.abort_uploads_older(list, before).await;
        done.map(wire_aborted).map_err(refusal)
    }

    async fn mfa_devices(&self, request: MfaDevicesRequest) -> Result<MfaDevicePage> {
        mfa::devices(&self.objects()?, request).await
    }

    async fn mfa_enroll(&self, request: MfaDeviceRequest) -> Result<MfaEnrolled> {
        mfa::enroll(&self.objects()?, request).await
    }

    async fn mfa_confirm(&self, request: MfaConfirmRequest) -> Result<MfaChanged> {
        mfa::confirm(&self.objects()?, request).await
    }

    async fn mfa_remove(&self, request: MfaDeviceRequest) -> Result<MfaChanged> {
        mfa::remove(&self.objects()?, request).await
    }

    async fn where_is(&self, request: WhereRequest) -> Result<ObjectPlaces> {
        let verify = request.verify.unwrap_or(false);
        let parts_max = if verify {
            VERIFY_PARTS_MAX
        } else {
            PARTS_PAGE_MAX
        };
        let version_id = request.version_id.as_deref().map(version_id).transpose()?;
        let locate = LocateObject {
            bucket: bucket_name(&request.bucket)?,
            key: object_key(&request.key)?,
            version_id,
            part_number_marker: request.after.unwrap_or(0),
            parts_max: limit(request.limit, parts_max, parts_max)?,
            verify,
        };
        let found = self.objects()?.locate_object(locate).await;
        let found = found.map_err(refusal)?;
        Ok(ObjectPlaces {
            bucket: request.bucket,
            key: request.key,
            version_id: found.version_id.map(|id| id.to_string()),
            bytes: found.size,
            last_modified: rfc3339(found.last_modified),
            parts: found.parts.into_iter().map(wire_part).collect(),
            next: found.next_part_number_marker,
        })
    }

    async fn repair_status(&self, _: NoParameters) -> Result<RepairStatus> {
        Ok(self.upkeep()?.repair())
    }

    async fn repair_set(&self, request: RepairSetRequest) -> Result<RepairStatus> {
        upkeep::set_repair(&self.objects()?, &*self.upkeep()?, request).await
    }

    async fn repair_lost(&self, request: LostRequest) -> Result<LostPage> {
        upkeep::lost(&self.objects()?, request).await
    }

    async fn repair_lost_packed(&self, request: LostPackedRequest) -> Result<LostPackedPage> {
        upkeep::lost_packed(&self.objects()?, request).await
    }

    async fn simulate(&self, request: SimulateRequest) -> Result<Simulated> {
        let objects = self.objects()?;
        let store = self.store_status().await.store.unwrap_or_default();
        simulate::simulate(&objects, &store, request).await
    }

    async fn scrub_status(&self, _: NoParameters) -> Result<ScrubStatus> {
        Ok(self.upkeep()?.scrub())
    }

    async fn confirm_clock(&self, request: ConfirmClockRequest) -> Result<LockClock> {
        let time = locks::time_of(&request.time)?;
        let source = Arc::clone(&self.source);
        tasks::blocking(move || source.confirm_clock(time)).await
    }

    async fn locks(&self, request: LocksRequest) -> Result<LocksPage> {
        let bucket = bucket_name(&request.bucket)?;
        let after = request.after.as_deref().map(locks::place).transpose()?;
        let most = limit(request.limit, LOCKS_PAGE_DEFAULT, LOCKS_PAGE_MAX)?;
        let page = self
            .objects()?
            .locked_page(&bucket, after.as_deref(), most as usize)
            .await;
        page.map(locks::wire_page).map_err(refusal)
    }

    async fn scrub_start(&self, _: NoParameters) -> Result<ScrubStatus> {
        let upkeep = self.upkeep()?;
        upkeep.start_scrub();
        Ok(upkeep.scrub())
    }
}

pub(crate) fn limit(asked: Option<u32>, default: u32, max: u32) -> Result<u32> {
    match asked {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(limit) => {
            let message = format!("limit is {limit}: use a number from 1 to {max}");
            Err(ApiError::invalid(message))
        }
    }
}

fn bucket_name(text: &str) -> Result<BucketName> {
    BucketName::new(text).map_err(|error| ApiError::invalid(format!("bucket `{text}`: {error}")))
}

fn object_key(text: &str) -> Result<ObjectKey> {
    ObjectKey::new(text).map_err(|error| ApiError::invalid(format!("key: {error}")))
}

fn upload_id(text: &str) -> Result<UploadId> {
    let parsed = text.parse();
    parsed.map_err(|error| ApiError::invalid(format!("upload_id `{text}`: {error}")))
}

fn version_id(text: &str) -> Result<VersionId> {
    let parsed = text.parse();
    parsed.map_err(|_| ApiError::invalid(format!("version_id `{text}` is none of ours")))
}

/// A place in a list of uploads: the id, which has a fixed size, and the key.
fn upload_place(text: &str) -> Result<(ObjectKey, UploadId)> {
    let other = || ApiError::invalid("after: use `next` of the page before, as it was");
    let (id, key) = text.split_at_checked(UPLOAD_ID_DIGITS).ok_or_else(other)?;
    let key = ObjectKey::new(key).map_err(|_| other())?;
    Ok((key, id.parse().map_err(|_| other())?))
}

fn upload_place_text((key, id): (ObjectKey, UploadId)) -> String {
    format!("{id}{}", key.as_str())
}

fn wire_bucket(usage: BucketUsage) -> Bucket {
    Bucket {
        name: usage.info.name.as_str().to_owned(),
        owner: usage.info.owner.to_string(),
        created: rfc3339(usage.info.created),
        objects: usage.objects,
        bytes: usage.bytes,
        delete_markers: usage.delete_markers,
        uploads: usage.uploads,
        upload_parts: usage.upload_parts,
        upload_bytes: usage.upload_bytes,
    }
}

fn wire_aborted(done: strongroom_objects::AbortedUploads) -> Aborted {
    Aborted {
        examined: done.examined,
        aborted: done.aborted,
        parts: done.parts,
        bytes: done.bytes,
        next: done.next.map(upload_place_text),
    }
}

/// What the domain answers, in the words of this interface.
pub(crate) fn refusal(error: Error) -> ApiError {
    let code = match &error {
        Error::NoSuchBucket => ErrorCode::NoSuchBucket,
        Error::NoSuchKey { .. } => ErrorCode::NoSuchKey,
        Error::NoSuchUpload => ErrorCode::NoSuchUpload,
        Error::NoSuchVersion | Error::MethodNotAllowed { .. } => ErrorCode::NoSuchVersion,
        Error::OperationAborted => ErrorCode::Conflict,
        Error::InvalidArgument { .. } | Error::InvalidRequest { .. } | Error::KeyTooLong { .. } => {
            ErrorCode::InvalidArgument
        }
        Error::Unavailable { .. } | Error::SlowDown | Error::StorageFull => ErrorCode::Unavailable,
        Error::Corrupt { .. } | Error::ObjectLost { .. } => ErrorCode::Corrupt,
        _ => ErrorCode::Internal,
    };
    ApiError::new(code, error.to_string())
}
