//! What must hold between records, whatever happened: checked by reading all of them.
//!
//! - A blob record's owner is there and names the blob back (H26).
//! - A version's or part's blob has a record.
//! - A head names the newest version of its key and the null version, and shows what the newest is; no
//!   version is without a head.
//! - A bucket's name says whether it was ever versioned.
//! - A configuration's bucket is there (BK06).
//! - The counters are what a recount gives.
//! - What is counted as buried is in the graveyard.
//! - A packed content lies within a pack that is there, the counters of each pack are what a
//!   recount gives, and no pack is without contents (H37).
//! - A mark of reduced redundancy and the blob's own flag agree, and the marks are counted right.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_meta::Stamp;

use crate::objects::Objects;
use crate::records::{
    BlobId, BlobOwner, BlobRecord, BucketId, BucketNameRecord, BucketRecord, GraveyardRecord,
    HeadRecord, Packed, PartPage, PartRecord, RecordFormat, STANDARD, UploadRecord, VersionContent,
    VersionRecord, Versioning, keys, usage,
};

type Check<T> = Result<T, String>;
type Records = BTreeMap<Vec<u8>, (bytes::Bytes, bool)>;

/// Reads all records and checks them against each other.
///
/// # Errors
/// What does not hold, in words.
pub async fn check_records(objects: &Objects) -> Check<()> {
    let mut records = Records::new();
    for (family, name) in keys::FAMILIES {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = objects.meta.scan(&[family], after.as_deref(), 1000).await;
            let page = page.map_err(|error| format!("scan {name}: {error}"))?;
            after = page.records.last().map(|(key, _)| key.clone());
            for (key, record) in page.records {
                records.insert(key, (record.value, record.inline.is_some()));
            }
            if !page.more {
                break;
            }
        }
    }
    let owned = check_keys(&records)?;
    let marks = family(&records, b'R').count() as u64;
    let counted = objects.blobs_reduced().await;
    let counted = counted.map_err(|error| error.to_string())?;
    if counted != marks {
        return Err(format!(
            "{counted} reduced blobs are counted, {marks} marked"
        ));
    }
    check_buried(objects, &records).await?;
    check_packs(objects, &records).await?;
    check_blobs(&records, &owned)
}

/// The count of the graveyard is what a recount gives.
async fn check_buried(objects: &Objects, records: &Records) -> Check<()> {
    let (mut blobs, mut bytes) = (0, 0);
    for (key, value) in family(records, b'G') {
        match decode(key, value)? {
            GraveyardRecord::Blob { size, .. } => {
                blobs += 1;
                bytes += size;
            }
            GraveyardRecord::Parts { blobs: named } => {
                for blob in named {
                    let key = keys::blob(blob);
                    let (value, _) = records.get(&key).ok_or("a buried part has no record")?;
                    blobs += 1;
                    bytes += decode::<BlobRecord>(&key, value)?.size;
                }
            }
        }
    }
    let counted = objects.buried().await.map_err(|error| error.to_string())?;
    if (counted.blobs, counted.bytes) != (blobs, bytes) {
        return Err(format!(
            "{counted:?} are counted, {blobs} blobs of {bytes} bytes are buried"
        ));
    }
    Ok(())
}

fn family(records: &Records, first: u8) -> impl Iterator<Item = (&Vec<u8>, &bytes::Bytes)> {
    records
        .range(vec![first]..vec![first + 1])
        .map(|(key, (value, _))| (key, value))
}

fn decode<R: RecordFormat>(key: &[u8], value: &[u8]) -> Check<R> {
    R::decode(value).map_err(|error| format!("record {}: {error}", key.escape_ascii()))
}

fn bucket_of(key: &[u8]) -> Check<BucketId> {
    let id = key.get(1..9).and_then(|id| id.try_into().ok());
    id.map(|id| BucketId(u64::from_be_bytes(id)))
        .ok_or_else(|| "short key".to_owned())
}

