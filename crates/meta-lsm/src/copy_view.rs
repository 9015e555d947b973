//! Copying a view to a disk that has none, or one that failed.
//!
//! A view can be made from the log while the log is whole. Once it was trimmed, a view that is lost,
//! damaged or further behind than the log reaches is made from another member's: a snapshot is
//! streamed into a new place on the disk, compared with what was sent, made durable, and only then
//! given its mark. What was there before goes last of all: until the copy is whole, it may be what
//! a person has left to work with.

use strongroom_zones::DiskHandle;

use crate::digest::digest;
use crate::state::{State, ViewSlot};
use crate::view::{ViewChange, ViewError, ViewFactory};

/// Bytes of records written to the copy at once.
const FILL_SIZE_BYTES: usize = 1024 * 1024;

/// Copies `source` to `disk`, where no view is open.
///
/// # Errors
/// What the disks say; when the source is damaged it is given up.
pub fn copy_view(
    state: &State,
    factory: &dyn ViewFactory,
    source: &strongroom_base::sync::Arc<ViewSlot>,
    disk: &DiskHandle,
) -> Result<(), ViewError> {
    let stopped = || ViewError("the store is stopping".into());
    let snapshot = source.view.snapshot();
    let copy = factory.begin_anew(disk)?;
    let (mut group, mut size, mut filled) = (Vec::new(), 0, Ok(()));
    let sent = digest(&*snapshot, &mut |key, stored| {
        size += key.len() + stored.len();
        group.push(ViewChange {
            key: key.to_vec(),
            value: Some(stored.clone()),
        });
        if size >= FILL_SIZE_BYTES {
            filled = copy.fill(&group);
            group.clear();
            size = 0;
        }
        filled.is_ok() && !state.is_stopping()
    });
    let sent = sent.inspect_err(|error| state.view_broke(source, &error.0))?;
    filled?;
    let sent = sent.ok_or_else(stopped)?;
    let mark = sent.mark;
    let mark = mark.ok_or_else(|| ViewError("the view to copy from is empty".into()))?;
    copy.fill(&group)?;
    copy.persist()?;
    let arrived = digest(&*copy.snapshot(), &mut |_, _| !state.is_stopping())?;
    let arrived = arrived.ok_or_else(stopped)?;
    if (arrived.sum, arrived.count) != (sent.sum, sent.count) {
        return Err(ViewError("the copy is not what was sent".into()));
    }
    copy.apply(&[], mark)?;
    copy.persist()?;
    drop(copy);
    factory.settle(disk)?;
    tracing::info!(from = %source.name, to = %disk.name, records = sent.count, batch = mark.number,
        "index view copied");
    Ok(())
}
