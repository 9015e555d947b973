//! The footer: the owner of a blob, stored behind its content, so that a catalogue can be rebuilt
//! from the disks alone. Nothing is ever deleted by what it says (hazard H26).

use bytes::Bytes;
use strongroom_zones::{Reader, Writer, checksum128};

const MAGIC: &[u8; 8] = b"STRGRMBF";
const FOOTER_FORMAT: u32 = 1;
const CHECKSUM_SEED: u64 = 0x424c_4f42_464f_4f54;

/// The bytes that follow the content.
pub(crate) fn encode_footer(size: u64, nonce: u64, owner: &[u8]) -> Bytes {
    let mut w = Writer::new();
    w.bytes(MAGIC)
        .u32(FOOTER_FORMAT)
        .u64(size)
        .u64(nonce)
        .long(owner);
    let sum = checksum128(CHECKSUM_SEED, &[&w.0]);
    w.bytes(&sum);
    Bytes::from(w.0)
}

/// The owner in a footer; `None` when it is damaged or another blob's.
pub(crate) fn decode_footer(bytes: &[u8], size: u64, nonce: u64) -> Option<Bytes> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(16)?)?;
    let mut r = Reader::new(body);
    let magic = r.bytes(8).ok()?;
    if magic != MAGIC || checksum128(CHECKSUM_SEED, &[body]) != sum {
        return None;
    }
    let is_ours = r.u32().ok()? == FOOTER_FORMAT && r.u64().ok()? == size && r.u64().ok()? == nonce;
    let owner = r.long().ok()?;
    (is_ours && r.0.is_empty()).then(|| Bytes::copy_from_slice(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footer_gives_the_owner_back_and_only_for_its_own_blob() {
        let footer = encode_footer(10, 7, b"who");
        assert_eq!(
            decode_footer(&footer, 10, 7),
            Some(Bytes::from_static(b"who"))
        );
        assert_eq!(decode_footer(&footer, 11, 7), None);
        assert_eq!(decode_footer(&footer, 10, 8), None);
        for i in 0..footer.len() {
            let mut bad = footer.to_vec();
            bad[i] ^= 1;
            assert_eq!(decode_footer(&bad, 10, 7), None);
            assert_eq!(decode_footer(&footer[..i], 10, 7), None);
        }
    }

    #[test]
    fn footer_of_format_1_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/footer-1.bin");
        assert_eq!(
            decode_footer(golden, 10, 7),
            Some(Bytes::from_static(b"who"))
        );
        assert_eq!(&encode_footer(10, 7, b"who")[..], golden);
    }
}
