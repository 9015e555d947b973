//! What a power cut may leave: named variants of the disks at any event of a trace.
//!
//! [`Replay`] walks a trace once and keeps the state of each disk beside it, so that stopping at
//! every event costs no more than the events. At a stop, [`CrashStates`] lists the variants and
//! builds the one asked for as a new [`SimWorld`], on which recovery can run, be traced and crash
//! again. A variant prints as the text that names it in a failure.

use std::fmt;
use std::sync::Arc;

use crate::state::{DiskState, Fate, NodeId, Pending, SECTOR_SIZE_BYTES, mix};
use crate::trace::{Event, Op, Trace};
use crate::world::SimWorld;

/// Random subsets of the pending changes at each event.
const RANDOM_COUNT: u32 = 16;
/// Tears tried of the write the power cut comes with. All of them up to 8 KiB; of a longer write
/// the first sectors, the last, and some in between, others at each event.
const TORN_NEWEST_MAX: u64 = 16;
/// Tears tried of each older pending write: one, another at each event, as older writes are
/// pending at many events.
const TORN_OLDER_MAX: u64 = 1;

/// One way a power cut may leave the disks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Variant {
    /// All completed changes are there.
    Prefix,
    /// Nothing but what was synced.
    OnlySynced,
    /// All writes, and no name that was not synced.
    NamesGone,
    /// All names, and no write that was not synced.
    NamesOnly,
    /// All names, no write that was not synced, and files as long as if they were there.
    ZeroExtended,
    /// All but one pending change.
    Without(usize),
    /// All, with one pending write cut after so many bytes.
    Torn(usize, u64),
    /// All writes, and the first so many pending changes of names.
    NamesUpTo(usize),
    /// One disk has only what was synced, the others everything.
    Behind(usize),
    /// One disk has everything, the others only what was synced.
    Ahead(usize),
    /// Each pending change by a coin: absent, present or torn in any sector.
    Random(u32),
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => f.write_str("prefix"),
            Self::OnlySynced => f.write_str("only-synced"),
            Self::NamesGone => f.write_str("names-gone"),
            Self::NamesOnly => f.write_str("names-only"),
            Self::ZeroExtended => f.write_str("zero-extended"),
            Self::Without(index) => write!(f, "drop-each-pending({index})"),
            Self::Torn(index, at) => write!(f, "torn({index}, {at})"),
            Self::NamesUpTo(count) => write!(f, "names-up-to({count})"),
            Self::Behind(disk) => write!(f, "behind({disk})"),
            Self::Ahead(disk) => write!(f, "ahead({disk})"),
            Self::Random(n) => write!(f, "random({n})"),
        }
    }
}

/// Walks a trace and stops at each event.
pub struct Replay {
    trace: Trace,
    disks: Vec<DiskState>,
    /// Events carried out.
    position: usize,
}

impl Replay {
    /// At the start of the trace, before its first event.
    #[must_use]
    pub fn new(trace: &Trace) -> Self {
        Self {
            trace: trace.clone(),
            disks: trace.base.to_vec(),
            position: 0,
        }
    }

    /// Carries out the next event and hands it out; none at the end.
    pub fn advance(&mut self) -> Option<&Event> {
        let event = self.trace.events().get(self.position)?;
        self.position += 1;
        if let Some(disk) = event.disk {
            while self.disks.len() <= disk {
                self.disks.push(DiskState::new());
            }
            self.disks[disk].apply(event.seq, &event.op);
        }
        Some(event)
    }

    /// Events carried out so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// What a power cut right after the last event may leave.
    #[must_use]
    pub fn crash_states(&self) -> CrashStates {
        let last = self.position.checked_sub(1);
        let newest = last.map(|index| &self.trace.events()[index]);
        let newest = newest.filter(|event| matches!(event.op, Op::Write { .. }));
        let seed = mix(self.trace.seed, self.position as u64);
        let (disks, next_node) = (self.disks.clone(), self.trace.next_node);
        CrashStates::of_disks(disks, next_node, newest.map(|event| event.seq), seed)
    }
}

