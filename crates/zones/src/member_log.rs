//! The commit log of one member: files of batches on one of its disks.
//!
//! A file is named by a counter that grows with each file (at least the counter of its generation),
//! the number of its first batch and the tag of its generation, and is appended to by that
//! generation only, so a write that hung in an old file can land
//! whenever it likes (hazard H8). A later file supersedes every entry of earlier ones from its
//! first number on. That is how a log is cut: nothing is ever truncated.
//!
//! Reading trusts nothing: an entry is what passes its checksums and follows in number. Bytes that
//! do not decode are a *hole* when a valid batch of the file follows them, and the torn end of the
//! file otherwise.

use std::io;
use strongroom_base::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use strongroom_base::{ALIGNMENT, AlignedBuf, CreateOptions, DiskRef, FileRef, align_up};

use crate::batch::{BATCH_HEADER_SIZE_BYTES, Batch, BatchHeader};
use crate::superblock::StoreId;

/// The folder of log files on a disk.
pub(crate) const LOG_DIR: &str = "log";
/// Newest files synced before a log is believed: the one an earlier process appended to, and those
/// of attempts at a generation that came to nothing.
const SYNC_NEWEST_COUNT: usize = 4;
/// Bytes read at once while a file is scanned.
const SCAN_WINDOW_BYTES: usize = 1 << 20;

/// What is known of one batch in a file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub header: BatchHeader,
    /// Checksum of the header.
    pub checksum: [u8; 16],
    pub offset: u64,
    /// Whether the body passed its checksum when the file was scanned.
    pub good: bool,
}

/// The name of a log file. Ordered: a later file supersedes an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FileName {
    pub counter: u64,
    pub first: u64,
    pub random: u64,
}

impl FileName {
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".log")?.split('-');
        let mut next = || {
            let part = parts.next().filter(|part| part.len() == 16)?;
            u64::from_str_radix(part, 16).ok()
        };
        let name = Self {
            counter: next()?,
            first: next()?,
            random: next()?,
        };
        parts.next().is_none().then_some(name)
    }

    pub(crate) fn path(self) -> String {
        format!(
            "{LOG_DIR}/{:016x}-{:016x}-{:016x}.log",
            self.counter, self.first, self.random
        )
    }
}

/// Where a batch is in its file, in aligned blocks. Kept for every batch of the log, so it is
/// small: all else is read from the disk again when it is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    start: u32,
    /// None: a hole.
    count: u32,
}

const _: () = assert!(
    size_of::<Spot>() == 8,
    "a day of 100 batches a second is 69 MB"
);
const HOLE: Spot = Spot { start: 0, count: 0 };

impl Spot {
    /// `None` beyond 16 TiB: no log file is that long.
    fn new(offset: u64, size: usize) -> Option<Self> {
        Some(Self {
            start: u32::try_from(offset / ALIGNMENT as u64).ok()?,
            count: u32::try_from(size / ALIGNMENT).ok()?,
        })
    }

    const fn offset(self) -> u64 {
        self.start as u64 * ALIGNMENT as u64
    }

    const fn size(self) -> usize {
        self.count as usize * ALIGNMENT
    }

    const fn end(self) -> u64 {
        self.offset() + self.size() as u64
    }
}

pub(crate) struct LogFile {
    pub(crate) name: FileName,
    pub(crate) file: FileRef,
    /// Place of batch `name.first + index`. Read when first needed.
    spots: Mutex<Option<Vec<Spot>>>,
}

/// Where the next batch goes.
pub(crate) struct Tail {
    pub file: FileRef,
    pub offset: u64,
    log_file: Arc<LogFile>,
}

/// The log of one member on one disk.
pub(crate) struct MemberLog {
    pub(crate) disk: DiskRef,
    store: StoreId,
    pub(crate) files: RwLock<Vec<Arc<LogFile>>>,
    /// The first batch kept, once it was looked up: asking again must not touch a disk that hangs.
    pub(crate) first: Mutex<Option<u64>>,
}

impl MemberLog {
    /// Opens the log that is on `disk`; an absent folder is an empty log.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(disk: DiskRef, store: StoreId) -> io::Result<Self> {
        let names = match disk.list(LOG_DIR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let mut names: Vec<FileName> = names.iter().filter_map(|n| FileName::parse(n)).collect();
        names.sort_unstable();
        let mut files = Vec::new();
        for name in names {
            let file = disk.open(&name.path(), false)?;
            files.push(Arc::new(LogFile {
                name,
                file,
                spots: Mutex::new(None),
            }));
        }
        Ok(Self {
            disk,
            store,
            files: RwLock::new(files),
            first: Mutex::new(None),
        })
    }

