//! Writing a blob: stream to stripes to disks, synced before the place is given out.
//!
//! Invariants
//! - A place is returned only after every shard of every stripe was written and synced by a disk that
//!   stayed in service all along (hazards H10, H11).
//! - A failure in the middle costs the client nothing: what can be decoded is written anew.
//! - At most `STRIPES_IN_FLIGHT_MAX` stripes and the one being filled are in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use strongroom_base::{planted, tasks};
use strongroom_blob::{ByteStream, Error, ErrorKind, PutOptions, Result, Written};
use strongroom_zones::{DiskId, Layout};

use crate::footer::encode_footer;
use crate::group::{Extent, OpenGroup};
use crate::lane::{Lane, Queued, Served};
use crate::place::{BlobPlace, PlaceRun, Stripe};
use crate::segment::GroupId;
use crate::settings::{
    BLOB_SIZE_BYTES_MAX, OWNER_SIZE_BYTES_MAX, REWRITE_ATTEMPTS_MAX, STRIPES_IN_FLIGHT_MAX,
};
use crate::store::Store;
use crate::stripe::StripeBuf;

/// Requests to disks that were not answered yet, of one stripe or one round of syncs.
type InFlight = Vec<(GroupId, Arc<Lane>, Queued)>;

/// One attempt to write a blob.
struct Upload {
    store: Arc<Store>,
    place: BlobPlace,
    groups: HashMap<GroupId, Arc<OpenGroup>>,
    extent: Option<Extent>,
    buf: Option<(Stripe, StripeBuf)>,
    in_flight: VecDeque<InFlight>,
    /// Bytes of the stream in stripes begun.
    begun: u64,
    stripe_count: u64,
    /// Whether some shard is not where the place says.
    failed: bool,
}

/// What an attempt gave.
struct Outcome {
    place: BlobPlace,
    served: Vec<Served>,
    /// Held until nobody may commit the place any more: a mark scan leaves these groups alone (H28).
    groups: Vec<Arc<OpenGroup>>,
    failed: bool,
}