/// The states of all disks that a power cut at one instant may leave. Cheap to clone.
#[derive(Clone)]
pub struct CrashStates {
    disks: Arc<[DiskState]>,
    next_node: NodeId,
    /// The pending changes of all disks in order: disk, and index in the disk's own list.
    pending: Arc<[(usize, usize)]>,
    /// Event number of the write the power cut comes with.
    newest: Option<u64>,
    seed: u64,
}

impl CrashStates {
    /// The states after the first `event_count` events of `trace`. To visit many, use [`Replay`].
    #[must_use]
    pub fn new(trace: &Trace, event_count: usize) -> Self {
        let mut replay = Replay::new(trace);
        while replay.position() < event_count && replay.advance().is_some() {}
        replay.crash_states()
    }

    pub(crate) fn of_disks(
        disks: Vec<DiskState>,
        next_node: NodeId,
        newest: Option<u64>,
        seed: u64,
    ) -> Self {
        let mut pending: Vec<(u64, usize, usize)> = Vec::new();
        for (disk, state) in disks.iter().enumerate() {
            let of_disk = state.pending().iter().enumerate();
            pending.extend(of_disk.map(|(index, change)| (change.seq, disk, index)));
        }
        pending.sort_unstable();
        let pending = pending
            .into_iter()
            .map(|(_, disk, index)| (disk, index))
            .collect();
        Self {
            disks: disks.into(),
            next_node,
            pending,
            newest,
            seed,
        }
    }

    /// Changes that no sync covers.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Every variant that differs from the others in kind. With nothing pending there is one.
    #[must_use]
    pub fn variants(&self) -> Vec<Variant> {
        let mut variants = vec![Variant::Prefix];
        if self.pending.is_empty() {
            return variants;
        }
        variants.push(Variant::OnlySynced);
        let name_count = self.name_count();
        let has_writes = name_count < self.pending.len();
        if name_count > 0 && has_writes {
            variants.push(Variant::NamesGone);
            variants.push(Variant::NamesOnly);
        }
        if has_writes {
            variants.push(Variant::ZeroExtended);
        }
        if self.pending.len() > 1 {
            variants.extend((0..self.pending.len()).map(Variant::Without));
            variants.extend((1..name_count).map(Variant::NamesUpTo));
            variants.extend((0..RANDOM_COUNT).map(Variant::Random));
        } else {
            variants.extend((0..RANDOM_COUNT / 4).map(Variant::Random));
        }
        for index in 0..self.pending.len() {
            let tears = self.tears(index);
            variants.extend(tears.into_iter().map(|at| Variant::Torn(index, at)));
        }
        let is_dirty = |disk: &usize| !self.disks[*disk].pending().is_empty();
        let dirty: Vec<usize> = (0..self.disks.len()).filter(is_dirty).collect();
        if dirty.len() > 1 {
            variants.extend(dirty.iter().map(|disk| Variant::Behind(*disk)));
            variants.extend(dirty.iter().map(|disk| Variant::Ahead(*disk)));
        }
        variants
    }

    /// The disks as `variant` leaves them, under power, not tracing.
    #[must_use]
    pub fn build(&self, variant: Variant) -> SimWorld {
        let mut name_numbers = vec![Vec::new(); self.disks.len()];
        let mut global = vec![Vec::new(); self.disks.len()];
        let mut names_seen = 0;
        for (number, (disk, index)) in self.pending.iter().enumerate() {
            global[*disk].push(number);
            name_numbers[*disk].push(names_seen);
            names_seen += usize::from(self.change(*disk, *index).change.is_names());
        }
        let build_disk = |(disk, state): (usize, &DiskState)| {
            let fate = |index: usize, pending: &Pending| {
                let (number, name_number) = (global[disk][index], name_numbers[disk][index]);
                self.fate(variant, disk, number, name_number, pending)
            };
            state.after_power_cut(fate, self.grows(variant))
        };
        let disks = self.disks.iter().enumerate().map(build_disk).collect();
        SimWorld::with_disks(self.seed, disks, self.next_node)
    }

