//! The layout: which disks each zone has, and how that changes (RFC 0010, RFC 0011, RFC 0012).
//!
//! Every superblock carries it beside the promise. Here it is plain data and pure changes of it:
//! each gives the next layout, or the sentence that refuses.
//!
//! Invariants
//! - A change makes the number one more.
//! - A zone keeps its position for ever: one that joins comes last, one that left has no disks.
//! - A disk is listed once; a disk with a successor is not listed.
//! - Only a drained disk is removed, and that it was drained stays known.

use crate::codec::{DecodeError, Reader, Writer};
use crate::disks::{DiskId, MEMBER_COUNT_MAX};
use crate::open::DISK_COUNT_PER_ZONE_MAX;
use crate::superblock::ZoneMember;

/// Longest folder that is recorded: it is for sentences.
pub const FOLDER_SIZE_BYTES_MAX: usize = 1024;
/// Most disks that were replaced: as many as a full store has.
const SUCCESSOR_COUNT_MAX: usize = 4096;
/// Zones that stay, at least: with one, its disks would become the members.
const ZONE_COUNT_MIN: usize = 2;
/// Most disks that were drained, those removed included: as many as a full store has.
const DRAINED_COUNT_MAX: usize = 4096;

/// Where a disk was when a command brought it in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskNote {
    pub disk: DiskId,
    pub folder: String,
}

/// What changed since the store was formatted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// How many changes there were.
    pub number: u64,
    pub notes: Vec<DiskNote>,
    /// Replaced disks, and who has their place.
    pub successors: Vec<(DiskId, DiskId)>,
    /// Disks that are drained, or were and are removed.
    pub drained: Vec<Drained>,
}

/// A disk that gives its shards to others of its zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drained {
    pub disk: DiskId,
    /// Position of its zone, which is known so when the disk is listed no more.
    pub zone: u16,
}

/// The disks of each zone, and what changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    pub zones: Vec<ZoneMember>,
    pub changes: Changes,
}

impl Changes {
    /// Whether there is something that a superblock before format 3 has no place for.
    pub(crate) fn has_drained(&self) -> bool {
        !self.drained.is_empty()
    }

    pub(crate) fn encode(&self, w: &mut Writer, with_drained: bool) {
        w.u64(self.number);
        w.u16(u16::try_from(self.notes.len()).expect("at most 64 zones of 64 disks"));
        for note in &self.notes {
            w.bytes(&note.disk.0).short(note.folder.as_bytes());
        }
        w.u16(u16::try_from(self.successors.len()).expect("bounded where one is added"));
        for (old, new) in &self.successors {
            w.bytes(&old.0).bytes(&new.0);
        }
        if with_drained {
            w.u16(u16::try_from(self.drained.len()).expect("bounded where one is added"));
            for drained in &self.drained {
                w.bytes(&drained.disk.0).u16(drained.zone);
            }
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>, with_drained: bool) -> Result<Self, DecodeError> {
        let mut changes = Self {
            number: r.u64()?,
            ..Self::default()
        };
        for _ in 0..r.u16()? {
            let disk = DiskId(r.array()?);
            let folder = String::from_utf8(r.short()?.to_vec()).map_err(|_| DecodeError)?;
            changes.notes.push(DiskNote { disk, folder });
        }
        for _ in 0..r.u16()? {
            let successor = (DiskId(r.array()?), DiskId(r.array()?));
            changes.successors.push(successor);
        }
        let count = if with_drained { r.u16()? } else { 0 };
        for _ in 0..count {
            let disk = DiskId(r.array()?);
            let zone = r.u16()?;
            changes.drained.push(Drained { disk, zone });
        }
        Ok(changes)
    }
}

impl Layout {
    /// The zones there are now, as a set of positions: one that was removed keeps its position, with
    /// no disks, so that sets of members in old batches go on to mean the same.
    #[must_use]
    pub fn members(&self) -> u64 {
        let there = self.zones.iter().enumerate();
        let there = there.filter(|(_, zone)| !zone.disks.is_empty());
        there.fold(0, |set, (index, _)| set | 1 << index)
    }

