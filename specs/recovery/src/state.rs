//! What is durable, what the process knows, and what clients were told.

/// A set of members: bit i is member i.
pub type Set = u8;

/// The members in a set.
pub fn bits(set: Set) -> impl Iterator<Item = usize> {
    (0..8).filter(move |i| set >> i & 1 == 1)
}

/// How many members a set has.
#[must_use]
pub const fn count(set: Set) -> usize {
    set.count_ones() as usize
}

/// A counter, and a tag that tells two attempts at it apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation {
    pub counter: u8,
    pub tag: u8,
}

/// What a batch carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A client's write.
    Value(u8),
    Membership,
    Idle,
}

/// A batch; its number is its place in the log, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Batch {
    pub generation: Generation,
    pub kind: Kind,
    /// Everything up to this number was acknowledged when it was written.
    pub acknowledged: u8,
    pub service: Set,
}

/// A batch as it lies on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stored {
    pub batch: Batch,
    pub good: bool,
}

/// A promise: the highest generation reserved, and its members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Promise {
    pub generation: Generation,
    pub service: Set,
    pub list: List,
}

/// The member list: a position is never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct List {
    pub number: u8,
    pub members: Set,
    /// Members that are drained.
    pub leaving: Set,
}

impl List {
    /// Members that make a majority of the list.
    #[must_use]
    pub const fn majority(self) -> usize {
        count(self.members) / 2 + 1
    }

    /// So many members meet every majority: enough to know the truth.
    #[must_use]
    pub const fn quorum_to_know(self) -> usize {
        count(self.members) + 1 - self.majority()
    }
}

/// What one member holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Has a superblock. A destroyed member is blank.
    pub formed: bool,
    /// Formatted for a list that takes it in, and without a promise yet.
    pub joining: bool,
    pub promise: Promise,
    /// Whether its superblock names a log: false while a lost one is copied anew.
    pub named: bool,
    /// `None`: the disk with the log is lost, another disk of the member still has the promise.
    pub log: Option<Vec<Stored>>,
}

impl Member {
    /// The log recovery may look at: one that is there and named.
    #[must_use]
    pub fn readable(&self) -> Option<&[Stored]> {
        self.log.as_deref().filter(|_| self.formed && self.named)
    }
}

/// What the process is about to do.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Process {
    Down,
    /// Everything in `chain` is acknowledged.
    Run {
        generation: Generation,
        service: Set,
        chain: Vec<Batch>,
        counter: u8,
        list: List,
    },
    /// Members `service` hold `chain`; the next generation is to be promised.
    Begin {
        service: Set,
        chain: Vec<Batch>,
        acknowledged: u8,
        counter: u8,
        list: List,
    },
    /// `generation` is promised on all of `service`; its membership batch is to be written.
    Join {
        generation: Generation,
        service: Set,
        chain: Vec<Batch>,
        acknowledged: u8,
        list: List,
    },
}

/// What may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Budget {
    pub values: u8,
    pub idles: u8,
    pub kills: u8,
    /// Writes that fail (and may have landed).
    pub failures: u8,
    /// Background copies that stop half-way, and admissions.
    pub copies: u8,
    pub admissions: u8,
    /// Members made blank.
    pub destroyed: u8,
    /// Members set back to an older image of themselves.
    pub set_back: u8,
    /// Members that lose the disk of their log and keep their promise.
    pub logs_lost: u8,
    /// Batches that rot.
    pub damaged: u8,
    /// Members that join, and members that are drained and leave.
    pub joins: u8,
    pub leaves: u8,
}

/// A state of the whole store.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub members: Vec<Member>,
    pub process: Process,
    pub budget: Budget,
    /// Acknowledged values and the number of the batch of each.
    pub ledger: Vec<(u8, u8)>,
    /// Generations ever tried, so that tags are fresh.
    pub used: Vec<Generation>,
    /// An image of a member that it may be set back to.
    pub image: Option<(usize, Box<Member>)>,
    /// Members that were destroyed, set back, lost their log or had a batch rot.
    pub harmed: Set,
    /// Whether a fault happened that leaves no sign where it struck: a set-back member, rot.
    pub hidden: bool,
    /// Whether, after a hidden fault, a recovery went on with too few unharmed members to know the
    /// truth. That is a second loss (the others were away), and what follows may be two histories.
    pub forked: bool,
    pub next_value: u8,
}

impl State {
    /// A formatted store that is running with all its members.
    #[must_use]
    pub fn formatted(members: usize, budget: Budget) -> Self {
        let generation = Generation { counter: 1, tag: 1 };
        let service = ((1u16 << members) - 1) as Set;
        let list = List {
            number: 0,
            members: service,
            leaving: 0,
        };
        let first = Batch {
            generation,
            kind: Kind::Membership,
            acknowledged: 0,
            service,
        };
        let member = Member {
            formed: true,
            joining: false,
            promise: Promise {
                generation,
                service,
                list,
            },
            named: true,
            log: Some(vec![Stored {
                batch: first,
                good: true,
            }]),
        };
        let blank = Member {
            formed: false,
            joining: false,
            promise: Promise::default(),
            named: true,
            log: Some(Vec::new()),
        };
        let mut all = vec![member; members];
        all.extend(vec![blank; budget.joins.into()]);
        Self {
            members: all,
            process: Process::Run {
                generation,
                service,
                chain: vec![first],
                counter: 1,
                list,
            },
            budget,
            ledger: Vec::new(),
            used: vec![generation],
            image: None,
            harmed: 0,
            hidden: false,
            forked: false,
            next_value: 1,
        }
    }
}
