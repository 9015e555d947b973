//! Simulated disks that take every liberty a real disk may take, and say which.
//!
//! A store proves itself when the power goes at the worst instant. Real power cuts reach a few
//! instants per minute; here a workload runs once over disks in memory that write down each
//! change in one ordered [`Trace`], and afterwards [`Replay`] stops at any event and builds the
//! disks as a file system may have left them: bytes that were not synced absent, present or torn,
//! names that were not synced gone, lengths grown over zeros. The engine is then started on them.
//!
//! Invariants
//! - What was synced (and whose names were synced) is in every crash state.
//! - Nothing is in a crash state that the engine did not write.
//! - One seed and one order of calls give one result: no clock, no randomness of the machine.
//!
//! Where it stops: the disks model files, names and syncs, not sectors of a file system's own
//! structures; and the order of threads is the machine's, not the seed's.

mod content;
mod crash;
mod disk;
mod engine;
mod fault;
mod figure;
mod linear;
mod state;
mod sweep;
mod topology;
mod trace;
mod views;
mod world;

pub use crash::{CrashStates, Replay, Variant};
pub use engine::{Engine, EngineParts, hang_limit};
pub use fault::{Fault, FaultId, FaultKind, OpKind};
pub use figure::print_figure;
pub use linear::{Action, Outcome, Request, Violation, check_history, reads_of_list};
pub use sweep::{CrashPoint, SweepReport, scaled, seeds, sweep};
pub use topology::{TOPOLOGIES, Topology};
pub use trace::{Event, Trace};
pub use views::{SimViews, second_view_of};
pub use world::{DiskImage, SimWorld};
