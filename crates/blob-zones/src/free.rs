//! Giving the space of a blob back: holes in its segments, on every disk that shows one.
//!
//! A blob's bytes lie between those of others in files of 256 MiB, so the file is kept and the range
//! punched: the file system has the space back and nothing else moves. RFC 0007 argues who may ask.
//!
//! Invariants
//! - Only the ranges of the place are touched. They were handed out once and never will be again.
//! - Nothing is created and nothing is written: a repeat, or a disk that is not the one it was, meets
//!   holes or no file.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use strongroom_base::FileRef;
use strongroom_blob::{Error, ErrorKind, Freed, Result};
use strongroom_zones::DiskHandle;

use crate::map::OpenHow;
use crate::place::BlobPlace;
use crate::segment::GroupId;
use crate::store::Store;

impl Store {
    /// Frees the bytes of a place on every disk in service.
    ///
    /// # Errors
    /// `Unavailable` when a disk in service failed at it.
    pub(crate) async fn free_blob(self: &Arc<Self>, place: &BlobPlace) -> Result<Freed> {
        let mut freed = Freed::default();
        for run in &place.runs {
            let range = run.offset..run.offset + run.geometry().run_size(run.bytes);
            let shards = usize::from(run.data_count) + usize::from(run.parity_count);
            let sources = self.sources(run.group, shards).await;
            let holes = sources.iter().enumerate().map(|(shard, sources)| {
                let range = range.clone();
                async move {
                    let mut freed = Freed {
                        skipped: u64::from(sources.is_empty()),
                        ..Freed::default()
                    };
                    for source in sources {
                        let ranges = vec![range.clone()];
                        freed += self.punch(&source.disk, run.group, shard, ranges).await?;
                    }
                    Ok(freed)
                }
            });
            for answer in futures::future::join_all(holes).await {
                freed += answer?;
            }
        }
        Ok(freed)
    }

    /// Punches `ranges` of one segment file; a file that is not there has nothing to give.
    ///
    /// # Errors
    /// `Unavailable` when the disk failed, or left service meanwhile.
    pub(crate) async fn punch(
        self: &Arc<Self>,
        disk: &Arc<DiskHandle>,
        group: GroupId,
        shard: usize,
        ranges: Vec<Range<u64>>,
    ) -> Result<Freed> {
        let Some(lane) = self.lanes.lane(disk) else {
            return Ok(Freed {
                bytes: 0,
                skipped: 1,
            });
        };
        let (store, handle) = (Arc::clone(self), Arc::clone(disk));
        let permit = self.lanes.read_permit(disk.id).await;
        let work = move || {
            let _permit = permit;
            store.punch_file(&handle, group, shard, &ranges)
        };
        let done = self.on_disk(&lane, work).await;
        let bytes = done.ok_or_else(|| {
            let text = format!("disk {} failed while space was given back", disk.name);
            Error::new(ErrorKind::Unavailable, text)
        })?;
        Ok(Freed { bytes, skipped: 0 })
    }

    fn punch_file(
        &self,
        handle: &Arc<DiskHandle>,
        group: GroupId,
        shard: usize,
        ranges: &[Range<u64>],
    ) -> io::Result<u64> {
        let Some(disk) = &handle.disk else {
            return Ok(0);
        };
        let how = OpenHow {
            direct: self.settings.direct,
            fresh: false,
        };
        let file: FileRef = match self.map.open(handle, disk, group, shard, how) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other?,
        };
        let mut bytes = 0;
        for range in ranges {
            match file.punch(range.start, range.end - range.start) {
                Ok(()) => bytes += range.end - range.start,
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.tell_of_missing_holes(handle);
                    return Ok(0);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    fn tell_of_missing_holes(&self, disk: &DiskHandle) {
        if !self.holes_missing.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                disk = %disk.name,
                "the file system makes no holes: space comes back only with whole segments; use ext4, xfs or btrfs"
            );
        }
    }
}
