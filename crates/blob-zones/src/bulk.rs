//! Verify and repair of many blobs at once, at the speed of the disks.
//!
//! Blob by blob and stripe by stripe, a disk would be asked for a piece here and a piece there and would
//! wait for the checksums in between. Here the stripes of all blobs are put in the order they lie on the
//! disks, neighbours are read as one piece, all shards of a piece at once, and several pieces at once.
//!
//! Invariants
//! - As in [`crate::repair`]: only blocks that verify are decoded from, and what is written is what was
//!   there.
//! - A shard counts as repaired once it is synced, not before.
//! - Memory: at most [`PIECES_AT_ONCE`] pieces, each [`PIECE_BYTES_MAX`] over all its shards and again as
//!   much for what is written.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use strongroom_base::{AlignedBuf, tasks};
use strongroom_blob::{Error, Health, Place, Result};
use strongroom_zones::{Counters, DiskHandle};

use crate::block::BLOCK_HEADER_SIZE_BYTES;
use crate::home::Home;
use crate::map::OpenHow;
use crate::place::{BlobPlace, Stripe};
use crate::read::{Payloads, ShardBlocks, ShardRead, decode, read_where_possible};
use crate::repair::{Checked, check};
use crate::segment::GroupId;
use crate::store::{Source, Store};

/// Bytes of a piece over all its shards: 4 MiB of each of three, more than a disk reads in one turn.
const PIECE_BYTES_MAX: u64 = 12 * 1024 * 1024;
/// Bytes between two stripes that are read along rather than left out: a seek costs more.
const GAP_BYTES_MAX: u64 = 256 * 1024;
/// Pieces looked at at once: two keep the disks busy while two are checked.
const PIECES_AT_ONCE: usize = 4;

/// Stripes that lie close together in one group, each with the number of its blob.
struct Piece {
    stripes: Vec<(usize, Stripe)>,
}

/// What became of a stripe.
type Looked = (usize, Result<Health>);

impl Store {
    /// Looks at all shards of the blobs and, with `repair`, rewrites the bad ones.
    pub(crate) async fn inspect_all(
        self: &Arc<Self>,
        places: &[Place],
        repair: bool,
    ) -> Vec<Result<Health>> {
        let _inside = repair.then(|| self.gate.enter());
        let mut answers: Vec<Result<Health>> = Vec::with_capacity(places.len());
        let mut stripes = Vec::new();
        for (blob, place) in places.iter().enumerate() {
            answers.push(BlobPlace::decode(place).map(|place| {
                stripes.extend(place.stripes(0..place.stream_size()).map(|s| (blob, s)));
                Health::default()
            }));
        }
        stripes.sort_by_key(|(_, stripe)| (stripe.group, stripe.offset));
        let homes = Arc::new(self.homes_of(&stripes, repair, &mut answers).await);
        let looks = futures::stream::iter(pieces(stripes)).map(|piece| {
            let (store, homes) = (Arc::clone(self), Arc::clone(&homes));
            async move {
                match &homes[&piece.stripes[0].1.group] {
                    Ok(home) => store.inspect_piece(piece, home, repair).await,
                    Err(error) => failed(&piece, error),
                }
            }
        });
        let mut looks = looks.buffer_unordered(PIECES_AT_ONCE);
        while let Some(looked) = looks.next().await {
            for (blob, health) in looked {
                add(&mut answers[blob], health);
            }
        }
        answers
    }

    /// The headers of every group, read once, and repaired.
    async fn homes_of(
        self: &Arc<Self>,
        stripes: &[(usize, Stripe)],
        repair: bool,
        answers: &mut [Result<Health>],
    ) -> HashMap<GroupId, Result<Home>> {
        let mut homes = HashMap::new();
        for (blob, stripe) in stripes {
            if homes.contains_key(&stripe.group) {
                continue;
            }
            let home = self.home(stripe).await;
            if let Ok(home) = &home {
                let mut repaired = 0;
                if repair {
                    repaired = self.repair_headers(stripe, home).await;
                }
                let health = Health {
                    shards_bad: home.headers_bad.len() as u64 - repaired,
                    shards_repaired: repaired,
                    ..Health::default()
                };
                add(&mut answers[*blob], Ok(health));
            }
            homes.insert(stripe.group, home);
        }
        homes
    }

    async fn inspect_piece(
        self: &Arc<Self>,
        piece: Piece,
        home: &Home,
        repair: bool,
    ) -> Vec<Looked> {
        let stripes: Arc<Vec<Stripe>> =
            Arc::new(piece.stripes.iter().map(|(_, stripe)| *stripe).collect());
        let reads = self.read_piece(&stripes, home).await;
        let mut reads: Vec<_> = reads.into_iter().map(Vec::into_iter).collect();
        let mut looked = Vec::new();
        let mut rebuild = Vec::new();
        for (blob, stripe) in &piece.stripes {
            let of_stripe = reads.iter_mut().filter_map(Iterator::next);
            let checked = check(stripe, home, of_stripe.collect());
            let shards = stripe.shard_count() as u64;
            if checked.bad.is_empty() {
                looked.push((*blob, Ok(healthy(shards))));
            } else if !checked.decodable {
                // Shards may lie elsewhere: the slow way looks everywhere.
                let mut health = Health::default();
                let done = self.inspect_stripe(stripe, home, repair, &mut health).await;
                looked.push((*blob, done.map(|()| health)));
            } else if repair {
                rebuild.push((*blob, *stripe, checked));
            } else {
                looked.push((*blob, Ok(damaged(shards, checked.bad.len() as u64))));
            }
        }
        looked.extend(self.rebuild(rebuild, home).await);
        looked
    }