/// Heads, versions, uploads, parts and counters. Gives the blobs that are named, by whom.
fn check_keys(records: &Records) -> Check<BTreeMap<BlobId, Vec<u8>>> {
    let mut owned = BTreeMap::new();
    let mut own = |blob: BlobId, by: &[u8]| match owned.insert(blob, by.to_vec()) {
        None => Ok(()),
        Some(_) => Err(format!("blob {} is named twice", hex::encode(blob.0))),
    };
    let mut counted: BTreeMap<BucketId, usage::Usage> = BTreeMap::new();
    check_heads(records)?;
    for (key, value) in family(records, b'V') {
        let version: VersionRecord = decode(key, value)?;
        let counts = counted.entry(bucket_of(key)?).or_default();
        let Some(object) = version.object else {
            counts.0[usage::MARKERS] += 1;
            continue;
        };
        counts.count(usage::OBJECTS, usage::BYTES, object.size, 1);
        for blob in blobs_of(records, key, &object.content)? {
            own(blob, key)?;
        }
    }
    for (key, value) in family(records, b'P') {
        let part: PartRecord = decode(key, value)?;
        let counts = counted.entry(bucket_of(key)?).or_default();
        counts.count(usage::PARTS, usage::PART_BYTES, part.size, 1);
        if let Some(blob) = part.blob {
            own(blob, key)?;
        }
    }
    for (key, value) in family(records, b'U') {
        decode::<UploadRecord>(key, value)?;
        counted.entry(bucket_of(key)?).or_default().0[usage::UPLOADS] += 1;
    }
    let mut configured: BTreeSet<BucketId> = family(records, b'C')
        .map(|(key, _)| bucket_of(key))
        .collect::<Check<_>>()?;
    for (key, value) in family(records, b'N') {
        let id = decode::<BucketNameRecord>(key, value)?.id;
        configured.remove(&id);
        let stored = records
            .get(&keys::usage(id, STANDARD))
            .map(|(value, _)| value.clone());
        let stored = strongroom_meta::resolve::counters(&stored.unwrap_or_default());
        let mut stored = stored.map_err(|error| error.to_string())?;
        stored.resize(usage::COUNT, 0);
        let recount = counted.remove(&id).unwrap_or_default().0;
        if stored != recount {
            return Err(format!(
                "counters are {stored:?}, a recount gives {recount:?}"
            ));
        }
    }
    if let Some(id) = configured.first() {
        return Err(format!("bucket {id:?} is gone and has a configuration"));
    }
    if let Some((id, _)) = counted.first_key_value() {
        return Err(format!("bucket {id:?} is gone and has records"));
    }
    Ok(owned)
}

/// Heads against the versions of their keys, and names against the states of their buckets.
fn check_heads(records: &Records) -> Check<()> {
    let mut heads: BTreeMap<Vec<u8>, HeadRecord> = BTreeMap::new();
    for (key, value) in family(records, b'V') {
        let version: VersionRecord = decode(key, value)?;
        let (object, _) = keys::object_key_of(key).ok_or("bad key of a version")?;
        let stamp = keys::version_stamp_of(key).ok_or("bad stamp of a version")?;
        let of_key = keys::head(bucket_of(key)?, &object);
        let shown = |object: &crate::records::ObjectRecord| object.listed(version.last_modified);
        // The newest comes first.
        let head = heads.entry(of_key).or_insert_with(|| HeadRecord {
            current: stamp,
            newest: stamp,
            null: None,
            listed: version.object.as_ref().map(shown),
        });
        if version.is_null && head.null.replace(stamp).is_some() {
            return Err(format!("{} has two null versions", key.escape_ascii()));
        }
    }
    for (key, value) in family(records, b'H') {
        let head: HeadRecord = decode(key, value)?;
        let expected = heads
            .remove(key)
            .ok_or_else(|| format!("head {} has no version", key.escape_ascii()))?;
        let newest = head.newest;
        if newest < expected.newest
            || head
                != (HeadRecord {
                    newest,
                    ..expected.clone()
                })
        {
            return Err(format!(
                "head {} is {head:?}, its versions give {expected:?}",
                key.escape_ascii()
            ));
        }
    }
    if let Some((key, _)) = heads.first_key_value() {
        return Err(format!("versions of {} have no head", key.escape_ascii()));
    }
    for (key, value) in family(records, b'N') {
        let name: BucketNameRecord = decode(key, value)?;
        let (state, _) = records
            .get(&keys::bucket(name.id))
            .ok_or("a bucket has a name and no state")?;
        let state: BucketRecord = decode(key, state)?;
        if name.versioned != (state.versioning != Versioning::Never) {
            return Err(format!("{} and its state disagree", key.escape_ascii()));
        }
    }
    Ok(())
}

fn blobs_of(records: &Records, key: &[u8], content: &VersionContent) -> Check<Vec<BlobId>> {
    match content {
        VersionContent::Empty => Ok(Vec::new()),
        VersionContent::Blob(blob) => Ok(vec![*blob]),
        VersionContent::Parts(parts) => Ok(parts.iter().filter_map(|part| part.blob).collect()),
        VersionContent::Pages(pages) => {
            let (_, inverted) = keys::object_key_of(key).ok_or("bad key of a version")?;
            let inverted = inverted.try_into().map_err(|_| "bad stamp of a version")?;
            let stamp = Stamp(!u64::from_be_bytes(inverted));
            let mut blobs = Vec::new();
            for (index, _) in pages.iter().enumerate() {
                let index = u16::try_from(index).map_err(|_| "too many pages")?;
                let page_key = keys::part_page(bucket_of(key)?, stamp, index);
                let (value, _) = records.get(&page_key).ok_or("a page is missing")?;
                let page: PartPage = decode(&page_key, value)?;
                blobs.extend(page.parts.iter().filter_map(|part| part.blob));
            }
            Ok(blobs)
        }
    }
}

