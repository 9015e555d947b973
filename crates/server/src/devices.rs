//! Which devices the folders are on, found from the system.
//!
//! Two partitions of one disk are two file systems and one thing that fails. The kernel knows: a
//! partition lies in the folder of its disk, a volume names its slaves, a loop its backing file.
//! They are followed down to what has nothing below it.
//!
//! Where it stops: whether two devices share a controller, a cable or a room is not looked for.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use strongroom_admin_server::{DiskTopology, Topology, ZoneTopology};
use strongroom_blob_zones::Code;

/// Deepest stack of devices that is followed: volumes on volumes on loops have a few levels, and a
/// damaged tree must not hold the call.
const DEPTH_MAX: usize = 16;

/// Where the kernel tells of devices.
pub struct System {
    /// `/sys`.
    sys: PathBuf,
    /// `/proc/self/mountinfo`: what file systems without a device of their own are on.
    mounts: PathBuf,
    /// `/run`: what a time service leaves there.
    run: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            mounts: "/proc/self/mountinfo".into(),
            run: "/run".into(),
        }
    }
}

/// The topology without the time: `disks` are pairs of a zone and a folder.
pub fn topology<'a>(
    system: &System,
    code: Option<Code>,
    zones: impl Iterator<Item = &'a str>,
    disks: impl Iterator<Item = (&'a str, &'a str)>,
) -> Topology {
    let count =
        |of: fn(Code) -> usize| code.map_or(0, |code| u32::try_from(of(code)).unwrap_or(u32::MAX));
    let mut zones: Vec<ZoneTopology> = zones
        .map(|name| ZoneTopology {
            name: name.to_owned(),
            disks: Vec::new(),
        })
        .collect();
    for (zone, folder) in disks {
        if let Some(zone) = zones.iter_mut().find(|known| known.name == zone) {
            zone.disks.push(system.disk(folder));
        }
    }
    Topology {
        time_unix_seconds: 0,
        clock_synchronized: system.clock_synchronized(),
        data_shards: count(|code| code.data_count),
        parity_shards: count(|code| code.parity_count),
        shards_per_zone: count(|code| code.shards_per_member),
        zones,
    }
}

impl System {
    fn disk(&self, folder: &str) -> DiskTopology {
        let mut disk = DiskTopology {
            folder: folder.to_owned(),
            ..DiskTopology::default()
        };
        if let Ok(metadata) = std::fs::metadata(folder) {
            let number = numbers(metadata.dev());
            let mut roots = BTreeSet::new();
            self.roots(&number, DEPTH_MAX, &mut roots);
            disk.file_system = Some(number);
            disk.devices = roots.into_iter().collect();
        }
        disk
    }

    /// Adds the devices below `number` (`major:minor`) that have nothing below them.
    fn roots(&self, number: &str, depth: usize, roots: &mut BTreeSet<String>) {
        let Some(depth) = depth.checked_sub(1) else {
            roots.insert(number.to_owned());
            return;
        };
        let Ok(folder) = self.sys.join("dev/block").join(number).canonicalize() else {
            match self.mounted_from(number) {
                Some(below) if below != number => self.roots(&below, depth, roots),
                _ => {
                    roots.insert(format!("file system {number}"));
                }
            }
            return;
        };
        self.roots_of(&folder, number, depth, roots);
    }

    fn roots_of(&self, folder: &Path, number: &str, depth: usize, roots: &mut BTreeSet<String>) {
        if folder.join("partition").exists()
            && let Some(whole) = folder.parent()
        {
            return self.roots_of(whole, number, depth, roots);
        }
        let mut below: Vec<String> = Vec::new();
        for slave in std::fs::read_dir(folder.join("slaves"))
            .into_iter()
            .flatten()
        {
            let text = slave.and_then(|slave| std::fs::read_to_string(slave.path().join("dev")));
            below.extend(text.ok().map(|text| text.trim().to_owned()));
        }
        if let Ok(file) = std::fs::read_to_string(folder.join("loop/backing_file"))
            && let Ok(metadata) = std::fs::metadata(file.trim())
        {
            below.push(numbers(metadata.dev()));
        }
        if below.is_empty() {
            let name = folder.file_name().map(|name| name.to_string_lossy());
            roots.insert(name.map_or_else(|| number.to_owned(), |name| name.into_owned()));
        }
        for number in below {
            self.roots(&number, depth, roots);
        }
    }

    /// The device that a file system without one of its own (Btrfs, an overlay) is mounted from.
    fn mounted_from(&self, number: &str) -> Option<String> {
        let mounts = std::fs::read_to_string(&self.mounts).ok()?;
        let line = mounts
            .lines()
            .find(|line| line.split(' ').nth(2) == Some(number))?;
        // After the hyphen: type, source, options.
        let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
        if !source.starts_with("/dev/") {
            return None;
        }
        Some(numbers(std::fs::metadata(source).ok()?.rdev()))
    }

