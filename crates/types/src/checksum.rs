//! Checksums a client may declare and read back (IN01, IN05).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a checksum is computed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ChecksumAlgorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// What a checksum of a multipart object covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChecksumType {
    /// The whole content.
    FullObject,
    /// The checksums of the parts.
    Composite,
}

impl ChecksumAlgorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// Bytes of a value.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The name in `x-amz-sdk-checksum-algorithm` and in XML.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// Whether a multipart upload may use it with `kind` (IN05).
    #[must_use]
    pub const fn allows(self, kind: ChecksumType) -> bool {
        match self {
            Self::Crc32 | Self::Crc32c => true,
            Self::Crc64Nvme => matches!(kind, ChecksumType::FullObject),
            Self::Sha1 | Self::Sha256 => matches!(kind, ChecksumType::Composite),
        }
    }

    /// The type of a multipart upload that names none.
    #[must_use]
    pub const fn default_type(self) -> ChecksumType {
        match self {
            Self::Crc64Nvme => ChecksumType::FullObject,
            _ => ChecksumType::Composite,
        }
    }
}

impl FromStr for ChecksumAlgorithm {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or(ChecksumError::Algorithm)
    }
}

impl ChecksumType {
    /// The name in `x-amz-checksum-type` and in XML.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

impl FromStr for ChecksumType {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "FULL_OBJECT" => Ok(Self::FullObject),
            "COMPOSITE" => Ok(Self::Composite),
            _ => Err(ChecksumError::Type),
        }
    }
}

/// A checksum: its algorithm and a value of that algorithm's size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    value: [u8; 32],
    /// Number of parts of a composite checksum, 0 for one of the full object.
    part_count: u32,
}

/// Why bytes or a text are no checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChecksumError {
    #[error("unknown checksum algorithm")]
    Algorithm,
    #[error("unknown checksum type")]
    Type,
    #[error("checksum is not valid base64 of the algorithm's size")]
    Value,
}

impl Checksum {
    /// A checksum of the whole content.
    ///
    /// # Errors
    /// When `value` has not the algorithm's size.
    pub fn full_object(algorithm: ChecksumAlgorithm, value: &[u8]) -> Result<Self, ChecksumError> {
        Self::new(algorithm, value, 0)
    }

    /// A checksum over the checksums of `part_count` parts.
    ///
    /// # Errors
    /// When `value` has not the algorithm's size or there are no parts.
    pub fn composite(
        algorithm: ChecksumAlgorithm,
        value: &[u8],
        part_count: u32,
    ) -> Result<Self, ChecksumError> {
        if part_count == 0 {
            return Err(ChecksumError::Value);
        }
        Self::new(algorithm, value, part_count)
    }

    fn new(
        algorithm: ChecksumAlgorithm,
        bytes: &[u8],
        part_count: u32,
    ) -> Result<Self, ChecksumError> {
        if bytes.len() != algorithm.size() {
            return Err(ChecksumError::Value);
        }
        let mut value = [0; 32];
        value[..bytes.len()].copy_from_slice(bytes);
        Ok(Self {
            algorithm,
            value,
            part_count,
        })
    }

    /// Reads the text of a header: base64, with `-N` when it is composite.
    ///
    /// # Errors
    /// When it is not base64 of the algorithm's size (IN02).
    pub fn parse(algorithm: ChecksumAlgorithm, text: &str) -> Result<Self, ChecksumError> {
        let (encoded, part_count) = match text.split_once('-') {
            Some((encoded, count)) => {
                let count: u32 = count.parse().map_err(|_| ChecksumError::Value)?;
                if count == 0 {
                    return Err(ChecksumError::Value);
                }
                (encoded, count)
            }
            None => (text, 0),
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| ChecksumError::Value)?;
        Self::new(algorithm, &bytes, part_count)
    }

    /// How it is computed.
    #[must_use]
    pub const fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    /// What it covers.
    #[must_use]
    pub const fn kind(&self) -> ChecksumType {
        if self.part_count == 0 {
            ChecksumType::FullObject
        } else {
            ChecksumType::Composite
        }
    }

    /// The value's bytes, most significant first.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value[..self.algorithm.size()]
    }

    /// How many parts a composite checksum covers; 0 for one of the full object.
    #[must_use]
    pub const fn part_count(&self) -> u32 {
        self.part_count
    }
}

/// As in a header: base64, and `-N` when it is composite.
impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.value()))?;
        match self.part_count {
            0 => Ok(()),
            count => write!(f, "-{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_read_back_from_its_header_text() {
        for algorithm in ChecksumAlgorithm::ALL {
            let value = vec![0xFB; algorithm.size()];
            let full = Checksum::full_object(algorithm, &value).unwrap();
            assert_eq!(Checksum::parse(algorithm, &full.to_string()), Ok(full));
            let composite = Checksum::composite(algorithm, &value, 3).unwrap();
            assert!(composite.to_string().ends_with("-3"));
            assert_eq!(
                Checksum::parse(algorithm, &composite.to_string()),
                Ok(composite)
            );
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn a_value_of_the_wrong_size_or_not_base64_is_refused() {
        // IN02
        for text in [
            "",
            "AAAA",
            "AAAAAAA",
            "!!!!!!==",
            "AAAAAA==-0",
            "AAAAAA==-x",
        ] {
            let parsed = Checksum::parse(ChecksumAlgorithm::Crc32, text);
            assert_eq!(parsed, Err(ChecksumError::Value), "{text}");
        }
    }

    #[test]
    fn only_the_listed_pairs_of_algorithm_and_type_are_allowed() {
        // IN05
        use ChecksumType::{Composite, FullObject};
        for (algorithm, full, composite) in [
            (ChecksumAlgorithm::Crc32, true, true),
            (ChecksumAlgorithm::Crc32c, true, true),
            (ChecksumAlgorithm::Crc64Nvme, true, false),
            (ChecksumAlgorithm::Sha1, false, true),
            (ChecksumAlgorithm::Sha256, false, true),
        ] {
            assert_eq!(algorithm.allows(FullObject), full);
            assert_eq!(algorithm.allows(Composite), composite);
            assert!(algorithm.allows(algorithm.default_type()));
        }
    }
}
