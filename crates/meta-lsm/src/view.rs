//! The index view, as the rest of the crate sees it: narrow enough that the LSM behind it can be
//! changed, and honest about what it promises after a crash, which is *some applied prefix, or
//! gone*.

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
}

/// Opens the view of a disk.
pub trait ViewFactory: Send + Sync + 'static {
    /// Opens what is there, or makes an empty view.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open(&self, disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError>;

    /// Removes what is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn discard(&self, disk: &DiskHandle) -> Result<(), ViewError>;
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