    /// Every variant with its disks.
    pub fn iter(&self) -> impl Iterator<Item = (Variant, SimWorld)> + '_ {
        self.variants()
            .into_iter()
            .map(|variant| (variant, self.build(variant)))
    }

    /// The fate of one pending change. `number` counts all pending changes of the world in order,
    /// `name_number` those of names before this one.
    fn fate(
        &self,
        variant: Variant,
        disk: usize,
        number: usize,
        name_number: usize,
        pending: &Pending,
    ) -> Fate {
        let is_name = pending.change.is_names();
        let is_present = match variant {
            Variant::Prefix => true,
            Variant::OnlySynced => false,
            Variant::NamesGone => !is_name,
            Variant::NamesOnly | Variant::ZeroExtended => is_name,
            Variant::Without(without) => number != without,
            Variant::Torn(torn, at) if number == torn => return Fate::Torn(at),
            Variant::Torn(..) => true,
            Variant::NamesUpTo(count) => !is_name || name_number < count,
            Variant::Behind(behind) => disk != behind,
            Variant::Ahead(ahead) => disk == ahead,
            Variant::Random(n) => return self.random_fate(n, number, is_name),
        };
        if is_present {
            Fate::Present
        } else {
            Fate::Absent
        }
    }

    fn random_fate(&self, n: u32, number: usize, is_name: bool) -> Fate {
        let draw = mix(mix(self.seed, u64::from(n)), number as u64);
        // Sparse, even and dense subsets in turn: losing one of many is as telling as losing most.
        let present_of_16 = [4, 8, 12, 14][n as usize % 4];
        let is_present = (draw >> 8) % 16 < present_of_16;
        match (is_present, is_name) {
            (_, false) if draw.is_multiple_of(4) => Fate::Scattered(draw),
            (true, _) => Fate::Present,
            (false, _) => Fate::Absent,
        }
    }

    fn grows(&self, variant: Variant) -> bool {
        match variant {
            Variant::ZeroExtended => true,
            Variant::Random(n) => mix(self.seed, u64::from(n)) & 1 == 0,
            _ => false,
        }
    }

    fn change(&self, disk: usize, index: usize) -> &Pending {
        &self.disks[disk].pending()[index]
    }

    fn name_count(&self) -> usize {
        let is_name =
            |(disk, index): &&(usize, usize)| self.change(*disk, *index).change.is_names();
        self.pending.iter().filter(is_name).count()
    }

    /// Where to tear a pending write: bytes of it that stay, each ending on a sector border.
    fn tears(&self, number: usize) -> Vec<u64> {
        let (disk, index) = self.pending[number];
        let pending = self.change(disk, index);
        let Some((offset, size)) = pending.change.write_extent() else {
            return Vec::new();
        };
        let first = SECTOR_SIZE_BYTES - offset % SECTOR_SIZE_BYTES;
        let border_count = size.saturating_sub(first).div_ceil(SECTOR_SIZE_BYTES);
        let border = |index: u64| first + index * SECTOR_SIZE_BYTES;
        let is_newest = self.newest == Some(pending.seq);
        let limit = if is_newest {
            TORN_NEWEST_MAX
        } else {
            TORN_OLDER_MAX
        };
        if border_count <= limit {
            return (0..border_count).map(border).collect();
        }
        let drawn = |n: u64| mix(mix(self.seed, number as u64), n) % border_count;
        let mut chosen: Vec<u64> = if is_newest {
            // The sectors of the first block, where headers are, and the last one.
            (0..8)
                .chain([border_count - 1])
                .chain((0..limit - 9).map(drawn))
                .collect()
        } else {
            (0..limit).map(drawn).collect()
        };
        chosen.sort_unstable();
        chosen.dedup();
        chosen.into_iter().map(border).collect()
    }
}
