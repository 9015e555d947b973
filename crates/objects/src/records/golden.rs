//! Every record format against its golden file, and against damage.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use strongroom_base::Timestamp;
use strongroom_blob::Place;
use strongroom_meta::Stamp;
use strongroom_types::{
    BucketName, Checksum, ChecksumAlgorithm, ChecksumType, ETag, ObjectKey, Owner, UploadId,
};

use super::pack::PackCreationRecord;
use super::*;
use crate::api::ObjectHeaders;
use crate::config::{CorsConfig, CorsRule, RedirectAll, RoutingRule, WebsiteConfig, WebsiteMode};
use crate::lock::{LegalHold, Lock, LockMode, Retention};
use crate::tags::Tags;

fn headers() -> ObjectHeaders {
    ObjectHeaders {
        content_type: Some("text/plain".into()),
        content_encoding: Some("gzip".into()),
        content_language: Some("en".into()),
        content_disposition: Some("inline".into()),
        cache_control: Some("no-cache".into()),
        expires: Some("0".into()),
        website_redirect_location: Some("/x".into()),
    }
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (text.to_owned(), "value".to_owned()),
        ("é".to_owned(), String::new()),
    ])
}

fn lock() -> Lock {
    Lock {
        retention: Some(Retention {
            mode: LockMode::Compliance,
            until: 2_000_000_000,
        }),
        legal_hold: Some(LegalHold::On),
    }
}

fn encryption() -> Encryption {
    Encryption {
        algorithm: 1,
        key_name: "root".into(),
        data_key_sealed: vec![9; 48],
    }
}

fn checksum(algorithm: ChecksumAlgorithm) -> Checksum {
    Checksum::full_object(algorithm, &vec![0xC5; algorithm.size()]).unwrap()
}

fn part(number: u16) -> PartEntry {
    PartEntry {
        number,
        size: 5 << 20,
        blob: (number != 2).then_some(BlobId([number as u8; 16])),
        checksum: checksum(ChecksumAlgorithm::Sha256),
    }
}

fn version(content: VersionContent) -> VersionRecord {
    VersionRecord {
        is_null: true,
        last_modified: Timestamp(1_700_000_000_000_000_000),
        object: Some(ObjectRecord {
            etag: ETag::Multipart {
                md5: [0xE7; 16],
                part_count: 3,
            },
            size: 123_456,
            checksum: Some(
                Checksum::composite(ChecksumAlgorithm::Crc32c, &[1, 2, 3, 4], 3).unwrap(),
            ),
            storage_class: STANDARD.into(),
            content,
            headers: headers(),
            metadata: pairs("meta"),
            tags: pairs("tag"),
            lock: Some(lock()),
            encryption: Some(encryption()),
            upload: Some(UploadId([0x0A; 16])),
        }),
        replication: Some(ReplicationStatus::Pending),
    }
}

fn owner() -> Owner {
    Owner::new("0123456789abcdef").unwrap()
}

fn owned_by_version() -> BlobOwner {
    let key = ObjectKey::new("a/b").unwrap();
    BlobOwner::Version {
        bucket: BucketId(5),
        key,
        stamp: Stamp(6),
    }
}

fn owned_by_part() -> BlobOwner {
    let key = ObjectKey::new("a/b").unwrap();
    BlobOwner::Part {
        bucket: BucketId(5),
        key,
        upload: UploadId([3; 16]),
        number: 7,
    }
}

/// Compares with the golden file and damages the bytes in every way a test can afford.
fn check<R: RecordFormat + PartialEq + std::fmt::Debug>(name: &str, record: &R) {
    let bytes = record.encode();
    assert_eq!(R::decode(&bytes).as_ref(), Ok(record), "{name}");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(format!("{name}.bin"));
    if std::env::var_os("STRONGROOM_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(bytes, golden, "the format of {name} changed");

    let mut newer = bytes.clone();
    newer[0] += 1;
    assert!(
        matches!(R::decode(&newer), Err(RecordError::NewerFormat { .. })),
        "{name}"
    );
    let mut unknown = bytes.clone();
    unknown.extend([0xFE, 0]);
    assert_eq!(
        R::decode(&unknown),
        Err(RecordError::UnknownField(0xFE)),
        "{name}"
    );
    for size in 0..bytes.len() {
        // Whatever it is then, it is not the record, and reading it does not panic.
        assert_ne!(
            R::decode(&bytes[..size]).as_ref(),
            Ok(record),
            "{name} cut at {size}"
        );
    }
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            assert_ne!(
                R::decode(&flipped).as_ref(),
                Ok(record),
                "{name} flipped at {index}"
            );
        }
    }
}

