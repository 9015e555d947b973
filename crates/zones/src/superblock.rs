//! The superblock: what a disk is, which store and zone it belongs to, and who the members are.
//!
//! It lives in `superblock` at the root of each disk and is replaced atomically (temporary file,
//! sync, rename, folder sync). It also carries the member's *promise*: the highest generation
//! reserved, with the members that generation was meant to have. The promise is what a disk
//! contributes to a majority even when it carries no log (see `docs/rfcs/0001`).

use std::fmt;
use std::io;

use strongroom_base::{CreateOptions, Disk, read_exact_at};

use crate::batch::Generation;
use crate::checksum::checksum128;
use crate::codec::{DecodeError, Reader, Writer};
use crate::disks::{DiskId, MEMBER_COUNT_MAX};
use crate::layout::{Changes, Layout};

/// Newest superblock format this build writes and reads. Format 1, which is as it was before disks
/// could be changed, is written until the first change.
pub const SUPERBLOCK_FORMAT: u32 = 4;
const FORMAT_WITHOUT_CHANGES: u32 = 1;
/// As it was before disks could be drained; written until the first is.
const FORMAT_WITHOUT_DRAINED: u32 = 2;
/// As it was before zones could leave: a program that knows no more would count those as members.
const FORMAT_WITHOUT_REMOVED: u32 = 3;
/// Name of the superblock on a disk.
pub(crate) const SUPERBLOCK_FILE: &str = "superblock";
const SUPERBLOCK_TEMPORARY: &str = "superblock.new";
const MAGIC: &[u8; 8] = b"STRGRMSB";
/// Above any superblock of 64 zones with 64 disks and their folders; a longer file is damaged.
const SUPERBLOCK_SIZE_BYTES_MAX: u64 = 8 * 1024 * 1024;
const CHECKSUM_SEED: u64 = 0x5355_5045_5242_4c4b;

/// Identity of a store, drawn when it is formatted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How far formatting got, or that the disk's place was given to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskState {
    /// Being formatted: the store was never served.
    Forming,
    Formed,
    /// An operator gave its place to another disk.
    Replaced,
    /// Named by an operator for a store that serves, and without a promise yet: it has no vote.
    Joining,
}

/// A zone of the member list with its disks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneMember {
    pub name: String,
    pub disks: Vec<DiskId>,
}

/// The highest generation a disk has heard of, and the set of members it was meant to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Promise {
    pub generation: Generation,
    /// Bit i: member i.
    pub service: u64,
}

/// What a disk says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    pub store: StoreId,
    pub disk: DiskId,
    pub zone: String,
    pub state: DiskState,
    /// Process starts seen by this disk.
    pub run: u64,
    pub promise: Promise,
    /// The disk of this zone that carries its log since the promise; zero when none does.
    pub log_disk: DiskId,
    pub zones: Vec<ZoneMember>,
    /// What changed in `zones` since the store was formatted.
    pub changes: Changes,
}

