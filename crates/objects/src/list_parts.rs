//! ListParts.

use strongroom_types::{ETag, PartNumber};

use crate::api::{LIST_PAGE_MAX, ListParts, ListPartsOutput, ListedPart};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{PartRecord, RecordFormat, UploadRecord, keys};

impl Objects {
    /// A page of the parts of an upload, in order of their numbers.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchUpload`.
    pub async fn list_parts(&self, request: ListParts) -> Result<ListPartsOutput> {
        let (bucket, bucket_record) = self.bucket(&request.bucket).await?;
        let upload_key = keys::upload(bucket.id, &request.key, request.upload_id);
        let upload: Option<UploadRecord> = self.record(&upload_key).await?;
        let upload = upload.ok_or(Error::NoSuchUpload)?;
        let mut output = ListPartsOutput {
            parts: Vec::new(),
            next_part_number_marker: None,
            owner: bucket_record.owner,
            storage_class: upload.storage_class,
            checksum: upload.checksum,
        };
        let max = request.parts_max.min(LIST_PAGE_MAX) as usize;
        if max == 0 {
            return Ok(output);
        }
        let marker = u16::try_from(request.part_number_marker).unwrap_or(u16::MAX);
        let after = keys::part(bucket.id, request.upload_id, marker);
        let prefix = keys::parts(bucket.id, request.upload_id);
        let page = self.meta.scan(&prefix, Some(&after), max).await?;
        for (key, record) in &page.records {
            let number = keys::part_number_of(key).map(i64::from);
            let part_number = number.and_then(|number| PartNumber::new(number).ok());
            let part_number = part_number.ok_or_else(|| Error::Corrupt {
                message: "bad key of a part".into(),
            })?;
            let part = PartRecord::decode(&record.value)?;
            output.parts.push(ListedPart {
                part_number,
                etag: ETag::Md5(part.md5),
                size: part.size,
                last_modified: part.last_modified,
                checksum: part.checksum,
            });
        }
        if page.more {
            output.next_part_number_marker = output.parts.last().map(|part| part.part_number);
        }
        Ok(output)
    }
}