impl Store {
    pub(crate) async fn put_blob(
        self: &Arc<Self>,
        options: PutOptions,
        content: ByteStream,
    ) -> Result<Written> {
        if options.owner.len() > OWNER_SIZE_BYTES_MAX {
            let text = format!(
                "owner of {} bytes is above {OWNER_SIZE_BYTES_MAX}",
                options.owner.len()
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        if options.size > BLOB_SIZE_BYTES_MAX {
            let text = format!(
                "blob of {} bytes is above {BLOB_SIZE_BYTES_MAX}",
                options.size
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let mut outcome = self.upload(&options, content).await?;
        for _ in 0..REWRITE_ATTEMPTS_MAX {
            if !self.must_rewrite(&outcome) {
                return Ok(self.written(outcome));
            }
            tracing::warn!(
                size = options.size,
                "disks failed while a blob was written: writing it anew"
            );
            let place = Arc::new(outcome.place);
            let written = self.stream(&place, 0..place.size, false);
            outcome = self
                .upload(&options, written)
                .await
                .map_err(|error| match error.kind {
                    ErrorKind::Corrupt => Error::new(
                        ErrorKind::Unavailable,
                        "too many disks failed while a blob was written",
                    ),
                    _ => error,
                })?;
        }
        if self.must_rewrite(&outcome) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "disks keep failing while a blob is written",
            ));
        }
        Ok(self.written(outcome))
    }

    fn must_rewrite(&self, outcome: &Outcome) -> bool {
        outcome.failed || !self.disks.unbroken(&outcome.served)
    }

    fn written(&self, outcome: Outcome) -> Written {
        let disks = Arc::clone(&self.disks);
        let (served, groups) = (outcome.served, outcome.groups);
        Written {
            reduced: self.is_reduced_place(&outcome.place),
            place: outcome.place.encode(),
            durable: Arc::new(move || {
                let _held = &groups;
                planted("blob_ignore_broken_disk") || disks.unbroken(&served)
            }),
        }
    }

    /// Whether another code would be used if every disk were in service, or a shard of it is in a zone
    /// that is to leave.
    pub(crate) fn is_reduced_place(&self, place: &BlobPlace) -> bool {
        let Some(full) = self.full_code() else {
            return false;
        };
        let layout = self.disks.layout();
        let is_leaving = layout.zones.iter().any(|zone| layout.is_zone_drained(zone));
        let is_full = |run: &PlaceRun| {
            // A wider code than the disks allow now, from before some were drained, is not less.
            let (data, parity) = (usize::from(run.data_count), usize::from(run.parity_count));
            let is_wide = data + parity >= full.shard_count() && parity >= full.parity_count;
            is_wide && (!is_leaving || self.stays(run, &layout))
        };
        !place.runs.iter().all(is_full)
    }

    /// Whether every shard is in a zone that stays. One that nobody has seen may be in the other.
    fn stays(&self, run: &PlaceRun, layout: &Layout) -> bool {
        let shards = usize::from(run.data_count) + usize::from(run.parity_count);
        let stays = |disk: &DiskId| {
            let zone = layout.zones.iter().find(|zone| zone.disks.contains(disk));
            zone.is_some_and(|zone| !layout.is_zone_drained(zone))
        };
        let disks = self.map.disks_of(run.group, shards);
        disks.iter().all(|disks| disks.iter().any(stays))
    }

    async fn upload(
        self: &Arc<Self>,
        options: &PutOptions,
        content: ByteStream,
    ) -> Result<Outcome> {
        let nonce = self.random.next_u64();
        let footer = encode_footer(options.size, nonce, &options.owner);
        let place = BlobPlace {
            size: options.size,
            footer_size: u32::try_from(footer.len()).expect("owners are bounded"),
            nonce,
            run: self.run,
            runs: Vec::new(),
        };
        let mut upload = Upload {
            store: Arc::clone(self),
            place,
            groups: HashMap::new(),
            extent: None,
            buf: None,
            in_flight: VecDeque::new(),
            begun: 0,
            stripe_count: 0,
            failed: false,
        };
        upload.feed_content(options.size, content).await?;
        upload.feed(footer).await?;
        upload.finish().await
    }
}

impl Upload {
    /// Reads the stream to its end: what it says last (a checksum that does not match) counts too.
    async fn feed_content(&mut self, size: u64, mut content: ByteStream) -> Result<()> {
        let mismatch = |what| {
            Error::new(
                ErrorKind::Invalid,
                format!("content has {what} than the {size} bytes announced"),
            )
        };
        let mut left = size;
        while let Some(bytes) = content.next().await {
            let bytes = bytes?;
            left = left
                .checked_sub(bytes.len() as u64)
                .ok_or_else(|| mismatch("more"))?;
            self.feed(bytes).await?;
        }
        if left > 0 {
            return Err(mismatch("fewer"));
        }
        Ok(())
    }

    async fn feed(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let (stripe, mut buf) = match self.buf.take() {
                Some(begun) => begun,
                None => self.begin_stripe().await?,
            };
            let taken = buf.fill(&bytes);
            bytes = bytes.split_off(taken);
            if buf.is_full() {
                self.flush(stripe, buf).await;
            } else {
                self.buf = Some((stripe, buf));
            }
        }
        Ok(())
    }

    /// The next stripe of the extent, or of a new extent when this one ended or its group failed.
    async fn begin_stripe(&mut self) -> Result<(Stripe, StripeBuf)> {
        let is_usable = |extent: &Extent| {
            extent.used_bytes < extent.bytes && extent.group.is_sound(&self.store.disks)
        };
        if !self.extent.as_ref().is_some_and(is_usable) {
            self.extent = None;
            let extent = self
                .store
                .extent(self.place.stream_size() - self.begun)
                .await?;
            self.begin_run(&extent)?;
            self.extent = Some(extent);
        }
        let extent = self.extent.as_mut().expect("set above");
        let bytes = (extent.bytes - extent.used_bytes).min(extent.geometry.stripe_bytes());
        let code = extent.group.code;
        let stripe = Stripe {
            group: extent.group.id,
            data_count: code.data_count,
            parity_count: code.parity_count,
            offset: extent.offset + extent.geometry.run_size(extent.used_bytes),
            index: u32::try_from(self.stripe_count).map_err(|_| too_large())?,
            start: self.begun,
            bytes,
            shard_payload: extent.geometry.shard_payload(bytes),
            run: self.place.run,
            nonce: self.place.nonce,
        };
        self.begun += bytes;
        self.stripe_count += 1;
        self.place
            .runs
            .last_mut()
            .expect("begun with the extent")
            .bytes += bytes;
        Ok((stripe, StripeBuf::new(stripe)))
    }

