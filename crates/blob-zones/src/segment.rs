//! The segment file: its name, its header, and the rule that a failure seals it.
//!
//! The header describes the whole group, so that any one file tells where the others belong.
//!
//! Invariants
//! - The header of a shard follows from the header of any other shard of the group.
//! - Once a write or sync of a file failed, every later one on the same file object fails too: the
//!   kernel may have dropped pages of other uploads, and says so only once (hazard H35).

use std::fmt;
use std::io;
use std::sync::Mutex;

use strongroom_base::{AlignedBuf, DiskFile, FileRef};
use strongroom_zones::{DiskId, Reader, StoreId, Writer, checksum128};

/// Folder of the segment files on a disk.
pub const SEGMENT_DIR: &str = "segments";
/// Bytes of a segment's header.
pub const SEGMENT_HEADER_SIZE_BYTES: u64 = 4096;
/// Newest segment format this build writes and reads.
pub const SEGMENT_FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"STRGRMSG";
const CHECKSUM_SEED: u64 = 0x5345_474d_454e_5448;
const CHECKSUM_AT: usize = SEGMENT_HEADER_SIZE_BYTES as usize - 16;

/// Identity of a segment group: random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub [u8; 16]);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Path of a segment on its disk.
pub(crate) fn segment_path(group: GroupId, shard_index: usize) -> String {
    format!("{SEGMENT_DIR}/{group}.{shard_index}.seg")
}

/// The group and shard a file name stands for; `None` for names that are not ours.
pub(crate) fn parse_segment_name(name: &str) -> Option<(GroupId, usize)> {
    let mut parts = name.strip_suffix(".seg")?.split('.');
    let (group, index) = (parts.next()?, parts.next()?);
    let mut id = [0; 16];
    hex::decode_to_slice(group, &mut id).ok()?;
    let index: u8 = index.parse().ok()?;
    (parts.next().is_none()).then_some((GroupId(id), usize::from(index)))
}

/// What a segment says about its group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub store: StoreId,
    pub group: GroupId,
    pub shard_index: u8,
    pub data_count: u8,
    pub parity_count: u8,
    pub run: u64,
    /// Grows when a shard of the group is moved to another disk; the highest is right.
    pub sequence: u64,
    /// The disk of each shard.
    pub disks: Vec<DiskId>,
}

/// Why a header can not be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderError {
    Damaged,
    Newer(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> AlignedBuf {
        let mut w = Writer::new();
        w.bytes(MAGIC)
            .u32(SEGMENT_FORMAT)
            .bytes(&self.store.0)
            .bytes(&self.group.0);
        w.u8(self.shard_index)
            .u8(self.data_count)
            .u8(self.parity_count);
        w.u64(self.run).u64(self.sequence);
        w.u16(u16::try_from(self.disks.len()).expect("a group has few disks"));
        for disk in &self.disks {
            w.bytes(&disk.0);
        }
        let mut out = AlignedBuf::zeroed(SEGMENT_HEADER_SIZE_BYTES as usize);
        out[..w.0.len()].copy_from_slice(&w.0);
        let sum = checksum128(CHECKSUM_SEED, &[&out[..CHECKSUM_AT]]);
        out[CHECKSUM_AT..].copy_from_slice(&sum);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let (body, sum) = bytes
            .split_at_checked(CHECKSUM_AT)
            .ok_or(HeaderError::Damaged)?;
        if !body.starts_with(MAGIC) || checksum128(CHECKSUM_SEED, &[body]) != sum {
            return Err(HeaderError::Damaged);
        }
        let mut r = Reader::new(&body[MAGIC.len()..]);
        let format = r.u32().map_err(|_| HeaderError::Damaged)?;
        if format > SEGMENT_FORMAT {
            return Err(HeaderError::Newer(format));
        }
        Self::decode_body(&mut r).ok_or(HeaderError::Damaged)
    }

    fn decode_body(r: &mut Reader<'_>) -> Option<Self> {
        let mut header = Self {
            store: StoreId(r.array().ok()?),
            group: GroupId(r.array().ok()?),
            shard_index: r.u8().ok()?,
            data_count: r.u8().ok()?,
            parity_count: r.u8().ok()?,
            run: r.u64().ok()?,
            sequence: r.u64().ok()?,
            disks: Vec::new(),
        };
        let count = usize::from(r.u16().ok()?);
        if count != usize::from(header.data_count) + usize::from(header.parity_count) {
            return None;
        }
        for _ in 0..count {
            header.disks.push(DiskId(r.array().ok()?));
        }
        (usize::from(header.shard_index) < count && header.data_count > 0).then_some(header)
    }

    /// The header of another shard of the same group.
    pub(crate) fn of_shard(&self, shard_index: usize) -> Self {
        let shard_index = u8::try_from(shard_index).expect("a group has few shards");
        Self {
            shard_index,
            ..self.clone()
        }
    }
}