/// Why a superblock could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SuperblockError {
    #[error("no superblock")]
    Absent,
    #[error("its superblock is damaged")]
    Damaged,
    #[error("its format is version {0} and this program knows up to version {SUPERBLOCK_FORMAT}")]
    Newer(u32),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Superblock {
    /// The bytes on disk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        let as_before = self.changes == Changes::default() && self.state != DiskState::Joining;
        let has_removed = self.zones.iter().any(|zone| zone.disks.is_empty());
        let format = match (as_before, self.changes.has_drained(), has_removed) {
            (true, _, _) => FORMAT_WITHOUT_CHANGES,
            (false, false, false) => FORMAT_WITHOUT_DRAINED,
            (false, true, false) => FORMAT_WITHOUT_REMOVED,
            (false, _, true) => SUPERBLOCK_FORMAT,
        };
        w.bytes(MAGIC).u32(format);
        w.bytes(&self.store.0)
            .bytes(&self.disk.0)
            .short(self.zone.as_bytes());
        w.u8(match self.state {
            DiskState::Forming => 1,
            DiskState::Formed => 2,
            DiskState::Replaced => 3,
            DiskState::Joining => 4,
        });
        w.u64(self.run);
        w.u64(self.promise.generation.counter)
            .u64(self.promise.generation.tag);
        w.u64(self.promise.service).bytes(&self.log_disk.0);
        w.u16(u16::try_from(self.zones.len()).expect("at most 64 zones"));
        for zone in &self.zones {
            w.short(zone.name.as_bytes());
            w.u16(u16::try_from(zone.disks.len()).expect("at most 64 disks a zone"));
            for disk in &zone.disks {
                w.bytes(&disk.0);
            }
        }
        if format > FORMAT_WITHOUT_CHANGES {
            self.changes.encode(&mut w, format > FORMAT_WITHOUT_DRAINED);
        }
        let sum = checksum128(CHECKSUM_SEED, &[&w.0]);
        w.bytes(&sum);
        w.0
    }

    /// # Errors
    /// `Damaged` or `Newer`.
    pub fn decode(bytes: &[u8]) -> Result<Self, SuperblockError> {
        let body_len = bytes
            .len()
            .checked_sub(16)
            .ok_or(SuperblockError::Damaged)?;
        let (body, sum) = bytes.split_at(body_len);
        let mut r = Reader::new(body);
        if r.bytes(8).ok() != Some(MAGIC) || checksum128(CHECKSUM_SEED, &[body]) != sum {
            return Err(SuperblockError::Damaged);
        }
        let format = r.u32().map_err(|_| SuperblockError::Damaged)?;
        if format > SUPERBLOCK_FORMAT {
            return Err(SuperblockError::Newer(format));
        }
        Self::decode_body(&mut r, format).map_err(|_| SuperblockError::Damaged)
    }

    fn decode_body(r: &mut Reader<'_>, format: u32) -> Result<Self, DecodeError> {
        let store = StoreId(r.array()?);
        let disk = DiskId(r.array()?);
        let zone = text(r)?;
        let state = match r.u8()? {
            1 => DiskState::Forming,
            2 => DiskState::Formed,
            3 => DiskState::Replaced,
            4 if format > FORMAT_WITHOUT_CHANGES => DiskState::Joining,
            _ => return Err(DecodeError),
        };
        let run = r.u64()?;
        let generation = Generation {
            counter: r.u64()?,
            tag: r.u64()?,
        };
        let promise = Promise {
            generation,
            service: r.u64()?,
        };
        let log_disk = DiskId(r.array()?);
        let mut zones = Vec::new();
        for _ in 0..r.u16()? {
            let name = text(r)?;
            let mut disks = Vec::new();
            for _ in 0..r.u16()? {
                disks.push(DiskId(r.array()?));
            }
            zones.push(ZoneMember { name, disks });
        }
        if zones.len() > MEMBER_COUNT_MAX {
            return Err(DecodeError);
        }
        let changes = match format > FORMAT_WITHOUT_CHANGES {
            true => Changes::decode(r, format > FORMAT_WITHOUT_DRAINED)?,
            false => Changes::default(),
        };
        Ok(Self {
            store,
            disk,
            zone,
            state,
            run,
            promise,
            log_disk,
            zones,
            changes,
        })
    }

    /// The layout it carries.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout {
            zones: self.zones.clone(),
            changes: self.changes.clone(),
        }
    }

    /// Carries another layout.
    pub(crate) fn set_layout(&mut self, layout: Layout) {
        self.zones = layout.zones;
        self.changes = layout.changes;
    }

    /// Reads the superblock of a disk.
    ///
    /// # Errors
    /// `Absent` when the folder or the file is not there.
    pub fn read(disk: &dyn Disk) -> Result<Self, SuperblockError> {
        let absent = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => SuperblockError::Absent,
            _ => SuperblockError::Io(error),
        };
        let file = disk.open(SUPERBLOCK_FILE, false).map_err(absent)?;
        let len = file.len()?;
        if len > SUPERBLOCK_SIZE_BYTES_MAX {
            return Err(SuperblockError::Damaged);
        }
        let mut bytes = vec![0; usize::try_from(len).expect("a small file")];
        read_exact_at(&*file, 0, &mut bytes)?;
        Self::decode(&bytes)
    }

    /// Replaces the superblock of a disk, atomically and durably.
    ///
    /// # Errors
    /// What the disk says; the old one is then still there, or the new one is.
    pub fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        match disk.remove(SUPERBLOCK_TEMPORARY) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(SUPERBLOCK_TEMPORARY, CreateOptions::default())?;
        let bytes = self.encode();
        file.write_at(0, &bytes)?;
        file.sync()?;
        // A write that was lost or went astray must not cost the disk its identity.
        let mut read = vec![0; bytes.len()];
        read_exact_at(&*file, 0, &mut read)?;
        if read != bytes {
            return Err(io::Error::other(
                "the new superblock does not read back as it was written",
            ));
        }
        disk.rename(SUPERBLOCK_TEMPORARY, SUPERBLOCK_FILE)?;
        disk.sync_dir("")
    }

    /// Position of this disk's member: its zone, or in a store of one zone, the disk itself.
    #[must_use]
    pub fn members(&self) -> Vec<(String, Vec<DiskId>)> {
        match self.zones.as_slice() {
            [only] => only
                .disks
                .iter()
                .map(|disk| (only.name.clone(), vec![*disk]))
                .collect(),
            zones => zones
                .iter()
                .map(|zone| (zone.name.clone(), zone.disks.clone()))
                .collect(),
        }
    }
}

