//! The blob store on local disks: stripes with parity, spread over zones.
//!
//! Disks fail, zones vanish, sectors rot, and writes get lost or land elsewhere. Every blob is cut into
//! stripes of k data and m parity shards, so that losing a zone (and mostly a disk more) loses
//! nothing, and every 64 KiB block carries checksums bound to the blob and to its place, so that
//! whatever a disk gives back is either right or known to be wrong. RFC 0002 argues the formats.
//!
//! Invariants
//! - A place is returned only when every shard of the blob is synced on disks in service.
//! - No unverified byte is ever given out.
//! - With two members or more, none holds more than m shards of a segment group.
//! - Bytes are never overwritten but by themselves, and given back only when the caller says that no
//!   record names them.
//!
//! Not here: which bytes are garbage (sweep), walking all blobs and when to move shards (`workers`).

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use strongroom_base::{Clock, Random, tasks};
use strongroom_blob::{
    BlobMark, BlobStore, ByteStream, Error, ErrorKind, Filling, Freed, Health, Location, Moves,
    Place, PutOptions, Redundancy, Rest, Result, Survey, Written,
};
use strongroom_zones::{DiskId, Disks, StoreId};

mod block;
mod bulk;
mod code;
mod footer;
mod free;
mod gate;
mod geometry;
#[cfg(test)]
mod golden;
mod group;
mod groups;
mod home;
mod lane;
mod locate;
mod map;
mod mark;
mod pace;
mod place;
mod put;
mod read;
mod relocate;
mod relocate_segment;
mod repair;
mod segment;
mod settings;
mod standing;
mod store;
mod stripe;
mod transfer;

pub use block::{BLOCK_FORMAT, BLOCK_HEADER_SIZE_BYTES, BLOCK_PAYLOAD_BYTES_MAX, BLOCK_SIZE_BYTES};
pub use code::{Code, SHARD_COUNT_MAX, choose_code};
pub use place::PLACE_FORMAT;
pub use segment::{SEGMENT_DIR, SEGMENT_FORMAT, SEGMENT_HEADER_SIZE_BYTES};
pub use settings::{
    BLOB_SIZE_BYTES_MAX, FILES_OPEN_MAX, OWNER_SIZE_BYTES_MAX, READS_PER_DISK_MAX, REPAIR_JOBS_MAX,
    SERVICE_POLL, STRIPES_IN_FLIGHT_MAX, Settings, WRITES_PER_DISK_MAX,
};

use crate::footer::decode_footer;
use crate::groups::Groups;
use crate::lane::Lanes;
use crate::place::BlobPlace;
use crate::store::{Repairs, Store};

/// A blob store on the disks of one machine.
pub struct ZoneBlobs {
    store: Arc<Store>,
}

impl ZoneBlobs {
    /// Opens the store on `disks`: lists their segments, writes nothing. `run` counts process starts.
    /// Blocks; the methods of the store need a tokio runtime.
    ///
    /// # Errors
    /// `Invalid` when the settings contradict each other.
    pub fn open(
        disks: Arc<Disks>,
        store: StoreId,
        run: u64,
        settings: Settings,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        settings.check()?;
        let store = Arc::new(Store {
            id: store,
            run,
            lanes: Lanes::new(Arc::clone(&disks)),
            disks,
            groups: Groups::default(),
            map: map::SegmentMap::default(),
            standing: standing::Standing::default(),
            settings,
            random,
            clock,
            repairs: Mutex::new(Repairs::default()),
            repairing: tokio::sync::Mutex::default(),
            gate: Arc::default(),
            relocation: relocate::Relocation::default(),
            marking: Mutex::default(),
            holes_missing: AtomicBool::new(false),
        });
        store.scan_all();
        Ok(Arc::new(Self { store }))
    }

    /// Lists the segments of a disk again: for a disk that came late or came back. Blocks.
    pub fn rescan(&self, disk: DiskId) {
        if let Some(disk) = self.store.disks.find(disk) {
            self.store.scan_disk(disk);
        }
    }

