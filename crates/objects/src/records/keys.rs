//! Where each record is kept: one family byte, then ids, then what orders the family.
//!
//! Object keys are escaped so that the order of the bytes is S3's order and the records of one key
//! never mix with those of a key it is a prefix of: a zero byte becomes `00 FF`, and `00 01` ends
//! the key.

use strongroom_meta::Stamp;
use strongroom_types::{BucketName, ObjectKey, Owner, UploadId};

use super::ConfigKind;
use crate::mfa::MfaSerial;

/// Identity of a bucket: the stamp of its creation, so a re-created name is another bucket (H14).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BucketId(pub u64);

/// Identity of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlobId(pub [u8; 16]);

impl std::fmt::Display for BlobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// First byte of every record key.
mod family {
    pub const BUCKET_NAME: u8 = b'N';
    pub const BUCKET: u8 = b'B';
    pub const CONFIG: u8 = b'C';
    pub const HEAD: u8 = b'H';
    pub const VERSION: u8 = b'V';
    pub const PART_PAGE: u8 = b'L';
    pub const BLOB: u8 = b'b';
    pub const UPLOAD: u8 = b'U';
    pub const PART: u8 = b'P';
    pub const GRAVEYARD: u8 = b'G';
    pub const DUE: u8 = b'D';
    pub const OUTBOX: u8 = b'O';
    pub const USAGE: u8 = b'S';
    pub const REDUCED: u8 = b'R';
    pub const PACK: u8 = b'K';
    pub const LOST: u8 = b'X';
    pub const JOB: u8 = b'J';
    pub const MFA_DEVICE: u8 = b'M';
}

/// All families, for tools and for tests that dump a store.
pub const FAMILIES: [(u8, &str); 18] = [
    (family::BUCKET_NAME, "bucket name"),
    (family::BUCKET, "bucket"),
    (family::CONFIG, "bucket configuration"),
    (family::HEAD, "head"),
    (family::VERSION, "version"),
    (family::PART_PAGE, "part page"),
    (family::BLOB, "blob"),
    (family::UPLOAD, "upload"),
    (family::PART, "part"),
    (family::GRAVEYARD, "graveyard"),
    (family::DUE, "due"),
    (family::OUTBOX, "outbox"),
    (family::USAGE, "usage"),
    (family::REDUCED, "reduced"),
    (family::PACK, "pack"),
    (family::LOST, "lost"),
    (family::JOB, "job"),
    (family::MFA_DEVICE, "device"),
];

const TERMINATOR: [u8; 2] = [0x00, 0x01];
const ESCAPED_ZERO: [u8; 2] = [0x00, 0xFF];

struct Key(Vec<u8>);

impl Key {
    fn new(family: u8) -> Self {
        Self(vec![family])
    }

    fn bucket(self, bucket: BucketId) -> Self {
        self.raw(&bucket.0.to_be_bytes())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Text that may go on: a prefix.
    fn escaped(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            match byte {
                0 => self.0.extend_from_slice(&ESCAPED_ZERO),
                byte => self.0.push(byte),
            }
        }
        self
    }

    /// A whole text.
    fn text(self, text: &str) -> Self {
        self.escaped(text).raw(&TERMINATOR)
    }
}

/// Name → [`super::BucketNameRecord`].
#[must_use]
pub fn bucket_name(name: &BucketName) -> Vec<u8> {
    Key::new(family::BUCKET_NAME)
        .raw(name.as_str().as_bytes())
        .0
}

/// Prefix of the names that start with `prefix`.
#[must_use]
pub fn bucket_names(prefix: &str) -> Vec<u8> {
    Key::new(family::BUCKET_NAME).raw(prefix.as_bytes()).0
}

/// The name in a key of [`bucket_name`].
#[must_use]
pub fn bucket_name_of(key: &[u8]) -> Option<BucketName> {
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    BucketName::new(text).ok()
}

/// → [`super::BucketRecord`].
#[must_use]
pub fn bucket(bucket: BucketId) -> Vec<u8> {
    Key::new(family::BUCKET).bucket(bucket).0
}

/// → the [`super::BucketConfig`] of this kind. One of a kind that a bucket has many of is followed by
/// its name.
#[must_use]
pub fn config(bucket: BucketId, kind: ConfigKind) -> Vec<u8> {
    Key::new(family::CONFIG).bucket(bucket).raw(&[kind as u8]).0
}

/// Prefix of all configurations of a bucket.
#[must_use]
pub fn configs(bucket: BucketId) -> Vec<u8> {
    Key::new(family::CONFIG).bucket(bucket).0
}

/// → [`super::HeadRecord`].
#[must_use]
pub fn head(bucket: BucketId, key: &ObjectKey) -> Vec<u8> {
    Key::new(family::HEAD).bucket(bucket).text(key.as_str()).0
}