fn text(r: &mut Reader<'_>) -> Result<String, DecodeError> {
    String::from_utf8(r.short()?.to_vec()).map_err(|_| DecodeError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{DiskNote, Drained};

    pub(crate) fn sample() -> Superblock {
        Superblock {
            store: StoreId([1; 16]),
            disk: DiskId([2; 16]),
            zone: "a".into(),
            state: DiskState::Formed,
            run: 9,
            promise: Promise {
                generation: Generation {
                    counter: 5,
                    tag: 77,
                },
                service: 0b101,
            },
            log_disk: DiskId([2; 16]),
            zones: vec![
                ZoneMember {
                    name: "a".into(),
                    disks: vec![DiskId([2; 16]), DiskId([3; 16])],
                },
                ZoneMember {
                    name: "b".into(),
                    disks: vec![DiskId([4; 16])],
                },
            ],
            changes: Changes::default(),
        }
    }

    fn changed() -> Superblock {
        Superblock {
            state: DiskState::Joining,
            changes: Changes {
                number: 3,
                notes: vec![DiskNote {
                    disk: DiskId([3; 16]),
                    folder: "/mnt/new".into(),
                }],
                successors: vec![(DiskId([9; 16]), DiskId([3; 16]))],
                drained: Vec::new(),
            },
            ..sample()
        }
    }

    fn drained() -> Superblock {
        let mut block = changed();
        block.state = DiskState::Formed;
        let disk = DiskId([2; 16]);
        block.changes.drained.push(Drained { disk, zone: 0 });
        block
    }

    fn removed() -> Superblock {
        let mut block = drained();
        let disk = block.zones[1].disks.remove(0);
        block.changes.drained.push(Drained { disk, zone: 1 });
        block
    }

    #[test]
    fn superblock_decodes_to_what_was_encoded_and_any_flipped_bit_is_damage() {
        check_every_bit(&sample());
        check_every_bit(&changed());
        check_every_bit(&drained());
        check_every_bit(&removed());
    }

    fn check_every_bit(block: &Superblock) {
        let bytes = block.encode();
        assert_eq!(Superblock::decode(&bytes).unwrap(), *block);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(Superblock::decode(&bad), Err(SuperblockError::Damaged)),
                "bit {bit}"
            );
        }
        for len in 0..bytes.len() {
            assert!(Superblock::decode(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn superblock_of_a_newer_format_is_refused_by_version() {
        let mut bytes = sample().encode();
        bytes[8] = 5;
        let body = bytes.len() - 16;
        let sum = checksum128(CHECKSUM_SEED, &[&bytes[..body]]);
        bytes[body..].copy_from_slice(&sum);
        assert!(matches!(
            Superblock::decode(&bytes),
            Err(SuperblockError::Newer(5))
        ));
    }

    #[test]
    fn superblock_of_format_1_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/superblock-1.bin");
        assert_eq!(Superblock::decode(golden).unwrap(), sample());
        assert_eq!(sample().encode(), golden);
    }

    #[test]
    fn superblock_of_format_2_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/superblock-2.bin");
        assert_eq!(Superblock::decode(golden).unwrap(), changed());
        assert_eq!(changed().encode(), golden);
    }

    #[test]
    fn superblock_of_format_3_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/superblock-3.bin");
        assert_eq!(Superblock::decode(golden).unwrap(), drained());
        assert_eq!(drained().encode(), golden);
    }

    #[test]
    fn superblock_of_format_4_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/superblock-4.bin");
        assert_eq!(Superblock::decode(golden).unwrap(), removed());
        assert_eq!(removed().encode(), golden);
    }
}
