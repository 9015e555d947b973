//! S3 clients without a socket: requests to the domain, and short workloads that mark what they
//! were told.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_base::{ManualClock, Random, SeededRandom};
use strongroom_objects::*;
use strongroom_sim::SimWorld;
use strongroom_types::{BucketName, ObjectKey, Owner, PartNumber, VersionId};

use crate::ledger::{Piece, State, Told};

pub fn bucket() -> BucketName {
    BucketName::new("replay").unwrap()
}

/// A bucket with Object Lock, which keeps versions. Its keys are in the ledger beside those of the other, each with all
/// its versions as one state, newest first.
fn versions_bucket() -> BucketName {
    BucketName::new("replay-versions").unwrap()
}

/// How the keys of that bucket begin.
const VERSIONED: &str = "v/";

/// Stands for a delete marker in a state.
const MARKER: Piece = Piece { id: 0, size: 7 };

/// Stands behind a version that a legal hold locks.
const HELD: Piece = Piece { id: 1, size: 5 };

fn bucket_of(key: &str) -> BucketName {
    match key.starts_with(VERSIONED) {
        true => versions_bucket(),
        false => bucket(),
    }
}

pub fn object_key(key: &str) -> ObjectKey {
    ObjectKey::new(key).unwrap()
}

fn content_of(bytes: Bytes) -> Content {
    let size = bytes.len() as u64;
    // In three pieces, as a socket would give it.
    let third = bytes.len() / 3 + 1;
    let pieces: Vec<_> = bytes
        .chunks(third)
        .map(|piece| Ok(bytes.slice_ref(piece)))
        .collect();
    Content::new(Box::pin(futures::stream::iter(pieces)), size)
}

/// Makes the buckets; the one without versions last, so that the other is there with it.
pub async fn make_bucket(objects: &Objects) -> Result<()> {
    let make = |bucket: BucketName, lock_enabled: bool| {
        objects.create_bucket(CreateBucket {
            lock_enabled,
            bucket,
            owner: Owner::new("replay").unwrap(),
            tags: Default::default(),
        })
    };
    match make(versions_bucket(), true).await {
        Ok(()) | Err(Error::BucketAlreadyOwnedByYou) => {}
        Err(error) => return Err(error),
    }
    make(bucket(), false).await
}

pub async fn put(objects: &Objects, key: &str, piece: Piece) -> Result<()> {
    put_version(objects, key, piece, false).await.map(drop)
}

async fn put_version(
    objects: &Objects,
    key: &str,
    piece: Piece,
    is_held: bool,
) -> Result<Option<VersionId>> {
    let request = PutObject {
        lock: Lock {
            retention: None,
            legal_hold: is_held.then_some(LegalHold::On),
        },
        bucket: bucket_of(key),
        key: object_key(key),
        content: content_of(piece.bytes()),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
    };
    let put = objects.put_object(request).await?;
    Ok(put.version_id)
}

async fn delete(
    objects: &Objects,
    key: &str,
    version_id: Option<VersionId>,
) -> Result<Option<VersionId>> {
    let request = DeleteObject {
        bypass: Default::default(),
        bucket: bucket_of(key),
        key: object_key(key),
        version_id,
        if_match: None,
    };
    let deleted = objects.delete_object(request).await?;
    Ok(deleted.version_id)
}

/// The object's bytes and ETag; none when there is no object. Of a key that keeps versions, all of
/// them together.
pub async fn get(objects: &Objects, key: &str) -> Result<Option<(Vec<u8>, String)>> {
    if key.starts_with(VERSIONED) {
        return get_versions(objects, key).await;
    }
    get_version(objects, key, None).await
}

/// Puts a legal hold on a version, or takes it away.
async fn hold(
    objects: &Objects,
    key: &str,
    version_id: VersionId,
    is_held: bool,
) -> Result<Option<VersionId>> {
    let of = ObjectVersion {
        bucket: bucket_of(key),
        key: object_key(key),
        version_id: Some(version_id),
    };
    let hold = match is_held {
        true => LegalHold::On,
        false => LegalHold::Off,
    };
    objects.put_object_legal_hold(of, hold).await?;
    Ok(Some(version_id))
}

