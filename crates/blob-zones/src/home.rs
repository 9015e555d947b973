//! Where the shards of a group belong: what the headers of its segments say, and the changes of disks
//! since.
//!
//! Every segment's header lists the disks of its group. A shard that moved, a disk that was replaced
//! and one that was drained away make lists of the past; here they become the list of now (RFC 0010,
//! RFC 0011).
//!
//! Invariants
//! - A shard belongs where its own segment with the highest sequence says; where it has none, where the
//!   newest list says.
//! - No two shards of a group are given one disk.
//! - Nothing is written.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use strongroom_base::{AlignedBuf, tasks};
use strongroom_blob::{Error, ErrorKind, Result};
use strongroom_zones::{DiskHandle, DiskId, Layout, checksum64};

use crate::place::Stripe;
use crate::segment::{
    GroupId, HeaderError, SEGMENT_HEADER_SIZE_BYTES, SegmentHeader, segment_path,
};
use crate::store::{Source, Store};

/// Seed of the choice among the disks of a zone.
const CHOICE_SEED: u64 = 0x5345_4744_4953_4b53;

/// Where the shards of a group belong.
pub(crate) struct Home {
    /// The newest header found; `None` when no segment has a good one.
    pub header: Option<SegmentHeader>,
    pub disks: Vec<Option<Arc<DiskHandle>>>,
    /// Shards whose segment is there and has a bad header.
    pub headers_bad: HashSet<usize>,
    /// Segments that are there and have a good header.
    pub headers_good: HashSet<(usize, DiskId)>,
}

/// A group, and how many shards it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GroupShape {
    pub group: GroupId,
    pub data_count: usize,
    pub shard_count: usize,
}

/// The newest segment of a shard that is in service: its sequence, and its disk.
type Own = HashMap<usize, (u64, DiskId)>;

impl Store {
    /// Where the shards of the stripe's group belong.
    pub(crate) async fn home(self: &Arc<Self>, stripe: &Stripe) -> Result<Home> {
        let shape = GroupShape {
            group: stripe.group,
            data_count: stripe.data_count,
            shard_count: stripe.shard_count(),
        };
        self.home_of(shape).await
    }

    /// Reads the headers of a group's segments.
    pub(crate) async fn home_of(self: &Arc<Self>, shape: GroupShape) -> Result<Home> {
        let sources = self.sources(shape.group, shape.shard_count).await;
        let mut home = Home {
            header: None,
            disks: Vec::new(),
            headers_bad: HashSet::new(),
            headers_good: HashSet::new(),
        };
        let mut own = Own::new();
        for source in sources
            .iter()
            .flatten()
            .filter(|source| source.is_in_service())
        {
            match self.read_header(shape, source).await {
                Some(Ok(header)) => {
                    home.headers_good.insert((source.shard, source.disk.id));
                    let seen = (header.sequence, source.disk.id);
                    let newest = own.entry(source.shard).or_insert(seen);
                    *newest = seen.max(*newest);
                    let newest = home.header.as_ref().map(|newest| newest.sequence);
                    if newest.is_none_or(|newest| newest < header.sequence) {
                        home.header = Some(header);
                    }
                }
                Some(Err(HeaderError::Newer(format))) => {
                    let text =
                        format!("segment of format {format} is newer than this program reads");
                    return Err(Error::new(ErrorKind::Unavailable, text));
                }
                Some(Err(HeaderError::Damaged)) => {
                    home.headers_bad.insert(source.shard);
                }
                None => {}
            }
        }
        home.header = home
            .header
            .map(|header| self.rehomed(header, &own, &sources));
        let belongs = |(shard, found): (usize, &Vec<Source>)| match &home.header {
            Some(header) => self.disks.find(header.disks[shard]).cloned(),
            None => found.first().map(|source| Arc::clone(&source.disk)),
        };
        home.disks = sources.iter().enumerate().map(belongs).collect();
        Ok(home)
    }

    /// The header with the disks that have the places now. The sequence grows with each that is another,
    /// so that what is written with it is newer than what it was made from.
    fn rehomed(
        &self,
        mut header: SegmentHeader,
        own: &Own,
        sources: &[Vec<Source>],
    ) -> SegmentHeader {
        let layout = self.disks.layout();
        for (shard, sources) in sources.iter().enumerate() {
            let named = header.disks[shard];
            let home = match own.get(&shard) {
                Some((_, disk)) => *disk,
                None => self.home_without_file(&layout, &header, shard, sources),
            };
            if home != named {
                header.disks[shard] = home;
                header.sequence += 1;
            }
        }
        header
    }