fn check_blobs(records: &Records, owned: &BTreeMap<BlobId, Vec<u8>>) -> Check<()> {
    let buried = buried(records)?;
    for (blob, by) in owned {
        let key = keys::blob(*blob);
        let (value, inline) = records
            .get(&key)
            .ok_or_else(|| format!("blob of {} is missing", by.escape_ascii()))?;
        let record: BlobRecord = decode(&key, value)?;
        let owner = match &record.owner {
            BlobOwner::Version { bucket, key, stamp } => keys::version(*bucket, key, *stamp),
            BlobOwner::Part {
                bucket,
                upload,
                number,
                ..
            } => keys::part(*bucket, *upload, *number),
            BlobOwner::Pack => Vec::new(),
        };
        if owner != *by {
            return Err(format!("blob of {} has another owner", by.escape_ascii()));
        }
        let places = [record.place.is_some(), record.packed.is_some(), *inline];
        if places.iter().filter(|is| **is).count() != 1 {
            return Err(format!(
                "blob of {} is not in one place: {places:?}",
                by.escape_ascii()
            ));
        }
        if record.reduced != records.contains_key(&keys::reduced(*blob)) {
            return Err(format!(
                "blob of {} and its mark disagree",
                by.escape_ascii()
            ));
        }
    }
    for (key, value) in family(records, b'b') {
        let id = keys::blob_of(key).ok_or("bad key of a blob")?;
        if decode::<BlobRecord>(key, value)?.owner == BlobOwner::Pack {
            continue;
        }
        if owned.contains_key(&id) == buried.contains(&id) {
            return Err(format!(
                "blob {} is owned and buried, or neither",
                hex::encode(id.0)
            ));
        }
    }
    Ok(())
}

/// Each pack's counters against the records that have a content in it.
async fn check_packs(objects: &Objects, records: &Records) -> Check<()> {
    let mut live: BTreeMap<BlobId, [i64; 2]> = BTreeMap::new();
    let mut count = |packed: Option<Packed>, size: u64| -> Check<()> {
        let Some(packed) = packed else { return Ok(()) };
        let key = keys::blob(packed.pack);
        let (value, _) = records
            .get(&key)
            .ok_or_else(|| format!("pack {} is gone and has contents", packed.pack))?;
        let pack: BlobRecord = decode(&key, value)?;
        if pack.owner != BlobOwner::Pack || packed.offset + size > pack.size {
            return Err(format!("a content is not within pack {}", packed.pack));
        }
        let counts = live.entry(packed.pack).or_default();
        counts[0] += i64::try_from(size).unwrap_or(i64::MAX);
        counts[1] += 1;
        Ok(())
    };
    let mut packs = BTreeSet::new();
    for (key, value) in family(records, b'b') {
        let record: BlobRecord = decode(key, value)?;
        count(record.packed, record.size)?;
        if record.owner == BlobOwner::Pack {
            packs.insert(keys::blob_of(key).ok_or("bad key of a blob")?);
        }
    }
    for (key, value) in family(records, b'G') {
        if let GraveyardRecord::Blob { size, packed, .. } = decode(key, value)? {
            count(packed, size)?;
        }
    }
    let mut sums = [0; 4];
    for (key, value) in family(records, b'K') {
        let pack = keys::pack_of(key).ok_or("bad key of a pack")?;
        let counters = crate::decide::decode_counters(value).map_err(|error| error.to_string())?;
        let recount = live.remove(&pack).unwrap_or_default();
        if counters[..2] != recount || recount[1] == 0 || !packs.remove(&pack) {
            return Err(format!(
                "pack {pack} counts {counters:?}, a recount gives {recount:?}"
            ));
        }
        sums[0] += 1;
        for (sum, count) in sums[1..].iter_mut().zip(counters) {
            *sum += u64::try_from(count).map_err(|_| "a pack counts below nothing")?;
        }
    }
    if let Some(pack) = packs.first().or(live.keys().next()) {
        return Err(format!("pack {pack} has no counters"));
    }
    let counts = objects.pack_counts().await;
    let counts = counts.map_err(|error| error.to_string())?;
    let counted = [
        counts.packs,
        counts.live_bytes,
        counts.live_contents,
        counts.all_bytes,
    ];
    if counted != sums {
        return Err(format!("packs count {counted:?}, a recount gives {sums:?}"));
    }
    Ok(())
}

/// Blobs buried by name.
fn buried(records: &Records) -> Check<BTreeSet<BlobId>> {
    let mut buried = BTreeSet::new();
    for (key, value) in family(records, b'G') {
        if let GraveyardRecord::Parts { blobs } = decode(key, value)? {
            buried.extend(blobs);
        }
    }
    Ok(buried)
}