    /// Creates the folder, durably.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create_dir(disk: &DiskRef) -> io::Result<()> {
        disk.create_dir(LOG_DIR)?;
        if !strongroom_base::planted("log_skip_dir_sync") {
            disk.sync_dir("")?;
        }
        Ok(())
    }

    /// Makes durable what an earlier process may have left in the page cache: it was killed between
    /// a write and its sync, and what is read must not be believed before a power cut can no longer
    /// take it back. Only the newest files can hold such bytes: a file is begun after what the one
    /// before it holds was synced, or given up.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync_newest(&self) -> io::Result<()> {
        let files = self.files.read().expect("no holder panics").clone();
        if files.is_empty() {
            return Ok(());
        }
        for file in files.iter().rev().take(SYNC_NEWEST_COUNT) {
            file.file.sync()?;
        }
        self.disk.sync_dir(LOG_DIR)
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.files.read().expect("no holder panics").is_empty()
    }

    /// Begins a file whose first batch will be `first`; `tag` is the generation's for its own files
    /// and any other number for copies. Its name is durable when this returns, and above every name
    /// of this log: order by name is order by creation.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(&self, counter: u64, first: u64, tag: u64, reserve: u64) -> io::Result<Tail> {
        let mut name = FileName {
            counter,
            first,
            random: tag,
        };
        if let Some(last) = self.files.read().expect("no holder panics").last() {
            name.counter = name.counter.max(last.name.counter);
            if (name.counter, name.first) <= (last.name.counter, last.name.first) {
                name.counter += 1;
            }
        }
        let options = CreateOptions {
            direct: true,
            reserve,
        };
        let file = self.disk.create(&name.path(), options)?;
        if !strongroom_base::planted("log_skip_dir_sync") {
            self.disk.sync_dir(LOG_DIR)?;
        }
        let readable = self.disk.open(&name.path(), false)?;
        let log_file = Arc::new(LogFile {
            name,
            file: readable,
            spots: Mutex::new(Some(Vec::new())),
        });
        self.files
            .write()
            .expect("no holder panics")
            .push(Arc::clone(&log_file));
        Ok(Tail {
            file,
            offset: 0,
            log_file,
        })
    }

    /// The newest file: the number of its first batch, and the tag in its name.
    pub fn newest(&self) -> Option<(u64, u64)> {
        let files = self.files.read().expect("no holder panics");
        files.last().map(|file| (file.name.first, file.name.random))
    }

    /// Writes and syncs one batch at the end of the log; for catch-up and membership.
    ///
    /// # Errors
    /// What the disk says; the tail must then not be used again.
    pub fn append(&self, tail: &mut Tail, batch: &Batch) -> io::Result<()> {
        self.write(tail, batch)?;
        tail.file.sync()
    }

    /// Writes one batch at the end without syncing.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, tail: &mut Tail, batch: &Batch) -> io::Result<()> {
        tail.file.write_at(tail.offset, &batch.encode())?;
        self.wrote(tail, &batch.header);
        Ok(())
    }

    /// Notes that the batch with `header` was written at the tail.
    pub fn wrote(&self, tail: &mut Tail, header: &BatchHeader) {
        let spot = Spot::new(tail.offset, header.size_on_disk());
        let mut spots = tail.log_file.spots.lock().expect("no holder panics");
        let spots = spots.get_or_insert_with(Vec::new);
        debug_assert_eq!(tail.log_file.name.first + spots.len() as u64, header.number);
        spots.push(spot.unwrap_or(HOLE));
        tail.offset += header.size_on_disk() as u64;
    }

    /// The entries from the file that holds batch `from` (or the first there is) to the end, with
    /// superseded ones dropped: the number of the first, and the entries (`None`: a hole).
    ///
    /// # Errors
    /// What the disk says.
    pub fn chain_from(&self, from: u64) -> io::Result<(u64, Vec<Option<Entry>>)> {
        let files = self.files.read().expect("no holder panics").clone();
        let mut scanned = Vec::new();
        for file in files.iter().rev() {
            let entries = self.entries(file)?;
            let is_start = file.name.first <= from && !entries.is_empty();
            scanned.push((file.name.first, entries));
            if is_start {
                break;
            }
        }
        let mut first = scanned.last().map_or(1, |(first, _)| *first);
        let mut chain: Vec<Option<Entry>> = Vec::new();
        for (begin, entries) in scanned.into_iter().rev() {
            if entries.is_empty() {
                continue;
            }
            if chain.is_empty() || begin < first {
                first = begin;
                chain.clear();
            }
            let keep = usize::try_from(begin - first).expect("entries fit memory");
            // A gap between files is a hole: batches that were there and are not.
            chain.resize(keep, None);
            chain.extend(entries);
        }
        Ok((first, chain))
    }

    /// The disk it is on.
    pub fn disk(&self) -> &DiskRef {
        &self.disk
    }

    /// Where batch `number` is: path of its file, offset and size there. `None` when it is not.
    ///
    /// # Errors
    /// What the disk says.
    pub fn place(&self, number: u64) -> io::Result<Option<(String, u64, usize)>> {
        let found = self.locate(number)?;
        Ok(found.map(|(file, spot)| (file.name.path(), spot.offset(), spot.size())))
    }

    /// Number of the last batch; 0 when there is none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn last(&self) -> io::Result<u64> {
        let files = self.files.read().expect("no holder panics").clone();
        for file in files.iter().rev() {
            let count = self.spot_count(file)? as u64;
            if count > 0 {
                return Ok(file.name.first + count - 1);
            }
        }
        Ok(0)
    }

    /// Number of the first batch kept; `None` when there is no batch.
    ///
    /// # Errors
    /// What the disk says.
    pub fn first(&self) -> io::Result<Option<u64>> {
        let known = *self.first.lock().expect("no holder panics");
        if known.is_some() {
            return Ok(known);
        }
        let files = self.files.read().expect("no holder panics").clone();
        for file in &files {
            if self.begins_well(file)? || self.spot_count(file)? > 0 {
                let mut first = self.first.lock().expect("no holder panics");
                return Ok(Some(*first.get_or_insert(file.name.first)));
            }
        }
        Ok(None)
    }

    /// Whether the first batch of a file is where it belongs: tells that a file is not empty
    /// without reading all of it.
    fn begins_well(&self, file: &LogFile) -> io::Result<bool> {
        let mut bytes = vec![0; BATCH_HEADER_SIZE_BYTES];
        let read = file.file.read_at(0, &mut bytes)?;
        Ok(self.own_header(file.name.first, &bytes[..read]).is_some())
    }

    /// Bytes of all files.
    ///
    /// # Errors
    /// What the disk says.
    pub fn size_bytes(&self) -> io::Result<u64> {
        let files = self.files.read().expect("no holder panics").clone();
        files.iter().map(|file| file.file.len()).sum()
    }

    /// Batches of a file, holes included; scans it when nobody did.
    fn spot_count(&self, file: &LogFile) -> io::Result<usize> {
        let count = |file: &LogFile| {
            let spots = file.spots.lock().expect("no holder panics");
            spots.as_ref().map(Vec::len)
        };
        match count(file) {
            Some(count) => Ok(count),
            None => Ok(self.entries(file)?.len()),
        }
    }

    /// Scans a file.
    fn entries(&self, file: &LogFile) -> io::Result<Vec<Option<Entry>>> {
        let entries = scan(&*file.file, self.store, file.name.first)?;
        let spot = |entry: &Option<Entry>| {
            let entry = entry.as_ref()?;
            Spot::new(entry.offset, entry.header.size_on_disk())
        };
        let spots = entries.iter().map(|entry| spot(entry).unwrap_or(HOLE));
        let mut known = file.spots.lock().expect("no holder panics");
        known.get_or_insert_with(|| spots.collect());
        Ok(entries)
    }

    /// The file that holds `number`, and its place there.
    pub(crate) fn locate(&self, number: u64) -> io::Result<Option<(Arc<LogFile>, Spot)>> {
        let files = self.files.read().expect("no holder panics").clone();
        for file in files.iter().rev().filter(|file| file.name.first <= number) {
            self.spot_count(file)?;
            let spots = file.spots.lock().expect("no holder panics");
            let spots = spots.as_deref().unwrap_or_default();
            if spots.is_empty() {
                continue;
            }
            let index = usize::try_from(number - file.name.first).unwrap_or(usize::MAX);
            let spot = spots.get(index).filter(|spot| spot.count > 0);
            return Ok(spot.map(|spot| (Arc::clone(file), *spot)));
        }
        Ok(None)
    }

    /// The header in `bytes`, when it is that of batch `number`.
    fn own_header(&self, number: u64, bytes: &[u8]) -> Option<BatchHeader> {
        let header = BatchHeader::decode(bytes).ok()?;
        (header.number == number && header.store == self.store).then_some(header)
    }

    /// The header of batch `number` with its checksum, as this log has it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn header(&self, number: u64) -> io::Result<Option<(BatchHeader, [u8; 16])>> {
        let Some((file, spot)) = self.locate(number)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; BATCH_HEADER_SIZE_BYTES];
        let read = file.file.read_at(spot.offset(), &mut bytes)?;
        let header = self.own_header(number, &bytes[..read]);
        Ok(header.map(|header| (header, header.checksum())))
    }

    /// Reads batch `number` and verifies it; `None` when it is not there or damaged.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(&self, number: u64) -> io::Result<Option<Batch>> {
        let Some((file, spot)) = self.locate(number)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; spot.size()];
        let read = file.file.read_at(spot.offset(), &mut bytes)?;
        bytes.truncate(read);
        let Some(header) = self.own_header(number, &bytes) else {
            return Ok(None);
        };
        let end = BATCH_HEADER_SIZE_BYTES + header.body_len as usize;
        if bytes.len() < end {
            return Ok(None);
        }
        let body = Bytes::from(bytes).slice(BATCH_HEADER_SIZE_BYTES..end);
        Ok(header.matches(&body).then_some(Batch { header, body }))
    }

    /// Reads part of the body of batch `number`, unverified; `None` when it is not there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read_part(&self, number: u64, offset: u32, len: u32) -> io::Result<Option<Bytes>> {
        let Some((file, spot)) = self.locate(number)? else {
            return Ok(None);
        };
        let at = spot.offset() + BATCH_HEADER_SIZE_BYTES as u64 + u64::from(offset);
        if at + u64::from(len) > spot.end() {
            return Ok(None);
        }
        let mut bytes = vec![0; len as usize];
        let read = file.file.read_at(at, &mut bytes)?;
        Ok((read == bytes.len()).then(|| Bytes::from(bytes)))
    }

    /// As [`MemberLog::read_part`], when that takes no wait: neither for the disk nor for somebody
    /// who waits for it.
    pub fn read_part_at_once(&self, number: u64, offset: u32, len: u32) -> Option<Bytes> {
        let files = self.files.try_read().ok()?;
        let mut older = files.iter().rev();
        let file = older.find(|file| file.name.first <= number)?;
        let spots = file.spots.try_lock().ok()?;
        let index = usize::try_from(number - file.name.first).ok()?;
        let spot = *spots.as_ref()?.get(index)?;
        drop(spots);
        let at = spot.offset() + BATCH_HEADER_SIZE_BYTES as u64 + u64::from(offset);
        if spot.count == 0 || at + u64::from(len) > spot.end() {
            return None;
        }
        let mut bytes = vec![0; len as usize];
        file.file
            .read_at_once(at, &mut bytes)
            .then(|| Bytes::from(bytes))
    }

    /// Rewrites batch `number` where it belongs: the content is what was there, so doing it twice,
    /// or late, changes nothing. `false` when its place is not known.
    ///
    /// # Errors
    /// What the disk says.
    pub fn repair(&self, batch: &Batch) -> io::Result<bool> {
        let number = batch.header.number;
        let files = self.files.read().expect("no holder panics").clone();
        let Some(file) = files.iter().rev().find(|file| file.name.first <= number) else {
            return Ok(false);
        };
        let size = batch.header.size_on_disk();
        let Some(spot) = Self::place_of(file, number, size) else {
            return Ok(false);
        };
        let writable = self.disk.open(&file.name.path(), true)?;
        writable.write_at(spot.offset(), &batch.encode())?;
        writable.sync()?;
        let mut spots = file.spots.lock().expect("no holder panics");
        let index = usize::try_from(number - file.name.first).expect("it has a place");
        if let Some(slot) = spots.as_mut().and_then(|spots| spots.get_mut(index)) {
            *slot = spot;
        }
        Ok(true)
    }

    /// Where batch `number` of `size` bytes starts in `file`: where it is, or right behind the one
    /// before it. `None` when it is not known, or would not fit: then it stood elsewhere.
    fn place_of(file: &LogFile, number: u64, size: usize) -> Option<Spot> {
        let spots = file.spots.lock().expect("no holder panics");
        let spots = spots.as_ref()?;
        let index = usize::try_from(number - file.name.first).ok()?;
        let known = spots.get(index)?;
        if known.count > 0 {
            return (known.size() == size).then_some(*known);
        }
        let before = match index.checked_sub(1) {
            None => 0,
            Some(index) => Some(spots[index]).filter(|spot| spot.count > 0)?.end(),
        };
        let spot = Spot::new(before, size)?;
        let next = spots[index + 1..].iter().find(|spot| spot.count > 0)?;
        (spot.end() <= next.offset()).then_some(spot)
    }
}

