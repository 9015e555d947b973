//! What a configuration survives and what it does not, in one sentence.
//!
//! Three folders on one disk look like three zones and are not. Operators learn that from the first
//! line the server prints, not from the day the disk dies. The sentence promises only what holds
//! for *every* choice of the parts it names, counting shards and log copies.
//!
//! Folders on one file system count as one disk. Two file systems on one physical disk are not told
//! apart: the operator knows better than we do.

use std::collections::BTreeMap;

/// The zones, their folders, and the code of new blobs.
#[derive(Clone, Debug)]
pub struct Topology {
    /// At least one.
    pub zones: Vec<ZoneTopology>,
    /// Shards of a stripe that may be missing.
    pub parity_shards: usize,
}

/// One zone.
#[derive(Clone, Debug)]
pub struct ZoneTopology {
    /// Its name.
    pub name: String,
    /// The file system of each folder, as the kernel numbers it.
    pub devices: Vec<u64>,
    /// Most shards of one stripe that lie in the zone.
    pub shards_max: usize,
}

impl ZoneTopology {
    /// Most shards of one stripe that lie in one folder, when the zone spreads them evenly.
    fn shards_per_folder(&self) -> usize {
        self.shards_max.div_ceil(self.devices.len().max(1))
    }
}

/// The sentence.
#[must_use]
pub fn survives(topology: &Topology) -> String {
    let devices = devices(topology);
    let folder_count: usize = topology.zones.iter().map(|zone| zone.devices.len()).sum();
    if devices.len() == 1 && folder_count > 1 {
        return one_device(topology, folder_count);
    }
    let sentence = match topology.zones.len() {
        1 => one_zone(topology),
        2 => two_zones(topology),
        _ => many_zones(topology, &devices),
    };
    match shared_device(topology, &devices) {
        Some(folders) => format!(
            "{}; nor the loss of the disk that {folders} share.",
            sentence
        ),
        None => format!("{sentence}."),
    }
}

/// Zones and folders that may go at once: members in service must stay a majority, and a stripe
/// must keep its data shards.
fn members_lost_max(shards: &[usize], parity: usize) -> usize {
    let mut shards = shards.to_vec();
    shards.sort_unstable_by(|a, b| b.cmp(a));
    let majority = shards.len() / 2 + 1;
    // Two members keep every byte when one goes, though writes then wait for the operator.
    let may_go = if shards.len() == 2 {
        1
    } else {
        shards.len() - majority
    };
    let mut sum = 0;
    shards
        .iter()
        .take(may_go)
        .take_while(|count| {
            sum += **count;
            sum <= parity
        })
        .count()
}

fn one_zone(topology: &Topology) -> String {
    let folder = topology.zones[0].shards_per_folder();
    let count = topology.zones[0].devices.len();
    let lost = members_lost_max(&vec![folder; count], topology.parity_shards);
    match (count, lost) {
        (1, _) => "This configuration survives a crash and a power cut, but not the loss of its \
                   only disk"
            .to_owned(),
        (_, 0) => format!(
            "This configuration survives a crash and a power cut, but not the loss of any of its \
             {} disks, nor of its only zone",
            number(count)
        ),
        (2, _) => "This configuration survives the loss of either of its two disks (reads go on, \
                   writes wait for the operator), but not of both, nor of its only zone"
            .to_owned(),
        _ => format!(
            "This configuration survives the loss of any {} of its {} disks, but not of {}, nor of \
             its only zone",
            number(lost),
            number(count),
            number(lost + 1),
        ),
    }
}

fn two_zones(topology: &Topology) -> String {
    let shards: Vec<usize> = topology.zones.iter().map(|zone| zone.shards_max).collect();
    if members_lost_max(&shards, topology.parity_shards) == 0 {
        return "This configuration survives a crash and a power cut, but not the loss of either \
                of its two zones"
            .to_owned();
    }
    "This configuration survives the loss of either of its two zones (reads go on, writes wait for \
     the operator), but not of both"
        .to_owned()
}

