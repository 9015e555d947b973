//! Reading: verified blocks of the shards that hold the range, or the columns decoded from others.
//!
//! Invariants
//! - No byte leaves that was not verified against the place, or decoded from blocks that were.
//! - A slow, missing, damaged or absent shard costs time, never bytes, while k others are good.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use strongroom_base::{ALIGNMENT, AlignedBuf, DiskFile, align_up, planted, tasks};
use strongroom_blob::{ByteStream, Error, ErrorKind, Result};
use strongroom_erasure::Codec;
use strongroom_zones::{Counters, DiskId};

use crate::block::{BLOCK_PAYLOAD_BYTES_MAX, BLOCK_SIZE_BYTES};
use crate::map::OpenHow;
use crate::pace::Wait;
use crate::place::{BlobPlace, Stripe, blocks_of};
use crate::settings::STRIPES_READ_AHEAD;
use crate::store::{Source, Store};
use crate::stripe::payload_range;

/// Most blocks of a stripe that an async thread reads itself, when they are in memory: copying and
/// checking them takes a fraction of a millisecond, in which no other request goes on.
const BLOCKS_AT_ONCE_MAX: usize = 4;

/// Blocks read from one shard.
pub(crate) struct ShardBlocks {
    blocks: Range<usize>,
    bytes: Bytes,
    good: Vec<bool>,
}

impl ShardBlocks {
    /// Checks all blocks of a shard in `bytes`, which may end early.
    pub(crate) fn check(stripe: &Stripe, shard: usize, disk: DiskId, bytes: Bytes) -> Self {
        let blocks = 0..stripe.block_count();
        let good = blocks.clone().map(|block| {
            let range = stripe.block_bytes(&(block..block + 1));
            let bytes = bytes.get(range);
            bytes.is_some_and(|bytes| stripe.identity(shard, block).verify(bytes, disk))
        });
        Self {
            good: good.collect(),
            blocks,
            bytes: bytes.clone(),
        }
    }

    /// Checks `blocks` of a shard in `bytes`, which may end early.
    fn verify(stripe: &Stripe, source: &Source, blocks: Range<usize>, bytes: Bytes) -> Self {
        let good = blocks.clone().map(|block| {
            let start = (block - blocks.start) * BLOCK_SIZE_BYTES;
            let end = (start + BLOCK_SIZE_BYTES).min(bytes.len());
            let identity = stripe.identity(source.shard, block);
            let bytes = bytes.get(start..end);
            bytes.is_some_and(|bytes| identity.verify(bytes, source.disk.id))
        });
        Self {
            good: good.collect(),
            blocks,
            bytes,
        }
    }

    /// The payload of `block`, if it was read and verified.
    pub(crate) fn payload(&self, stripe: &Stripe, block: usize) -> Option<Bytes> {
        let index = block.checked_sub(self.blocks.start)?;
        if !*self.good.get(index)? {
            return None;
        }
        let mut range = payload_range(stripe, block);
        let skipped = self.blocks.start * BLOCK_SIZE_BYTES;
        range = range.start - skipped..range.end - skipped;
        Some(self.bytes.slice(range))
    }

    pub(crate) fn is_good(&self) -> bool {
        self.good.iter().all(|good| *good)
    }
}

/// The answer of one shard. `None` when it has no such file, or could not be read.
pub(crate) struct ShardRead {
    pub source: Source,
    pub blocks: Option<ShardBlocks>,
}

impl ShardRead {
    pub(crate) fn is_good(&self) -> bool {
        self.blocks.as_ref().is_some_and(ShardBlocks::is_good)
    }
}

/// Payloads of the blocks of a stripe, by shard and block.
pub(crate) type Payloads = HashMap<(usize, usize), Bytes>;

impl Store {
    /// The bytes of `range` of the blob's stream. With `repair`, damage found is queued for repair.
    pub(crate) fn stream(
        self: &Arc<Self>,
        place: &Arc<BlobPlace>,
        range: Range<u64>,
        repair: bool,
    ) -> ByteStream {
        let store = Arc::clone(self);
        let stripes = futures::stream::iter(place.stripes(range.clone()));
        let reads = stripes.map(move |stripe| {
            let end = range.end.min(stripe.start + stripe.bytes) - stripe.start;
            let wanted = range.start.saturating_sub(stripe.start)..end;
            Arc::clone(&store).read_stripe(stripe, wanted, repair)
        });
        let items = reads.buffered(STRIPES_READ_AHEAD).flat_map(|read| {
            futures::stream::iter(match read {
                Ok(pieces) => pieces.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            })
        });
        Box::pin(until_error(items))
    }

