//! The rules under test, each of which can be broken on its own.

/// A rule, named by what goes wrong without it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// Nothing: the protocol as it is meant.
    Nothing,
    /// The chain that a majority has, instead of the highest on any member (H1).
    MajorityVote,
    /// A member that forgot keeps its vote (H7).
    BelieveForgotten,
    /// A batch that one member failed to sync is acknowledged before the generation without that
    /// member is in force.
    AckBeforeGeneration,
    /// A batch is acknowledged when the first member synced it.
    AckAfterOne,
    /// A membership batch is written before every member of it has promised (H2).
    BatchBeforePromises,
    /// A generation is a counter only.
    WithoutTag,
    /// A damaged batch ends the log, as a torn one does (H4).
    CutDamage,
    /// A log that is being copied from nothing is not marked as lost until it is complete.
    CopyUnmarked,
    /// A chain of the highest generation counts even on a member that is not in its service set.
    BelieveCopies,
    /// Only a readable batch, not a begun file, shows that a generation was promised by all.
    BelieveBatchesOnly,
    /// A begun file counts although the log does not read up to where it begins.
    BelieveBegunFile,
    /// The membership batch of a recovery claims the whole chain as acknowledged.
    ClaimEarly,
    /// Blank members vote (H3).
    BlankVotes,
    /// Any members present decide, however few.
    NoQuorum,
    /// A drained member counts among those that know the truth.
    LeavingKnows,
    /// Less than a majority knows the truth by a changed list that is not in force.
    NotInForceKnows,
}