fn many_zones(topology: &Topology, devices: &BTreeMap<u64, Vec<usize>>) -> String {
    let mut shards: Vec<usize> = topology.zones.iter().map(|zone| zone.shards_max).collect();
    let count = shards.len();
    let lost = members_lost_max(&shards, topology.parity_shards);
    if lost == 0 {
        return format!(
            "This configuration survives a crash and a power cut, but not the loss of any of its \
             {} zones",
            number(count)
        );
    }
    shards.sort_unstable_by(|a, b| b.cmp(a));
    let used: usize = shards.iter().take(lost).sum();
    let disk = devices
        .values()
        .map(|zones| shards_on(topology, zones))
        .max()
        .unwrap_or(0);
    // The log moves to another disk of its zone only where the zone has one.
    let spare_disks = topology
        .zones
        .iter()
        .all(|zone| zone.devices.iter().any(|d| *d != zone.devices[0]));
    let and_disk = spare_disks && used + disk <= topology.parity_shards;
    format!(
        "This configuration survives the loss of any {} of its {} zones{} with nothing lost and \
         without a pause for the operator, but not of {} zones",
        number(lost),
        number(count),
        if and_disk {
            ", and of any one more disk,"
        } else {
            ""
        },
        number(lost + 1),
    )
}

/// All folders on one disk: the common way to try the server out.
fn one_device(topology: &Topology, folder_count: usize) -> String {
    let all_of_one = topology.zones.len() == 1;
    let shards: Vec<usize> = if all_of_one {
        vec![topology.zones[0].shards_per_folder(); folder_count]
    } else {
        topology.zones.iter().map(|zone| zone.shards_max).collect()
    };
    let lost = members_lost_max(&shards, topology.parity_shards);
    let part = match (all_of_one || folder_count == shards.len(), shards.len()) {
        (true, 2) => "either of its two folders".to_owned(),
        (true, count) => format!("any {} of its {} folders", number(lost), number(count)),
        (false, 2) => "the folders of either of its two zones".to_owned(),
        (false, count) => {
            format!(
                "the folders of any {} of its {} zones",
                number(lost),
                number(count)
            )
        }
    };
    if lost == 0 {
        return "This configuration survives a crash and a power cut, but not the loss of any of \
                its folders, nor of the one disk they are all on."
            .to_owned();
    }
    format!(
        "This configuration survives the loss or damage of {part}, but not of the one disk they \
         are all on."
    )
}

/// Most shards of one stripe in one folder of each of `zones`.
fn shards_on(topology: &Topology, zones: &[usize]) -> usize {
    zones
        .iter()
        .map(|zone| topology.zones[*zone].shards_per_folder())
        .sum()
}

/// For each device, the zone of each folder on it.
fn devices(topology: &Topology) -> BTreeMap<u64, Vec<usize>> {
    let mut devices: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, zone) in topology.zones.iter().enumerate() {
        for device in &zone.devices {
            devices.entry(*device).or_default().push(index);
        }
    }
    devices
}

