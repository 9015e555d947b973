//! `zone drain`: what has shards in a zone is written anew, and a person may wait until nothing is left.
//!
//! What is left is known only once a walk over all blobs has begun after the drain: a zone that has
//! nothing left before that walk is one nobody has looked at.

use std::time::Duration;

use strongroom_admin_api::{ApiError, NoParameters, ZoneChanged, ZoneSummary, Zones};
use strongroom_base::tasks;

use crate::command::ZoneDrain;
use crate::progress::{Progress, bar};
use crate::show::escaped;
use crate::zone::request;
use crate::{Admin, CliError};

/// Time between two looks at a drain that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Looks in a row that find nothing left: one may show a figure read a moment before.
const EMPTY_LOOKS_MIN: u32 = 2;
const NO_PARAMETERS: NoParameters = NoParameters {};

/// Begins a drain, unless it is waited for one that is under way.
pub(crate) async fn drain(admin: &Admin, flags: &ZoneDrain) -> Result<ZoneChanged, CliError> {
    let under_way = match flags.wait {
        true => under_way(admin, &flags.zone).await?,
        false => None,
    };
    let changed = match under_way {
        Some(changed) => changed,
        None => admin.drain_zone(&request(&flags.zone)).await?,
    };
    if flags.wait {
        wait(admin, &flags.zone).await?;
    }
    Ok(changed)
}

/// The zone, when it is being drained already.
async fn under_way(admin: &Admin, zone: &str) -> Result<Option<ZoneChanged>, CliError> {
    if !found(&admin.zones(&NO_PARAMETERS).await?, zone).is_some_and(|zone| zone.draining) {
        return Ok(None);
    }
    let disks = admin.disks(&NO_PARAMETERS).await?.disks.into_iter();
    let own = disks.filter(|entry| entry.zone == zone);
    Ok(Some(ZoneChanged {
        zone: zone.to_owned(),
        folders: own.map(|entry| entry.disk.folder).collect(),
    }))
}

fn found<'a>(zones: &'a Zones, zone: &str) -> Option<&'a ZoneSummary> {
    zones.zones.iter().find(|found| found.name == zone)
}

/// Until nothing has shards in the zone.
async fn wait(admin: &Admin, zone: &str) -> Result<(), CliError> {
    let mut progress = Progress::new();
    let mut drain = Drain::default();
    loop {
        // In this order: what the walk found is in the figure that is asked for after it.
        let is_walked = admin.repair_status(&NO_PARAMETERS).await?.current;
        let zones = admin.zones(&NO_PARAMETERS).await?;
        let Some(left) = found(&zones, zone).filter(|zone| zone.draining) else {
            let message = format!("zone {zone} is not being drained any more");
            return Err(ApiError::invalid(message).into());
        };
        if drain.look(left.blobs_left.filter(|_| is_walked)) {
            return Ok(());
        }
        progress.draw("drain", &drain.text());
        tasks::sleep(LOOK_INTERVAL).await;
    }
}

/// How far a drain is.
#[derive(Default)]
struct Drain {
    left: Option<u64>,
    /// The most that was left at a look.
    most: u64,
    empty_looks: u32,
}

impl Drain {
    /// Notes how many blobs are left, if that is known. Whether the zone is empty.
    fn look(&mut self, left: Option<u64>) -> bool {
        self.left = left;
        self.most = self.most.max(left.unwrap_or(0));
        self.empty_looks = match left {
            Some(0) => self.empty_looks + 1,
            _ => 0,
        };
        self.empty_looks >= EMPTY_LOOKS_MIN
    }

    fn text(&self) -> String {
        match self.left {
            None => "looking at what has shards in the zone".to_owned(),
            Some(left) => {
                let bar = bar(self.most - left, self.most);
                format!("{bar} {left} of {} blobs left", self.most)
            }
        }
    }
}

pub(crate) fn emptied_text(changed: &ZoneChanged) -> String {
    let zone = escaped(&changed.zone);
    format!(
        "Nothing is known to have shards in {zone} any more: `strongroom zone remove {zone}` looks \
         at all and takes it out.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_empty_only_when_a_walk_after_the_drain_found_nothing_twice() {
        let mut drain = Drain::default();
        assert!(!drain.look(None));
        assert!(drain.text().starts_with("looking"));
        assert!(!drain.look(Some(0)));
        assert!(!drain.look(Some(8)));
        assert!(!drain.look(Some(2)));
        let text = drain.text();
        assert!(text.ends_with("75 % 2 of 8 blobs left"), "{text}");
        assert!(!drain.look(Some(0)));
        assert!(!drain.look(None));
        assert!(!drain.look(Some(0)));
        assert!(drain.look(Some(0)));
    }
}