async fn is_held(objects: &Objects, key: &str, version_id: VersionId) -> Result<bool> {
    let mut request = GetObject::new(bucket_of(key), object_key(key));
    request.version_id = Some(version_id);
    let lock = objects.head_object(request).await?.info.lock;
    Ok(lock.unwrap_or_default().legal_hold == Some(LegalHold::On))
}

async fn get_versions(objects: &Objects, key: &str) -> Result<Option<(Vec<u8>, String)>> {
    let all = list_versions(objects, key).await?;
    let (mut bytes, mut etags) = (Vec::new(), String::new());
    for version in all.iter().filter(|version| version.key.as_str() == key) {
        if version.object.is_none() {
            bytes.extend_from_slice(&MARKER.bytes());
            etags.push_str("marker");
            continue;
        }
        let found = get_version(objects, key, Some(version.version_id)).await?;
        let (content, etag) = found.ok_or(Error::NoSuchVersion)?;
        bytes.extend(content);
        etags.push_str(&etag);
        if is_held(objects, key, version.version_id).await? {
            bytes.extend_from_slice(&HELD.bytes());
            etags.push_str("held");
        }
    }
    Ok((!etags.is_empty()).then_some((bytes, etags)))
}

async fn get_version(
    objects: &Objects,
    key: &str,
    version_id: Option<VersionId>,
) -> Result<Option<(Vec<u8>, String)>> {
    let mut request = GetObject::new(bucket_of(key), object_key(key));
    request.version_id = version_id;
    let answer = match objects.get_object(request).await {
        Err(Error::NoSuchKey { .. }) => return Ok(None),
        other => other?,
    };
    let etag = answer.head.info.etag.quoted();
    let pieces: Vec<Bytes> =
        answer
            .content
            .try_collect()
            .await
            .map_err(|error| Error::ContentFailed {
                message: error.message,
            })?;
    Ok(Some((pieces.concat(), etag)))
}

/// Every version of the keys that start so, through pages of a few. Exactly one of a key is current.
async fn list_versions(objects: &Objects, prefix: &str) -> Result<Vec<ListedVersion>> {
    let mut found: Vec<ListedVersion> = Vec::new();
    let mut next = Some((String::new(), None));
    while let Some((key_marker, version_id_marker)) = next {
        let request = ListVersions {
            bucket: versions_bucket(),
            prefix: prefix.to_owned(),
            delimiter: None,
            key_marker,
            version_id_marker,
            keys_max: 5,
        };
        let page = objects.list_versions(request).await?;
        for version in page.versions {
            let is_first = found.last().is_none_or(|last| last.key != version.key);
            if version.is_latest != is_first {
                let message = format!("{} has no one current version", version.key);
                return Err(Error::Corrupt { message });
            }
            found.push(version);
        }
        next = page.next;
    }
    Ok(found)
}

/// Key, size and ETag of every object, and of every key that keeps versions those of all together.
pub async fn list(objects: &Objects) -> Result<Vec<(String, u64, String)>> {
    let mut found = list_objects(objects).await?;
    for version in list_versions(objects, VERSIONED).await? {
        let (size, etag) = match &version.object {
            Some(object) => {
                let key = version.key.as_str();
                let (mut size, mut etag) = (object.size, object.etag.quoted());
                if is_held(objects, key, version.version_id).await? {
                    size += HELD.size as u64;
                    etag.push_str("held");
                }
                (size, etag)
            }
            None => (MARKER.size as u64, "marker".to_owned()),
        };
        match found.last_mut() {
            Some(last) if last.0 == version.key.as_str() => {
                last.1 += size;
                last.2.push_str(&etag);
            }
            _ => found.push((version.key.as_str().to_owned(), size, etag)),
        }
    }
    Ok(found)
}

/// Key, size and ETag of every object, through pages of a few.
async fn list_objects(objects: &Objects) -> Result<Vec<(String, u64, String)>> {
    let mut found = Vec::new();
    let mut start = ListStart::Beginning;
    loop {
        let request = ListObjects {
            bucket: bucket(),
            prefix: String::new(),
            delimiter: None,
            start,
            keys_max: 5,
        };
        let page = objects.list_objects(request).await?;
        let entry = |object: ListedObject| {
            let key = object.key.as_str().to_owned();
            (key, object.size, object.etag.quoted())
        };
        found.extend(page.objects.into_iter().map(entry));
        match page.continuation_token {
            Some(token) => start = ListStart::Token(token),
            None => return Ok(found),
        }
    }
}