/// The zones on a device whose loss is more than the configuration survives otherwise.
fn shared_device(topology: &Topology, devices: &BTreeMap<u64, Vec<usize>>) -> Option<String> {
    for members in devices.values() {
        if members.len() < 2 {
            continue;
        }
        let lost = shards_on(topology, members);
        let mut zones = members.clone();
        zones.dedup();
        let zones_lost_whole = zones
            .iter()
            .filter(|zone| {
                let held = members.iter().filter(|member| member == zone).count();
                held == topology.zones[**zone].devices.len()
            })
            .count();
        let minority = (topology.zones.len().saturating_sub(1)) / 2;
        if lost <= topology.parity_shards && zones_lost_whole <= minority.max(1) {
            continue;
        }
        if zones.len() == 1 {
            return Some(format!("folders of zone {}", topology.zones[zones[0]].name));
        }
        let names: Vec<&str> = zones
            .iter()
            .map(|zone| topology.zones[*zone].name.as_str())
            .collect();
        return Some(format!("zones {}", list(&names)));
    }
    None
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn number(n: usize) -> String {
    match n {
        1 => "one".to_owned(),
        2 => "two".to_owned(),
        3 => "three".to_owned(),
        4 => "four".to_owned(),
        5 => "five".to_owned(),
        6 => "six".to_owned(),
        _ => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `zones` zones of `disks` disks each on a device of its own, shards spread evenly.
    fn even(zones: usize, disks: usize, k: usize, m: usize) -> Topology {
        let zone = |index: usize| ZoneTopology {
            name: format!("z{}", index + 1),
            devices: (0..disks)
                .map(|disk| (index * disks + disk) as u64)
                .collect(),
            shards_max: (k + m).div_ceil(zones),
        };
        Topology {
            zones: (0..zones).map(zone).collect(),
            parity_shards: m,
        }
    }

    fn on_one_device(mut topology: Topology) -> Topology {
        for zone in &mut topology.zones {
            zone.devices.fill(7);
        }
        topology
    }

    #[test]
    fn one_zone_of_one_disk_survives_no_disk() {
        assert_eq!(
            survives(&even(1, 1, 1, 0)),
            "This configuration survives a crash and a power cut, but not the loss of its only \
             disk."
        );
    }

    #[test]
    fn one_zone_of_several_disks_says_how_many() {
        assert_eq!(
            survives(&even(1, 2, 1, 1)),
            "This configuration survives the loss of either of its two disks (reads go on, writes \
             wait for the operator), but not of both, nor of its only zone."
        );
        assert_eq!(
            survives(&even(1, 4, 2, 2)),
            "This configuration survives the loss of any one of its four disks, but not of two, \
             nor of its only zone."
        );
        assert!(survives(&even(1, 4, 4, 0)).contains("not the loss of any of its four disks"));
    }

    #[test]
    fn two_zones_keep_reads_and_say_that_writes_wait() {
        // AZ04
        assert_eq!(
            survives(&even(2, 1, 1, 1)),
            "This configuration survives the loss of either of its two zones (reads go on, writes \
             wait for the operator), but not of both."
        );
        assert!(survives(&even(2, 1, 2, 0)).contains("not the loss of either"));
    }

    #[test]
    fn three_zones_of_one_disk_survive_a_zone() {
        assert_eq!(
            survives(&even(3, 1, 2, 1)),
            "This configuration survives the loss of any one of its three zones with nothing lost \
             and without a pause for the operator, but not of two zones."
        );
    }

    #[test]
    fn three_zones_of_several_disks_survive_a_zone_and_a_disk() {
        // AZ03
        for topology in [even(3, 2, 3, 3), even(3, 4, 7, 5)] {
            assert_eq!(
                survives(&topology),
                "This configuration survives the loss of any one of its three zones, and of any \
                 one more disk, with nothing lost and without a pause for the operator, but not of \
                 two zones."
            );
        }
        assert!(!survives(&even(3, 2, 4, 2)).contains("one more disk"));
    }

    #[test]
    fn six_zones_of_two_disks_survive_two_zones_and_a_disk() {
        let sentence = survives(&even(6, 2, 7, 5));
        assert!(
            sentence.contains("any two of its six zones, and of any one more disk"),
            "{sentence}"
        );
        assert!(sentence.ends_with("but not of three zones."), "{sentence}");
    }

    #[test]
    fn folders_on_one_disk_do_not_survive_it() {
        assert_eq!(
            survives(&on_one_device(even(3, 1, 2, 1))),
            "This configuration survives the loss or damage of any one of its three folders, but \
             not of the one disk they are all on."
        );
        assert!(survives(&on_one_device(even(3, 2, 3, 3))).contains("the folders of any one of"));
        assert!(survives(&on_one_device(even(2, 1, 1, 1))).contains("either of its two folders"));
        assert!(
            survives(&on_one_device(even(1, 3, 2, 1))).contains("any one of its three folders")
        );
    }

    #[test]
    fn two_zones_that_share_a_disk_are_named() {
        let mut topology = even(3, 1, 2, 1);
        topology.zones[1].devices = vec![0];
        let sentence = survives(&topology);
        assert!(
            sentence.ends_with("; nor the loss of the disk that zones z1 and z2 share."),
            "{sentence}"
        );
    }

    #[test]
    fn a_disk_shared_inside_one_zone_is_no_more_than_the_zone() {
        let mut topology = even(3, 2, 3, 3);
        topology.zones[0].devices = vec![9, 9];
        let sentence = survives(&topology);
        assert!(
            !sentence.contains("share") && !sentence.contains("one more disk"),
            "{sentence}"
        );
    }

    #[test]
    fn a_code_that_cannot_lose_a_zone_promises_no_zone() {
        assert!(survives(&even(3, 1, 3, 0)).contains("not the loss of any of its three zones"));
    }
}