    fn begin_run(&mut self, extent: &Extent) -> Result<()> {
        let group = &extent.group;
        let small = "codes and stripes are bounded";
        let data_count = group.code.data_count;
        self.place.runs.push(PlaceRun {
            group: group.id,
            offset: extent.offset,
            data_count: u8::try_from(data_count).expect(small),
            parity_count: u8::try_from(group.code.parity_count).expect(small),
            shard_block_count: u16::try_from(self.store.settings.shard_block_count(data_count))
                .expect(small),
            bytes: 0,
        });
        self.groups.insert(group.id, Arc::clone(group));
        if self.place.runs.len() > usize::from(u16::MAX) {
            Err(too_large())
        } else {
            Ok(())
        }
    }

    /// Encodes the stripe and hands its shards to the disks.
    async fn flush(&mut self, stripe: Stripe, buf: StripeBuf) {
        while self.in_flight.len() >= STRIPES_IN_FLIGHT_MAX {
            self.settle_oldest().await;
        }
        // From here on the disks may hold it: the extent keeps the room.
        let extent = self
            .extent
            .as_mut()
            .expect("a stripe is begun and flushed in one extent");
        extent.used_bytes += stripe.bytes;
        let group = Arc::clone(&self.groups[&stripe.group]);
        let disks = group.disk_ids();
        let shards = tasks::blocking(move || buf.seal(&disks)).await;
        let mut queued = InFlight::new();
        for ((lane, file), shard) in group.lanes.iter().zip(&group.files).zip(shards) {
            let write = lane.write(file, stripe.offset, shard);
            match self.store.lanes.while_served(lane.served(), write).await {
                Some(write) => queued.push((group.id, Arc::clone(lane), write)),
                None => self.shard_failed(group.id),
            }
        }
        self.in_flight.push_back(queued);
    }

    async fn settle_oldest(&mut self) {
        for (group, lane, queued) in self.in_flight.pop_front().into_iter().flatten() {
            let answer = self
                .store
                .lanes
                .while_served(lane.served(), queued.answer())
                .await;
            match answer {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.store
                        .disk_failed(lane.served(), &error.message, error.full);
                    self.shard_failed(group);
                }
                None => self.shard_failed(group),
            }
        }
    }

    fn shard_failed(&mut self, group: GroupId) {
        self.failed = true;
        self.groups[&group].fail();
    }

    /// Waits for all writes, then syncs every file, all at once.
    async fn finish(mut self) -> Result<Outcome> {
        while !self.in_flight.is_empty() {
            self.settle_oldest().await;
        }
        let groups: Vec<Arc<OpenGroup>> = self.groups.values().cloned().collect();
        for group in &groups {
            let mut syncs = InFlight::new();
            for (lane, file) in group.lanes.iter().zip(&group.files) {
                let sync = self
                    .store
                    .lanes
                    .while_served(lane.served(), lane.sync(file))
                    .await;
                match sync {
                    Some(sync) => syncs.push((group.id, Arc::clone(lane), sync)),
                    None => self.shard_failed(group.id),
                }
            }
            self.in_flight.push_back(syncs);
        }
        while !self.in_flight.is_empty() {
            self.settle_oldest().await;
        }
        self.place.runs.retain(|run| run.bytes > 0);
        let served = groups.iter().flat_map(|group| group.served()).collect();
        Ok(Outcome {
            place: self.place.clone(),
            served,
            groups,
            failed: self.failed,
        })
    }
}

fn too_large() -> Error {
    Error::new(ErrorKind::Invalid, "blob has too many stripes")
}
