//! Acknowledgement, recovery and membership of the commit log, small enough to search completely.
//!
//! A recovery bug shows only when a kill, a loss and an absence come in one unlucky order. Nobody
//! thinks of all orders, so this model walks them: every state that a store of a few members can
//! reach with a few writes, kills, failed writes and one lost member, with a kill between any two
//! durable writes. `docs/rfcs/0001` argues the rules in prose; this is where they were tried.
//!
//! - [`decide`] is the verdict: promises and logs in, the surviving chain or a refusal out.
//! - [`protocol`] is everything that writes: appends, generations, recovery, admission, faults.
//! - [`explore`] walks the states, checks each recovery and gives the shortest trace to a loss.
//!
//! What a model leaves out cannot be found in it: bytes, files, time, several disks in a member
//! (a lost log with the promise still there stands for them), and segments.

pub mod decide;
pub mod explore;
pub mod protocol;
pub mod rules;
pub mod state;