    /// Reads the stripes from each shard where it belongs: for each shard, one answer per stripe.
    async fn read_piece(
        self: &Arc<Self>,
        stripes: &Arc<Vec<Stripe>>,
        home: &Home,
    ) -> Vec<Vec<ShardRead>> {
        let shards = home.disks.iter().enumerate();
        let homes = shards.filter_map(|(shard, disk)| Some((shard, disk.clone()?)));
        let reads = homes.map(|(shard, disk)| {
            let (store, stripes) = (Arc::clone(self), Arc::clone(stripes));
            let handle = Arc::clone(&disk);
            let read = async move {
                let permit = store.lanes.read_permit(disk.id).await;
                tasks::blocking(move || {
                    let _permit = permit;
                    store.read_span(&stripes, shard, &disk)
                })
                .await
            };
            async move { self.while_it_may_answer(&handle, read).await }
        });
        let reads = futures::future::join_all(reads).await;
        reads.into_iter().flatten().collect()
    }

    /// Reads the stripes of one shard in one go, and checks them. Blocks.
    fn read_span(
        &self,
        stripes: &[Stripe],
        shard: usize,
        handle: &Arc<DiskHandle>,
    ) -> Vec<ShardRead> {
        let (first, last) = (&stripes[0], &stripes[stripes.len() - 1]);
        let len = last.offset + last.shard_size() as u64 - first.offset;
        let len = usize::try_from(len).expect("a piece is bounded");
        let read = || -> io::Result<Bytes> {
            let disk = handle.disk.as_ref().ok_or(io::ErrorKind::NotFound)?;
            let how = OpenHow {
                direct: self.settings.direct,
                fresh: true,
            };
            let file = self.map.open(handle, disk, first.group, shard, how)?;
            read_where_possible(&*file, first.offset, &(0..len)).map(Bytes::from_owner)
        };
        let bytes = read().ok();
        let shard_read = |stripe: &Stripe| {
            let at = usize::try_from(stripe.offset - first.offset).expect("a piece is bounded");
            let of_stripe = |bytes: &Bytes| {
                let from = at.min(bytes.len());
                bytes.slice(from..(at + stripe.shard_size()).min(bytes.len()))
            };
            ShardRead {
                source: Source {
                    shard,
                    disk: Arc::clone(handle),
                },
                blocks: bytes
                    .as_ref()
                    .map(|bytes| ShardBlocks::check(stripe, shard, handle.id, of_stripe(bytes))),
            }
        };
        stripes.iter().map(shard_read).collect()
    }

    /// Rewrites the bad shards of stripes that can be decoded.
    async fn rebuild(
        self: &Arc<Self>,
        stripes: Vec<(usize, Stripe, Checked)>,
        home: &Home,
    ) -> Vec<Looked> {
        let mut looked = Vec::new();
        let mut decoded = Vec::new();
        for (blob, stripe, checked) in stripes {
            let wanted: Vec<(usize, usize)> = checked
                .bad
                .iter()
                .flat_map(|shard| (0..stripe.block_count()).map(|block| (*shard, block)))
                .filter(|key| !checked.payloads.contains_key(key))
                .collect();
            let payloads = checked.payloads;
            let payloads = tasks::blocking(move || decode(&stripe, payloads, &wanted)).await;
            match payloads {
                Ok(payloads) => decoded.push(Decoded {
                    blob,
                    stripe,
                    bad: checked.bad,
                    payloads,
                    repaired: 0,
                }),
                Err(error) => looked.push((blob, Err(error))),
            }
        }
        for shard in 0..home.disks.len() {
            self.rebuild_shard(&mut decoded, home, shard).await;
        }
        looked.extend(decoded.into_iter().map(|decoded| {
            let bad = decoded.bad.len() as u64 - decoded.repaired;
            let shards = decoded.stripe.shard_count() as u64;
            let health = Health {
                shards_repaired: decoded.repaired,
                ..damaged(shards, bad)
            };
            (decoded.blob, Ok(health))
        }));
        looked
    }

