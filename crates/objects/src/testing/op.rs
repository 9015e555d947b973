//! The alphabet of the model test.

use strongroom_base::{Random, SeededRandom};

use crate::tags::Tags;

/// Buckets of the model.
pub(super) const BUCKETS: [&str; 3] = ["bucket-a", "bucket-b", LOCKED_BUCKET];
/// The bucket that is made with Object Lock.
pub(super) const LOCKED_BUCKET: &str = "bucket-l";
/// Keys of the model: prefixes of one another, zero bytes, delimiters and several scripts.
pub(super) const KEYS: [&str; 10] = [
    "a", "a/", "a/b", "a/b/c", "a\0", "a0", "b/1", "b/2", "é/x", "😀",
];
/// Sizes on both sides of what is inline, and of a stripe of the smallest kind.
const SIZES: [usize; 8] = [0, 1, 100, 1500, 16_384, 16_385, 70_000, 200_000];
const PREFIXES: [&str; 6] = ["", "a", "a/", "b", "é", "none"];

/// Kinds of operations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum OpKind {
    CreateBucket,
    DeleteBucket,
    Put,
    PutRefused,
    GetRange,
    Delete,
    DeleteMany,
    PutTags,
    ConfigureBucket,
    SetVersioning,
    DeleteVersion,
    ListVersions,
    SetRetention,
    SetHold,
    ConfigureLocks,
    PassTime,
    Copy,
    List,
    CreateUpload,
    UploadPart,
    Complete,
    CompleteAgain,
    Abort,
    Respread,
    Sweep,
    Pack,
    CleanReboot,
    DirtyReboot,
    LoseZone,
    ReturnZone,
}

impl OpKind {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::CreateBucket,
        Self::DeleteBucket,
        Self::Put,
        Self::PutRefused,
        Self::GetRange,
        Self::Delete,
        Self::DeleteMany,
        Self::PutTags,
        Self::ConfigureBucket,
        Self::SetVersioning,
        Self::DeleteVersion,
        Self::ListVersions,
        Self::SetRetention,
        Self::SetHold,
        Self::ConfigureLocks,
        Self::PassTime,
        Self::Copy,
        Self::List,
        Self::CreateUpload,
        Self::UploadPart,
        Self::Complete,
        Self::CompleteAgain,
        Self::Abort,
        Self::Respread,
        Self::Sweep,
        Self::Pack,
        Self::CleanReboot,
        Self::DirtyReboot,
        Self::LoseZone,
        Self::ReturnZone,
    ];

    /// How often it is drawn, of the sum of all.
    const fn weight(self) -> u64 {
        match self {
            Self::Put => 24,
            Self::UploadPart => 12,
            Self::CreateBucket | Self::Delete | Self::Copy | Self::List => 6,
            Self::CreateUpload | Self::Complete | Self::GetRange | Self::DeleteMany => 5,
            Self::DeleteVersion => 5,
            Self::PutTags | Self::Pack | Self::SetRetention => 4,
            Self::SetHold | Self::PassTime => 2,
            Self::SetVersioning | Self::ListVersions => 3,
            Self::DeleteBucket | Self::PutRefused | Self::Abort | Self::CompleteAgain => 2,
            Self::ConfigureBucket => 2,
            _ => 1,
        }
    }
}

/// A condition of a put, against the state it meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Conditional {
    No,
    IfAbsent,
    IfCurrent,
    IfOther,
}

/// One operation. Which of its fields matter depends on its kind.
#[derive(Clone, Debug)]
pub struct Op {
    /// What it does.
    pub kind: OpKind,
    pub(super) bucket: &'static str,
    pub(super) key: &'static str,
    pub(super) other_bucket: &'static str,
    pub(super) other_key: &'static str,
    pub(super) size: usize,
    pub(super) conditional: Conditional,
    pub(super) prefix: &'static str,
    pub(super) delimiter: Option<&'static str>,
    /// Picks uploads, parts, ranges and page sizes.
    pub(super) pick: usize,
    /// Makes the content.
    pub(super) seed: u64,
}

fn pick<T: Copy>(random: &SeededRandom, from: &[T]) -> T {
    from[usize::try_from(random.next_u64() % from.len() as u64).expect("an index")]
}

impl Op {
    /// The operation this number stands for.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let sum: u64 = OpKind::ALL.iter().map(|kind| kind.weight()).sum();
        let mut at = random.next_u64() % sum;
        let mut kind = OpKind::Put;
        for candidate in OpKind::ALL {
            if at < candidate.weight() {
                kind = candidate;
                break;
            }
            at -= candidate.weight();
        }
        use Conditional::{IfAbsent, IfCurrent, IfOther, No};
        Self {
            kind,
            bucket: pick(&random, &BUCKETS),
            key: pick(&random, &KEYS),
            other_bucket: pick(&random, &BUCKETS),
            other_key: pick(&random, &KEYS),
            size: pick(&random, &SIZES),
            conditional: pick(&random, &[No, No, No, IfAbsent, IfCurrent, IfOther]),
            prefix: pick(&random, &PREFIXES),
            delimiter: pick(&random, &[None, Some("/"), Some("/"), Some("b")]),
            pick: usize::try_from(random.next_u64() % 1000).expect("a small number"),
            seed: random.next_u64(),
        }
    }

    /// No tags, or one or two.
    pub(super) fn tags(&self) -> Tags {
        let all = [("seed", self.seed.to_string()), ("é", String::new())];
        let pairs = all.into_iter().take(self.pick % 3);
        Tags::of_object(pairs.map(|(key, value)| (key.to_owned(), value)))
            .expect("tags of the model")
    }

    /// Content of `size` bytes.
    pub(super) fn content(&self, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        SeededRandom::new(self.seed).fill(&mut bytes);
        bytes
    }
}