    /// As [`Store::stream`], with the first stripe read, so that its error is the answer.
    pub(crate) async fn stream_begun(
        self: &Arc<Self>,
        place: &Arc<BlobPlace>,
        range: Range<u64>,
    ) -> Result<ByteStream> {
        let mut stream = self.stream(place, range, true);
        match stream.next().await {
            None => Ok(stream),
            Some(Err(error)) => Err(error),
            Some(first) => Ok(Box::pin(futures::stream::iter([first]).chain(stream))),
        }
    }

    async fn read_stripe(
        self: Arc<Self>,
        stripe: Stripe,
        range: Range<u64>,
        repair: bool,
    ) -> Result<Vec<Bytes>> {
        let pieces = stripe.pieces(range);
        let sources = self.sources(stripe.group, stripe.shard_count()).await;
        let mut gather = Gather::new(&self, stripe, &pieces, sources);
        let done = tasks::timeout(self.settings.read_limit, gather.run()).await;
        let is_done = done.is_ok() && gather.is_satisfied();
        if repair && gather.found_damage() {
            self.queue_repair(stripe);
        }
        if !is_done {
            return Err(gather.failure(done.is_err()));
        }
        gather.pieces(&pieces).await
    }

    /// Reads and verifies `blocks` of a shard, on a blocking thread.
    pub(crate) async fn read_shard(
        self: Arc<Self>,
        stripe: Stripe,
        source: Source,
        blocks: Range<usize>,
        fresh: bool,
    ) -> ShardRead {
        // From here on, as its reader sees it: a queue in front of a disk is part of its pace.
        let begun = self.clock.monotonic();
        let permit = self.lanes.read_permit(source.disk.id).await;
        tasks::blocking(move || {
            let _permit = permit;
            let read = self.read_blocks(&stripe, &source, blocks, fresh);
            if read.is_ok() {
                let took = self.clock.monotonic().saturating_sub(begun);
                let limit = self.hedge_limit();
                self.lanes.pace.answered(source.disk.id, took, limit);
            }
            ShardRead {
                source,
                blocks: read.ok(),
            }
        })
        .await
    }

    /// The wait for a shard that is unusual now.
    fn hedge_limit(&self) -> Duration {
        let settings = &self.settings;
        let least = settings.hedge_after_min.min(settings.hedge_after);
        self.lanes.pace.limit(least, settings.hedge_after)
    }

    fn read_blocks(
        &self,
        stripe: &Stripe,
        source: &Source,
        blocks: Range<usize>,
        fresh: bool,
    ) -> io::Result<ShardBlocks> {
        let disk = source.disk.disk.as_ref().ok_or(io::ErrorKind::NotFound)?;
        // Clients read through the page cache; who looks after the disk asks the disk.
        let how = OpenHow {
            direct: self.settings.direct && fresh,
            fresh,
        };
        let file = self
            .map
            .open(&source.disk, disk, stripe.group, source.shard, how)?;
        let range = stripe.block_bytes(&blocks);
        let bytes = read_where_possible(&*file, stripe.offset, &range)?;
        let bytes = Bytes::from_owner(bytes);
        Ok(ShardBlocks::verify(stripe, source, blocks, bytes))
    }

    /// `blocks` of a shard, when all of them are in memory and good.
    fn read_blocks_at_once(
        &self,
        stripe: &Stripe,
        source: &Source,
        blocks: Range<usize>,
    ) -> Option<ShardRead> {
        let (group, shard) = (stripe.group, source.shard);
        let file = self.map.kept(&source.disk, group, shard, false)?;
        let range = stripe.block_bytes(&blocks);
        let mut bytes = vec![0; range.len()];
        if !file.read_at_once(stripe.offset + range.start as u64, &mut bytes) {
            return None;
        }
        let read = ShardRead {
            source: source.clone(),
            blocks: Some(ShardBlocks::verify(stripe, source, blocks, bytes.into())),
        };
        read.is_good().then_some(read)
    }
}

