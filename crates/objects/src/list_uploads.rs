//! ListMultipartUploads.

use strongroom_types::UploadId;

use crate::api::{LIST_PAGE_MAX, ListUploads, ListUploadsOutput, ListedUpload};
use crate::error::{Error, Result};
use crate::listing::{Grouping, SCAN_PAGE, cut};
use crate::objects::Objects;
use crate::records::{RecordFormat, UploadRecord, keys};

impl Objects {
    /// A page of the uploads in progress, in order of their keys and then of their start.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn list_uploads(&self, request: ListUploads) -> Result<ListUploadsOutput> {
        let (bucket, bucket_record) = self.bucket(&request.bucket).await?;
        let max = request.uploads_max.min(LIST_PAGE_MAX) as usize;
        let grouping = Grouping::new(request.prefix, request.delimiter);
        let mut output = ListUploadsOutput::default();
        if max == 0 || grouping.is_hopeless() {
            return Ok(output);
        }
        let marker = request.key_marker.as_str();
        let mut after = match (marker.is_empty(), grouping.is_common_prefix(marker)) {
            (true, _) => None,
            (false, true) => Some(keys::uploads_past(bucket.id, cut(marker))),
            (false, false) => Some(keys::uploads_after(
                bucket.id,
                cut(marker),
                request.upload_id_marker,
            )),
        };
        let prefix = keys::uploads(bucket.id, &grouping.prefix);
        let mut last: Option<(String, Option<UploadId>)> = None;
        loop {
            let page = self.meta.scan(&prefix, after.as_deref(), SCAN_PAGE).await?;
            let mut inside = None;
            for (record_key, record) in &page.records {
                let (key, id) = keys::object_key_of(record_key)
                    .and_then(|(key, id)| Some((key, UploadId(id.try_into().ok()?))))
                    .ok_or_else(|| Error::Corrupt {
                        message: "bad key of an upload".into(),
                    })?;
                after = Some(record_key.clone());
                let common = grouping.common_prefix(key.as_str()).map(str::to_owned);
                inside.clone_from(&common);
                if common.is_some() && common.as_ref() == output.common_prefixes.last() {
                    continue;
                }
                if output.uploads.len() + output.common_prefixes.len() == max {
                    output.next = last;
                    return Ok(output);
                }
                if let Some(common) = common {
                    last = Some((common.clone(), None));
                    output.common_prefixes.push(common);
                    continue;
                }
                let upload = UploadRecord::decode(&record.value)?;
                last = Some((key.as_str().to_owned(), Some(id)));
                output.uploads.push(ListedUpload {
                    key,
                    upload_id: id,
                    initiated: upload.initiated,
                    owner: bucket_record.owner.clone(),
                    storage_class: upload.storage_class,
                    checksum: upload.checksum,
                });
            }
            if !page.more {
                return Ok(output);
            }
            if let Some(common) = inside {
                after = Some(keys::uploads_past(bucket.id, &common));
            }
        }
    }
}