/// Completes an upload from parts with their ETags.
pub async fn complete(
    objects: &Objects,
    key: &str,
    upload: &str,
    parts: impl Iterator<Item = (u16, String)>,
) -> Result<()> {
    let part = |(number, etag): (u16, String)| CompletedPart {
        part_number: PartNumber::new(i64::from(number)).unwrap(),
        etag,
        checksum: None,
    };
    let request = CompleteUpload {
        bucket: bucket(),
        key: object_key(key),
        upload_id: upload.parse().unwrap(),
        parts: parts.map(part).collect(),
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_type: None,
        object_size: None,
    };
    objects.complete_upload(request).await.map(drop)
}

/// Numbers and ETags of an upload's parts.
pub async fn parts(objects: &Objects, key: &str, upload: &str) -> Result<Vec<(u16, String)>> {
    let request = ListParts {
        bucket: bucket(),
        key: object_key(key),
        upload_id: upload.parse().unwrap(),
        part_number_marker: 0,
        parts_max: 1000,
    };
    let page = objects.list_parts(request).await?;
    let entry = |part: ListedPart| (part.part_number.get(), part.etag.quoted());
    Ok(page.parts.into_iter().map(entry).collect())
}

/// Ends everything that is buried and gives back what no record names, with no hold-back: whatever is
/// freed too early is then missed.
pub async fn sweep_all(objects: &Objects) -> Result<()> {
    let limits = SweepLimits {
        hold_back: std::time::Duration::ZERO,
        bytes_max: u64::MAX,
        pressed: false,
    };
    let mut after = None;
    loop {
        let page = objects.sweep_page(&limits, after, 4).await?;
        if let Some(error) = page.error {
            return Err(error);
        }
        after = page.last;
        if after.is_none() {
            break;
        }
    }
    objects.mark_scan().await.map(drop)
}

/// Packs what is inline, in packs of a few contents and commits of one or two, writes sparse packs anew, and
/// gives back the log that nothing keeps. Gives how many contents moved.
pub async fn pack_all(objects: &Objects) -> Result<u64> {
    let limits = PackLimits {
        content_bytes_max: 20_000,
        content_count_max: 4,
        moves_max: 2,
    };
    let through = objects.log_extent().await?.newest;
    let mut packing = Packing::new(through, limits);
    while objects.pack_step(&mut packing).await? {}
    let mut compaction = Compaction::default();
    while objects.compact_step(&mut compaction, &limits).await? {}
    match objects.trim_log(packing.trimmable()).await {
        // Something is inline below by now: later.
        Ok(_) | Err(Error::Unavailable { .. }) => Ok(packing.tally.contents),
        Err(error) => Err(error),
    }
}

/// One client: its own keys, a fixed order of requests.
pub struct Client {
    pub number: u64,
    pub world: SimWorld,
    pub objects: Objects,
    pub clock: Arc<ManualClock>,
    random: SeededRandom,
    /// Numbers pieces, so that no two have the same bytes.
    next_piece: u64,
    /// Names the keys that keep versions: what they have is known to this client from its answers.
    generation: String,
    /// Of each of them the versions, newest first.
    versions: BTreeMap<String, Vec<Kept>>,
}

/// A version as a client knows it.
#[derive(Clone, Copy)]
struct Kept {
    id: VersionId,
    piece: Piece,
    is_held: bool,
}

impl Kept {
    fn pieces(&self) -> impl Iterator<Item = Piece> + use<> {
        std::iter::once(self.piece).chain(self.is_held.then_some(HELD))
    }
}

/// What is done with the versions of a key.
#[derive(Clone, Copy)]
enum Change {
    /// A version, or a marker; locked at once.
    Add(Piece, bool),
    Hold(usize, bool),
    Remove(usize),
    /// Is refused.
    RemoveHeld(usize),
}

impl Change {
    /// What there is then, newest first. A new version has no id yet.
    fn after(self, before: &[Kept]) -> Vec<Kept> {
        let mut after = before.to_vec();
        match self {
            Self::Add(piece, is_held) => after.insert(
                0,
                Kept {
                    id: VersionId::Null,
                    piece,
                    is_held,
                },
            ),
            Self::Hold(index, is_held) => after[index].is_held = is_held,
            Self::Remove(index) => _ = after.remove(index),
            Self::RemoveHeld(_) => {}
        }
        after
    }
}