/// Reads `range` of a shard, less where the file ends. A part that can not be read is zero: a bad
/// sector must not hide the good blocks beside it.
pub(crate) fn read_where_possible(
    file: &dyn DiskFile,
    offset: u64,
    range: &Range<usize>,
) -> io::Result<AlignedBuf> {
    let mut bytes = AlignedBuf::zeroed(align_up(range.len()));
    debug_assert!(range.start.is_multiple_of(ALIGNMENT));
    let at = offset + range.start as u64;
    if let Ok(size) = file.read_at(at, &mut bytes) {
        bytes.truncate(size);
        return Ok(bytes);
    }
    let mut at = at;
    for block in bytes.chunks_mut(BLOCK_SIZE_BYTES) {
        if file.read_at(at, block).is_err() {
            block.fill(0);
        }
        at += block.len() as u64;
    }
    Ok(bytes)
}

/// Ends a stream after its first error.
fn until_error(
    items: impl Stream<Item = Result<Bytes>> + Send,
) -> impl Stream<Item = Result<Bytes>> + Send {
    items.scan(false, |failed, item| {
        let last = std::mem::replace(failed, *failed || item.is_err());
        std::future::ready((!last).then_some(item))
    })
}

/// Whom to ask next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Only the shards that hold the range, if all can be asked; else just enough to decode.
    First,
    /// All shards on disks in service.
    InService,
    /// Disks that are out as well: what verifies there is as good as anywhere (hazard H9).
    All,
}

/// The collection of enough blocks of one stripe.
struct Gather {
    store: Arc<Store>,
    stripe: Stripe,
    /// Blocks wanted of each data shard.
    wanted: Vec<(usize, Range<usize>)>,
    /// All columns wanted.
    columns: Range<usize>,
    sources: Vec<Vec<Source>>,
    payloads: Payloads,
    asked: Vec<(Source, Range<usize>)>,
    answered: Vec<(usize, DiskId)>,
    bad: bool,
}

type Reads = FuturesUnordered<BoxFuture<'static, ShardRead>>;

impl Gather {
    fn new(
        store: &Arc<Store>,
        stripe: Stripe,
        pieces: &[(usize, Range<usize>)],
        sources: Vec<Vec<Source>>,
    ) -> Self {
        let wanted: Vec<(usize, Range<usize>)> = pieces
            .iter()
            .map(|(shard, bytes)| (*shard, blocks_of(bytes)))
            .collect();
        let start = wanted
            .iter()
            .map(|(_, blocks)| blocks.start)
            .min()
            .unwrap_or(0);
        let end = wanted
            .iter()
            .map(|(_, blocks)| blocks.end)
            .max()
            .unwrap_or(0);
        Self {
            store: Arc::clone(store),
            stripe,
            wanted,
            columns: start..end,
            sources,
            payloads: Payloads::new(),
            asked: Vec::new(),
            answered: Vec::new(),
            bad: false,
        }
    }

    /// Asks until there is enough, or nobody is left to ask.
    async fn run(&mut self) {
        let mut reads = Reads::new();
        let mut stage = Stage::First;
        self.take_at_once();
        if self.is_satisfied() {
            return;
        }
        self.store.lanes.pace.read_begun();
        self.ask_first(&mut reads);
        // The rest of the longest wait, once the unusual one is over.
        let (mut wait, mut rest) = self.first_wait();
        while !self.is_satisfied() {
            match tasks::timeout(wait, reads.next()).await {
                Ok(Some(read)) => self.take(read),
                Ok(None) if stage == Stage::All => return,
                Err(_) if !rest.is_zero() && !self.store.lanes.pace.pay_hedge() => {
                    wait = std::mem::take(&mut rest);
                }
                answer @ (Ok(None) | Err(_)) => {
                    if answer.is_err() {
                        self.kept_waiting(if rest.is_zero() {
                            Wait::Long
                        } else {
                            Wait::Unusual
                        });
                    }
                    (stage, wait) = match stage {
                        Stage::First => (Stage::InService, self.store.settings.hedge_after),
                        _ => (Stage::All, Duration::MAX),
                    };
                    rest = Duration::ZERO;
                    self.ask_more(&mut reads, stage);
                }
            }
        }
    }