#[test]
fn records_of_buckets_keep_their_format() {
    let created = Timestamp(1_700_000_000_000_000_000);
    check(
        "bucket_name",
        &BucketNameRecord {
            id: BucketId(5),
            owner: owner(),
            created,
            versioned: false,
        },
    );
    check(
        "bucket_name_versioned",
        &BucketNameRecord {
            id: BucketId(5),
            owner: owner(),
            created,
            versioned: true,
        },
    );
    let closing = Some(Closing {
        token: Stamp(8),
        since: Timestamp(9),
    });
    let name = BucketName::new("photos").unwrap();
    let versioning = Versioning::Enabled;
    let bucket = BucketRecord {
        name,
        owner: owner(),
        created,
        versioning,
        lock_enabled: true,
        closing,
        mfa_delete: None,
    };
    check("bucket_full", &bucket);
    let open = BucketRecord {
        versioning: Versioning::Never,
        lock_enabled: false,
        closing: None,
        ..bucket
    };
    check("bucket_open", &open);
    let protected = BucketRecord {
        mfa_delete: Some(true),
        ..open
    };
    check("bucket_mfa_delete", &protected);
}

#[test]
fn records_of_devices_keep_their_format() {
    let device = MfaDeviceRecord {
        secret: crate::totp::Secret([0x5E; 20]),
        enrolled: Timestamp(1_700_000_000_000_000_000),
        confirmed: true,
        step_used: Some(56_666_666),
        wrong_codes: 3,
        silent_until: Timestamp(1_700_000_060_000_000_000),
    };
    check("mfa_device", &device);
}

#[test]
fn records_of_configurations_keep_their_format() {
    let text = |text: &str| Some(text.to_owned());
    let texts =
        |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
    check("config_tagging", &Tags::stored(pairs("tag")));
    let rule = CorsRule {
        id: text("rule"),
        allowed_methods: texts(&["GET", "PUT"]),
        allowed_origins: texts(&["http://*.example.com", "*"]),
        allowed_headers: texts(&["x-*"]),
        expose_headers: texts(&["etag"]),
        max_age_seconds: Some(3000),
    };
    let least = CorsRule {
        allowed_methods: texts(&["GET"]),
        allowed_origins: texts(&["*"]),
        ..CorsRule::default()
    };
    let rules = vec![rule, least];
    check("config_cors", &CorsConfig { rules });
    let to = RedirectAll {
        host: "example.com".to_owned(),
        protocol: text("https"),
    };
    let mode = WebsiteMode::RedirectAll(to);
    check("config_website_redirect_all", &WebsiteConfig { mode });
    let rule = RoutingRule {
        key_prefix: text("docs/"),
        error_code: text("404"),
        host: text("example.com"),
        redirect_code: text("302"),
        protocol: text("http"),
        replace_prefix: text(""),
        replace_key: text("error.html"),
    };
    let mode = WebsiteMode::Serve {
        index_suffix: "index.html".to_owned(),
        error_key: text("error.html"),
        rules: vec![rule, RoutingRule::default()],
    };
    check("config_website", &WebsiteConfig { mode });
}

#[test]
fn records_of_keys_and_versions_keep_their_format() {
    let listed = Listed {
        etag: ETag::Md5([0xE7; 16]),
        size: 7,
        last_modified: Timestamp(11),
        storage_class: STANDARD.into(),
        checksum: Some((ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject)),
    };
    let head = HeadRecord {
        current: Stamp(1),
        newest: Stamp(2),
        null: Some(Stamp(1)),
        listed: Some(listed),
    };
    check("head", &head);
    check(
        "head_of_marker",
        &HeadRecord {
            null: None,
            listed: None,
            ..head
        },
    );
    check(
        "version_of_one_blob",
        &version(VersionContent::Blob(BlobId([4; 16]))),
    );
    check("version_of_no_bytes", &version(VersionContent::Empty));
    check(
        "version_of_parts",
        &version(VersionContent::Parts(vec![part(1), part(2), part(3)])),
    );
    let pages = vec![
        PageRef {
            part_count: 1000,
            size: 5 << 30,
        },
        PageRef {
            part_count: 1,
            size: 1,
        },
    ];
    check("version_of_pages", &version(VersionContent::Pages(pages)));
    let marker = VersionRecord {
        object: None,
        is_null: false,
        replication: None,
        ..version(VersionContent::Empty)
    };
    check("version_delete_marker", &marker);
    check(
        "part_page",
        &PartPage {
            parts: vec![part(1), part(2)],
        },
    );
}

