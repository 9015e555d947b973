//! The bytes of a segment, from one disk to another: what proves itself, with a new address.
//!
//! Nothing but the file is asked: a block says which it is, and its checksums over content and address
//! prove it (RFC 0011). What does not prove itself is not carried along, and it is told.
//!
//! Invariants
//! - Nothing is written that was not verified where it was read from.
//! - A block of the target that is good is not written again.

use std::io;
use std::sync::Arc;

use strongroom_base::{ALIGNMENT, AlignedBuf, FileRef, tasks};
use strongroom_blob::Rest;

use crate::block::{BLOCK_SIZE_BYTES, BlockIdentity, Proof, block_size};
use crate::lane::Lane;
use crate::segment::{GroupId, SEGMENT_HEADER_SIZE_BYTES};
use crate::store::Store;

/// Bytes read in one turn, as repair does.
const WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// Units that can not be read before a segment is given up: a disk that answers nothing but errors is
/// asked no further.
const UNREADABLE_UNITS_MAX: usize = 256;

/// A segment open on both disks.
pub(crate) struct Transfer {
    pub group: GroupId,
    pub shard: u8,
    pub from: Arc<Lane>,
    pub to: Arc<Lane>,
    pub source: FileRef,
    pub target: FileRef,
    pub len: u64,
}

/// What a pass over a segment found.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Passed {
    /// Bytes written to the target, and synced.
    pub written: u64,
    /// Whether there was something that is neither a good block nor a hole.
    pub dubious: bool,
}

/// What lies in a part of a segment.
#[derive(Default)]
struct Window {
    writes: Vec<(u64, AlignedBuf)>,
    /// Where the next one begins.
    next: u64,
    dubious: bool,
    newer: bool,
}

impl Store {
    /// Writes every block to the target that proves itself in the source and not there. `fresh`: the
    /// target is known to hold nothing. The error is a reason to try later.
    pub(crate) async fn transfer(
        &self,
        transfer: &Arc<Transfer>,
        fresh: bool,
        rest: &dyn Rest,
    ) -> Result<Passed, String> {
        let mut passed = Passed::default();
        let mut at = SEGMENT_HEADER_SIZE_BYTES;
        while at < transfer.len {
            let begun = self.clock.monotonic();
            let window = self.window(transfer, at, fresh).await?;
            if window.newer {
                return Err(
                    "it holds blocks of a newer format: use the program that wrote them".into(),
                );
            }
            for (offset, bytes) in window.writes {
                passed.written += bytes.len() as u64;
                let bytes = Arc::new(bytes);
                let write = async {
                    let queued = transfer.to.write(&transfer.target, offset, bytes).await;
                    queued.answer().await
                };
                self.on_lane(&transfer.to, write).await?;
            }
            passed.dubious |= window.dubious;
            let took = self.clock.monotonic().saturating_sub(begun);
            rest.after(window.next - at, took).await;
            at = window.next;
        }
        if passed.written > 0 || fresh {
            let sync = async { transfer.to.sync(&transfer.target).await.answer().await };
            self.on_lane(&transfer.to, sync).await?;
        }
        Ok(passed)
    }

    /// Waits for a request to a disk; a failure takes it out, or notes that it is full.
    pub(crate) async fn on_lane(
        &self,
        lane: &Arc<Lane>,
        work: impl Future<Output = Result<(), strongroom_zones::IoError>>,
    ) -> Result<(), String> {
        match self.lanes.while_served(lane.served(), work).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                self.disk_failed(lane.served(), &error.message, error.full);
                Err(format!("{}: {}", lane.disk.name, error.message))
            }
            None => Err(format!("{} left service", lane.disk.name)),
        }
    }

    async fn window(
        &self,
        transfer: &Arc<Transfer>,
        at: u64,
        fresh: bool,
    ) -> Result<Window, String> {
        let permits = (
            self.lanes.read_permit(transfer.from.disk.id).await,
            self.lanes.read_permit(transfer.to.disk.id).await,
        );
        let work = Arc::clone(transfer);
        let read = tasks::blocking(move || {
            let _permits = permits;
            work.window(at, fresh)
        });
        let served = self.lanes.while_served(transfer.from.served(), read);
        match tasks::timeout(self.settings.read_limit, served).await {
            Ok(Some(window)) => window.map_err(|error| format!("it can not be read: {error}")),
            Ok(None) => Err(format!("{} left service", transfer.from.disk.name)),
            Err(_) => Err(format!("{} does not answer", transfer.from.disk.name)),
        }
    }
}