/// Prefix of the heads of the keys that start with `prefix`.
#[must_use]
pub fn heads(bucket: BucketId, prefix: &str) -> Vec<u8> {
    Key::new(family::HEAD).bucket(bucket).escaped(prefix).0
}

/// The place in the order of heads that a key of this text has, whether it exists or not.
#[must_use]
pub fn heads_at(bucket: BucketId, text: &str) -> Vec<u8> {
    Key::new(family::HEAD).bucket(bucket).text(text).0
}

/// A place after every head whose key starts with `prefix`, and before any other: no UTF-8 text
/// has the byte FF.
#[must_use]
pub fn heads_past(bucket: BucketId, prefix: &str) -> Vec<u8> {
    Key::new(family::HEAD)
        .bucket(bucket)
        .escaped(prefix)
        .raw(&[0xFF])
        .0
}

/// → [`super::VersionRecord`], newest first.
#[must_use]
pub fn version(bucket: BucketId, key: &ObjectKey, stamp: Stamp) -> Vec<u8> {
    Key::new(family::VERSION)
        .bucket(bucket)
        .text(key.as_str())
        .raw(&(!stamp.0).to_be_bytes())
        .0
}

/// Prefix of the versions of a key, newest first.
#[must_use]
pub fn versions_of(bucket: BucketId, key: &ObjectKey) -> Vec<u8> {
    Key::new(family::VERSION)
        .bucket(bucket)
        .text(key.as_str())
        .0
}

/// Prefix of the versions of the keys that start with `prefix`.
#[must_use]
pub fn versions(bucket: BucketId, prefix: &str) -> Vec<u8> {
    Key::new(family::VERSION).bucket(bucket).escaped(prefix).0
}

/// The place of the version with this stamp of a key of this text, whether they exist or not; after
/// all versions of the key when there is no stamp.
#[must_use]
pub fn versions_after(bucket: BucketId, key: &str, stamp: Option<Stamp>) -> Vec<u8> {
    let place = Key::new(family::VERSION).bucket(bucket).text(key);
    match stamp {
        Some(stamp) => place.raw(&(!stamp.0).to_be_bytes()).0,
        None => place.raw(&[0xFF; 9]).0,
    }
}

/// As [`heads_past`], of versions.
#[must_use]
pub fn versions_past(bucket: BucketId, prefix: &str) -> Vec<u8> {
    Key::new(family::VERSION)
        .bucket(bucket)
        .escaped(prefix)
        .raw(&[0xFF])
        .0
}

/// The stamp in a key of [`version`].
#[must_use]
pub fn version_stamp_of(key: &[u8]) -> Option<Stamp> {
    let (_, inverted) = object_key_of(key)?;
    Some(Stamp(!u64::from_be_bytes(inverted.try_into().ok()?)))
}

/// Page `index` of the parts of the version with this stamp → [`super::PartPage`].
#[must_use]
pub fn part_page(bucket: BucketId, stamp: Stamp, index: u16) -> Vec<u8> {
    Key::new(family::PART_PAGE)
        .bucket(bucket)
        .raw(&stamp.0.to_be_bytes())
        .raw(&index.to_be_bytes())
        .0
}

/// → [`super::MfaDeviceRecord`].
#[must_use]
pub fn mfa_device(owner: &Owner, serial: &MfaSerial) -> Vec<u8> {
    Key(mfa_devices_of(owner)).raw(serial.as_str().as_bytes()).0
}

/// Prefix of the devices of an account.
#[must_use]
pub fn mfa_devices_of(owner: &Owner) -> Vec<u8> {
    Key::new(family::MFA_DEVICE).text(owner.as_str()).0
}

/// Prefix of all devices.
#[must_use]
pub fn mfa_devices() -> Vec<u8> {
    Key::new(family::MFA_DEVICE).0
}