    /// Whether zones may have come or gone: one is empty, or has only disks that a command brought in,
    /// as after a replacement of all its disks too.
    pub(crate) fn is_list_changed(&self) -> bool {
        let noted = |disk: &DiskId| self.folder_of(*disk).is_some();
        self.zones.len() > 1 && self.zones.iter().any(|zone| zone.disks.iter().all(noted))
    }

    /// Whether every disk of the zone is drained: it is to leave the store.
    #[must_use]
    pub fn is_zone_drained(&self, zone: &ZoneMember) -> bool {
        !zone.disks.is_empty() && zone.disks.iter().all(|disk| self.is_drained(*disk))
    }

    /// The zone that lists the disk.
    #[must_use]
    pub fn zone_of(&self, disk: DiskId) -> Option<&str> {
        let zone = self.zones.iter().find(|zone| zone.disks.contains(&disk));
        zone.map(|zone| zone.name.as_str())
    }

    /// Where the disk was when a command brought it in.
    #[must_use]
    pub fn folder_of(&self, disk: DiskId) -> Option<&str> {
        let mut notes = self.changes.notes.iter();
        let note = notes.find(|note| note.disk == disk);
        note.map(|note| note.folder.as_str())
    }

    /// The disk that has the place of `disk`: itself unless it was replaced.
    #[must_use]
    pub fn successor_of(&self, disk: DiskId) -> DiskId {
        let mut successors = self.changes.successors.iter();
        let found = successors.find(|(old, _)| *old == disk);
        found.map_or(disk, |(_, new)| *new)
    }

    /// Whether the disk is drained and still one of the store's.
    #[must_use]
    pub fn is_drained(&self, disk: DiskId) -> bool {
        self.drained_zone(disk).is_some() && self.zone_of(disk).is_some()
    }

    /// The zone of a disk that is drained, or was and is removed.
    #[must_use]
    pub fn drained_zone(&self, disk: DiskId) -> Option<&ZoneMember> {
        let mut drained = self.changes.drained.iter();
        let found = drained.find(|drained| drained.disk == disk)?;
        self.zones.get(usize::from(found.zone))
    }

    /// `disk` takes no new shards and gives away those it has.
    pub(crate) fn drain(&self, disk: DiskId) -> Result<Self, String> {
        let mut next = self.next("")?;
        let lists = |zone: &ZoneMember| zone.disks.contains(&disk);
        let zone = self.zones.iter().position(lists);
        let zone = zone.ok_or_else(|| format!("no disk of the store has the id {disk}"))?;
        if self.is_drained(disk) {
            return Err("it is being drained already".to_owned());
        }
        let mut others = self.zones[zone].disks.iter();
        if !others.any(|other| *other != disk && !self.is_drained(*other)) {
            return Err(format!(
                "zone {} has no other disk for what is on it: add a disk to the zone first, or \
                 drain the zone",
                self.zones[zone].name
            ));
        }
        next.note_drained(disk, zone)?;
        Ok(next)
    }

    fn note_drained(&mut self, disk: DiskId, zone: usize) -> Result<(), String> {
        if self.changes.drained.len() >= DRAINED_COUNT_MAX {
            return Err(format!(
                "{DRAINED_COUNT_MAX} disks of this store were drained and no more can be: replace \
                 the disk instead"
            ));
        }
        let zone = u16::try_from(zone).expect("at most 64 zones");
        self.changes.drained.push(Drained { disk, zone });
        Ok(())
    }

    /// One more zone, with these disks and their folders.
    pub(crate) fn add_zone(&self, name: &str, disks: &[(DiskId, &str)]) -> Result<Self, String> {
        let longest = disks.iter().map(|(_, folder)| *folder);
        let longest = longest.max_by_key(|folder| folder.len()).unwrap_or("");
        let mut next = self.next(longest)?;
        if let Some(zone) = self.zones.iter().find(|zone| zone.name == name) {
            return Err(match zone.disks.is_empty() {
                true => format!("a zone {name} was removed from the store: give it another name"),
                false => format!("the store has a zone {name}: give the new one another name"),
            });
        }
        if self.zones.len() >= MEMBER_COUNT_MAX {
            return Err(format!(
                "{MEMBER_COUNT_MAX} zones are or were in this store and no more can be: copy the \
                 objects to another store"
            ));
        }
        if disks.is_empty() || disks.len() > DISK_COUNT_PER_ZONE_MAX {
            return Err(format!(
                "a zone has between 1 and {DISK_COUNT_PER_ZONE_MAX} disks: name as many folders"
            ));
        }
        next.zones.push(ZoneMember {
            name: name.to_owned(),
            disks: disks.iter().map(|(disk, _)| *disk).collect(),
        });
        for (disk, folder) in disks {
            next.note(*disk, folder);
        }
        Ok(next)
    }