impl Transfer {
    /// Reads a part of the source, and finds what is to be written. Blocks.
    fn window(&self, at: u64, fresh: bool) -> io::Result<Window> {
        let size = usize::try_from((self.len - at).min(WINDOW_BYTES as u64)).expect("bounded");
        let is_last = at + size as u64 >= self.len;
        let (bytes, all_read) = read_units(&self.source, at, size)?;
        let there = match fresh {
            true => None,
            // What can not be read there is written there.
            false => Some(read_units(&self.target, at, size).map(|(bytes, _)| bytes)?),
        };
        let mut window = self.scan(at, &bytes, there.as_deref(), is_last);
        window.dubious |= !all_read;
        Ok(window)
    }

    fn scan(&self, at: u64, bytes: &[u8], there: Option<&[u8]>, is_last: bool) -> Window {
        let mut window = Window::default();
        let mut wanted: Vec<(usize, BlockIdentity)> = Vec::new();
        let mut pos = 0;
        while pos < bytes.len() && (is_last || bytes.len() - pos >= BLOCK_SIZE_BYTES) {
            let end = bytes.len().min(pos + BLOCK_SIZE_BYTES);
            let (block, offset) = (&bytes[pos..end], at + pos as u64);
            match BlockIdentity::prove(block, self.group, self.shard, offset, self.from.disk.id) {
                Proof::Good(identity) => {
                    let size = block_size(identity.payload_size as usize);
                    let there = there.and_then(|there| there.get(pos..pos + size));
                    if !there.is_some_and(|there| identity.verify(there, self.to.disk.id)) {
                        wanted.push((pos, identity));
                    }
                    pos += size;
                }
                Proof::Newer => {
                    window.newer = true;
                    return window;
                }
                Proof::None => {
                    let unit = &block[..block.len().min(ALIGNMENT)];
                    window.dubious |= unit.iter().any(|byte| *byte != 0);
                    pos += unit.len();
                }
            }
        }
        window.next = at + pos as u64;
        window.writes = self.sealed(at, bytes, &wanted);
        window
    }

    /// The blocks as they are on the target, neighbours joined.
    fn sealed(
        &self,
        at: u64,
        bytes: &[u8],
        wanted: &[(usize, BlockIdentity)],
    ) -> Vec<(u64, AlignedBuf)> {
        let end = |(pos, identity): &(usize, BlockIdentity)| {
            pos + block_size(identity.payload_size as usize)
        };
        let stretches = wanted.chunk_by(|one, next| end(one) == next.0);
        let seal = |stretch: &[(usize, BlockIdentity)]| {
            let start = stretch[0].0;
            let stop = end(&stretch[stretch.len() - 1]);
            let mut out = AlignedBuf::zeroed(stop - start);
            out.copy_from_slice(&bytes[start..stop]);
            for block in stretch {
                let range = block.0 - start..end(block) - start;
                block.1.seal(&mut out[range], self.to.disk.id);
            }
            (at + start as u64, out)
        };
        stretches.map(seal).collect()
    }
}

/// Reads `size` bytes, less where the file ends. Units that can not be read are zero, and it is told.
fn read_units(file: &FileRef, at: u64, size: usize) -> io::Result<(AlignedBuf, bool)> {
    let mut bytes = AlignedBuf::zeroed(size.next_multiple_of(ALIGNMENT));
    if file.read_at(at, &mut bytes).is_ok() {
        return Ok((bytes, true));
    }
    let mut bad = 0;
    for (index, unit) in bytes.chunks_mut(ALIGNMENT).enumerate() {
        if let Err(error) = file.read_at(at + (index * ALIGNMENT) as u64, unit) {
            unit.fill(0);
            bad += 1;
            if bad > UNREADABLE_UNITS_MAX {
                return Err(error);
            }
        }
    }
    Ok((bytes, bad == 0))
}
