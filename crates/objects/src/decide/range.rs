//! Which bytes a read asks for.

use std::ops::Range;

use strongroom_types::PartNumber;

use crate::api::ByteRange;
use crate::error::Error;

/// The bytes of `range` in an object of `size` bytes.
///
/// # Errors
/// `InvalidRange` when there are none.
pub fn resolve_range(range: ByteRange, size: u64) -> Result<Range<u64>, Error> {
    let (start, end) = match range {
        ByteRange::From { first, last } => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            (first, end)
        }
        ByteRange::Suffix { size: suffix } => (size.saturating_sub(suffix), size),
    };
    if start < end {
        Ok(start..end)
    } else {
        Err(Error::InvalidRange { size })
    }
}

/// The bytes of the part in this position, given the sizes of all parts.
///
/// # Errors
/// `InvalidPartNumber` when there are fewer parts.
pub fn resolve_part(
    number: PartNumber,
    sizes: impl IntoIterator<Item = u64>,
) -> Result<Range<u64>, Error> {
    let mut start = 0;
    for (index, size) in sizes.into_iter().enumerate() {
        if index + 1 == usize::from(number.get()) {
            return Ok(start..start + size);
        }
        start += size;
    }
    Err(Error::InvalidPartNumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_object() {
        let from = |first, last| ByteRange::From { first, last };
        assert_eq!(resolve_range(from(0, Some(0)), 10), Ok(0..1));
        assert_eq!(resolve_range(from(3, None), 10), Ok(3..10));
        assert_eq!(resolve_range(from(3, Some(u64::MAX)), 10), Ok(3..10));
        assert_eq!(resolve_range(ByteRange::Suffix { size: 4 }, 10), Ok(6..10));
        assert_eq!(resolve_range(ByteRange::Suffix { size: 40 }, 10), Ok(0..10));
    }

    #[test]
    fn a_range_of_no_bytes_is_invalid() {
        let invalid = |size| Err(Error::InvalidRange { size });
        let from = |first, last| ByteRange::From { first, last };
        assert_eq!(resolve_range(from(10, None), 10), invalid(10));
        assert_eq!(resolve_range(from(5, Some(4)), 10), invalid(10));
        assert_eq!(
            resolve_range(ByteRange::Suffix { size: 0 }, 10),
            invalid(10)
        );
        assert_eq!(resolve_range(ByteRange::Suffix { size: 5 }, 0), invalid(0));
        assert_eq!(resolve_range(from(0, None), 0), invalid(0));
    }

    #[test]
    fn a_part_is_found_by_its_position() {
        let number = |number| PartNumber::new(number).unwrap();
        assert_eq!(resolve_part(number(2), [5, 7, 1]), Ok(5..12));
        assert_eq!(
            resolve_part(number(4), [5, 7, 1]),
            Err(Error::InvalidPartNumber)
        );
    }
}