    /// Every disk of the zone is drained.
    pub(crate) fn drain_zone(&self, name: &str) -> Result<Self, String> {
        let mut next = self.next("")?;
        let index = self.position(name)?;
        let zone = &self.zones[index];
        if self.is_zone_drained(zone) {
            return Err("it is being drained already".to_owned());
        }
        let stays = |other: &&ZoneMember| {
            other.name != name && !other.disks.is_empty() && !self.is_zone_drained(other)
        };
        if self.zones.iter().filter(stays).count() < ZONE_COUNT_MIN {
            return Err(format!(
                "fewer than {ZONE_COUNT_MIN} zones would be left for what is in it: add a zone first"
            ));
        }
        for disk in zone.disks.iter().filter(|disk| !self.is_drained(**disk)) {
            next.note_drained(*disk, index)?;
        }
        Ok(next)
    }

    /// The zone takes shards again.
    pub(crate) fn keep_zone(&self, name: &str) -> Result<Self, String> {
        let mut next = self.next("")?;
        let zone = &self.zones[self.position(name)?];
        if !self.is_zone_drained(zone) {
            return Err("it is not being drained".to_owned());
        }
        let drained = &mut next.changes.drained;
        drained.retain(|drained| !zone.disks.contains(&drained.disk));
        Ok(next)
    }

    /// The zone, which was drained, is none of the store's any more.
    pub(crate) fn remove_zone(&self, name: &str) -> Result<Self, String> {
        let mut next = self.next("")?;
        let index = self.position(name)?;
        let zone = &self.zones[index];
        if !self.is_zone_drained(zone) {
            return Err("it is not drained: drain it first".to_owned());
        }
        next.changes
            .notes
            .retain(|note| !zone.disks.contains(&note.disk));
        next.zones[index].disks.clear();
        if strongroom_base::planted("zone_gives_its_position_away") {
            next.zones.remove(index);
        }
        Ok(next)
    }

    /// The position of a zone that is there.
    fn position(&self, name: &str) -> Result<usize, String> {
        let there = |zone: &&ZoneMember| !zone.disks.is_empty();
        let found = (self.zones.iter()).position(|zone| there(&zone) && zone.name == name);
        found.ok_or_else(|| {
            let names = self.zones.iter().filter(there);
            let names: Vec<&str> = names.map(|zone| zone.name.as_str()).collect();
            format!(
                "the store has no zone {name}: name one of {}",
                names.join(", ")
            )
        })
    }

    /// `disk` takes shards again.
    pub(crate) fn keep(&self, disk: DiskId) -> Result<Self, String> {
        let mut next = self.next("")?;
        if !self.is_drained(disk) {
            return Err("it is not being drained".to_owned());
        }
        next.changes.drained.retain(|drained| drained.disk != disk);
        Ok(next)
    }

    /// `disk`, which was drained, is none of the store's any more.
    pub(crate) fn remove(&self, disk: DiskId) -> Result<Self, String> {
        let mut next = self.next("")?;
        if self.zone_of(disk).is_none() {
            return Err(format!("no disk of the store has the id {disk}"));
        }
        if !self.is_drained(disk) {
            return Err("it is not drained: drain it first".to_owned());
        }
        for zone in &mut next.zones {
            zone.disks.retain(|listed| *listed != disk);
        }
        next.changes.notes.retain(|note| note.disk != disk);
        Ok(next)
    }