/// Keys per client: few, so that they are overwritten and deleted.
const KEY_COUNT: u64 = 3;

impl Client {
    pub fn new(
        number: u64,
        round: u64,
        world: &SimWorld,
        objects: &Objects,
        clock: &Arc<ManualClock>,
    ) -> Self {
        Self {
            number,
            world: world.clone(),
            objects: objects.clone(),
            clock: Arc::clone(clock),
            random: SeededRandom::new(world.seed() ^ (number << 32) ^ (round << 48)),
            next_piece: number << 32 | round << 24,
            generation: format!("{round}"),
            versions: BTreeMap::new(),
        }
    }

    fn below(&self, limit: u64) -> u64 {
        self.random.next_u64() % limit
    }

    fn piece(&mut self, size: u64) -> Piece {
        self.next_piece += 1;
        let (id, size) = (self.next_piece, size as usize);
        Piece { id, size }
    }

    /// Does so many requests, one after the other.
    pub async fn run(mut self, count: usize) {
        for _ in 0..count {
            self.clock.advance(std::time::Duration::from_millis(7));
            let key = format!("client-{}/{}", self.number, self.below(KEY_COUNT));
            match self.below(24) {
                0..=8 => {
                    let piece = self.small();
                    self.put(key, piece).await;
                }
                9..=12 => {
                    let piece = self.large();
                    self.put(key, piece).await;
                }
                13..=16 => self.delete(key).await,
                20.. => {
                    for _ in 0..3 {
                        self.change_versions().await;
                    }
                }
                _ => self.upload(key).await,
            }
        }
    }

    /// Kept inline with the metadata.
    fn small(&mut self) -> Piece {
        let size = self.below(9_000);
        self.piece(size)
    }

    /// Kept in stripes.
    fn large(&mut self) -> Piece {
        let size = 20_000 + self.below(180_000);
        self.piece(size)
    }

    fn tell(&self, told: Told) {
        self.world.mark(told);
    }

    fn begin(&self, key: &str, after: State) {
        let key = key.to_owned();
        self.tell(Told::Begun { key, after });
    }

    fn end(&self, key: String, result: Result<()>) {
        self.tell(match result {
            Ok(()) => Told::Done { key },
            Err(Error::Unavailable { .. }) => Told::Unknown,
            Err(error) => panic!("{key}: {error}"),
        });
    }

    async fn put(&mut self, key: String, piece: Piece) {
        self.begin(&key, Some(vec![piece]));
        let result = put(&self.objects, &key, piece).await;
        self.end(key, result);
    }

    async fn delete(&mut self, key: String) {
        self.begin(&key, None);
        let result = delete(&self.objects, &key, None).await;
        self.end(key, result.map(drop));
    }

    /// Adds a version or a delete marker to a key that keeps them, locks one or unlocks it, or removes one
    /// for good that is not locked.
    async fn change_versions(&mut self) {
        let (client, generation) = (self.number, &self.generation);
        let key = format!("{VERSIONED}client-{client}/{generation}/{}", self.below(2));
        let before = self.versions.remove(&key).unwrap_or_default();
        let change = self.draw_change(&before);
        let after = change.after(&before);
        let pieces: Vec<Piece> = after.iter().flat_map(Kept::pieces).collect();
        self.begin(&key, (!pieces.is_empty()).then_some(pieces));
        let objects = &self.objects;
        let result = match change {
            Change::Add(MARKER, _) => delete(objects, &key, None).await,
            Change::Add(piece, is_held) => put_version(objects, &key, piece, is_held).await,
            Change::Hold(index, is_held) => hold(objects, &key, before[index].id, is_held).await,
            Change::Remove(index) => delete(objects, &key, Some(before[index].id)).await,
            Change::RemoveHeld(index) => {
                match delete(objects, &key, Some(before[index].id)).await {
                    Err(Error::ObjectLocked { .. }) => Ok(None),
                    Ok(_) => panic!("{key}: a held version went"),
                    Err(error) => Err(error),
                }
            }
        };
        let mut after = after;
        match (&result, change) {
            (Ok(id), Change::Add(..)) => after[0].id = id.expect("an id is shown"),
            (Ok(_), _) => {}
            // What the key has is not known any more.
            (Err(_), _) => self.generation.push('+'),
        }
        self.versions.insert(key.clone(), after);
        self.end(key, result.map(drop));
    }

