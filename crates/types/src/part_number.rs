//! Part numbers.

use std::fmt;

/// Largest part number, and so the most parts of an upload (LI03).
pub const PART_NUMBER_MAX: u16 = 10_000;

/// The number of a part: 1 to 10,000.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartNumber(u16);

/// The number is out of range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("part number must be an integer between 1 and 10000, inclusive")]
pub struct PartNumberError;

impl PartNumber {
    /// Checks the range.
    ///
    /// # Errors
    /// When it is not 1 to 10,000.
    pub fn new(number: i64) -> Result<Self, PartNumberError> {
        match u16::try_from(number) {
            Ok(number @ 1..=PART_NUMBER_MAX) => Ok(Self(number)),
            _ => Err(PartNumberError),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_number_is_1_to_10000() {
        // LI03
        assert!(PartNumber::new(1).is_ok() && PartNumber::new(10_000).is_ok());
        for number in [i64::MIN, -1, 0, 10_001, 65_537, i64::MAX] {
            assert!(PartNumber::new(number).is_err(), "{number}");
        }
    }
}
