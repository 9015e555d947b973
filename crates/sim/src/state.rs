//! One disk: what a running program sees, what is durable, and what lies between.
//!
//! Every file and folder is a node with two sides. The *live* side is the page cache: all completed
//! changes. The *durable* side is what a power cut leaves for sure. A change that no sync covered
//! yet is *pending*; after a power cut each pending change may have happened, in part or not at all.
//!
//! The same [`DiskState::apply`] serves the running disk and the replay of its trace, so a replay
//! cannot drift from what ran.
//!
//! Rules, chosen to be at least as harsh as ext4 with its journal:
//! - Syncing a file makes its content and length durable, never its name.
//! - Syncing a folder makes the names in it durable, never their content.
//! - Pending changes of names are independent of each other, but a rename is never half done.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::content::Content;
use crate::trace::Op;

/// Identity of a file or folder; unique in a world, so that a handle never reaches another file.
pub(crate) type NodeId = u64;
/// The folder the disk is.
pub(crate) const ROOT: NodeId = 0;
/// The unit a drive writes whole: a torn write ends on such a border.
pub(crate) const SECTOR_SIZE_BYTES: u64 = 512;

type Names = BTreeMap<String, NodeId>;

#[derive(Clone)]
enum Node {
    File {
        live: Arc<Content>,
        durable: Arc<Content>,
        /// The live side holds writes that a failed sync dropped: a later sync does not cover them.
        is_tainted: bool,
    },
    Dir {
        live: Arc<Names>,
        durable: Arc<Names>,
    },
}

/// One name in a folder set to a node, or removed.
type NameChange = (NodeId, String, Option<NodeId>);

#[derive(Clone)]
pub(crate) enum Change {
    Write {
        node: NodeId,
        offset: u64,
        data: Arc<[u8]>,
    },
    SetLen {
        node: NodeId,
        len: u64,
    },
    /// A hole: in part, it covers the first so many bytes, or any of its sectors.
    Punch {
        node: NodeId,
        offset: u64,
        len: u64,
    },
    /// Happens as a whole or not at all.
    Names(Arc<[NameChange]>),
}

impl Change {
    pub fn is_names(&self) -> bool {
        matches!(self, Self::Names(_))
    }

    /// Offset and size of a write or a hole.
    pub fn write_extent(&self) -> Option<(u64, u64)> {
        match self {
            Self::Write { offset, data, .. } => Some((*offset, data.len() as u64)),
            Self::Punch { offset, len, .. } => Some((*offset, *len)),
            _ => None,
        }
    }

    fn file(&self) -> Option<NodeId> {
        match self {
            Self::Write { node, .. } | Self::SetLen { node, .. } | Self::Punch { node, .. } => {
                Some(*node)
            }
            Self::Names(_) => None,
        }
    }