#[test]
fn records_of_blobs_keep_their_format() {
    let place = Some(Place(Bytes::from_static(b"place")));
    let blob = BlobRecord {
        owner: owned_by_version(),
        size: 99,
        place: place.clone(),
        reduced: true,
        packed: None,
    };
    check("blob", &blob);
    check(
        "blob_inline_of_part",
        &BlobRecord {
            owner: owned_by_part(),
            place: None,
            reduced: false,
            ..blob.clone()
        },
    );
    let packed = Some(Packed {
        pack: BlobId([8; 16]),
        offset: 4096,
        checksum: 0x0123_4567_89AB_CDEF,
    });
    check(
        "blob_packed",
        &BlobRecord {
            place: None,
            reduced: false,
            packed,
            ..blob.clone()
        },
    );
    check(
        "blob_of_pack",
        &BlobRecord {
            owner: BlobOwner::Pack,
            ..blob
        },
    );
    let grave = |place, packed| GraveyardRecord::Blob {
        size: 99,
        place,
        packed,
    };
    check("graveyard_blob", &grave(place, None));
    check("graveyard_inline", &grave(None, None));
    check("graveyard_packed", &grave(None, packed));
    let blobs = vec![BlobId([1; 16]), BlobId([2; 16])];
    check("graveyard_parts", &GraveyardRecord::Parts { blobs });
    check("reduced", &ReducedRecord);
    let creation = CreationRecord {
        blob: BlobId([1; 16]),
        bucket: BucketId(5),
        bucket_name: BucketName::new("photos").unwrap(),
        key: ObjectKey::new("a/b").unwrap(),
        part: Some((UploadId([3; 16]), 7)),
        created: Timestamp(14),
    };
    let pack_creation = PackCreationRecord {
        pack: BlobId([8; 16]),
        created: Timestamp(15),
        content_count: 2,
    };
    check("creation_of_pack", &pack_creation);
    let as_other = CreationRecord::decode(&pack_creation.encode());
    assert!(as_other.is_err(), "no object is made of a pack");
    check("creation_of_part", &creation);
    check(
        "creation",
        &CreationRecord {
            part: None,
            ..creation
        },
    );
}

/// The bytes of a pack with two contents.
fn pack_bytes(pack: BlobId) -> (Vec<u8>, Vec<pack::PackEntry>) {
    let mut builder = pack::PackBuilder::default();
    let mut entries = Vec::new();
    for (seed, content) in [(1, &b"first"[..]), (2, &b"the second"[..])] {
        let blob = BlobId([seed; 16]);
        let packed = builder.add(pack, blob, Bytes::copy_from_slice(content));
        entries.push(pack::PackEntry {
            blob,
            offset: packed.offset,
            length: u32::try_from(content.len()).unwrap(),
            checksum: packed.checksum,
        });
    }
    (builder.finish(pack).concat(), entries)
}

#[test]
fn packs_keep_their_format_and_a_damaged_directory_is_refused() {
    let id = BlobId([8; 16]);
    let (bytes, entries) = pack_bytes(id);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/pack.bin");
    if std::env::var_os("STRONGROOM_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(
        bytes == std::fs::read(path).unwrap(),
        "the format of packs changed"
    );
    assert_eq!(pack::pack_directory(id, &bytes), Ok(entries));
    assert!(bytes.starts_with(b"firstthe second"));
    let other = pack::pack_directory(BlobId([9; 16]), &bytes);
    assert_eq!(other, Err(RecordError::Invalid("pack id")));
    for size in 0..bytes.len() {
        assert!(
            pack::pack_directory(id, &bytes[..size]).is_err(),
            "cut at {size}"
        );
    }
    for index in b"firstthe second".len()..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            assert!(
                pack::pack_directory(id, &flipped).is_err(),
                "flipped at {index}"
            );
        }
    }
}

#[test]
fn records_of_uploads_keep_their_format() {
    let upload = UploadRecord {
        initiated: Timestamp(12),
        closing: Some(Closing {
            token: Stamp(8),
            since: Timestamp(9),
        }),
        checksum: Some((ChecksumAlgorithm::Sha1, ChecksumType::Composite)),
        storage_class: STANDARD.into(),
        headers: headers(),
        metadata: pairs("meta"),
        tags: pairs("tag"),
        lock: Some(lock()),
        encryption: Some(encryption()),
        found: None,
    };
    check("upload", &upload);
    check(
        "upload_over_an_object",
        &UploadRecord {
            found: Some(Stamp(11)),
            ..upload.clone()
        },
    );
    check(
        "upload_open",
        &UploadRecord {
            closing: None,
            checksum: None,
            lock: None,
            encryption: None,
            ..upload
        },
    );
    let part = PartRecord {
        md5: [0xD5; 16],
        size: 6 << 20,
        last_modified: Timestamp(13),
        checksum: checksum(ChecksumAlgorithm::Crc64Nvme),
        checksum_declared: Some(checksum(ChecksumAlgorithm::Crc32)),
        blob: Some(BlobId([6; 16])),
        encryption: Some(encryption()),
    };
    check("part", &part);
    check(
        "part_of_no_bytes",
        &PartRecord {
            blob: None,
            encryption: None,
            checksum_declared: None,
            ..part
        },
    );
}

#[test]
fn records_of_upkeep_keep_their_format() {
    let lost = LostRecord {
        since: Timestamp(16),
        size: 99,
    };
    check("lost", &lost);
    let job = JobRecord {
        cursor: Some(BlobId([7; 16])),
        level: 1,
        begun: Timestamp(17),
        ended: Timestamp(18),
        blobs: 19,
        bytes: 20,
        bad: 21,
        repaired: 22,
        lost: 23,
        rate: 24,
    };
    check("job", &job);
    check("job_before_the_first", &JobRecord::default());
}