    fn draw_change(&mut self, versions: &[Kept]) -> Change {
        let choice = self.below(8);
        let is_held = choice == 1;
        let index = match versions.len() {
            0 => None,
            count => Some(self.below(count as u64) as usize),
        };
        match (choice, index) {
            (0 | 1, _) => Change::Add(self.small(), is_held),
            (2, _) => Change::Add(self.large(), is_held),
            (3, _) => Change::Add(MARKER, false),
            (4 | 5, Some(index)) if versions[index].piece != MARKER => {
                Change::Hold(index, !versions[index].is_held)
            }
            (_, Some(index)) if versions[index].is_held => Change::RemoveHeld(index),
            (_, Some(index)) => Change::Remove(index),
            (_, None) => Change::Add(self.small(), false),
        }
    }

    /// Opens an upload, sends its parts, one of them twice, then completes it, aborts it or leaves it.
    async fn upload(&mut self, key: String) {
        let request = CreateUpload {
            lock: Default::default(),
            bucket: bucket(),
            key: object_key(&key),
            headers: ObjectHeaders::default(),
            metadata: UserMetadata::default(),
            tags: Default::default(),
            checksum_algorithm: None,
            checksum_type: None,
        };
        let Ok(opened) = self.objects.create_upload(request).await else {
            return;
        };
        let upload = opened.upload_id.to_string();
        self.tell(Told::UploadOpened {
            key: key.clone(),
            upload: upload.clone(),
        });
        let sizes = [30_000, 70_000, 3_000];
        let mut parts: Vec<(u16, Piece, String)> = Vec::new();
        for (number, size) in [(1, sizes[0]), (2, sizes[1]), (1, sizes[1]), (3, sizes[2])] {
            let piece = self.piece(size);
            let Some(etag) = self.part(&key, &upload, number, piece).await else {
                return;
            };
            parts.retain(|(other, ..)| *other != number);
            parts.push((number, piece, etag));
        }
        parts.sort_by_key(|(number, ..)| *number);
        match self.below(4) {
            0 => {}
            1 => self.abort(key, upload).await,
            _ => {
                let pieces = parts.iter().map(|(_, piece, _)| *piece).collect();
                self.tell(Told::UploadClosing {
                    upload: upload.clone(),
                });
                self.begin(&key, Some(pieces));
                let parts = parts.into_iter().map(|(number, _, etag)| (number, etag));
                let result = complete(&self.objects, &key, &upload, parts).await;
                self.end(key, result);
            }
        }
    }

    async fn part(&self, key: &str, upload: &str, number: u16, piece: Piece) -> Option<String> {
        let request = UploadPart {
            bucket: bucket(),
            key: object_key(key),
            upload_id: upload.parse().unwrap(),
            part_number: PartNumber::new(i64::from(number)).unwrap(),
            content: content_of(piece.bytes()),
        };
        let answer = match self.objects.upload_part(request).await {
            Ok(answer) => answer,
            Err(Error::Unavailable { .. }) => {
                // The part may or may not be there: nothing is known of the upload any more.
                self.tell(Told::UploadClosing {
                    upload: upload.to_owned(),
                });
                return None;
            }
            Err(error) => panic!("{key} part {number}: {error}"),
        };
        let etag = answer.etag.quoted();
        self.tell(Told::PartDone {
            upload: upload.to_owned(),
            number,
            piece,
            etag: etag.clone(),
        });
        Some(etag)
    }

    async fn abort(&self, key: String, upload: String) {
        self.tell(Told::UploadClosing {
            upload: upload.clone(),
        });
        let request = AbortUpload {
            bucket: bucket(),
            key: object_key(&key),
            upload_id: upload.parse().unwrap(),
        };
        match self.objects.abort_upload(request).await {
            Ok(()) | Err(Error::Unavailable { .. }) => {}
            Err(error) => panic!("{key}: {error}"),
        }
    }
}