    /// `new` has the place of `old`.
    pub(crate) fn replace(&self, old: DiskId, new: DiskId, folder: &str) -> Result<Self, String> {
        let mut next = self.next(folder)?;
        let place = next.place_of(old)?;
        *place = new;
        next.changes.notes.retain(|note| note.disk != old);
        next.changes.drained.retain(|drained| drained.disk != old);
        next.note(new, folder);
        for (_, successor) in &mut next.changes.successors {
            if *successor == old {
                *successor = new;
            }
        }
        next.changes.successors.push((old, new));
        if next.changes.successors.len() > SUCCESSOR_COUNT_MAX {
            return Err(format!(
                "{SUCCESSOR_COUNT_MAX} disks of this store were replaced and no more can be: add \
                 the disk instead"
            ));
        }
        Ok(next)
    }

    /// `new` is one more disk of `zone`.
    pub(crate) fn add(&self, zone: &str, new: DiskId, folder: &str) -> Result<Self, String> {
        let mut next = self.next(folder)?;
        let found = &mut next.zones[self.position(zone)?];
        if found.disks.len() >= DISK_COUNT_PER_ZONE_MAX {
            return Err(format!(
                "zone {zone} has {DISK_COUNT_PER_ZONE_MAX} disks, the most it can have"
            ));
        }
        found.disks.push(new);
        next.note(new, folder);
        Ok(next)
    }

    /// The layout after this one, still with its disks.
    fn next(&self, folder: &str) -> Result<Self, String> {
        if self.zones.len() < 2 {
            return Err(
                "the disks of a store with one zone are its members, and members can not be \
                 changed: copy the objects to a store with more zones"
                    .to_owned(),
            );
        }
        if folder.len() > FOLDER_SIZE_BYTES_MAX {
            return Err(format!(
                "the name of the folder is longer than {FOLDER_SIZE_BYTES_MAX} bytes: use a shorter one"
            ));
        }
        let mut next = self.clone();
        next.changes.number += 1;
        Ok(next)
    }

    fn note(&mut self, disk: DiskId, folder: &str) {
        let folder = folder.to_owned();
        self.changes.notes.push(DiskNote { disk, folder });
    }