    /// The code blobs get when every disk is in service, for the start line.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.store.full_code()
    }

    /// Whether a blob written now gets the redundancy it would get with every disk in service and
    /// none of them full.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let now = self.store.candidates().map(|(_, code)| code);
        now.is_ok_and(|code| Some(code) == self.store.full_code())
    }

    /// The owner stored with a blob.
    ///
    /// # Errors
    /// As `read`.
    pub async fn owner(&self, place: &Place) -> Result<Bytes> {
        let place = Arc::new(BlobPlace::decode(place)?);
        let mut footer = BytesMut::new();
        let mut stream = self
            .store
            .stream(&place, place.size..place.stream_size(), true);
        while let Some(bytes) = stream.next().await {
            footer.extend_from_slice(&bytes?);
        }
        let owner = decode_footer(&footer, place.size, place.nonce);
        owner.ok_or_else(|| Error::new(ErrorKind::Corrupt, "footer does not decode"))
    }

    /// Waits until no repair found by a read is waiting or running.
    pub async fn repairs_settled(&self) {
        while self.store.repairs.lock().expect("no holder panics").running {
            tasks::sleep(SETTLE_POLL).await;
        }
    }
}

/// How often [`ZoneBlobs::repairs_settled`] looks.
const SETTLE_POLL: std::time::Duration = std::time::Duration::from_millis(5);

#[async_trait]
impl BlobStore for ZoneBlobs {
    async fn put(&self, options: PutOptions, content: ByteStream) -> Result<Written> {
        self.store.put_blob(options, content).await
    }

    async fn read(&self, place: &Place, range: Range<u64>) -> Result<ByteStream> {
        let place = Arc::new(BlobPlace::decode(place)?);
        if range.start > range.end || range.end > place.size {
            let text = format!(
                "range {}..{} of {} bytes",
                range.start, range.end, place.size
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        self.store.stream_begun(&place, range).await
    }

    async fn verify(&self, place: &Place) -> Result<Health> {
        self.store.inspect(&BlobPlace::decode(place)?, false).await
    }

    async fn repair(&self, place: &Place) -> Result<Health> {
        let health = self.store.inspect(&BlobPlace::decode(place)?, true).await?;
        if health.stripes_lost == 0 {
            return Ok(health);
        }
        let kind = match self.store.all_in_service() {
            true => ErrorKind::Corrupt,
            false => ErrorKind::Unavailable,
        };
        Err(Error::new(
            kind,
            format!("{} stripes can not be decoded", health.stripes_lost),
        ))
    }

    async fn rewrite(&self, place: &Place) -> Result<Written> {
        let owner = self.owner(place).await?;
        let place = Arc::new(BlobPlace::decode(place)?);
        let content = self.store.stream(&place, 0..place.size, true);
        self.store
            .put_blob(
                PutOptions {
                    size: place.size,
                    owner,
                },
                content,
            )
            .await
    }

    async fn locate(&self, place: &Place, verify: bool) -> Result<Location> {
        let place = BlobPlace::decode(place)?;
        self.store.locate(&place, verify).await
    }

    async fn free(&self, place: &Place) -> Result<Freed> {
        let place = BlobPlace::decode(place)?;
        self.store.free_blob(&place).await
    }

    async fn begin_mark(&self) -> Result<Box<dyn BlobMark>> {
        Ok(Box::new(mark::ZoneMark::begin(&self.store)))
    }

    fn is_reduced(&self, place: &Place) -> bool {
        BlobPlace::decode(place).is_ok_and(|place| self.store.is_reduced_place(&place))
    }

    async fn inspect(&self, places: &[Place], repair: bool) -> Vec<Result<Health>> {
        self.store.inspect_all(places, repair).await
    }

    async fn survey(&self) -> Survey {
        self.store.survey_disks().await
    }

    async fn redundancy(&self, places: &[Place]) -> Vec<Redundancy> {
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            found.push(self.store.redundancy_of(place, &HashSet::new()).await);
        }
        found
    }

    async fn redundancy_without(
        &self,
        places: &[Place],
        lost: &BTreeSet<[u8; 16]>,
    ) -> Vec<Redundancy> {
        let lost: HashSet<DiskId> = lost.iter().copied().map(DiskId).collect();
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            found.push(self.store.redundancy_of(place, &lost).await);
        }
        found
    }

    async fn filled(&self, segments: &[Filling]) {
        self.store.unmark(segments).await;
    }

    async fn relocate(&self, rest: &dyn Rest) -> bool {
        self.store.relocate(rest).await
    }

    fn moves(&self) -> Moves {
        self.store.relocation.moves()
    }
}