    fn touches_any(&self, dirs: &BTreeSet<NodeId>) -> bool {
        match self {
            Self::Names(changes) => changes.iter().any(|(dir, ..)| dirs.contains(dir)),
            _ => false,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Pending {
    pub seq: u64,
    pub change: Change,
}

/// What a power cut does to one pending change.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    Absent,
    Present,
    /// Only the first so many bytes of a write.
    Torn(u64),
    /// Each sector of a write by a coin drawn from this number.
    Scattered(u64),
}

/// A disk.
#[derive(Clone)]
pub(crate) struct DiskState {
    nodes: BTreeMap<NodeId, Node>,
    pending: Vec<Pending>,
}

impl DiskState {
    /// A blank disk.
    pub fn new() -> Self {
        let root = Node::empty_dir();
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            pending: Vec::new(),
        }
    }

    pub fn pending(&self) -> &[Pending] {
        &self.pending
    }

    /// Carries out a change that was checked before.
    pub fn apply(&mut self, seq: u64, op: &Op) {
        match op {
            Op::CreateDir { dir, name, node } => {
                self.nodes.insert(*node, Node::empty_dir());
                self.change_names(seq, vec![(*dir, name.clone(), Some(*node))]);
            }
            Op::Create { dir, name, node } => {
                self.nodes.insert(*node, Node::empty_file());
                self.change_names(seq, vec![(*dir, name.clone(), Some(*node))]);
            }
            Op::Rename { from, to, node } => {
                let removed = (from.0, from.1.clone(), None);
                self.change_names(seq, vec![removed, (to.0, to.1.clone(), Some(*node))]);
            }
            Op::Remove { dir, name } => self.change_names(seq, vec![(*dir, name.clone(), None)]),
            Op::Write { node, offset, data } => {
                let (node, offset, data) = (*node, *offset, Arc::clone(data));
                self.change(seq, Change::Write { node, offset, data });
            }
            Op::SetLen { node, len } => {
                let (node, len) = (*node, *len);
                self.change(seq, Change::SetLen { node, len });
            }
            Op::Punch { node, offset, len } => {
                let (node, offset, len) = (*node, *offset, *len);
                self.change(seq, Change::Punch { node, offset, len });
            }
            Op::Sync { node, upto } => self.sync(*node, *upto),
            Op::SyncFailed { node } => self.sync_failed(*node),
            Op::SyncDir { dir } => self.sync_dir(*dir),
            Op::Replace(state) => *self = DiskState::clone(state),
            Op::Mark(_) => {}
        }
    }

    fn change_names(&mut self, seq: u64, changes: Vec<NameChange>) {
        self.change(seq, Change::Names(changes.into()));
    }

    fn change(&mut self, seq: u64, change: Change) {
        apply_change(&mut self.nodes, &change, Fate::Present, Side::Live);
        self.pending.push(Pending { seq, change });
    }

    /// Makes the changes of file `node` that came before event `upto` durable.
    fn sync(&mut self, node: NodeId, upto: u64) {
        let is_covered = |p: &Pending| p.change.file() == Some(node) && p.seq < upto;
        let (covered, rest): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(is_covered);
        let is_whole = !rest.iter().any(|p| p.change.file() == Some(node));
        self.pending = rest;
        match self.nodes.get_mut(&node) {
            Some(Node::File {
                live,
                durable,
                is_tainted: false,
            }) if is_whole => *durable = Arc::clone(live),
            _ => {
                for pending in &covered {
                    let fate = Fate::Present;
                    apply_change(&mut self.nodes, &pending.change, fate, Side::Durable);
                }
            }
        }
    }

    /// The kernel gave up on the pending writes of `node`, forgets them, and will call a later
    /// sync a success (hazard H35). A reader still finds them, until the power goes.
    fn sync_failed(&mut self, node: NodeId) {
        self.pending.retain(|p| p.change.file() != Some(node));
        if let Some(Node::File { is_tainted, .. }) = self.nodes.get_mut(&node) {
            *is_tainted = true;
        }
    }

    /// Makes the names in `dir` durable, with those in folders that a rename ties to it.
    fn sync_dir(&mut self, dir: NodeId) {
        let mut dirs = BTreeSet::from([dir]);
        loop {
            let count = dirs.len();
            for pending in &self.pending {
                if let Change::Names(changes) = &pending.change
                    && pending.change.touches_any(&dirs)
                {
                    dirs.extend(changes.iter().map(|(dir, ..)| *dir));
                }
            }
            if dirs.len() == count {
                break;
            }
        }
        let is_covered = |p: &Pending| p.change.touches_any(&dirs);
        let (covered, rest): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(is_covered);
        self.pending = rest;
        for pending in &covered {
            let fate = Fate::Present;
            apply_change(&mut self.nodes, &pending.change, fate, Side::Durable);
        }
    }

    /// The disk after a power cut: what is durable, and each pending change as `fate` says for its
    /// index. With `grow_lengths` files also have their live length, over zeros.
    pub fn after_power_cut(
        &self,
        mut fate: impl FnMut(usize, &Pending) -> Fate,
        grow_lengths: bool,
    ) -> Self {
        let mut nodes = self.nodes.clone();
        for (index, pending) in self.pending.iter().enumerate() {
            let fate = fate(index, pending);
            apply_change(&mut nodes, &pending.change, fate, Side::Durable);
        }
        if grow_lengths {
            for node in self.pending.iter().filter_map(|p| p.change.file()) {
                if let Some(Node::File { live, durable, .. }) = nodes.get_mut(&node) {
                    let len = live.len();
                    Arc::make_mut(durable).grow(len);
                }
            }
        }
        Self::from_durable(nodes)
    }

    /// Keeps what is reachable on the durable side, and makes it the live side too.
    fn from_durable(mut all: BTreeMap<NodeId, Node>) -> Self {
        let mut nodes = BTreeMap::new();
        let mut todo = vec![ROOT];
        while let Some(id) = todo.pop() {
            let Some(mut node) = all.remove(&id) else {
                continue;
            };
            match &mut node {
                Node::File {
                    live,
                    durable,
                    is_tainted,
                } => {
                    *live = Arc::clone(durable);
                    *is_tainted = false;
                }
                Node::Dir { live, durable } => {
                    *live = Arc::clone(durable);
                    todo.extend(durable.values());
                }
            }
            nodes.insert(id, node);
        }
        Self {
            nodes,
            pending: Vec::new(),
        }
    }

    /// The disk as it is seen now, all of it durable.
    pub fn settled(&self) -> Self {
        let mut nodes = self.nodes.clone();
        for node in nodes.values_mut() {
            match node {
                Node::File { live, durable, .. } => *durable = Arc::clone(live),
                Node::Dir { live, durable } => *durable = Arc::clone(live),
            }
        }
        Self::from_durable(nodes)
    }

    /// The node a path leads to.
    pub fn resolve(&self, path: &str) -> io::Result<NodeId> {
        let mut node = ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            node = self.child(node, part)?.ok_or_else(|| not_found(path))?;
        }
        Ok(node)
    }

