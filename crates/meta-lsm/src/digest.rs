//! What a view holds, as one number: for comparing views record by record.
//!
//! Views of one store at one mark hold the same records, byte for byte. Reading one for this also
//! verifies each record's own checksum, and finds inline content that would go with the log.

use bytes::Bytes;
use strongroom_zones::checksum128;

use crate::body::decode_record;
use crate::view::{MARK_KEY, Mark, ViewError, ViewSnapshot};

const SEED: u64 = 0x5649_4557_4449_4745;

/// A view at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Digest {
    /// Over all records, in order; not over the mark.
    pub sum: [u8; 16],
    pub count: u64,
    pub mark: Option<Mark>,
    /// The oldest batch that holds inline content of a record.
    pub inline_oldest: Option<u64>,
}

impl Digest {
    fn add(&mut self, key: &[u8], stored: &Bytes) -> Result<(), ViewError> {
        let damaged = |_| ViewError("a record does not verify".to_owned());
        let record = decode_record(key, stored).map_err(damaged)?;
        if let Some(place) = record.inline {
            let oldest = self.inline_oldest.unwrap_or(u64::MAX).min(place.batch);
            self.inline_oldest = Some(oldest);
        }
        let size = (key.len() as u64).to_le_bytes();
        self.sum = checksum128(SEED, &[&self.sum, &size, key, stored]);
        self.count += 1;
        Ok(())
    }
}

/// Reads all of `snapshot` and verifies it; each record is handed to `each`, until it says `false`:
/// then there is no digest.
///
/// # Errors
/// When the view is damaged.
pub fn digest(
    snapshot: &dyn ViewSnapshot,
    each: &mut dyn FnMut(&[u8], &Bytes) -> bool,
) -> Result<Option<Digest>, ViewError> {
    let mut digest = Digest {
        mark: snapshot.mark()?,
        ..Digest::default()
    };
    let mut outcome = Ok(true);
    snapshot.scan(b"", Some(MARK_KEY), &mut |key, stored| {
        outcome = digest.add(&key, &stored).map(|()| each(&key, &stored));
        matches!(outcome, Ok(true))
    })?;
    Ok(outcome?.then_some(digest))
}