    fn place_of(&mut self, disk: DiskId) -> Result<&mut DiskId, String> {
        let mut places = self.zones.iter_mut().flat_map(|zone| &mut zone.disks);
        let found = places.find(|listed| **listed == disk);
        found.ok_or_else(|| format!("no disk of the store has the id {disk}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(zones: &[(&str, &[u8])]) -> Layout {
        let zone = |(name, disks): &(&str, &[u8])| ZoneMember {
            name: (*name).to_owned(),
            disks: disks.iter().map(|disk| id(*disk)).collect(),
        };
        Layout {
            zones: zones.iter().map(zone).collect(),
            changes: Changes::default(),
        }
    }

    fn id(byte: u8) -> DiskId {
        DiskId([byte; 16])
    }

    #[test]
    fn a_replaced_disk_has_its_successor_also_after_that_one_was_replaced() {
        let first = layout(&[("a", &[1]), ("b", &[2])]);
        let second = first.replace(id(1), id(3), "/new").unwrap();
        let third = second.replace(id(3), id(4), "/newer").unwrap();
        assert_eq!(third.successor_of(id(1)), id(4));
        assert_eq!(third.successor_of(id(3)), id(4));
        assert_eq!(third.successor_of(id(2)), id(2));
        assert_eq!(third.zone_of(id(4)), Some("a"));
        assert_eq!(third.zone_of(id(1)), None);
        assert_eq!(third.folder_of(id(4)), Some("/newer"));
        assert_eq!(third.changes.number, 2);
        assert_eq!(third.changes.notes.len(), 1, "{third:?}");
    }

    #[test]
    fn what_can_not_be_changed_is_refused_with_a_sentence() {
        let one = layout(&[("a", &[1, 2])]);
        assert!(
            one.replace(id(1), id(3), "/n")
                .unwrap_err()
                .contains("one zone")
        );
        let two = layout(&[("a", &[1]), ("b", &[2])]);
        assert!(
            two.replace(id(9), id(3), "/n")
                .unwrap_err()
                .contains("no disk")
        );
        assert!(two.add("x", id(3), "/n").unwrap_err().contains("a, b"));
        assert!(two.add("a", id(3), &"x".repeat(1025)).is_err());
    }

    #[test]
    fn a_drained_disk_is_listed_until_it_is_removed_and_its_zone_is_known_after() {
        let first = layout(&[("a", &[1]), ("b", &[2, 3])]);
        let drained = first.drain(id(2)).unwrap();
        assert!(drained.is_drained(id(2)) && !drained.is_drained(id(3)));
        assert_eq!(drained.zone_of(id(2)), Some("b"));
        let kept = drained.keep(id(2)).unwrap();
        assert!(!kept.is_drained(id(2)) && !kept.changes.has_drained());
        let removed = drained.remove(id(2)).unwrap();
        assert_eq!(removed.zone_of(id(2)), None);
        assert_eq!(removed.drained_zone(id(2)).unwrap().disks, [id(3)]);
        assert_eq!(removed.changes.number, 2);
        let replaced = drained.replace(id(2), id(4), "/new").unwrap();
        assert!(!replaced.is_drained(id(4)) && !replaced.is_drained(id(2)));
    }

    #[test]
    fn zones_come_and_go_and_keep_their_positions() {
        let first = layout(&[("a", &[1]), ("b", &[2, 3])]);
        let added = first
            .add_zone("c", &[(id(4), "/4"), (id(5), "/5")])
            .unwrap();
        assert_eq!(added.members(), 0b111);
        assert_eq!(added.folder_of(id(5)), Some("/5"));
        let drained = added.drain(id(2)).unwrap().drain_zone("b").unwrap();
        assert!(drained.is_zone_drained(&drained.zones[1]));
        let kept = drained.keep_zone("b").unwrap();
        assert!(!kept.is_drained(id(2)) && !kept.is_drained(id(3)));
        let removed = drained.remove_zone("b").unwrap();
        assert_eq!((removed.members(), removed.zones.len()), (0b101, 3));
        assert_eq!(removed.zone_of(id(4)), Some("c"));
        assert!(removed.drained_zone(id(3)).is_some(), "it is still known");
        let again = removed.add_zone("d", &[(id(6), "/6")]).unwrap();
        assert_eq!(again.members(), 0b1101);
    }

    #[test]
    fn what_a_zone_can_not_do_is_refused_with_a_sentence() {
        let first = layout(&[("a", &[1]), ("b", &[2])]);
        let why = |outcome: Result<Layout, String>| outcome.unwrap_err();
        assert!(why(first.add_zone("a", &[(id(3), "/3")])).contains("another name"));
        assert!(why(first.add_zone("c", &[])).contains("folders"));
        assert!(why(first.drain_zone("b")).contains("add a zone first"));
        assert!(why(first.remove_zone("b")).contains("drain it first"));
        assert!(why(first.keep_zone("b")).contains("not being drained"));
        assert!(why(first.drain_zone("x")).contains("one of a, b"));
        let three = first.add_zone("c", &[(id(3), "/3")]).unwrap();
        let removed = three.drain_zone("c").unwrap().remove_zone("c").unwrap();
        assert!(why(removed.add_zone("c", &[(id(4), "/4")])).contains("was removed"));
        assert!(why(removed.drain_zone("c")).contains("no zone c"));
        assert!(why(removed.add("c", id(4), "/4")).contains("no zone c"));
        let one = layout(&[("a", &[1, 2])]);
        assert!(why(one.add_zone("b", &[(id(3), "/3")])).contains("one zone"));
    }

    #[test]
    fn what_can_not_be_drained_or_removed_is_refused_with_a_sentence() {
        let first = layout(&[("a", &[1]), ("b", &[2, 3])]);
        let why = |outcome: Result<Layout, String>| outcome.unwrap_err();
        assert!(why(first.drain(id(1))).contains("add a disk to the zone"));
        assert!(why(first.drain(id(9))).contains("no disk"));
        assert!(why(first.remove(id(2))).contains("drain it first"));
        assert!(why(first.keep(id(2))).contains("not being drained"));
        let drained = first.drain(id(2)).unwrap();
        assert!(why(drained.drain(id(2))).contains("already"));
        assert!(why(drained.drain(id(3))).contains("add a disk to the zone"));
        let one = layout(&[("a", &[1, 2])]);
        assert!(why(one.drain(id(1))).contains("one zone"));
    }
}
