//! Digests of content, computed in one pass over each chunk.
//!
//! A put needs the MD5 for its entity tag, the checksum that is kept, and whatever the client
//! declared. [`Hashers`] computes all but MD5, most of the cost of a large put: that is computed for
//! many uploads at once ([`crate::md5_lanes`]), or of small content when it is there.

use aws_lc_rs::digest;
use crc_fast::CrcAlgorithm;
use strongroom_types::{Checksum, ChecksumAlgorithm};

use crate::error::{Error, Result};

/// Computes one checksum.
enum ChecksumHasher {
    Crc(ChecksumAlgorithm, Box<crc_fast::Digest>),
    Sha(ChecksumAlgorithm, digest::Context),
}

const fn crc(algorithm: ChecksumAlgorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => None,
    }
}

/// The checksum with this number, in as many bytes as the algorithm has.
fn crc_checksum(algorithm: ChecksumAlgorithm, value: u64) -> Checksum {
    let bytes = value.to_be_bytes();
    let bytes = &bytes[bytes.len() - algorithm.size()..];
    Checksum::full_object(algorithm, bytes).expect("cut to the algorithm's size")
}

impl ChecksumHasher {
    fn new(algorithm: ChecksumAlgorithm) -> Self {
        let sha = match algorithm {
            ChecksumAlgorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            _ => &digest::SHA256,
        };
        match crc(algorithm) {
            Some(crc) => Self::Crc(algorithm, Box::new(crc_fast::Digest::new(crc))),
            None => Self::Sha(algorithm, digest::Context::new(sha)),
        }
    }

    const fn algorithm(&self) -> ChecksumAlgorithm {
        match self {
            Self::Crc(algorithm, _) | Self::Sha(algorithm, _) => *algorithm,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, digest) => digest.update(bytes),
            Self::Sha(_, context) => context.update(bytes),
        }
    }

    fn finish(self) -> Checksum {
        match self {
            Self::Crc(algorithm, digest) => crc_checksum(algorithm, digest.finalize()),
            Self::Sha(algorithm, context) => {
                Checksum::full_object(algorithm, context.finish().as_ref())
                    .expect("the digest has the algorithm's size")
            }
        }
    }
}

/// All digests of one content but MD5.
pub struct Hashers {
    sha256: Option<digest::Context>,
    checksums: Vec<ChecksumHasher>,
    size: u64,
}

/// What [`Hashers`] computed.
pub struct Hashed {
    pub sha256: Option<[u8; 32]>,
    pub checksums: Vec<Checksum>,
}

impl Hashers {
    /// Hashers of these algorithms, and of SHA-256 when `sha256`.
    pub fn new(algorithms: &[ChecksumAlgorithm], sha256: bool) -> Self {
        let mut checksums: Vec<ChecksumHasher> = Vec::new();
        for algorithm in algorithms {
            if checksums
                .iter()
                .all(|hasher| hasher.algorithm() != *algorithm)
            {
                checksums.push(ChecksumHasher::new(*algorithm));
            }
        }
        let sha256 = sha256.then(|| digest::Context::new(&digest::SHA256));
        Self {
            sha256,
            checksums,
            size: 0,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if let Some(context) = &mut self.sha256 {
            context.update(bytes);
        }
        for hasher in &mut self.checksums {
            hasher.update(bytes);
        }
    }

    /// How many bytes there were.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The digests.
    pub fn finish(self) -> Hashed {
        let sha256 = self.sha256.map(|context| {
            context
                .finish()
                .as_ref()
                .try_into()
                .expect("SHA-256 has 32 bytes")
        });
        Hashed {
            sha256,
            checksums: self
                .checksums
                .into_iter()
                .map(ChecksumHasher::finish)
                .collect(),
        }
    }
}

impl Hashed {
    /// The checksum of this algorithm, if it was computed.
    pub fn checksum(&self, algorithm: ChecksumAlgorithm) -> Option<Checksum> {
        self.checksums
            .iter()
            .copied()
            .find(|checksum| checksum.algorithm() == algorithm)
    }
}

/// MD5 of bytes at hand.
pub fn md5_of(bytes: &[u8]) -> [u8; 16] {
    md5_many::md5(bytes)
}

/// The composite checksum of parts.
///
/// # Errors
/// `Internal` when there are none.
pub fn composite(
    algorithm: ChecksumAlgorithm,
    parts: impl Iterator<Item = Checksum>,
) -> Result<Checksum> {
    let mut hasher = ChecksumHasher::new(algorithm);
    let mut part_count = 0;
    for part in parts {
        hasher.update(part.value());
        part_count += 1;
    }
    Checksum::composite(algorithm, hasher.finish().value(), part_count).map_err(|error| {
        Error::Internal {
            message: error.to_string(),
        }
    })
}

/// The checksum of the whole object from those of its parts and their sizes.
///
/// # Errors
/// `Internal` when the algorithm can not be combined.
pub fn combine(
    algorithm: ChecksumAlgorithm,
    parts: impl Iterator<Item = (Checksum, u64)>,
) -> Result<Checksum> {
    let crc = crc(algorithm).ok_or_else(|| Error::Internal {
        message: format!(
            "{} has no checksum of the full object of parts",
            algorithm.name()
        ),
    })?;
    let number = |checksum: Checksum| {
        checksum
            .value()
            .iter()
            .fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let mut combined = None;
    for (part, size) in parts {
        combined = Some(match combined {
            None => number(part),
            Some(before) if size == 0 => before,
            Some(before) => crc_fast::checksum_combine(crc, before, number(part), size),
        });
    }
    Ok(crc_checksum(algorithm, combined.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(bytes: &[u8]) -> Hashed {
        let mut hashers = Hashers::new(&ChecksumAlgorithm::ALL, true);
        for chunk in bytes.chunks(3) {
            hashers.update(chunk);
        }
        hashers.finish()
    }

    #[test]
    fn digests_are_the_known_ones() {
        // IN01: check values of the CRC catalogue and of FIPS 180.
        let digits = hashed(b"123456789");
        let text = |algorithm| hex::encode(digits.checksum(algorithm).unwrap().value());
        assert_eq!(text(ChecksumAlgorithm::Crc32), "cbf43926");
        assert_eq!(text(ChecksumAlgorithm::Crc32c), "e3069283");
        assert_eq!(text(ChecksumAlgorithm::Crc64Nvme), "ae8b14860a799888");
        let abc = hashed(b"abc");
        let text = |algorithm| hex::encode(abc.checksum(algorithm).unwrap().value());
        assert_eq!(
            text(ChecksumAlgorithm::Sha1),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            text(ChecksumAlgorithm::Sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex::encode(md5_of(b"abc")),
            "900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(
            abc.sha256.unwrap(),
            abc.checksum(ChecksumAlgorithm::Sha256).unwrap().value()
        );
    }

    #[test]
    fn checksums_of_parts_combine_to_that_of_the_whole() {
        // IN05
        let bytes: Vec<u8> = (0..1000u32).map(|index| (index * 7) as u8).collect();
        for algorithm in [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32c,
            ChecksumAlgorithm::Crc64Nvme,
        ] {
            let part = |range: std::ops::Range<usize>| {
                let size = range.len() as u64;
                (hashed(&bytes[range]).checksum(algorithm).unwrap(), size)
            };
            let parts = [part(0..1), part(1..513), part(513..513), part(513..1000)];
            let combined = combine(algorithm, parts.into_iter()).unwrap();
            assert_eq!(Some(combined), hashed(&bytes).checksum(algorithm));
        }
        assert!(combine(ChecksumAlgorithm::Sha1, std::iter::empty()).is_err());
    }
}