/// A file read through a window, for scanning.
struct Window<'a> {
    file: &'a dyn strongroom_base::DiskFile,
    len: u64,
    start: u64,
    bytes: AlignedBuf,
    filled: usize,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn strongroom_base::DiskFile) -> io::Result<Self> {
        let len = file.len()?;
        let size = SCAN_WINDOW_BYTES.min(align_up(
            usize::try_from(len)
                .unwrap_or(usize::MAX)
                .min(SCAN_WINDOW_BYTES),
        ));
        Ok(Self {
            file,
            len,
            start: 0,
            bytes: AlignedBuf::zeroed(size),
            filled: 0,
        })
    }

    /// Up to `len` bytes at `offset`; fewer at the end of the file.
    fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let held = self.start..self.start + self.filled as u64;
        if !(held.contains(&offset) && offset + len as u64 <= held.end) {
            if self.bytes.len() < len {
                self.bytes = AlignedBuf::zeroed(align_up(len));
            }
            self.start = offset;
            self.filled = self.file.read_at(offset, &mut self.bytes)?;
        }
        let from = usize::try_from(offset - self.start).expect("inside the window");
        Ok(&self.bytes[from..self.filled.min(from + len)])
    }
}

/// Reads all entries of a file whose first batch should be `first`.
fn scan(
    file: &dyn strongroom_base::DiskFile,
    store: StoreId,
    first: u64,
) -> io::Result<Vec<Option<Entry>>> {
    let mut window = Window::new(file)?;
    let mut entries: Vec<Option<Entry>> = Vec::new();
    let mut offset = 0;
    while offset < window.len {
        let expected = first + entries.len() as u64;
        match entry_at(&mut window, store, offset)? {
            Some(entry) if entry.header.number == expected => {
                offset += entry.header.size_on_disk() as u64;
                entries.push(Some(entry));
            }
            // A batch that does not follow: the file holds what it should not, or a hole ended.
            Some(entry)
                if entry.header.number > expected && hole_fits(&entry, expected, offset) =>
            {
                let missing = usize::try_from(entry.header.number - expected).expect("it fits");
                entries.extend(std::iter::repeat_n(None, missing));
                offset += entry.header.size_on_disk() as u64;
                entries.push(Some(entry));
            }
            _ => offset += ALIGNMENT as u64,
        }
    }
    if strongroom_base::planted("log_cut_at_damage") {
        let end = entries
            .iter()
            .position(|e| !e.as_ref().is_some_and(|e| e.good));
        entries.truncate(end.unwrap_or(entries.len()));
    }
    Ok(entries)
}

/// Whether the missing batches could have stood in the bytes before `offset`: each takes at least
/// one aligned block. Keeps a wild number from growing the table.
fn hole_fits(entry: &Entry, expected: u64, offset: u64) -> bool {
    (entry.header.number - expected) <= offset / ALIGNMENT as u64
}

fn entry_at(window: &mut Window<'_>, store: StoreId, offset: u64) -> io::Result<Option<Entry>> {
    let Ok(header) = BatchHeader::decode(window.bytes(offset, BATCH_HEADER_SIZE_BYTES)?) else {
        return Ok(None);
    };
    if header.store != store {
        return Ok(None);
    }
    let whole = BATCH_HEADER_SIZE_BYTES + header.body_len as usize;
    let bytes = window.bytes(offset, whole)?;
    let good = bytes.len() == whole && header.matches(&bytes[BATCH_HEADER_SIZE_BYTES..]);
    Ok(Some(Entry {
        header,
        checksum: header.checksum(),
        offset,
        good,
    }))
}