/// The owner and the serial in a key of [`mfa_device`]: neither has a zero byte.
#[must_use]
pub fn mfa_device_of(key: &[u8]) -> Option<(Owner, MfaSerial)> {
    let rest = key.get(1..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let serial = rest.get(end..)?.strip_prefix(&TERMINATOR)?;
    let owner = Owner::new(std::str::from_utf8(&rest[..end]).ok()?).ok()?;
    let serial = MfaSerial::new(std::str::from_utf8(serial).ok()?).ok()?;
    Some((owner, serial))
}

/// → [`super::BlobRecord`].
#[must_use]
pub fn blob(blob: BlobId) -> Vec<u8> {
    Key::new(family::BLOB).raw(&blob.0).0
}

/// The blob in a key of [`blob`].
#[must_use]
pub fn blob_of(key: &[u8]) -> Option<BlobId> {
    Some(BlobId(key.get(1..)?.try_into().ok()?))
}

/// → [`super::UploadRecord`].
#[must_use]
pub fn upload(bucket: BucketId, key: &ObjectKey, upload: UploadId) -> Vec<u8> {
    Key::new(family::UPLOAD)
        .bucket(bucket)
        .text(key.as_str())
        .raw(&upload.0)
        .0
}

/// Prefix of the uploads to keys that start with `prefix`.
#[must_use]
pub fn uploads(bucket: BucketId, prefix: &str) -> Vec<u8> {
    Key::new(family::UPLOAD).bucket(bucket).escaped(prefix).0
}

/// A place after the upload with this id, or after all uploads to the key when there is none.
#[must_use]
pub fn uploads_after(bucket: BucketId, key: &str, upload: Option<UploadId>) -> Vec<u8> {
    let place = Key::new(family::UPLOAD).bucket(bucket).text(key);
    match upload {
        Some(upload) => place.raw(&upload.0).0,
        None => place.raw(&[0xFF; 17]).0,
    }
}

/// As [`heads_past`], of uploads.
#[must_use]
pub fn uploads_past(bucket: BucketId, prefix: &str) -> Vec<u8> {
    Key::new(family::UPLOAD)
        .bucket(bucket)
        .escaped(prefix)
        .raw(&[0xFF])
        .0
}

/// → [`super::PartRecord`]. The upload's id alone names it, so that Complete of 10,000 parts to a
/// key of 1024 bytes stays one transaction.
#[must_use]
pub fn part(bucket: BucketId, upload: UploadId, number: u16) -> Vec<u8> {
    Key::new(family::PART)
        .bucket(bucket)
        .raw(&upload.0)
        .raw(&number.to_be_bytes())
        .0
}

/// Prefix of the parts of an upload.
#[must_use]
pub fn parts(bucket: BucketId, upload: UploadId) -> Vec<u8> {
    Key::new(family::PART).bucket(bucket).raw(&upload.0).0
}

/// → [`super::GraveyardRecord`], oldest first.
#[must_use]
pub fn graveyard(when: Stamp, blob: BlobId) -> Vec<u8> {
    Key::new(family::GRAVEYARD)
        .raw(&when.0.to_be_bytes())
        .raw(&blob.0)
        .0
}

/// Prefix of all graveyard records.
#[must_use]
pub fn graveyards() -> Vec<u8> {
    Key::new(family::GRAVEYARD).0
}

/// When the blob was buried, and its id, in a key of [`graveyard`].
#[must_use]
pub fn graveyard_of(key: &[u8]) -> Option<(Stamp, BlobId)> {
    let when = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
    Some((Stamp(when), BlobId(key.get(9..)?.try_into().ok()?)))
}

/// Prefix of all blob records.
#[must_use]
pub fn blobs() -> Vec<u8> {
    Key::new(family::BLOB).0
}

/// Prefixes of what names blobs: versions, pages of parts, parts.
#[must_use]
pub fn namers() -> [Vec<u8>; 3] {
    [family::VERSION, family::PART_PAGE, family::PART].map(|family| Key::new(family).0)
}

/// Counters of a pack: see [`super::pack`].
#[must_use]
pub fn pack(pack: BlobId) -> Vec<u8> {
    Key::new(family::PACK).raw(&pack.0).0
}

/// Prefix of the counters of all packs.
#[must_use]
pub fn packs() -> Vec<u8> {
    Key::new(family::PACK).0
}

/// The pack in a key of [`pack`].
#[must_use]
pub fn pack_of(key: &[u8]) -> Option<BlobId> {
    Some(BlobId(key.get(1..)?.try_into().ok()?))
}

/// Counters of all packs together: packs, then as [`pack`]. No bucket has number 0.
#[must_use]
pub fn packs_count() -> Vec<u8> {
    Key::new(family::USAGE).bucket(BucketId(0)).raw(b"packs").0
}

/// Counters of a bucket and storage class: see [`super::usage`].
#[must_use]
pub fn usage(bucket: BucketId, class: &str) -> Vec<u8> {
    Key::new(family::USAGE)
        .bucket(bucket)
        .raw(class.as_bytes())
        .0
}

/// One counter: how many blobs have a record under [`reduced`]. No bucket has number 0.
#[must_use]
pub fn reduced_count() -> Vec<u8> {
    Key::new(family::USAGE)
        .bucket(BucketId(0))
        .raw(b"reduced")
        .0
}

/// One pair of counters: blobs in the graveyard, and their bytes.
#[must_use]
pub fn buried_count() -> Vec<u8> {
    Key::new(family::USAGE).bucket(BucketId(0)).raw(b"buried").0
}

/// A blob with less redundancy than asked → an empty-field record.
#[must_use]
pub fn reduced(blob: BlobId) -> Vec<u8> {
    Key::new(family::REDUCED).raw(&blob.0).0
}

/// Prefix of all reduced blobs.
#[must_use]
pub fn reduceds() -> Vec<u8> {
    Key::new(family::REDUCED).0
}

/// A blob that can not be read → [`super::LostRecord`].
#[must_use]
pub fn lost(blob: BlobId) -> Vec<u8> {
    Key::new(family::LOST).raw(&blob.0).0
}

/// Prefix of all lost blobs.
#[must_use]
pub fn losts() -> Vec<u8> {
    Key::new(family::LOST).0
}

/// → [`super::JobRecord`] of the job with this name.
#[must_use]
pub fn job(name: &str) -> Vec<u8> {
    Key::new(family::JOB).raw(name.as_bytes()).0
}

/// The blob in a key of [`reduced`], [`lost`] or [`blob`].
#[must_use]
pub fn reduced_of(key: &[u8]) -> Option<BlobId> {
    Some(BlobId(key.get(1..)?.try_into().ok()?))
}

/// The object key in a key of [`head`], or of [`upload`] or [`version`] together with what follows.
#[must_use]
pub fn object_key_of(key: &[u8]) -> Option<(ObjectKey, &[u8])> {
    let mut rest = key.get(9..)?;
    let mut text = Vec::with_capacity(rest.len());
    loop {
        match rest {
            [0x00, 0xFF, tail @ ..] => {
                text.push(0);
                rest = tail;
            }
            [0x00, 0x01, tail @ ..] => {
                let text = String::from_utf8(text).ok()?;
                return Some((ObjectKey::new(text).ok()?, tail));
            }
            [0x00, ..] | [] => return None,
            _ => {
                let end = rest.iter().position(|byte| *byte == 0x00);
                let (plain, tail) = rest.split_at(end.unwrap_or(rest.len()));
                text.extend_from_slice(plain);
                rest = tail;
            }
        }
    }
}

/// The part number in a key of [`part`].
#[must_use]
pub fn part_number_of(key: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(key.get(25..)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: BucketId = BucketId(7);

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).unwrap()
    }

    #[test]
    fn heads_sort_as_the_bytes_of_their_keys() {
        let mut texts = [
            "a", "a\0", "a\0b", "a\u{1}", "ab", "a/", "b", "é", "\0", "\u{FFFF}", "😀",
        ];
        texts.sort_by_key(|text| text.as_bytes().to_vec());
        let heads: Vec<_> = texts.iter().map(|text| head(BUCKET, &key(text))).collect();
        assert!(heads.is_sorted());
        for (text, encoded) in texts.iter().zip(&heads) {
            assert_eq!(object_key_of(encoded), Some((key(text), &[][..])));
        }
    }

    #[test]
    fn versions_of_a_key_do_not_mix_with_those_of_a_key_it_is_a_prefix_of() {
        let short = [Stamp(0), Stamp(u64::MAX)].map(|stamp| version(BUCKET, &key("a"), stamp));
        for longer in ["a\0", "a\0\0", "a\u{1}", "ab"] {
            let other = version(BUCKET, &key(longer), Stamp(5));
            assert!(short.iter().all(|version| *version < other), "{longer:?}");
        }
        assert!(short[1] < short[0], "newest first");
    }

    #[test]
    fn the_place_past_a_prefix_is_after_all_its_keys_and_before_the_next() {
        let past = heads_past(BUCKET, "a/");
        for inside in ["a/", "a/\0", "a/\u{10FFFF}", "a/zzz"] {
            assert!(head(BUCKET, &key(inside)) < past, "{inside:?}");
            assert!(head(BUCKET, &key(inside)).starts_with(&heads(BUCKET, "a/")));
        }
        for outside in ["a0", "b"] {
            assert!(head(BUCKET, &key(outside)) > past, "{outside:?}");
        }
    }

    #[test]
    fn an_upload_key_gives_its_object_key_and_id() {
        let id = UploadId::new(3, 4);
        let encoded = upload(BUCKET, &key("x\0y"), id);
        assert_eq!(object_key_of(&encoded), Some((key("x\0y"), &id.0[..])));
        assert!(uploads_after(BUCKET, "x\0y", None) > encoded);
        assert_eq!(part_number_of(&part(BUCKET, id, 513)), Some(513));
    }

    #[test]
    fn a_grave_gives_its_time_and_blob() {
        let blob = BlobId([7; 16]);
        let key = graveyard(Stamp(9), blob);
        assert_eq!(graveyard_of(&key), Some((Stamp(9), blob)));
        assert_eq!(graveyard_of(&key[..20]), None);
        assert!(key.starts_with(&graveyards()));
    }

    #[test]
    fn broken_keys_give_nothing() {
        for bytes in [
            &b""[..],
            b"H",
            b"H12345678",
            b"H12345678a",
            b"H12345678a\0",
            b"H12345678\0\x02",
        ] {
            assert_eq!(object_key_of(bytes), None);
        }
    }
}
