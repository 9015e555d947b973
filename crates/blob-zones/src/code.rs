//! Which code new blobs get, from how many disks are in service where.
//!
//! A pure function, so that the promise "any one zone may be lost" can be checked for every
//! combination of disks and not only for those a test machine has.
//!
//! Invariant
//! - With two members or more, no member holds more than m shards of a group (AZ02).

/// Most shards of a stripe: beyond it encoding and the fan-out of reads cost more than the saved
/// space is worth. Of more members than this a group uses this many, in turn.
pub const SHARD_COUNT_MAX: usize = 12;

/// A code, and how its shards are spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// k.
    pub data_count: usize,
    /// m.
    pub parity_count: usize,
    /// Shards in each member used.
    pub shards_per_member: usize,
}

impl Code {
    /// k + m.
    #[must_use]
    pub const fn shard_count(self) -> usize {
        self.data_count + self.parity_count
    }

    /// Whether the loss of a whole member loses nothing.
    #[must_use]
    pub const fn survives_member(self) -> bool {
        self.shards_per_member <= self.parity_count
    }
}

/// The code for the members whose numbers of usable disks are given. `None` without any disk.
#[must_use]
pub fn choose_code(disks_per_member: &[usize]) -> Option<Code> {
    let present: Vec<usize> = disks_per_member
        .iter()
        .copied()
        .filter(|n| *n > 0)
        .collect();
    let disk_count_min = *present.iter().min()?;
    if let [disks] = present[..] {
        return Some(local_code(disks));
    }
    let member_count = present.len().min(SHARD_COUNT_MAX);
    let per = disk_count_min.min(SHARD_COUNT_MAX / member_count).max(1);
    let shard_count = member_count * per;
    let parity_count = match (member_count, per) {
        (2, _) => per,
        (_, 1) => (member_count / 3).max(1),
        _ => (per + 1).max(shard_count * 5 / 12),
    };
    let code = Code {
        data_count: shard_count - parity_count,
        parity_count,
        shards_per_member: per,
    };
    assert!(
        code.survives_member() && code.data_count >= 1,
        "AZ02: {code:?}"
    );
    Some(code)
}

/// One member alone: protect against the loss of one of its disks, if it has several.
fn local_code(disk_count: usize) -> Code {
    let shard_count = disk_count.min(SHARD_COUNT_MAX);
    let parity_count = match shard_count {
        1 => 0,
        n => (n / 3).max(1),
    };
    Code {
        data_count: shard_count - parity_count,
        parity_count,
        shards_per_member: shard_count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(members: &[usize]) -> (usize, usize) {
        let code = choose_code(members).unwrap();
        (code.data_count, code.parity_count)
    }

    #[test]
    fn codes_of_the_named_topologies_are_those_promised() {
        assert_eq!(counts(&[1]), (1, 0));
        assert_eq!(counts(&[1, 1]), (1, 1));
        assert_eq!(counts(&[1, 1, 1]), (2, 1));
        assert_eq!(counts(&[2, 2, 2]), (3, 3));
        assert_eq!(counts(&[4, 4, 4]), (7, 5));
        assert_eq!(counts(&[2; 6]), (7, 5));
        assert_eq!(choose_code(&[]), None);
        assert_eq!(choose_code(&[0, 0]), None);
    }

    /// AZ13: what is left after a zone is out again survives the loss of one.
    #[test]
    fn codes_with_one_zone_out_survive_another_zone_of_what_is_left() {
        assert_eq!(counts(&[4, 0, 4]), (4, 4));
        assert_eq!(counts(&[0, 2, 2]), (2, 2));
        assert_eq!(counts(&[1, 1, 0]), (1, 1));
        assert_eq!(counts(&[2, 2, 2, 0, 2, 2]), (6, 4));
        assert_eq!(counts(&[4, 0]), (3, 1));
    }

    /// H31: one bad disk in each of two zones costs two disks, not two zones.
    #[test]
    fn h31_bad_disks_in_two_zones_keep_three_zones_in_the_code() {
        assert_eq!(counts(&[3, 3, 4]), (5, 4));
    }

    /// AZ02 and AZ03 for every combination of up to six members with up to five disks.
    #[test]
    fn no_member_holds_more_than_the_parity_for_any_topology() {
        let mut members = vec![0usize; 6];
        for number in 0..6usize.pow(6) {
            let mut rest = number;
            for count in &mut members {
                *count = rest % 6;
                rest /= 6;
            }
            let present = members.iter().filter(|n| **n > 0).count();
            let Some(code) = choose_code(&members) else {
                assert_eq!(present, 0);
                continue;
            };
            assert!(code.shard_count() <= SHARD_COUNT_MAX && code.data_count >= 1);
            assert!(
                present < 2 || code.survives_member(),
                "{members:?} {code:?}"
            );
            let smallest = members.iter().filter(|n| **n > 0).min().unwrap();
            if present >= 3 && *smallest >= 2 && code.shards_per_member >= 2 {
                assert!(
                    code.parity_count > code.shards_per_member,
                    "AZ03: {members:?}"
                );
            }
        }
        for member_count in 1..=64 {
            let code = choose_code(&vec![3; member_count]).unwrap();
            assert!(code.shard_count() <= SHARD_COUNT_MAX);
        }
    }
}
