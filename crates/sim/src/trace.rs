//! The trace: every change of every disk of a world, in the order in which it happened.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::fault::OpKind;
use crate::state::{DiskState, NodeId};

/// Something a test wrote into the trace: "client 3 was answered 200".
#[derive(Clone)]
pub struct Mark(Arc<dyn MarkValue>);

impl Mark {
    pub(crate) fn new(value: impl Any + fmt::Debug + Send + Sync) -> Self {
        Self(Arc::new(value))
    }
}

trait MarkValue: Any + fmt::Debug + Send + Sync {}
impl<T: Any + fmt::Debug + Send + Sync> MarkValue for T {}

/// One change of one disk. Carries what a replay needs to repeat it.
#[derive(Clone)]
pub(crate) enum Op {
    CreateDir {
        dir: NodeId,
        name: String,
        node: NodeId,
    },
    Create {
        dir: NodeId,
        name: String,
        node: NodeId,
    },
    Write {
        node: NodeId,
        offset: u64,
        data: Arc<[u8]>,
    },
    SetLen {
        node: NodeId,
        len: u64,
    },
    Punch {
        node: NodeId,
        offset: u64,
        len: u64,
    },
    /// Covers the changes of the file that came before event `upto`, when the sync began.
    Sync {
        node: NodeId,
        upto: u64,
    },
    /// The sync failed and the pending writes of the file are forgotten.
    SyncFailed {
        node: NodeId,
    },
    Rename {
        from: (NodeId, String),
        to: (NodeId, String),
        node: NodeId,
    },
    Remove {
        dir: NodeId,
        name: String,
    },
    SyncDir {
        dir: NodeId,
    },
    /// The disk was wiped, restored or tampered with.
    Replace(Arc<DiskState>),
    Mark(Mark),
}

/// One entry of a [`Trace`].
#[derive(Clone)]
pub struct Event {
    /// Position among all changes and marks of the world.
    pub seq: u64,
    /// The disk that changed; none for a mark.
    pub disk: Option<usize>,
    /// The file or folder that changed.
    pub path: Arc<str>,
    pub(crate) op: Op,
}

impl Event {
    /// The kind of call that made the change; none for marks and for acts of the test.
    #[must_use]
    pub fn kind(&self) -> Option<OpKind> {
        Some(match &self.op {
            Op::CreateDir { .. } => OpKind::CreateDir,
            Op::Create { .. } => OpKind::Create,
            Op::Write { .. } => OpKind::Write,
            Op::SetLen { .. } => OpKind::SetLen,
            Op::Punch { .. } => OpKind::Punch,
            Op::Sync { .. } | Op::SyncFailed { .. } => OpKind::Sync,
            Op::Rename { .. } => OpKind::Rename,
            Op::Remove { .. } => OpKind::Remove,
            Op::SyncDir { .. } => OpKind::SyncDir,
            Op::Replace(_) | Op::Mark(_) => return None,
        })
    }

    /// What the test wrote, if this is a mark of that type.
    #[must_use]
    pub fn mark<T: Any>(&self) -> Option<&T> {
        match &self.op {
            Op::Mark(mark) => {
                let value: &dyn Any = mark.0.as_ref();
                value.downcast_ref()
            }
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seq)?;
        if let Some(disk) = self.disk {
            write!(f, " disk {disk} {}", self.path)?;
        }
        match &self.op {
            Op::CreateDir { .. } => f.write_str(" create folder"),
            Op::Create { .. } => f.write_str(" create"),
            Op::Write { offset, data, .. } => write!(f, " write {offset}+{}", data.len()),
            Op::SetLen { len, .. } => write!(f, " set length {len}"),
            Op::Punch { offset, len, .. } => write!(f, " punch {offset}+{len}"),
            Op::Sync { .. } => f.write_str(" sync"),
            Op::SyncFailed { .. } => f.write_str(" failed sync"),
            Op::Rename { to, .. } => write!(f, " rename to {}", to.1),
            Op::Remove { .. } => f.write_str(" remove"),
            Op::SyncDir { .. } => f.write_str(" sync folder"),
            Op::Replace(_) => f.write_str(" replaced by the test"),
            Op::Mark(mark) => write!(f, " mark {:?}", mark.0),
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What happened to a world from some moment on. Cheap to clone.
#[derive(Clone)]
pub struct Trace {
    pub(crate) seed: u64,
    pub(crate) base: Arc<[DiskState]>,
    /// First node id that nothing in the trace uses.
    pub(crate) next_node: NodeId,
    events: Arc<[Event]>,
}

impl Trace {
    pub(crate) fn new(
        seed: u64,
        base: Vec<DiskState>,
        next_node: NodeId,
        events: Vec<Event>,
    ) -> Self {
        Self {
            seed,
            base: base.into(),
            next_node,
            events: events.into(),
        }
    }

    /// The events in order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}
