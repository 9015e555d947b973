//! `buckets` and `bucket`.

use strongroom_admin_api::{BUCKETS_PAGE_MAX, Bucket, BucketPage, BucketRequest, BucketsRequest};

use crate::show::{Table, size};
use crate::{Admin, CliError, command, json_text};

pub(crate) async fn buckets(admin: &Admin, flags: &command::Buckets) -> Result<String, CliError> {
    let buckets = all_buckets(admin, flags.prefix.as_deref()).await?;
    if flags.connect.json {
        return Ok(json_text(&BucketPage {
            buckets,
            next: None,
        }));
    }
    let mut table = table();
    for bucket in &buckets {
        row(&mut table, bucket);
    }
    Ok(table.text_or("there is no bucket"))
}

pub(crate) async fn bucket(admin: &Admin, flags: &command::Bucket) -> Result<String, CliError> {
    let bucket = flags.name.clone();
    let bucket = admin.bucket(&BucketRequest { bucket }).await?;
    if flags.connect.json {
        return Ok(json_text(&bucket));
    }
    let mut table = table();
    row(&mut table, &bucket);
    Ok(table.text())
}

/// Every bucket, page by page.
pub(crate) async fn all_buckets(
    admin: &Admin,
    prefix: Option<&str>,
) -> Result<Vec<Bucket>, CliError> {
    let mut request = BucketsRequest {
        prefix: prefix.map(str::to_owned),
        limit: Some(BUCKETS_PAGE_MAX),
        after: None,
    };
    let mut buckets = Vec::new();
    loop {
        let page = admin.buckets(&request).await?;
        buckets.extend(page.buckets);
        request.after = page.next;
        if request.after.is_none() {
            return Ok(buckets);
        }
    }
}

fn table() -> Table {
    let heading = [
        "BUCKET",
        "OBJECTS",
        "BYTES",
        "MARKERS",
        "UPLOADS",
        "PARTS",
        "THEIR BYTES",
        "CREATED",
        "OWNER",
    ];
    Table::new(&heading, &[1, 2, 3, 4, 5, 6])
}

fn row(table: &mut Table, bucket: &Bucket) {
    table.row([
        bucket.name.clone(),
        bucket.objects.to_string(),
        size(bucket.bytes),
        bucket.delete_markers.to_string(),
        bucket.uploads.to_string(),
        bucket.upload_parts.to_string(),
        size(bucket.upload_bytes),
        bucket.created.clone(),
        bucket.owner.clone(),
    ]);
}
