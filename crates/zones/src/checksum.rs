//! The checksum of everything we write to disk: XXH3. It detects rot, torn, lost and misdirected
//! writes; it is no defence against someone who can write to the disks (encryption is).

use twox_hash::{XxHash3_64, XxHash3_128};

/// XXH3-128 of `parts`, one after the other, seeded.
#[must_use]
pub fn checksum128(seed: u64, parts: &[&[u8]]) -> [u8; 16] {
    if let [one] = parts {
        return XxHash3_128::oneshot_with_seed(seed, one).to_le_bytes();
    }
    let mut hasher = XxHash3_128::with_seed(seed);
    for part in parts {
        hasher.write(part);
    }
    hasher.finish_128().to_le_bytes()
}

/// XXH3-64 of `bytes`, seeded.
#[must_use]
pub fn checksum64(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_the_whole_have_one_checksum() {
        let data: Vec<u8> = (0..5000u32).map(|i| (i % 251) as u8).collect();
        assert_eq!(
            checksum128(7, &[&data]),
            checksum128(7, &[&data[..13], &data[13..]])
        );
        assert_ne!(checksum128(7, &[&data]), checksum128(8, &[&data]));
    }
}
