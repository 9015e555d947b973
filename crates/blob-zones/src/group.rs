//! Open segment groups: where new stripes go.
//!
//! A group is k+m files on k+m disks, made durable before its first stripe, and closed for good by
//! the first failure. Uploads share a group and append in extents of their own.
//!
//! Invariants
//! - An offset is handed to a disk at most once: what an extent gives back was never queued.
//! - A group takes no stripe after a write or sync of it failed, or one of its disks left service
//!   since before the group was created (hazards H8, H10, H35).
//! - Nothing reopens a group of an earlier process.

use std::sync::{Arc, Mutex, MutexGuard};

use strongroom_base::FileRef;
use strongroom_zones::{DiskId, Disks};

use crate::code::Code;
use crate::geometry::Geometry;
use crate::lane::{Lane, Served};
use crate::segment::{GroupId, SEGMENT_HEADER_SIZE_BYTES};

/// A group that takes new stripes.
pub(crate) struct OpenGroup {
    pub id: GroupId,
    pub code: Code,
    pub lanes: Vec<Arc<Lane>>,
    pub files: Vec<FileRef>,
    segment_size: u64,
    state: Mutex<State>,
}

struct State {
    /// Where the next extent begins.
    next: u64,
    /// Bytes reserved on every disk.
    reserved: u64,
    closed: bool,
    failed: bool,
}

impl OpenGroup {
    pub(crate) fn new(
        id: GroupId,
        code: Code,
        lanes: Vec<Arc<Lane>>,
        files: Vec<FileRef>,
        segment_size: u64,
        reserved: u64,
    ) -> Self {
        let state = State {
            next: SEGMENT_HEADER_SIZE_BYTES,
            reserved,
            closed: false,
            failed: false,
        };
        Self {
            id,
            code,
            lanes,
            files,
            segment_size,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// The disks, with the time they were in service since before the group's files were made.
    pub(crate) fn served(&self) -> Vec<Served> {
        self.lanes.iter().map(|lane| lane.served()).collect()
    }

    pub(crate) fn disk_ids(&self) -> Vec<DiskId> {
        self.lanes.iter().map(|lane| lane.disk.id).collect()
    }

    /// Closes the group after a failure: nothing is written to it from here on.
    pub(crate) fn fail(&self) {
        let mut state = self.lock();
        state.failed = true;
        state.closed = true;
    }

    /// Whether it may be written to: nothing failed and no disk left service.
    pub(crate) fn is_sound(&self, disks: &Disks) -> bool {
        !self.lock().failed && disks.unbroken(&self.served())
    }

    /// Whether it takes new extents. None on a disk that is drained: it would never be empty.
    pub(crate) fn is_usable(&self, disks: &Disks) -> bool {
        let layout = disks.layout();
        let drained = self
            .lanes
            .iter()
            .any(|lane| layout.is_drained(lane.disk.id));
        !self.lock().closed && !drained && self.is_sound(disks)
    }

    /// Bytes reserved so far.
    pub(crate) fn reserved(&self) -> u64 {
        self.lock().reserved
    }

    pub(crate) fn set_reserved(&self, reserved: u64) {
        let mut state = self.lock();
        state.reserved = state.reserved.max(reserved);
    }

    /// Takes room for `bytes` of a stream, or for as many full stripes as fit. `None` when the
    /// group is closed or has room for nothing; it is then closed.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64, geometry: Geometry) -> Option<Extent> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let room = self.segment_size - state.next;
        let bytes = if geometry.run_size(bytes) <= room {
            bytes
        } else {
            room / geometry.shard_size_full() * geometry.stripe_bytes()
        };
        if bytes == 0 {
            state.closed = true;
            return None;
        }
        let offset = state.next;
        state.next += geometry.run_size(bytes);
        let end = state.next;
        drop(state);
        Some(Extent {
            group: Arc::clone(self),
            geometry,
            offset,
            end,
            bytes,
            used_bytes: 0,
        })
    }
}

/// Room for stripes in a group, for one upload.
pub(crate) struct Extent {
    pub group: Arc<OpenGroup>,
    pub geometry: Geometry,
    pub offset: u64,
    pub end: u64,
    /// Bytes of the stream that fit.
    pub bytes: u64,
    /// Bytes of the stream in stripes that were handed to the disks.
    pub used_bytes: u64,
}

impl Drop for Extent {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        if state.next == self.end {
            state.next = self.offset + self.geometry.run_size(self.used_bytes);
        }
    }
}
