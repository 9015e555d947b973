//! Scrub and repair as the administration port shows and steers them.

use strongroom_admin_api::{
    ApiError, ErrorCode, LOST_PAGE_DEFAULT, LOST_PAGE_MAX, Lost, LostPackedPage, LostPackedRequest,
    LostPage, LostRequest, REPAIR_RATE_MIN, RepairSetRequest, RepairStatus, Result, ScrubStatus,
};
use strongroom_objects::records::BlobId;
use strongroom_objects::{Job, LostContent, LostObject, Objects};

use crate::places::rfc3339;
use crate::service::{limit, refusal};

/// The workers that scrub and repair.
pub trait UpkeepSource: Send + Sync + 'static {
    /// How blobs stand and how far repair is, as known now.
    fn repair(&self) -> RepairStatus;
    /// How far scrub is, as known now.
    fn scrub(&self) -> ScrubStatus;
    /// Begins a pass of scrub.
    fn start_scrub(&self);
    /// Bounds repair, in bytes per second; 0 for no bound.
    fn set_repair_rate(&self, rate: u64);
}

/// Bounds repair, now and over restarts.
pub(crate) async fn set_repair(
    objects: &Objects,
    upkeep: &dyn UpkeepSource,
    request: RepairSetRequest,
) -> Result<RepairStatus> {
    let rate = request.bytes_per_second_max;
    if rate > 0 && rate < REPAIR_RATE_MIN {
        let message = format!(
            "bytes_per_second_max is {rate}: use {REPAIR_RATE_MIN} or more, or 0 for no bound"
        );
        return Err(ApiError::invalid(message));
    }
    let changed = objects
        .change_job(Job::Repair, move |job| job.rate = rate)
        .await;
    changed.map_err(refusal)?;
    upkeep.set_repair_rate(rate);
    Ok(upkeep.repair())
}

/// A page of what is lost.
pub(crate) async fn lost(objects: &Objects, request: LostRequest) -> Result<LostPage> {
    let after = request.after.as_deref().map(blob_id).transpose()?;
    let limit = limit(request.limit, LOST_PAGE_DEFAULT, LOST_PAGE_MAX)?;
    let page = objects.list_lost(after, limit as usize).await;
    let page = page.map_err(refusal)?;
    Ok(LostPage {
        lost: page.lost.into_iter().map(wire_lost).collect(),
        next: page.next.map(|blob| blob.to_string()),
    })
}

/// A page of what is lost with packs.
pub(crate) async fn lost_packed(
    objects: &Objects,
    request: LostPackedRequest,
) -> Result<LostPackedPage> {
    let after = request.after.as_deref().map(blob_id).transpose()?;
    let page = objects.list_lost_packed(after).await.map_err(refusal)?;
    let wire = |content: LostContent| Lost {
        pack: Some(content.pack.to_string()),
        ..wire_lost(content.object)
    };
    Ok(LostPackedPage {
        lost: page.lost.into_iter().map(wire).collect(),
        readable: page.readable,
        next: page.next.map(|blob| blob.to_string()),
    })
}

fn wire_lost(lost: LostObject) -> Lost {
    Lost {
        bucket: lost.bucket.map(|name| name.as_str().to_owned()),
        key: lost.key.map(|key| key.as_str().to_owned()),
        version_id: lost.version_id.map(|id| id.to_string()),
        upload_id: lost.upload_id.map(|id| id.to_string()),
        blob: lost.blob.to_string(),
        pack: None,
        bytes: lost.size,
        since: rfc3339(lost.since),
    }
}

pub(crate) fn blob_id(text: &str) -> Result<BlobId> {
    // An upload's id has the same form: 32 hexadecimal digits.
    let id: strongroom_types::UploadId = text
        .parse()
        .map_err(|error| ApiError::invalid(format!("after `{text}`: {error}")))?;
    Ok(BlobId(id.0))
}

pub(crate) fn absent() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "the store is being opened")
}