    /// Takes what is in memory of the shards that hold the range: no disk is asked, and no other thread.
    fn take_at_once(&mut self) {
        let count: usize = self.wanted.iter().map(|(_, blocks)| blocks.len()).sum();
        if count > BLOCKS_AT_ONCE_MAX {
            return;
        }
        for (shard, blocks) in self.wanted.clone() {
            let source = self.sources[shard].first();
            let read = source
                .filter(|source| source.is_in_service())
                .and_then(|source| {
                    let store = &self.store;
                    store.read_blocks_at_once(&self.stripe, source, blocks)
                });
            if let Some(read) = read {
                self.take(read);
            }
        }
    }

    /// The unusual wait, and what then is left of the longest one.
    fn first_wait(&self) -> (Duration, Duration) {
        if planted("blob_no_hedge") {
            return (Duration::MAX, Duration::ZERO);
        }
        let wait = self.store.hedge_limit();
        let rest = self.store.settings.hedge_after.saturating_sub(wait);
        (wait, rest)
    }

    fn ask_first(&mut self, reads: &mut Reads) {
        let now = self.store.clock.monotonic();
        let is_prompt = |sources: &&Vec<Source>| {
            sources.first().is_some_and(|source| {
                source.is_in_service() && !self.store.lanes.pace.is_aside(source.disk.id, now)
            })
        };
        let wanted = || self.wanted.iter().map(|(shard, _)| &self.sources[*shard]);
        if wanted().all(|sources| is_prompt(&sources)) {
            let taken = |(shard, blocks): &(usize, Range<usize>)| {
                let mut blocks = blocks.clone();
                blocks.all(|block| self.payloads.contains_key(&(*shard, block)))
            };
            let missing = self.wanted.iter().filter(|wanted| !taken(wanted));
            for (shard, blocks) in missing.cloned().collect::<Vec<_>>() {
                self.ask(reads, self.sources[shard][0].clone(), blocks);
            }
            return;
        }
        let enough = self.sources.iter().filter(is_prompt);
        let enough: Vec<Source> = enough
            .take(self.stripe.data_count)
            .map(|sources| sources[0].clone())
            .collect();
        for source in enough {
            self.ask(reads, source, self.columns.clone());
        }
    }

    /// Notes who kept this read waiting.
    fn kept_waiting(&self, wait: Wait) {
        Counters::add(&self.store.disks.counters.reads_hedged, 1);
        let now = self.store.clock.monotonic();
        for (source, _) in &self.asked {
            if !self.answered.contains(&(source.shard, source.disk.id)) {
                let pace = &self.store.lanes.pace;
                pace.kept_waiting(&source.disk, wait, now);
            }
        }
    }

    fn ask_more(&mut self, reads: &mut Reads, stage: Stage) {
        for source in self.sources.clone().into_iter().flatten() {
            let allowed = match stage {
                Stage::All => source.disk.disk.is_some(),
                _ => source.is_in_service(),
            };
            if allowed {
                self.ask(reads, source, self.columns.clone());
            }
        }
    }

    fn ask(&mut self, reads: &mut Reads, source: Source, blocks: Range<usize>) {
        let is_asked = self.asked.iter().any(|(asked, of)| {
            asked.shard == source.shard
                && asked.disk.id == source.disk.id
                && of.start <= blocks.start
                && blocks.end <= of.end
        });
        if !is_asked {
            self.asked.push((source.clone(), blocks.clone()));
            let store = Arc::clone(&self.store);
            reads.push(store.read_shard(self.stripe, source, blocks, false).boxed());
        }
    }

    fn take(&mut self, read: ShardRead) {
        self.answered.push((read.source.shard, read.source.disk.id));
        if read.source.is_in_service() && !read.is_good() {
            self.bad = true;
            Counters::add(&self.store.disks.counters.shards_bad, 1);
        }
        let Some(blocks) = read.blocks else { return };
        for block in blocks.blocks.clone() {
            if let Some(payload) = blocks.payload(&self.stripe, block) {
                self.payloads.insert((read.source.shard, block), payload);
            }
        }
    }

