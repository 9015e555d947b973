//! Zones and disks of a simulated machine.

use std::fmt;

use strongroom_zones::DiskSpec;

use crate::world::SimWorld;

/// So many zones of so many disks. Disk `d` of zone `z` is disk `z * disks + d` of the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topology {
    pub zones: usize,
    pub disks: usize,
}

/// The topologies every engine test should know.
pub const TOPOLOGIES: [Topology; 7] = [
    Topology::new(1, 1),
    Topology::new(1, 3),
    Topology::new(2, 1),
    Topology::new(3, 1),
    Topology::new(3, 2),
    Topology::new(3, 4),
    Topology::new(6, 2),
];

impl Topology {
    /// So many zones of so many disks.
    #[must_use]
    pub const fn new(zones: usize, disks: usize) -> Self {
        Self { zones, disks }
    }

    /// Disks in all.
    #[must_use]
    pub const fn disk_count(self) -> usize {
        self.zones * self.disks
    }

    /// Failure domains: zones, or in a store of one zone its disks.
    #[must_use]
    pub const fn member_count(self) -> usize {
        if self.zones == 1 {
            self.disks
        } else {
            self.zones
        }
    }

    /// The disks of one failure domain.
    #[must_use]
    pub fn member_disks(self, member: usize) -> std::ops::Range<usize> {
        if self.zones == 1 {
            member..member + 1
        } else {
            member * self.disks..(member + 1) * self.disks
        }
    }

    /// The disks of `world` as an operator would configure them.
    #[must_use]
    pub fn specs(self, world: &SimWorld) -> Vec<DiskSpec> {
        let spec = |index: usize| {
            let (zone, disk) = (index / self.disks, index % self.disks);
            DiskSpec {
                zone: format!("z{zone}"),
                name: format!("z{zone}/d{disk}"),
                disk: world.disk(index),
            }
        };
        (0..self.disk_count()).map(spec).collect()
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.zones, self.disks)
    }
}
