//! `uploads`: what clients left behind, and its end.

use std::time::Duration;

use serde::Serialize;
use strongroom_admin_api::{
    AbortUploadRequest, AbortUploadsRequest, Aborted, ApiError, ErrorCode, UPLOADS_PAGE_MAX,
    Upload, UploadPage, UploadsRequest,
};

use crate::buckets::all_buckets;
use crate::show::{Table, size, span};
use crate::{Admin, CliError, command, json_text};

/// The uploads of one bucket, summed up.
#[derive(Serialize)]
struct BucketUploads {
    bucket: String,
    uploads: u64,
    parts: u64,
    bytes: u64,
    /// Seconds since the oldest was started.
    oldest_age_seconds: Option<u64>,
}

pub(crate) async fn uploads(admin: &Admin, flags: &command::Uploads) -> Result<String, CliError> {
    let json = flags.connect.json;
    if let Some(older_than) = flags.abort_older_than {
        return abort_older(admin, flags, older_than).await;
    }
    match (&flags.bucket, &flags.abort) {
        (Some(bucket), Some(id)) => abort_one(admin, bucket, id, json).await,
        (Some(bucket), None) => list(admin, bucket, flags.prefix.as_deref(), json).await,
        (None, _) => sum_up(admin, json).await,
    }
}

async fn list(
    admin: &Admin,
    bucket: &str,
    prefix: Option<&str>,
    json: bool,
) -> Result<String, CliError> {
    let mut uploads = Vec::new();
    let mut pages = Pages::new(bucket, prefix);
    while let Some(page) = pages.next(admin).await? {
        uploads.extend(page);
    }
    if json {
        return Ok(json_text(&UploadPage {
            uploads,
            next: None,
        }));
    }
    let mut table = Table::new(&["UPLOAD ID", "AGE", "PARTS", "BYTES", "KEY"], &[1, 2, 3]);
    for upload in uploads {
        table.row([
            upload.upload_id,
            span(upload.age_seconds),
            upload.parts.to_string(),
            size(upload.bytes),
            upload.key,
        ]);
    }
    Ok(table.text_or("there is no incomplete upload"))
}

async fn sum_up(admin: &Admin, json: bool) -> Result<String, CliError> {
    let mut sums = Vec::new();
    for bucket in all_buckets(admin, None).await? {
        if bucket.uploads == 0 {
            continue;
        }
        let mut oldest = None;
        let mut pages = Pages::new(&bucket.name, None);
        while let Some(page) = pages.next(admin).await? {
            oldest = oldest.max(page.iter().map(|upload| upload.age_seconds).max());
        }
        sums.push(BucketUploads {
            bucket: bucket.name,
            uploads: bucket.uploads,
            parts: bucket.upload_parts,
            bytes: bucket.upload_bytes,
            oldest_age_seconds: oldest,
        });
    }
    if json {
        return Ok(json_text(&serde_json::json!({ "buckets": sums })));
    }
    let mut table = Table::new(
        &["BUCKET", "UPLOADS", "PARTS", "BYTES", "OLDEST"],
        &[1, 2, 3, 4],
    );
    for sum in sums {
        table.row([
            sum.bucket,
            sum.uploads.to_string(),
            sum.parts.to_string(),
            size(sum.bytes),
            sum.oldest_age_seconds.map(span).unwrap_or_default(),
        ]);
    }
    Ok(table.text_or("there is no incomplete upload"))
}

async fn abort_one(admin: &Admin, bucket: &str, id: &str, json: bool) -> Result<String, CliError> {
    // The server finds an upload by its key; people have its id from a log or a list.
    let mut pages = Pages::new(bucket, None);
    let upload = loop {
        let Some(page) = pages.next(admin).await? else {
            let message = format!("bucket {bucket} has no incomplete upload {id}");
            return Err(ApiError::new(ErrorCode::NoSuchUpload, message).into());
        };
        if let Some(upload) = page.into_iter().find(|upload| upload.upload_id == id) {
            break upload;
        }
    };
    let request = AbortUploadRequest {
        bucket: bucket.to_owned(),
        upload_id: upload.upload_id,
        key: upload.key,
    };
    let done = admin.abort_upload(&request).await?;
    Ok(aborted_text(&done, json))
}

async fn abort_older(
    admin: &Admin,
    flags: &command::Uploads,
    older_than: Duration,
) -> Result<String, CliError> {
    let buckets = match &flags.bucket {
        Some(bucket) => vec![bucket.clone()],
        None => {
            let buckets = all_buckets(admin, None).await?.into_iter();
            let with_uploads = buckets.filter(|bucket| bucket.uploads > 0);
            with_uploads.map(|bucket| bucket.name).collect()
        }
    };
    let mut sum = Aborted::default();
    for bucket in buckets {
        let mut request = AbortUploadsRequest {
            bucket,
            older_than_seconds: older_than.as_secs(),
            prefix: flags.prefix.clone(),
            limit: Some(UPLOADS_PAGE_MAX),
            after: None,
        };
        loop {
            let done = match admin.abort_uploads(&request).await {
                // Deleted since the buckets were listed, its uploads with it.
                Err(CliError::Refused(error))
                    if error.code == ErrorCode::NoSuchBucket && flags.bucket.is_none() =>
                {
                    break;
                }
                done => done?,
            };
            sum.examined += done.examined;
            sum.aborted += done.aborted;
            sum.parts += done.parts;
            sum.bytes += done.bytes;
            request.after = done.next;
            if request.after.is_none() {
                break;
            }
        }
    }
    Ok(aborted_text(&sum, flags.connect.json))
}

fn aborted_text(done: &Aborted, json: bool) -> String {
    if json {
        return json_text(done);
    }
    let (aborted, examined, parts) = (done.aborted, done.examined, done.parts);
    let bytes = size(done.bytes);
    format!("{aborted} of {examined} uploads aborted, with {parts} parts of {bytes}\n")
}

/// The uploads of a bucket, page by page.
struct Pages {
    request: Option<UploadsRequest>,
}

impl Pages {
    fn new(bucket: &str, prefix: Option<&str>) -> Self {
        let request = UploadsRequest {
            bucket: bucket.to_owned(),
            prefix: prefix.map(str::to_owned),
            limit: Some(UPLOADS_PAGE_MAX),
            after: None,
        };
        Self {
            request: Some(request),
        }
    }

    async fn next(&mut self, admin: &Admin) -> Result<Option<Vec<Upload>>, CliError> {
        let Some(mut request) = self.request.take() else {
            return Ok(None);
        };
        let page = admin.uploads(&request).await?;
        if page.next.is_some() {
            request.after = page.next;
            self.request = Some(request);
        }
        Ok(Some(page.uploads))
    }
}
