//! Samples of the metrics page that are read from the store's state, not counted: what is in
//! service, how much space there is, what buckets hold.

use strongroom_admin_server::{EngineStatus, Sample, SampleKind, Status};
use strongroom_objects::{BucketUsage, ListBucketUsage, Objects};

use crate::figure::Figure;

/// Buckets read in one go.
const BUCKETS_PAGE: u32 = 100;

/// What the first buckets hold, in the order of their names, up to a number that is set.
pub struct UsageFigure(Option<Figure<Usage>>);

/// Buckets, and whether there are more.
#[derive(Clone)]
struct Usage {
    buckets: Vec<BucketUsage>,
    more: bool,
}

impl UsageFigure {
    /// The figure for up to `buckets_max` buckets; none is ever read when that is 0.
    #[must_use]
    pub fn new(objects: Objects, buckets_max: usize) -> Self {
        let read = move || futures::executor::block_on(read_usage(&objects, buckets_max));
        Self((buckets_max > 0).then(|| Figure::new("bucket usage", read)))
    }

    /// Samples of each bucket. May wait for the index, for a bounded time.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let usage = self.0.as_ref().and_then(Figure::read);
        usage.map(|usage| usage_samples(&usage)).unwrap_or_default()
    }
}

async fn read_usage(objects: &Objects, buckets_max: usize) -> Option<Usage> {
    let mut usage = Usage {
        buckets: Vec::new(),
        more: false,
    };
    let mut after = None;
    while usage.buckets.len() < buckets_max {
        let request = ListBucketUsage {
            after: after.take(),
            buckets_max: BUCKETS_PAGE,
            ..ListBucketUsage::default()
        };
        let page = objects.list_bucket_usage(request).await.ok()?;
        usage.buckets.extend(page.buckets);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    usage.more = after.is_some() || usage.buckets.len() > buckets_max;
    usage.buckets.truncate(buckets_max);
    Some(usage)
}

/// Name and help of a metric of a bucket, and its figure.
type BucketFigure = (&'static str, &'static str, fn(&BucketUsage) -> u64);

#[allow(clippy::cast_precision_loss)]
fn usage_samples(usage: &Usage) -> Vec<Sample> {
    const FIGURES: [BucketFigure; 5] = [
        (
            "strongroom_bucket_objects",
            "Versions in the bucket that are objects.",
            |bucket| bucket.objects,
        ),
        (
            "strongroom_bucket_bytes",
            "Bytes of the objects in the bucket, as clients see them.",
            |bucket| bucket.bytes,
        ),
        (
            "strongroom_bucket_delete_markers",
            "Versions in the bucket that are delete markers.",
            |bucket| bucket.delete_markers,
        ),
        (
            "strongroom_bucket_uploads",
            "Incomplete multipart uploads of the bucket.",
            |bucket| bucket.uploads,
        ),
        (
            "strongroom_bucket_upload_bytes",
            "Bytes of the parts of incomplete multipart uploads of the bucket.",
            |bucket| bucket.upload_bytes,
        ),
    ];
    let mut samples = vec![gauge(
        "strongroom_buckets_left_out",
        "Whether there are more buckets than metrics_buckets_max, so that some have no samples.",
        f64::from(u8::from(usage.more)),
    )];
    for bucket in &usage.buckets {
        for (name, help, figure) in FIGURES {
            samples.push(Sample {
                labels: vec![("bucket", bucket.info.name.as_str().to_owned())],
                ..gauge(name, help, figure(bucket) as f64)
            });
        }
    }
    samples
}

/// Samples of the process.
#[allow(clippy::cast_precision_loss)]
#[must_use]
pub fn process_samples(status: &Status) -> Vec<Sample> {
    let flag = |on: bool| f64::from(u8::from(on));
    vec![
        Sample {
            labels: vec![("version", status.version.clone())],
            ..gauge(
                "strongroom_build_info",
                "The running version; always 1.",
                1.0,
            )
        },
        gauge(
            "strongroom_uptime_seconds",
            "Seconds since the process started.",
            status.uptime_seconds as f64,
        ),
        gauge(
            "strongroom_readable",
            "Whether reads are served.",
            flag(status.readable),
        ),
        gauge(
            "strongroom_writable",
            "Whether writes are acknowledged.",
            flag(status.writable),
        ),
    ]
}

/// Zones and disks in service and their space, and what is reduced.
#[allow(clippy::cast_precision_loss)]
#[must_use]
pub fn engine_samples(status: &EngineStatus) -> Vec<Sample> {
    let flag = |on: bool| f64::from(u8::from(on));
    let mut samples = vec![
        gauge(
            "strongroom_generation",
            "The generation in force: who may write the commit log.",
            status.generation as f64,
        ),
        gauge(
            "strongroom_run",
            "Number of this start of the process, among all starts of the store.",
            status.run as f64,
        ),
    ];
    for zone in &status.zones {
        samples.push(Sample {
            labels: vec![("zone", zone.name.clone())],
            ..gauge(
                "strongroom_zone_in_service",
                "Whether commits are acknowledged by the zone.",
                flag(zone.in_service),
            )
        });
        for disk in &zone.disks {
            let sample = |name, help, value| Sample {
                labels: vec![("zone", zone.name.clone()), ("folder", disk.folder.clone())],
                ..gauge(name, help, value)
            };
            samples.push(sample(
                "strongroom_disk_in_service",
                "Whether the disk is written to.",
                flag(disk.in_service),
            ));
            let free = "Bytes that can still be written to the disk.";
            let size = "Bytes of the disk in all.";
            let free = disk
                .bytes_free
                .map(|n| ("strongroom_disk_free_bytes", free, n));
            let size = disk
                .bytes_total
                .map(|n| ("strongroom_disk_size_bytes", size, n));
            for (name, help, bytes) in free.into_iter().chain(size) {
                samples.push(sample(name, help, bytes as f64));
            }
        }
    }
    if let Some(reduced) = status.blobs_reduced {
        samples.push(gauge(
            "strongroom_blobs_reduced",
            "Blobs known to have less redundancy than asked for.",
            reduced as f64,
        ));
    }
    samples
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Sample {
    Sample {
        name,
        help,
        kind: SampleKind::Gauge,
        labels: Vec::new(),
        value,
    }
}