    /// Where a shard belongs of which no segment in service has a good header.
    fn home_without_file(
        &self,
        layout: &Layout,
        header: &SegmentHeader,
        shard: usize,
        sources: &[Source],
    ) -> DiskId {
        let named = header.disks[shard];
        let found = self.disks.find_home(named);
        // What is on a drained disk that is out is made anew elsewhere: nobody waits for that disk.
        let has_file = |id: DiskId| {
            let mut here = sources.iter().filter(|source| source.is_in_service());
            here.any(|source| source.disk.id == id)
        };
        let zone = match found {
            Some(disk) if !layout.is_drained(disk.id) || has_file(disk.id) => return disk.id,
            Some(disk) => Some(disk.zone.as_str()),
            None => layout
                .drained_zone(layout.successor_of(named))
                .map(|zone| zone.name.as_str()),
        };
        let other = zone.and_then(|zone| self.other_of_zone(layout, zone, header, shard));
        other.or(found.map(|disk| disk.id)).unwrap_or(named)
    }

    /// The disk of the zone that gets a shard whose disk was drained: the same for whoever asks.
    fn other_of_zone(
        &self,
        layout: &Layout,
        zone: &str,
        header: &SegmentHeader,
        shard: usize,
    ) -> Option<DiskId> {
        let may = |disk: &&Arc<DiskHandle>| {
            disk.zone == zone && !layout.is_drained(disk.id) && !header.disks.contains(&disk.id)
        };
        let weight = |disk: &&Arc<DiskHandle>| {
            let index = u8::try_from(shard).expect("a group has few shards");
            let key = [&header.group.0[..], &[index], &disk.id.0].concat();
            checksum64(CHOICE_SEED, &key)
        };
        let disks = self.disks.all().iter().filter(may);
        disks.max_by_key(weight).map(|disk| disk.id)
    }

    /// The header of a segment of the group; `None` when there is no such file.
    async fn read_header(
        self: &Arc<Self>,
        shape: GroupShape,
        source: &Source,
    ) -> Option<std::result::Result<SegmentHeader, HeaderError>> {
        let header = self.header_at(shape.group, source).await?;
        Some(header.and_then(|header| {
            let is_ours = usize::from(header.data_count) == shape.data_count
                && header.disks.len() == shape.shard_count;
            is_ours.then_some(header).ok_or(HeaderError::Damaged)
        }))
    }

    /// The header of a segment, when it is the one of that shard on that disk.
    async fn header_at(
        self: &Arc<Self>,
        group: GroupId,
        source: &Source,
    ) -> Option<std::result::Result<SegmentHeader, HeaderError>> {
        let disk = source.disk.disk.clone()?;
        let (path, direct) = (segment_path(group, source.shard), self.settings.direct);
        let permit = self.lanes.read_permit(source.disk.id).await;
        let read = move || {
            let _permit = permit;
            let file = disk.open(&path, direct)?;
            let mut bytes = AlignedBuf::zeroed(SEGMENT_HEADER_SIZE_BYTES as usize);
            // A file too short to hold its header has a damaged one.
            let _ = file.read_at(0, &mut bytes);
            io::Result::Ok(SegmentHeader::decode(&bytes))
        };
        let read = self.while_it_may_answer(&source.disk, tasks::blocking(read));
        let header = read.await?.ok()?;
        Some(header.and_then(|header| {
            let is_ours = header.store == self.id
                && header.group == group
                && usize::from(header.shard_index) == source.shard
                && header.disks.get(source.shard) == Some(&source.disk.id);
            is_ours.then_some(header).ok_or(HeaderError::Damaged)
        }))
    }

    /// How many shards a group has, by any good header of it in service.
    pub(crate) async fn shape_of(self: &Arc<Self>, group: GroupId) -> Option<GroupShape> {
        for (shard, id) in self.map.files_of(group) {
            let Some(disk) = self.disks.find(id).cloned() else {
                continue;
            };
            let source = Source { shard, disk };
            if !source.is_in_service() {
                continue;
            }
            if let Some(Ok(header)) = self.header_at(group, &source).await {
                return Some(GroupShape {
                    group,
                    data_count: usize::from(header.data_count),
                    shard_count: header.disks.len(),
                });
            }
        }
        None
    }
}