    /// The folder a path's last part is in, and that part. The part need not exist.
    pub fn resolve_parent(&self, path: &str) -> io::Result<(NodeId, String)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a path needs a name",
            ));
        }
        let dir = self.resolve(parent)?;
        self.names(dir)?;
        Ok((dir, name.to_owned()))
    }

    pub fn child(&self, dir: NodeId, name: &str) -> io::Result<Option<NodeId>> {
        Ok(self.names(dir)?.get(name).copied())
    }

    /// The live names of a folder.
    pub fn names(&self, dir: NodeId) -> io::Result<&Names> {
        match self.nodes.get(&dir) {
            Some(Node::Dir { live, .. }) => Ok(live),
            Some(Node::File { .. }) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The live content of a file.
    pub fn content(&self, file: NodeId) -> io::Result<&Arc<Content>> {
        match self.nodes.get(&file) {
            Some(Node::File { live, .. }) => Ok(live),
            Some(Node::Dir { .. }) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// A node id above all in use here.
    pub fn node_above(&self) -> NodeId {
        self.nodes.keys().next_back().map_or(ROOT, |id| id + 1)
    }

    pub fn is_dir(&self, node: NodeId) -> bool {
        matches!(self.nodes.get(&node), Some(Node::Dir { .. }))
    }

    /// Changes a file behind everyone's back: on both sides, with no change pending.
    pub fn tamper(&mut self, file: NodeId, change: impl Fn(&mut Content)) {
        if let Some(Node::File { live, durable, .. }) = self.nodes.get_mut(&file) {
            change(Arc::make_mut(live));
            change(Arc::make_mut(durable));
        }
    }

    /// Every file with its path, in order of paths.
    pub fn files(&self) -> Vec<(String, NodeId)> {
        let mut files = Vec::new();
        self.files_below(ROOT, "", &mut files);
        files
    }

    fn files_below(&self, dir: NodeId, prefix: &str, files: &mut Vec<(String, NodeId)>) {
        let Ok(names) = self.names(dir) else { return };
        for (name, node) in names {
            let path = format!("{prefix}{name}");
            if self.is_dir(*node) {
                self.files_below(*node, &format!("{path}/"), files);
            } else {
                files.push((path, *node));
            }
        }
    }

    /// Every name at or below `name` in `dir`, deepest first, each with its folder.
    pub fn names_below(&self, dir: NodeId, name: &str, out: &mut Vec<(NodeId, String)>) {
        if let Ok(Some(node)) = self.child(dir, name)
            && let Ok(names) = self.names(node)
        {
            for inner in names.keys() {
                self.names_below(node, inner, out);
            }
        }
        out.push((dir, name.to_owned()));
    }

    /// Bytes of all files that have a name.
    pub fn size_bytes(&self) -> u64 {
        let len = |(_, node): &(String, NodeId)| self.content(*node).map_or(0, |c| c.len());
        self.files().iter().map(len).sum()
    }
}

impl Node {
    fn empty_dir() -> Self {
        Self::Dir {
            live: Arc::default(),
            durable: Arc::default(),
        }
    }

    fn empty_file() -> Self {
        Self::File {
            live: Arc::default(),
            durable: Arc::default(),
            is_tainted: false,
        }
    }

    fn content_mut(&mut self, side: Side) -> Option<&mut Content> {
        match self {
            Self::File { live, durable, .. } => Some(Arc::make_mut(side.of(live, durable))),
            Self::Dir { .. } => None,
        }
    }

    fn names_mut(&mut self, side: Side) -> Option<&mut Names> {
        match self {
            Self::Dir { live, durable } => Some(Arc::make_mut(side.of(live, durable))),
            Self::File { .. } => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Live,
    Durable,
}

impl Side {
    fn of<'a, T>(self, live: &'a mut T, durable: &'a mut T) -> &'a mut T {
        match self {
            Self::Live => live,
            Self::Durable => durable,
        }
    }
}

fn apply_change(nodes: &mut BTreeMap<NodeId, Node>, change: &Change, fate: Fate, side: Side) {
    match (change, fate) {
        (_, Fate::Absent) => {}
        (Change::Write { node, offset, data }, fate) => {
            if let Some(content) = nodes.get_mut(node).and_then(|n| n.content_mut(side)) {
                apply_write(content, *offset, data, fate);
            }
        }
        (Change::Punch { node, offset, len }, Fate::Present) => {
            if let Some(content) = nodes.get_mut(node).and_then(|n| n.content_mut(side)) {
                content.punch(*offset, *len);
            }
        }
        (Change::Punch { node, offset, len }, fate) => {
            if let Some(content) = nodes.get_mut(node).and_then(|n| n.content_mut(side)) {
                let end = content.len().min(offset + len);
                let size = end.saturating_sub(*offset);
                let zeros =
                    vec![0; usize::try_from(size).expect("a simulated file fits in memory")];
                apply_write(content, *offset, &zeros, fate);
            }
        }
        (Change::SetLen { node, len }, Fate::Present) => {
            if let Some(content) = nodes.get_mut(node).and_then(|n| n.content_mut(side)) {
                content.set_len(*len);
            }
        }
        (Change::Names(changes), Fate::Present) => {
            for (dir, name, node) in changes.iter() {
                let Some(names) = nodes.get_mut(dir).and_then(|n| n.names_mut(side)) else {
                    continue;
                };
                match node {
                    Some(node) => names.insert(name.clone(), *node),
                    None => names.remove(name),
                };
            }
        }
        // What is not a write is never half done.
        (_, Fate::Torn(_) | Fate::Scattered(_)) => {}
    }
}

fn apply_write(content: &mut Content, offset: u64, data: &[u8], fate: Fate) {
    match fate {
        Fate::Absent => {}
        Fate::Present => content.write_at(offset, data),
        Fate::Torn(at) => {
            let at = usize::try_from(at).map_or(data.len(), |at| at.min(data.len()));
            content.write_at(offset, &data[..at]);
        }
        Fate::Scattered(seed) => {
            for (start, end) in sectors(offset, data.len()) {
                if mix(seed, start as u64) & 1 == 0 {
                    content.write_at(offset + start as u64, &data[start..end]);
                }
            }
        }
    }
}

/// Cuts a write at the borders of sectors.
fn sectors(offset: u64, size: usize) -> impl Iterator<Item = (usize, usize)> {
    let sector = SECTOR_SIZE_BYTES as usize;
    let first_end = sector - (offset % SECTOR_SIZE_BYTES) as usize;
    let mut start = 0;
    std::iter::from_fn(move || {
        if start >= size {
            return None;
        }
        let end = if start == 0 {
            first_end
        } else {
            start + sector
        };
        let piece = (start, end.min(size));
        start = piece.1;
        Some(piece)
    })
}

/// A number that looks random and depends on both arguments only.
pub(crate) fn mix(seed: u64, value: u64) -> u64 {
    let mut z = seed ^ value.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{path}: no such file or folder"),
    )
}
