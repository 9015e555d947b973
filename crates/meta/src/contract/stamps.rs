//! Stamps only grow, whatever the clock does.

use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{Clock, ManualClock, Timestamp};

use super::{CLOCK_START, Store, at_once, decide, put};
use crate::Stamp;

const HOUR: Duration = Duration::from_secs(3600);

/// A stamp above `floor`, committed.
async fn issue(store: &Store, floor: Stamp) -> Stamp {
    decide(store, move |reads| {
        let stamp = reads.issue_stamp(floor);
        Ok((vec![put("stamp", stamp.0.to_be_bytes())], stamp))
    })
    .await
}

/// Hazard H16: two writers in one instant never get one stamp.
pub async fn stamps_grow_within_and_across_transactions(store: &Store, _: &Arc<ManualClock>) {
    let mut last = Stamp(0);
    for _ in 0..16 {
        let stamps = decide(store, |reads| {
            let stamps = [(); 3].map(|()| reads.issue_stamp(Stamp(0)));
            Ok((vec![put("stamp", "")], stamps))
        });
        for stamp in stamps.await {
            assert!(stamp > last, "{stamp:?} after {last:?}");
            last = stamp;
        }
    }
    let floor = Stamp(last.0 + 1000);
    let above = issue(store, floor).await;
    assert!(above > floor);
    assert!(
        issue(store, Stamp(0)).await > above,
        "a floor that was passed stays passed"
    );
}

/// Hazard H17: a clock that stepped back does not bring old stamps back, although every record that
/// held one is deleted.
pub async fn stamps_follow_the_clock_but_never_back(store: &Store, clock: &Arc<ManualClock>) {
    let first = issue(store, Stamp(0)).await;
    assert!(first.0 >= CLOCK_START.0, "not below the clock");
    clock.advance(HOUR);
    let second = issue(store, Stamp(0)).await;
    assert!(second.0 >= clock.now().0, "not below the clock");
    super::commit(store, vec![super::delete("stamp")])
        .await
        .expect("commit");
    clock.set(Timestamp(CLOCK_START.0 - 1_000_000_000));
    let third = issue(store, Stamp(0)).await;
    assert!(third > second, "{third:?} after {second:?}");
    clock.set(CLOCK_START);
    clock.advance(2 * HOUR);
    let fourth = issue(store, Stamp(0)).await;
    assert!(fourth.0 >= clock.now().0, "the clock is followed again");
}

/// Hazard H18.
pub async fn clock_far_ahead_does_not_latch_stamps(store: &Store, clock: &Arc<ManualClock>) {
    let before = issue(store, Stamp(0)).await;
    clock.advance(365 * 24 * HOUR);
    let ahead = issue(store, Stamp(0)).await;
    let bound = before.0 + u64::try_from((24 * HOUR).as_nanos()).expect("a day in nanoseconds");
    assert!(ahead > before, "{ahead:?} after {before:?}");
    assert!(ahead.0 <= bound, "a stamp latched to a clock a year ahead");
    let next = issue(store, Stamp(0)).await;
    assert!(next > ahead && next.0 <= bound);
    clock.set(Timestamp(bound + 1));
    let after = issue(store, Stamp(0)).await;
    assert!(
        after > next && after.0 >= clock.now().0,
        "the clock is right again and followed"
    );
}

pub async fn stamps_of_concurrent_transactions_differ(store: &Store, _: &Arc<ManualClock>) {
    let mut stamps = at_once(|_| {
        let store = Arc::clone(store);
        async move { issue(&store, Stamp(0)).await }
    })
    .await;
    let count = stamps.len();
    stamps.sort_unstable();
    stamps.dedup();
    assert_eq!(stamps.len(), count);
}
