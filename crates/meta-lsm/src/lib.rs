//! `MetaStore` on the commit log: decisions run in log order on one thread, an index view answers
//! reads.
//!
//! The log is the truth. Each member keeps a *view*, an index made from the log by a follower
//! thread; one of them, the primary, answers reads together with the *overlay*, the acknowledged
//! changes that it has not applied yet. A view is allowed to be behind, damaged or gone: it is
//! rolled forward or made anew from the log; from a copy of another, once the log was trimmed.
//!
//! Invariants
//! - A change reaches the overlay only after its batch was acknowledged (hazards H20, H21).
//! - A view's mark is written in the same atomic write as the changes it covers (H22), and a view
//!   whose mark is not on the surviving chain is not used.
//! - Once the log was trimmed, no view is removed before the one that replaces it is whole (H23).
//! - Decisions see every earlier decision of their batch (H19), and no answer leaves before the
//!   batch it depends on was acknowledged.

mod body;
mod committer;
mod copy_view;
mod digest;
mod fjall_view;
mod follower;
mod health;
mod hot_records;
mod hung;
mod lock_clock;
mod memory_view;
mod overlay;
mod slow_batch;
mod space;
mod state;
mod store;
mod trim;
mod view;
mod watch;

pub use committer::ChangeError;
pub use fjall_view::FjallViews;
pub use memory_view::MemoryViews;
pub use space::{ADMIT_SPACE_MIN_BYTES, CONTENT_SPACE_MIN_BYTES, LOG_SPACE_MIN_BYTES};
pub use store::{LsmMeta, LsmSettings};
/// What locks expire by.
pub use strongroom_meta::lock_clock::LockTime;
pub use view::{IndexView, Mark, ViewChange, ViewError, ViewFactory, ViewSnapshot};
