//! Rules that make a running disk misbehave.

use std::io;
use std::time::Duration;

/// A kind of call on a disk or file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpKind {
    /// Matches every call (in a [`Fault`]).
    Any,
    Read,
    Write,
    Sync,
    SetLen,
    /// Making a hole.
    Punch,
    Create,
    Open,
    List,
    CreateDir,
    Rename,
    Remove,
    SyncDir,
    /// Asking for the length or for free space.
    Stat,
}

impl OpKind {
    fn is_change(self) -> bool {
        !matches!(self, Self::Read | Self::Open | Self::List | Self::Stat)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The call fails with EIO and does nothing. A file whose sync fails so keeps its pending
    /// writes: a second sync would be honest. See [`FaultKind::TornSync`] for the other kind.
    Eio,
    /// The call fails with ENOSPC. Only calls that can need space.
    NoSpace,
    /// Calls that change something fail with EROFS.
    ReadOnly,
    /// A read gives its bytes with one bit changed. What is stored stays good.
    BitFlip,
    /// A read gives garbage in place of one 4 KiB block. What is stored stays good.
    Garbage,
    /// A write lands so many bytes further on, and is reported as done.
    Misdirected(u64),
    /// A write is reported as done and never stored.
    LostWrite,
    /// A sync fails and the kernel forgets the pending writes; the next sync reports success and
    /// makes none of them durable (hazard H35).
    TornSync,
    /// The folder is gone: names are not found, open files fail.
    Vanished,
    /// Calls block until the fault is lifted; then they go on as if nothing had been.
    Frozen,
    /// Calls take so much longer.
    Slow(Duration),
}

/// A rule: which calls, and what becomes of them. `..Fault::default()` matches every call on
/// every disk, from now on, with [`FaultKind::Eio`].
#[derive(Clone, Debug)]
pub struct Fault {
    /// The disk; none for all.
    pub disk: Option<usize>,
    /// A part of the path the file was opened with. Empty matches all.
    pub path_contains: String,
    pub op: OpKind,
    pub kind: FaultKind,
    /// Matching calls that go well before the first bad one.
    pub after: u64,
    /// Bad calls before the rule ends by itself.
    pub count: u64,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            disk: None,
            path_contains: String::new(),
            op: OpKind::Any,
            kind: FaultKind::Eio,
            after: 0,
            count: u64::MAX,
        }
    }
}

/// Names a rule, to lift it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultId(pub(crate) u64);

pub(crate) struct Rule {
    pub id: FaultId,
    fault: Fault,
    hits: u64,
}

impl Rule {
    pub fn new(id: FaultId, fault: Fault) -> Self {
        Self { id, fault, hits: 0 }
    }

    /// Calls that went wrong so far.
    pub fn strike_count(&self) -> u64 {
        let bad = self.hits.saturating_sub(self.fault.after);
        bad.min(self.fault.count)
    }

    /// Counts the call when the rule is about it, and answers whether it goes wrong.
    pub fn strikes(&mut self, disk: usize, path: &str, op: OpKind) -> Option<FaultKind> {
        let fault = &self.fault;
        let is_meant = fault.disk.is_none_or(|d| d == disk)
            && path.contains(&fault.path_contains)
            && (fault.op == OpKind::Any || fault.op == op)
            && fault.kind.concerns(op);
        if !is_meant {
            return None;
        }
        self.hits += 1;
        let bad = self.hits.checked_sub(fault.after + 1)?;
        (bad < fault.count).then_some(fault.kind)
    }
}

impl FaultKind {
    fn concerns(self, op: OpKind) -> bool {
        match self {
            Self::Eio | Self::Vanished | Self::Frozen | Self::Slow(_) => true,
            Self::NoSpace => matches!(
                op,
                OpKind::Write
                    | OpKind::SetLen
                    | OpKind::Create
                    | OpKind::CreateDir
                    | OpKind::Rename
                    | OpKind::Sync
            ),
            Self::ReadOnly => op.is_change() && op != OpKind::Sync && op != OpKind::SyncDir,
            Self::BitFlip | Self::Garbage => op == OpKind::Read,
            Self::Misdirected(_) | Self::LostWrite => op == OpKind::Write,
            Self::TornSync => op == OpKind::Sync,
        }
    }

    /// The error of a call that fails without effect.
    pub(crate) fn error(self, is_file_call: bool) -> Option<io::Error> {
        match self {
            Self::Eio => Some(eio()),
            Self::NoSpace => Some(no_space()),
            Self::ReadOnly => Some(io::Error::from_raw_os_error(EROFS)),
            Self::Vanished if is_file_call => Some(eio()),
            Self::Vanished => Some(io::Error::from_raw_os_error(ENOENT)),
            _ => None,
        }
    }
}

// The numbers Linux gives, so that the engine sees the error kinds it would see there.
const ENOENT: i32 = 2;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

pub(crate) fn eio() -> io::Error {
    io::Error::from_raw_os_error(EIO)
}

pub(crate) fn no_space() -> io::Error {
    io::Error::from_raw_os_error(ENOSPC)
}