    fn good_count(&self, block: usize) -> usize {
        let shards = 0..self.stripe.shard_count();
        shards
            .filter(|shard| self.payloads.contains_key(&(*shard, block)))
            .count()
    }

    fn is_satisfied(&self) -> bool {
        self.wanted.iter().all(|(shard, blocks)| {
            blocks.clone().all(|block| {
                self.payloads.contains_key(&(*shard, block))
                    || self.good_count(block) >= self.stripe.data_count
            })
        })
    }

    /// Whether something can be repaired now: a shard bad, or nowhere although no disk is out.
    fn found_damage(&self) -> bool {
        let missing = self.sources.iter().any(Vec::is_empty);
        self.bad || (missing && self.store.all_in_service())
    }

    fn failure(&self, timed_out: bool) -> Error {
        let sources = || self.sources.iter();
        let some_out = sources().flatten().any(|source| !source.is_in_service());
        let unknown = sources().any(Vec::is_empty) && !self.store.all_in_service();
        let stripe = format!(
            "stripe {} at {} of {}",
            self.stripe.index, self.stripe.offset, self.stripe.group
        );
        if timed_out || some_out || unknown {
            Error::new(
                ErrorKind::Unavailable,
                format!("{stripe}: too few of its disks answer"),
            )
        } else {
            Error::new(ErrorKind::Corrupt, format!("{stripe}: too few good shards"))
        }
    }

    /// The bytes of `pieces`, decoding what was not read.
    async fn pieces(mut self, pieces: &[(usize, Range<usize>)]) -> Result<Vec<Bytes>> {
        let wanted: Vec<(usize, usize)> = self
            .wanted
            .iter()
            .flat_map(|(shard, blocks)| blocks.clone().map(|block| (*shard, block)))
            .filter(|key| !self.payloads.contains_key(key))
            .collect();
        if !wanted.is_empty() {
            Counters::add(&self.store.disks.counters.degraded_reads, 1);
            let (stripe, payloads) = (self.stripe, std::mem::take(&mut self.payloads));
            self.payloads = tasks::blocking(move || decode(&stripe, payloads, &wanted)).await?;
        }
        let mut out = Vec::new();
        for (shard, bytes) in pieces {
            for block in blocks_of(bytes) {
                let payload = &self.payloads[&(*shard, block)];
                let start = block * BLOCK_PAYLOAD_BYTES_MAX;
                let from = bytes.start.saturating_sub(start);
                let to = (bytes.end - start).min(payload.len());
                out.push(payload.slice(from..to));
            }
        }
        Ok(out)
    }
}

/// Adds the `wanted` payloads (shard, block), computed from the others of their columns.
pub(crate) fn decode(
    stripe: &Stripe,
    mut payloads: Payloads,
    wanted: &[(usize, usize)],
) -> Result<Payloads> {
    let internal = |error| Error::new(ErrorKind::Internal, format!("decode: {error}"));
    let codec = Codec::new(stripe.data_count, stripe.parity_count).map_err(internal)?;
    let mut columns: HashMap<usize, Vec<usize>> = HashMap::new();
    for (shard, block) in wanted {
        columns.entry(*block).or_default().push(*shard);
    }
    for (block, shards) in columns {
        let present: Vec<Option<&[u8]>> = (0..stripe.shard_count())
            .map(|shard| payloads.get(&(shard, block)).map(|payload| &payload[..]))
            .collect();
        let size = stripe.column_payload(block);
        let mut rebuilt: Vec<(usize, Vec<u8>)> = shards
            .into_iter()
            .map(|shard| (shard, vec![0; size]))
            .collect();
        let mut targets: Vec<(usize, &mut [u8])> = rebuilt
            .iter_mut()
            .map(|(shard, bytes)| (*shard, &mut bytes[..]))
            .collect();
        codec.rebuild(&present, &mut targets).map_err(internal)?;
        for (shard, bytes) in rebuilt {
            payloads.insert((shard, block), Bytes::from(bytes));
        }
    }
    Ok(payloads)
}