    /// Writes one shard of the stripes in which it is bad: a write for each stretch of neighbours, and
    /// the sync of each covers those before it.
    async fn rebuild_shard(&self, decoded: &mut [Decoded], home: &Home, shard: usize) {
        if decoded.iter().all(|decoded| !decoded.bad.contains(&shard)) {
            return;
        }
        let Some((disk, header)) = home.disks[shard].as_ref().zip(home.header.as_ref()) else {
            return;
        };
        let Some(lane) = self.lanes.lane(disk) else {
            return;
        };
        let Some(file) = self.segment_for_repair(&lane, header.of_shard(shard)).await else {
            return;
        };
        let group = header.group;
        for stretch in decoded.chunk_by_mut(|one, next| {
            let joined = |d: &Decoded| d.bad.contains(&shard);
            joined(one) && joined(next) && one.end() == next.stripe.offset
        }) {
            if !stretch[0].bad.contains(&shard) {
                continue;
            }
            let size = stretch
                .iter()
                .map(|decoded| decoded.stripe.shard_size())
                .sum();
            let mut bytes = AlignedBuf::zeroed(size);
            let mut at = 0;
            for decoded in stretch.iter() {
                let size = decoded.stripe.shard_size();
                decoded.seal(shard, disk, &mut bytes[at..at + size]);
                at += size;
            }
            let offset = stretch[0].stripe.offset;
            if !self.write_synced(&lane, &file, offset, bytes).await {
                return;
            }
            self.map.add(group, shard, disk.id);
            Counters::add(&self.disks.counters.shards_repaired, stretch.len() as u64);
            for decoded in stretch {
                decoded.repaired += 1;
            }
        }
        tracing::debug!(%group, shard, disk = %disk.name, "shards repaired");
    }
}

/// A stripe with bad shards, all of whose blocks are known.
struct Decoded {
    blob: usize,
    stripe: Stripe,
    bad: Vec<usize>,
    payloads: Payloads,
    repaired: u64,
}

impl Decoded {
    fn end(&self) -> u64 {
        self.stripe.offset + self.stripe.shard_size() as u64
    }

    /// The shard as it belongs on `disk`.
    fn seal(&self, shard: usize, disk: &DiskHandle, bytes: &mut [u8]) {
        for block in 0..self.stripe.block_count() {
            let payload = &self.payloads[&(shard, block)];
            let target = &mut bytes[self.stripe.block_bytes(&(block..block + 1))];
            target[BLOCK_HEADER_SIZE_BYTES..][..payload.len()].copy_from_slice(payload);
            self.stripe.identity(shard, block).seal(target, disk.id);
        }
    }
}

/// Cuts sorted stripes into pieces.
fn pieces(stripes: Vec<(usize, Stripe)>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (blob, stripe) in stripes {
        let fits = |piece: &&mut Piece| {
            let (first, last) = (
                &piece.stripes[0].1,
                &piece.stripes[piece.stripes.len() - 1].1,
            );
            // Offsets of two groups have nothing to do with each other.
            if first.group != stripe.group {
                return false;
            }
            let last_end = last.offset + last.shard_size() as u64;
            let span = stripe.offset + stripe.shard_size() as u64 - first.offset;
            stripe.offset >= last_end
                && stripe.offset - last_end <= GAP_BYTES_MAX
                && span * stripe.shard_count() as u64 <= PIECE_BYTES_MAX
        };
        match pieces.last_mut().filter(fits) {
            Some(piece) => piece.stripes.push((blob, stripe)),
            None => pieces.push(Piece {
                stripes: vec![(blob, stripe)],
            }),
        }
    }
    pieces
}

const fn healthy(shards: u64) -> Health {
    damaged(shards, 0)
}

const fn damaged(shards: u64, bad: u64) -> Health {
    Health {
        shards_good: shards - bad,
        shards_bad: bad,
        stripes_lost: 0,
        shards_repaired: 0,
    }
}

fn failed(piece: &Piece, error: &Error) -> Vec<Looked> {
    let stripes = piece.stripes.iter();
    stripes
        .map(|(blob, _)| (*blob, Err(error.clone())))
        .collect()
}

/// Adds a stripe's health to its blob's; the first error stays.
fn add(answer: &mut Result<Health>, more: Result<Health>) {
    match (answer.as_mut(), more) {
        (Ok(sum), Ok(more)) => {
            sum.shards_good += more.shards_good;
            sum.shards_bad += more.shards_bad;
            sum.stripes_lost += more.stripes_lost;
            sum.shards_repaired += more.shards_repaired;
        }
        (Ok(_), Err(error)) => *answer = Err(error),
        (Err(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripe(group: u8, offset: u64) -> (usize, Stripe) {
        let stripe = Stripe {
            group: GroupId([group; 16]),
            data_count: 2,
            parity_count: 1,
            offset,
            index: 0,
            start: 0,
            bytes: 8192,
            shard_payload: 4096,
            run: 1,
            nonce: 1,
        };
        (0, stripe)
    }

    #[test]
    fn neighbours_of_one_group_are_one_piece_and_another_group_begins_anew() {
        let far = 8 * 1024 * 1024;
        let sorted = vec![
            stripe(1, 4096),
            stripe(1, far),
            stripe(1, far + 8192),
            // A group of smaller offsets after one of larger.
            stripe(2, 4096),
        ];
        let counts: Vec<usize> = pieces(sorted).iter().map(|p| p.stripes.len()).collect();
        assert_eq!(counts, [1, 2, 1]);
    }
}