    /// What systemd-timesyncd says; whether chronyd or ntpd runs.
    fn clock_synchronized(&self) -> Option<bool> {
        let exists = |path: &str| self.run.join(path).exists();
        if exists("systemd/timesync/synchronized") {
            return Some(true);
        }
        if exists("chrony/chronyd.pid") || exists("ntpd.pid") {
            return Some(true);
        }
        exists("systemd/timesync").then_some(false)
    }
}

/// A device number as the kernel writes it.
fn numbers(device: u64) -> String {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    format!("{major}:{}", minor & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Tree(tempfile::TempDir, System);

    impl Tree {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let system = System {
                sys: folder.path().to_owned(),
                mounts: folder.path().join("mountinfo"),
                run: folder.path().join("run"),
            };
            fs::create_dir_all(folder.path().join("dev/block")).unwrap();
            Self(folder, system)
        }

        /// A device at `path` with this number; below it those in `slaves`.
        fn device(&self, path: &str, number: &str, slaves: &[&str]) {
            let folder = self.0.path().join("devices").join(path);
            fs::create_dir_all(folder.join("slaves")).unwrap();
            fs::write(folder.join("dev"), format!("{number}\n")).unwrap();
            for slave in slaves {
                let target = self.0.path().join("devices").join(slave);
                let name = target.file_name().unwrap();
                symlink(&target, folder.join("slaves").join(name)).unwrap();
            }
            symlink(folder, self.0.path().join("dev/block").join(number)).unwrap();
        }

        fn partition(&self, path: &str, number: &str) {
            self.device(path, number, &[]);
            let file = self.0.path().join("devices").join(path).join("partition");
            fs::write(file, "1\n").unwrap();
        }

        fn roots(&self, number: &str) -> Vec<String> {
            let mut roots = BTreeSet::new();
            self.1.roots(number, DEPTH_MAX, &mut roots);
            roots.into_iter().collect()
        }
    }

    #[test]
    fn partitions_of_one_disk_are_that_disk() {
        let tree = Tree::new();
        tree.device("sda", "8:0", &[]);
        tree.partition("sda/sda1", "8:1");
        tree.partition("sda/sda2", "8:2");
        assert_eq!(tree.roots("8:1"), ["sda"]);
        assert_eq!(tree.roots("8:1"), tree.roots("8:2"));
        assert_eq!(tree.roots("8:0"), ["sda"]);
    }

    #[test]
    fn a_volume_is_on_all_the_disks_below_it() {
        let tree = Tree::new();
        tree.device("sda", "8:0", &[]);
        tree.partition("sda/sda1", "8:1");
        tree.device("sdb", "8:16", &[]);
        tree.device("dm-0", "253:0", &["sda/sda1", "sdb"]);
        tree.device("dm-1", "253:1", &["dm-0"]);
        assert_eq!(tree.roots("253:1"), ["sda", "sdb"]);
    }

    #[test]
    fn a_loop_is_on_the_file_system_of_its_file() {
        let tree = Tree::new();
        let file = tree.0.path().join("image");
        fs::write(&file, "x").unwrap();
        let below = numbers(fs::metadata(&file).unwrap().dev());
        tree.device("loop0", "7:0", &[]);
        let folder = tree.0.path().join("devices/loop0/loop");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("backing_file"), format!("{}\n", file.display())).unwrap();
        assert_eq!(tree.roots("7:0"), [format!("file system {below}")]);
        tree.device("sdc", &below, &[]);
        assert_eq!(tree.roots("7:0"), ["sdc"]);
    }

    #[test]
    fn a_volume_that_names_itself_ends() {
        let tree = Tree::new();
        tree.device("dm-0", "253:0", &["dm-0"]);
        assert_eq!(tree.roots("253:0"), ["253:0"]);
    }

    #[test]
    fn device_numbers_are_written_as_the_kernel_does() {
        assert_eq!(numbers(0x0801), "8:1");
        assert_eq!(numbers(0x0010_fd05), "253:261");
    }

    #[test]
    fn the_clock_is_kept_when_a_time_service_says_so() {
        let tree = Tree::new();
        assert_eq!(tree.1.clock_synchronized(), None);
        fs::create_dir_all(tree.1.run.join("systemd/timesync")).unwrap();
        assert_eq!(tree.1.clock_synchronized(), Some(false));
        fs::write(tree.1.run.join("systemd/timesync/synchronized"), "").unwrap();
        assert_eq!(tree.1.clock_synchronized(), Some(true));
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_device() {
        let zones = ["a"].into_iter();
        let disks = [("a", "/nowhere/at/all")].into_iter();
        let found = topology(&System::default(), None, zones, disks);
        assert_eq!(found.zones[0].disks[0].file_system, None);
        assert!(found.zones[0].disks[0].devices.is_empty());
    }
}
