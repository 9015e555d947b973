//! A zone that answers everything, seconds late (AZ17): readers do not wait for it.
//!
//! Times are printed, not asserted; what is asserted is how often the slow zone was asked at all.

mod machine;

use std::time::Duration;

use strongroom_base::{Clock, SystemClock};
use strongroom_sim::{Fault, FaultKind, OpKind, Topology, scaled};

use machine::Machine;
use machine::client::{bytes, get, make_bucket, put};

const DELAY: Duration = Duration::from_secs(5);
const OBJECT_COUNT: u64 = 8;
const READ_COUNT: u64 = 150;
/// Reads of the slow zone that may happen before it is set aside, and by hedges.
const ASKED_MAX: u64 = 80;

/// Reads every object in turn; how long each took, in order.
async fn read_all(machine: &Machine) -> Vec<Duration> {
    let clock = SystemClock::new();
    let objects = machine.objects();
    let mut took = Vec::new();
    for number in 0..scaled(READ_COUNT) {
        let object = number % OBJECT_COUNT;
        let begun = clock.monotonic();
        let read = get(&objects, &object.to_string()).await.unwrap();
        took.push(clock.monotonic() - begun);
        assert!(read == bytes(object, 200_000), "wrong bytes");
    }
    took.sort_unstable();
    took
}

fn millis(took: &[Duration], percent: usize) -> f64 {
    took[(took.len() - 1) * percent / 100].as_secs_f64() * 1000.0
}

#[tokio::test(flavor = "multi_thread")]
async fn az17_reads_do_not_wait_for_a_zone_that_answers_five_seconds_late() {
    let machine = Machine::new(Topology::new(3, 2), 17).await;
    make_bucket(&machine.objects()).await.unwrap();
    for object in 0..OBJECT_COUNT {
        let content = bytes(object, 200_000);
        put(&machine.objects(), &object.to_string(), &content)
            .await
            .unwrap();
    }
    let healthy = read_all(&machine).await;
    let slow = machine.topology.member_disks(1).map(|disk| {
        machine.world.fault(Fault {
            disk: Some(disk),
            path_contains: "segments/".into(),
            op: OpKind::Read,
            kind: FaultKind::Slow(DELAY),
            ..Fault::default()
        })
    });
    let slow: Vec<_> = slow.collect();
    let late = read_all(&machine).await;
    let asked: u64 = slow.iter().map(|id| machine.world.strike_count(*id)).sum();
    println!(
        "a zone {} ms late: healthy p50 {:.1} ms, p99 {:.1} ms; then p50 {:.1} ms, p99 {:.1} ms",
        DELAY.as_millis(),
        millis(&healthy, 50),
        millis(&healthy, 99),
        millis(&late, 50),
        millis(&late, 99)
    );
    assert!(asked > 0, "the slow zone has shards of these objects");
    assert!(
        asked <= ASKED_MAX,
        "the slow zone was asked {asked} times in {} reads",
        late.len()
    );
    strongroom_sim::print_figure(
        "T6 a zone that is late, simulated",
        "reads",
        late.len() as u64,
        0,
        &[("reads of the late zone", asked)],
    );
}