/// A segment open for writing: refuses everything after the first failure.
pub(crate) struct SegmentFile {
    inner: FileRef,
    /// The kind of the first failure.
    sealed: Mutex<Option<io::ErrorKind>>,
}

impl SegmentFile {
    pub(crate) fn new(inner: FileRef) -> Self {
        Self {
            inner,
            sealed: Mutex::new(None),
        }
    }

    fn check(&self) -> io::Result<()> {
        match *self.sealed.lock().expect("no holder panics") {
            Some(kind) => Err(io::Error::new(kind, "segment sealed by an earlier failure")),
            None => Ok(()),
        }
    }

    fn sealing(&self, result: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &result {
            self.sealed
                .lock()
                .expect("no holder panics")
                .get_or_insert(error.kind());
        }
        result
    }
}

impl DiskFile for SegmentFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, out)
    }
    fn read_at_once(&self, offset: u64, out: &mut [u8]) -> bool {
        self.inner.read_at_once(offset, out)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.sealing(self.inner.write_at(offset, data))
    }
    fn sync(&self) -> io::Result<()> {
        self.check()?;
        if strongroom_base::planted("blob_ack_before_sync") {
            return Ok(());
        }
        self.sealing(self.inner.sync())
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.reserve(offset, len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.punch(offset, len)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    pub(crate) fn sample() -> SegmentHeader {
        SegmentHeader {
            store: StoreId([1; 16]),
            group: GroupId([2; 16]),
            shard_index: 1,
            data_count: 2,
            parity_count: 1,
            run: 9,
            sequence: 0,
            disks: vec![DiskId([3; 16]), DiskId([4; 16]), DiskId([5; 16])],
        }
    }

    #[test]
    fn header_decodes_to_what_was_encoded_and_any_flipped_bit_is_damage() {
        let bytes = sample().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(sample()));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                SegmentHeader::decode(&bad),
                Err(HeaderError::Damaged),
                "bit {bit}"
            );
        }
        assert_eq!(
            SegmentHeader::decode(&bytes[..4095]),
            Err(HeaderError::Damaged)
        );
    }

    #[test]
    fn header_of_a_newer_format_is_refused_by_version() {
        let mut bytes = sample().encode().to_vec();
        bytes[8] = 2;
        let sum = checksum128(CHECKSUM_SEED, &[&bytes[..CHECKSUM_AT]]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum);
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Newer(2)));
    }

    #[test]
    fn header_of_format_1_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/segment-header-1.bin");
        assert_eq!(SegmentHeader::decode(golden), Ok(sample()));
        assert_eq!(&sample().encode()[..], golden);
    }

    #[test]
    fn names_of_segments_parse_back_and_other_names_do_not() {
        let path = segment_path(GroupId([0xab; 16]), 11);
        let name = path.strip_prefix("segments/").unwrap();
        assert_eq!(parse_segment_name(name), Some((GroupId([0xab; 16]), 11)));
        for bad in [
            "",
            "x.seg",
            "00.1.seg",
            "lost+found",
            "ab.1.2.seg",
            "..seg",
            ".300.seg",
        ] {
            assert_eq!(parse_segment_name(bad), None, "{bad}");
        }
    }

    /// H35: a sync that fails once never counts as good again, for anyone who shares the file.
    #[test]
    fn h35_a_sync_after_a_failed_sync_fails_although_the_disk_would_say_yes() {
        struct FailsOnce(AtomicBool);
        impl DiskFile for FailsOnce {
            fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
                Ok(0)
            }
            fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
                Ok(())
            }
            fn sync(&self) -> io::Result<()> {
                match self.0.swap(true, Ordering::SeqCst) {
                    false => Err(io::Error::other("medium error")),
                    true => Ok(()),
                }
            }
            fn len(&self) -> io::Result<u64> {
                Ok(0)
            }
            fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
                Ok(())
            }
            fn set_len(&self, _: u64) -> io::Result<()> {
                Ok(())
            }
            fn punch(&self, _: u64, _: u64) -> io::Result<()> {
                Ok(())
            }
        }
        let file = SegmentFile::new(std::sync::Arc::new(FailsOnce(AtomicBool::new(false))));
        file.write_at(0, &[]).unwrap();
        assert!(file.sync().is_err());
        assert!(file.sync().is_err());
        assert!(file.write_at(0, &[]).is_err());
    }
}
