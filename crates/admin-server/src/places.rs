//! Places of bytes and times, as the interface shows them.

use strongroom_admin_api::{PartPlaces, RunPlaces, ShardPlace, ShardRole, ShardState, Stored};
use strongroom_base::Timestamp;
use strongroom_objects::{LocatedContent, LocatedPart, RunLocation, ShardLocation};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time as text, in whole seconds.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    i64::try_from(time.seconds())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

pub(crate) fn wire_part(part: LocatedPart) -> PartPlaces {
    let mut wire = PartPlaces {
        number: part.number,
        bytes: part.size,
        stored: Stored::Empty,
        blob: None,
        pack: None,
        pack_offset: None,
        reduced: false,
        runs: Vec::new(),
    };
    match part.content {
        LocatedContent::Empty => {}
        LocatedContent::Log { blob } => {
            wire.stored = Stored::Log;
            wire.blob = Some(blob.to_string());
        }
        LocatedContent::Pack {
            blob,
            pack,
            offset,
            reduced,
            location,
        } => {
            wire.stored = Stored::Pack;
            wire.blob = Some(blob.to_string());
            wire.pack = Some(pack.to_string());
            wire.pack_offset = Some(offset);
            wire.reduced = reduced;
            wire.runs = location.runs.into_iter().map(wire_run).collect();
        }
        LocatedContent::Shards {
            blob,
            reduced,
            location,
        } => {
            wire.stored = Stored::Shards;
            wire.blob = Some(blob.to_string());
            wire.reduced = reduced;
            wire.runs = location.runs.into_iter().map(wire_run).collect();
        }
    }
    wire
}

fn wire_run(run: RunLocation) -> RunPlaces {
    let data_shards = run.data_shards;
    let shards = (0..).zip(run.shards);
    RunPlaces {
        data_shards,
        parity_shards: run.parity_shards,
        stripes: run.stripes,
        offset: run.offset,
        bytes: run.size,
        shards: shards
            .map(|(index, shard)| wire_shard(index, data_shards, shard))
            .collect(),
    }
}

fn wire_shard(index: u32, data_shards: u32, shard: ShardLocation) -> ShardPlace {
    use strongroom_objects::ShardState as Found;
    ShardPlace {
        index,
        role: if index < data_shards {
            ShardRole::Data
        } else {
            ShardRole::Parity
        },
        zone: shard.zone,
        disk: shard.disk,
        segment: shard.segment,
        state: match shard.state {
            Found::Present => ShardState::Present,
            Found::Verified => ShardState::Verified,
            Found::Damaged => ShardState::Damaged,
            Found::Missing => ShardState::Missing,
            Found::Out => ShardState::Out,
        },
    }
}
