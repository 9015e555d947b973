//! The index view, as the rest of the crate sees it: narrow enough that the LSM behind it can be
//! changed, and honest about what it promises after a crash, which is *some applied prefix, or
//! gone*.

use std::sync::Arc;

use bytes::Bytes;
use strongroom_meta::Record;
use strongroom_zones::DiskHandle;

use crate::body::encode_record;

/// How far a view got: the last batch applied, and the checksum of its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    pub number: u64,
    pub checksum: [u8; 16],
}

/// A change of one key in its stored form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViewChange {
    pub key: Vec<u8>,
    /// `None` deletes.
    pub value: Option<Bytes>,
}

impl ViewChange {
    pub(crate) fn put(key: &[u8], record: &Record) -> Self {
        Self {
            key: key.to_vec(),
            value: Some(encode_record(key, record)),
        }
    }

    pub(crate) fn delete(key: &[u8]) -> Self {
        Self {
            key: key.to_vec(),
            value: None,
        }
    }
}

/// A view failed: it is to be discarded and made anew.
#[derive(Clone, Debug, thiserror::Error)]
#[error("index view: {0}")]
pub struct ViewError(pub String);

/// A consistent look at a view.
pub trait ViewSnapshot: Send {
    /// How far the view had got.
    ///
    /// # Errors
    /// When the view is damaged.
    fn mark(&self) -> Result<Option<Mark>, ViewError> {
        let stored = self.get(MARK_KEY)?;
        let damaged = || ViewError("its mark does not decode".into());
        stored
            .map(|bytes| decode_mark(&bytes).ok_or_else(damaged))
            .transpose()
    }

    /// The stored record under `key`.
    ///
    /// # Errors
    /// When the view is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError>;

    /// Hands stored records whose key starts with `prefix` and is greater than `after`, in order,
    /// to `each`, until it says `false`.
    ///
    /// # Errors
    /// When the view is damaged.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(Bytes, Bytes) -> bool,
    ) -> Result<(), ViewError>;
}

/// One index.
pub trait IndexView: Send + Sync + 'static {
    /// How far the view got; `None` when it is empty.
    ///
    /// # Errors
    /// When the view is damaged.
    fn mark(&self) -> Result<Option<Mark>, ViewError>;

    /// Applies changes and moves the mark, atomically: after a crash the view holds both or
    /// neither.
    ///
    /// # Errors
    /// When the view cannot go on.
    fn apply(&self, changes: &[ViewChange], mark: Mark) -> Result<(), ViewError>;

    /// A consistent look at what is applied now.
    fn snapshot(&self) -> Box<dyn ViewSnapshot>;

    /// Adds records to a view that is being copied, without a mark.
    ///
    /// # Errors
    /// When the view can not go on, or is of a kind that is not copied.
    fn fill(&self, _changes: &[ViewChange]) -> Result<(), ViewError> {
        Err(ViewError("this kind of view is not copied".into()))
    }

    /// Makes durable what was applied: no crash takes it back, and no later open finds less.
    ///
    /// # Errors
    /// When it is not durable; the view must then be given up.
    fn persist(&self) -> Result<(), ViewError> {
        Err(ViewError("this kind of view is never durable".into()))
    }

    /// Bytes it takes on its disk, about.
    fn size_bytes(&self) -> u64 {
        0
    }
}

/// Opens the view of a disk.
pub trait ViewFactory: Send + Sync + 'static {
    /// Opens the newest view there that has a mark, or one without, or makes an empty view.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open(&self, disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError>;

    /// Removes what is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn discard(&self, disk: &DiskHandle) -> Result<(), ViewError>;

    /// Begins an empty view beside what is there. [`ViewFactory::open`] prefers it once it has a
    /// mark, and not before.
    ///
    /// # Errors
    /// When it cannot be made.
    fn begin_anew(&self, _disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError> {
        Err(ViewError("this kind of view is not copied".into()))
    }

    /// Removes what a view that was begun anew and has a mark replaces. Neither is open.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn settle(&self, _disk: &DiskHandle) -> Result<(), ViewError> {
        Ok(())
    }

    /// A factory of views beside these on the same disks, for members that keep two. `None`: views
    /// of this kind are kept once.
    fn second(&self) -> Option<Arc<dyn ViewFactory>> {
        None
    }

    /// Sees to it that the next open reads from the disk and not from memory.
    ///
    /// # Errors
    /// What the disk says.
    fn forget_cached(&self, _disk: &DiskHandle) -> Result<(), ViewError> {
        Ok(())
    }
}

/// The key under which a view keeps its mark. Keys of records begin with a family byte above it.
pub(crate) const MARK_KEY: &[u8] = &[0];

pub(crate) fn encode_mark(mark: Mark) -> Vec<u8> {
    [&mark.number.to_le_bytes()[..], &mark.checksum].concat()
}

pub(crate) fn decode_mark(bytes: &[u8]) -> Option<Mark> {
    let (number, checksum) = bytes.split_at_checked(8)?;
    let number = u64::from_le_bytes(number.try_into().ok()?);
    Some(Mark {
        number,
        checksum: checksum.try_into().ok()?,
    })
}
