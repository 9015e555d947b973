//! Running operations against both.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_types::{ChecksumAlgorithm, ETag, Owner, PartNumber, UploadId, VersionId};

use super::compare::{self, bucket_name, object_key, page_of, same};
use super::op::{Conditional, KEYS, LOCKED_BUCKET, Op, OpKind};
use super::reference::{RefUpload, Reference};
use super::run_locks::passing;
use super::{Harness, Stats};
use crate::api::{
    AbortUpload, ByteRange, CompleteUpload, CompletedPart, Content, CopyObject, CreateBucket,
    CreateUpload, DeclaredChecksum, DeleteKey, DeleteObject, DeleteObjects, ETagMatch, GetObject,
    ListObjects, ListStart, MetadataDirective, ObjectHeaders, ObjectVersion, PutObject,
    ReadConditions, TaggingDirective, UploadPart, UserMetadata, WriteConditions,
};
use crate::compaction::Compaction;
use crate::decide::Bypass;
use crate::error::{Error, Result};
use crate::hash::md5_of;
use crate::objects::Objects;
use crate::packing::{PackLimits, Packing};
use crate::sweep::SweepLimits;
use crate::tags::Tags;

/// Pieces content is streamed in.
const CHUNK: usize = 10_000;

pub(super) async fn run(
    seeds: &[u64],
    harness: &mut dyn Harness,
) -> std::result::Result<Stats, String> {
    let mut stats = Stats::default();
    let mut model = Model::default();
    let mut before: Option<OpKind> = None;
    for (index, seed) in seeds.iter().enumerate() {
        let op = Op::from_seed(*seed);
        let what = |message: String| {
            format!(
                "step {index} ({op:?}): {message}; operations {:?}",
                &seeds[..=index]
            )
        };
        let succeeded = model.step(&op, harness).await.map_err(what)?;
        compare::all(&harness.objects(), &model.reference, &mut stats)
            .await
            .map_err(what)?;
        super::check_records(&harness.objects())
            .await
            .map_err(what)?;
        stats.steps += 1;
        stats.succeeded += u64::from(succeeded);
        *stats.kinds.entry(op.kind).or_default() += 1;
        if let Some(before) = before.replace(op.kind) {
            stats.pairs.insert((before, op.kind));
        }
    }
    Ok(stats)
}

/// The reference, and what a client remembers.
#[derive(Default)]
pub(super) struct Model {
    pub(super) reference: Reference,
    /// Every upload that was ever started, with its bucket and key.
    uploads: Vec<(&'static str, &'static str, UploadId)>,
    /// The last Complete that succeeded: its upload and part numbers with their tags.
    completed: Option<(usize, Vec<(u16, ETag)>)>,
    /// The greatest stamp that a put showed.
    pub(super) newest: u64,
}

/// Compares the kinds of two outcomes. `Ok(true)` when both succeeded.
pub(super) fn agree<T, U>(
    found: Result<T>,
    expected: std::result::Result<U, Error>,
) -> std::result::Result<bool, String> {
    match (found, expected) {
        (Ok(_), Ok(_)) => Ok(true),
        (Err(found), Err(expected))
            if std::mem::discriminant(&found) == std::mem::discriminant(&expected) =>
        {
            Ok(false)
        }
        (Ok(_), Err(expected)) => Err(format!("succeeded, expected {expected:?}")),
        (Err(found), Ok(_)) => Err(format!("failed with {found:?}")),
        (Err(found), Err(expected)) => Err(format!("failed with {found:?}, not {expected:?}")),
    }
}

/// Packs what is inline, writes sparse packs anew, and trims the log when nothing keeps it. With
/// packs of a few contents and commits of one or two, so that packs live in all states.
async fn pack(op: &Op, objects: &Objects) -> std::result::Result<bool, String> {
    let limits = PackLimits {
        content_bytes_max: 1 + (op.size as u64 % 40_000),
        content_count_max: 1 + op.pick % 7,
        moves_max: 1 + op.pick % 2,
    };
    let text = |error: Error| format!("packing: {error}");
    let through = objects.log_extent().await.map_err(text)?.newest;
    let mut packing = Packing::new(through, limits);
    while objects.pack_step(&mut packing).await.map_err(text)? {
        if op.pick.is_multiple_of(5) && packing.tally.packs > 0 {
            // The power went in the middle: the rest of the round is forgotten.
            return Ok(true);
        }
    }
    let mut compaction = Compaction::default();
    while objects
        .compact_step(&mut compaction, &limits)
        .await
        .map_err(text)?
    {}
    match objects.trim_log(packing.trimmable()).await {
        Ok(_) | Err(Error::Unavailable { .. }) => Ok(packing.tally.contents > 0),
        Err(error) => Err(format!("trimming: {error}")),
    }
}

fn streamed(bytes: &[u8]) -> Content {
    let chunks: Vec<_> = bytes
        .chunks(CHUNK)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    Content::new(Box::pin(futures::stream::iter(chunks)), bytes.len() as u64)
}

/// Frees everything that may be freed, at once.
async fn sweep(objects: &Objects) -> std::result::Result<bool, String> {
    let limits = SweepLimits {
        hold_back: Duration::ZERO,
        bytes_max: u64::MAX,
        pressed: false,
    };
    let (mut after, mut blobs) = (None, 0);
    loop {
        let page = objects.sweep_page(&limits, after, 3).await;
        let page = page.map_err(|error| format!("sweep: {error}"))?;
        if let Some(error) = page.error.filter(|error| !is_unavailable(error)) {
            return Err(format!("sweep: {error}"));
        }
        blobs += page.blobs;
        after = page.last;
        if after.is_none() {
            break;
        }
    }
    match objects.mark_scan().await {
        Err(error) if !is_unavailable(&error) => Err(format!("mark scan: {error}")),
        _ => Ok(blobs > 0),
    }
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. })
}

fn metadata(op: &Op) -> UserMetadata {
    UserMetadata::from([("seed".to_owned(), op.seed.to_string())])
}

impl Model {
    async fn step(
        &mut self,
        op: &Op,
        harness: &mut dyn Harness,
    ) -> std::result::Result<bool, String> {
        let objects = harness.objects();
        self.look_at_clock(&objects);
        match op.kind {
            OpKind::CreateBucket => {
                let owner = Owner::new("model").expect("an owner");
                let request = CreateBucket {
                    lock_enabled: op.bucket == LOCKED_BUCKET,
                    bucket: bucket_name(op.bucket),
                    owner,
                    tags: Tags::default(),
                };
                let found = objects.create_bucket(request).await;
                agree(found, self.reference.create_bucket(op.bucket))
            }
            OpKind::DeleteBucket => {
                let found = objects.delete_bucket(&bucket_name(op.bucket)).await;
                agree(found, self.reference.delete_bucket(op.bucket))
            }
            OpKind::Put => self.put(op, &objects).await,
            OpKind::PutRefused => self.put_refused(op, &objects).await,
            OpKind::GetRange => self.get_range(op, &objects).await,
            OpKind::Delete => self.delete(op, &objects).await,
            OpKind::DeleteMany => self.delete_many(op, &objects).await,
            OpKind::PutTags => self.put_tags(op, &objects).await,
            OpKind::ConfigureBucket => self.configure_bucket(op, &objects).await,
            OpKind::SetVersioning => self.set_versioning(op, &objects).await,
            OpKind::DeleteVersion => self.delete_version(op, &objects).await,
            OpKind::ListVersions => self.list_versions(op, &objects).await,
            OpKind::SetRetention => self.set_retention(op, &objects).await,
            OpKind::SetHold => self.set_hold(op, &objects).await,
            OpKind::ConfigureLocks => self.configure_locks(op, &objects).await,
            OpKind::PassTime => Ok(harness.pass_time(passing(op)).await),
            OpKind::Copy => self.copy(op, &objects).await,
            OpKind::List => self.list(op, &objects).await,
            OpKind::CreateUpload => self.create_upload(op, &objects).await,
            OpKind::UploadPart => self.upload_part(op, &objects).await,
            OpKind::Complete => self.complete(op, &objects).await,
            OpKind::CompleteAgain => self.complete_again(&objects).await,
            OpKind::Abort => self.abort(op, &objects).await,
            OpKind::Respread => {
                let done = objects.respread_once(100).await;
                done.map(|done| done.moved > 0)
                    .map_err(|error| format!("respread: {error}"))
            }
            OpKind::Sweep => sweep(&objects).await,
            OpKind::Pack => pack(op, &objects).await,
            OpKind::CleanReboot => Ok(harness.reboot(false).await),
            OpKind::DirtyReboot => Ok(harness.reboot(true).await),
            OpKind::LoseZone => Ok(harness.lose_zone().await),
            OpKind::ReturnZone => Ok(harness.return_zone().await),
        }
    }

    fn etag_match(&self, op: &Op) -> Option<ETagMatch> {
        let object = self
            .reference
            .buckets
            .get(op.bucket)
            .and_then(|bucket| bucket.current(op.key));
        let etag = match op.conditional {
            Conditional::No | Conditional::IfAbsent => return None,
            Conditional::IfCurrent => object.map_or(ETag::Md5([0; 16]), |object| object.etag),
            Conditional::IfOther => ETag::Md5([1; 16]),
        };
        Some(ETagMatch::OneOf(vec![etag.quoted()]))
    }

    fn put_request(&self, op: &Op, content: Content) -> PutObject {
        let if_none_match = (op.conditional == Conditional::IfAbsent).then_some(ETagMatch::Any);
        PutObject {
            lock: op.lock(self.reference.lock_clock),
            bucket: bucket_name(op.bucket),
            key: object_key(op.key),
            content,
            headers: ObjectHeaders::default(),
            metadata: metadata(op),
            tags: op.tags(),
            conditions: WriteConditions {
                if_match: self.etag_match(op),
                if_none_match,
            },
        }
    }

    async fn put(&mut self, op: &Op, objects: &Objects) -> std::result::Result<bool, String> {
        let bytes = op.content(op.size);
        let mut content = streamed(&bytes);
        content.digests.md5 = Some(md5_of(&bytes));
        if op.pick.is_multiple_of(3) {
            let algorithm = ChecksumAlgorithm::ALL[op.pick % ChecksumAlgorithm::ALL.len()];
            content.digests.checksum = DeclaredChecksum::Compute(algorithm);
        }
        let found = objects.put_object(self.put_request(op, content)).await;
        let shown = found.as_ref().ok().and_then(|output| output.version_id);
        self.check_shown(op.bucket, found.is_ok(), shown)?;
        let metadata = metadata(op);
        let expected = self.reference.put(
            (op.bucket, op.key),
            bytes,
            metadata,
            op.tags(),
            (op.conditional, op.lock(self.reference.lock_clock)),
            shown,
        );
        agree(found, expected)
    }

    /// Puts that lie about their content leave nothing.
    async fn put_refused(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let bytes = op.content(op.size);
        let mut content = streamed(&bytes);
        let refused = if op.pick.is_multiple_of(2) {
            content.digests.md5 = Some([0; 16]);
            Error::BadDigest { digest: "" }
        } else {
            content.size += 1;
            Error::IncompleteBody {
                declared: 0,
                received: 0,
            }
        };
        let op = Op {
            conditional: Conditional::No,
            ..op.clone()
        };
        let found = objects.put_object(self.put_request(&op, content)).await;
        let lock = op.lock(self.reference.lock_clock);
        let bucket = self.reference.bucket(op.bucket);
        let exists = bucket.and_then(|bucket| bucket.check_lock_asked(lock));
        agree::<_, ()>(found, exists.and(Err(refused)))
    }

    async fn get_range(&mut self, op: &Op, objects: &Objects) -> std::result::Result<bool, String> {
        let version_id = self.pick_version(op, op.bucket, op.key);
        let object = self.reference.read(op.bucket, op.key, version_id).cloned();
        let size = object.as_ref().map_or(0, |object| object.content.len());
        let first = op.pick * size / 900;
        let last = first + op.size;
        let range = ByteRange::From {
            first: first as u64,
            last: Some(last as u64),
        };
        let mut request = GetObject::new(bucket_name(op.bucket), object_key(op.key));
        request.range = Some(range);
        request.version_id = version_id;
        let found = objects.get_object(request).await;
        let expected = object.and_then(|object| match object.content.get(first..) {
            None | Some([]) => Err(Error::InvalidRange { size: 0 }),
            Some(rest) => Ok(rest[..rest.len().min(op.size + 1)].to_vec()),
        });
        if let (Ok(_), Ok(expected)) = (&found, &expected) {
            let output = found.map_err(|error| error.to_string())?;
            let chunks: Vec<_> = output
                .content
                .try_collect()
                .await
                .map_err(|error| error.to_string())?;
            same("size of a range", &chunks.concat().len(), &expected.len())?;
            same("content of a range", &(chunks.concat() == *expected), &true)?;
            return Ok(true);
        }
        agree(found, expected)
    }

    async fn delete(&mut self, op: &Op, objects: &Objects) -> std::result::Result<bool, String> {
        let request = DeleteObject {
            bypass: Default::default(),
            bucket: bucket_name(op.bucket),
            key: object_key(op.key),
            version_id: None,
            if_match: self.etag_match(op),
        };
        let conditional = match op.conditional {
            Conditional::IfAbsent => Conditional::No,
            conditional => conditional,
        };
        let found = objects.delete_object(request).await;
        let shown = found.as_ref().ok().and_then(|output| output.version_id);
        let expected = self.reference.delete(op.bucket, op.key, conditional, shown);
        if let (Ok(found), Ok(expected)) = (&found, &expected) {
            same("marker", &found.delete_marker, &expected.is_some())?;
            same("id of the marker", &found.version_id, expected)?;
        }
        agree(found, expected)
    }

    /// Some keys, one of them twice.
    async fn delete_many(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let start = op.pick % KEYS.len();
        let count = 1 + op.size % 4;
        let mut names: Vec<&str> = KEYS
            .iter()
            .cycle()
            .skip(start)
            .take(count)
            .copied()
            .collect();
        names.push(names[0]);
        let mut keys: Vec<DeleteKey> = names
            .iter()
            .map(|key| DeleteKey {
                key: object_key(key),
                version_id: None,
                if_match: None,
            })
            .collect();
        // Before and after them some versions, one of them twice.
        let mut versions = self.versions_of(op.bucket, op.key, op.pick % 4);
        versions.extend(versions.first().cloned());
        keys.splice(..0, versions.clone());
        keys.extend(self.versions_of(op.bucket, op.other_key, op.pick % 3));
        let bypass = match op.bucket {
            LOCKED_BUCKET => op.bypass(),
            _ => Bypass::default(),
        };
        let found = objects
            .delete_objects(DeleteObjects {
                bypass,
                bucket: bucket_name(op.bucket),
                keys: keys.clone(),
            })
            .await;
        let exists = self.reference.bucket(op.bucket).map(|_| ());
        let Ok(answers) = &found else {
            return agree(found, exists);
        };
        same("answers", &answers.len(), &keys.len())?;
        for (key, answer) in keys.iter().zip(answers) {
            let name = key.key.as_str();
            let shown = answer.as_ref().ok().and_then(|output| output.version_id);
            let expected = match key.version_id {
                None => self
                    .reference
                    .delete(op.bucket, name, Conditional::No, shown)
                    .map(|_| ()),
                Some(id) => match self.reference.delete_version(op.bucket, name, id, bypass) {
                    Ok(None) if id != VersionId::Null => Err(Error::NoSuchVersion),
                    answer => answer.map(|_| ()),
                },
            };
            agree(answer.clone(), expected)?;
        }
        agree(found, exists)
    }

    /// Puts other tags on an object, or none.
    async fn put_tags(&mut self, op: &Op, objects: &Objects) -> std::result::Result<bool, String> {
        let of = ObjectVersion {
            bucket: bucket_name(op.bucket),
            key: object_key(op.key),
            version_id: self.pick_version(op, op.bucket, op.key),
        };
        let id = of.version_id;
        let found = objects.put_object_tags(of, op.tags()).await;
        let expected = self.reference.put_tags(op.bucket, op.key, id, op.tags());
        agree(found, expected)
    }

    /// Puts the bucket's own tags, or deletes them.
    async fn configure_bucket(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let bucket = bucket_name(op.bucket);
        let tags = op.seed.is_multiple_of(2).then(|| op.tags());
        let found = match tags.clone() {
            Some(tags) => objects.put_bucket_config(&bucket, tags).await,
            None => objects.delete_bucket_config::<Tags>(&bucket).await,
        };
        agree(found, self.reference.configure(op.bucket, tags))
    }

    async fn copy(&mut self, op: &Op, objects: &Objects) -> std::result::Result<bool, String> {
        let replace = op.pick.is_multiple_of(2).then(|| metadata(op));
        let tags = op.seed.is_multiple_of(2).then(|| op.tags());
        let source_version_id = self.pick_version(op, op.other_bucket, op.other_key);
        let lock = op.lock(self.reference.lock_clock);
        let request = CopyObject {
            lock,
            source_bucket: bucket_name(op.other_bucket),
            source_key: object_key(op.other_key),
            source_version_id,
            source_conditions: ReadConditions::default(),
            bucket: bucket_name(op.bucket),
            key: object_key(op.key),
            metadata: match &replace {
                None => MetadataDirective::Copy {
                    website_redirect_location: None,
                },
                Some(metadata) => MetadataDirective::Replace {
                    headers: ObjectHeaders::default(),
                    metadata: metadata.clone(),
                },
            },
            tags: tags
                .clone()
                .map_or(TaggingDirective::Copy, TaggingDirective::Replace),
            checksum_algorithm: None,
            conditions: WriteConditions::default(),
        };
        let found = objects.copy_object(request).await;
        let shown = found.as_ref().ok().and_then(|output| output.version_id);
        self.check_shown(op.bucket, found.is_ok(), shown)?;
        let source = (op.other_bucket, op.other_key, source_version_id);
        let target = (op.bucket, op.key);
        agree(
            found,
            self.reference
                .copy(source, target, (replace, tags), lock, shown),
        )
    }

    async fn list(&mut self, op: &Op, objects: &Objects) -> std::result::Result<bool, String> {
        let marker = (!op.pick.is_multiple_of(3)).then_some(op.other_key);
        let max = op.pick % 5;
        let request = ListObjects {
            bucket: bucket_name(op.bucket),
            prefix: op.prefix.to_owned(),
            delimiter: op.delimiter.map(str::to_owned),
            start: marker.map_or(ListStart::Beginning, |key| ListStart::After(key.to_owned())),
            keys_max: u32::try_from(max).expect("small"),
        };
        let found = objects.list_objects(request).await;
        let expected = self
            .reference
            .bucket(op.bucket)
            .map(|bucket| bucket.list(op.prefix, op.delimiter, marker, max));
        if let (Ok(found), Ok(expected), true) = (&found, &expected, max > 0) {
            same("list", &page_of(found), expected)?;
        }
        agree(found, expected)
    }

    async fn create_upload(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let lock = op.lock(self.reference.lock_clock);
        let request = CreateUpload {
            lock,
            bucket: bucket_name(op.bucket),
            key: object_key(op.key),
            headers: ObjectHeaders::default(),
            metadata: metadata(op),
            tags: op.tags(),
            checksum_algorithm: None,
            checksum_type: None,
        };
        let found = objects.create_upload(request).await;
        let expected = self.reference.bucket(op.bucket);
        if let (Ok(output), Ok(bucket)) = (&found, expected) {
            let upload = RefUpload {
                lock,
                metadata: metadata(op),
                tags: op.tags(),
                ..RefUpload::default()
            };
            bucket
                .uploads
                .insert((op.key.to_owned(), output.upload_id), upload);
            self.uploads.push((op.bucket, op.key, output.upload_id));
            return Ok(true);
        }
        let bucket = self.reference.bucket(op.bucket);
        agree(
            found,
            bucket.and_then(|bucket| bucket.check_lock_asked(lock)),
        )
    }

    /// One of the last few uploads.
    fn pick_upload(&self, op: &Op) -> Option<usize> {
        let recent = self.uploads.len().min(4);
        (recent > 0).then(|| self.uploads.len() - 1 - op.pick % recent)
    }

    async fn upload_part(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let Some(index) = self.pick_upload(op) else {
            return Ok(false);
        };
        let (bucket, key, upload_id) = self.uploads[index];
        let bytes = op.content(op.size);
        let number = u16::try_from(1 + op.pick % 4).expect("small");
        let request = UploadPart {
            bucket: bucket_name(bucket),
            key: object_key(key),
            upload_id,
            part_number: PartNumber::new(i64::from(number)).expect("in range"),
            content: streamed(&bytes),
        };
        let found = objects.upload_part(request).await;
        let expected = self.reference.bucket(bucket).and_then(|bucket| {
            let upload = bucket.uploads.get_mut(&(key.to_owned(), upload_id));
            upload
                .ok_or(Error::NoSuchUpload)?
                .parts
                .insert(number, bytes);
            Ok(())
        });
        agree(found, expected)
    }

    /// All parts, all but one, or one that is not there.
    async fn complete(&mut self, op: &Op, objects: &Objects) -> std::result::Result<bool, String> {
        let Some(index) = self.pick_upload(op) else {
            return Ok(false);
        };
        let (bucket, key, id) = self.uploads[index];
        let upload = self
            .reference
            .buckets
            .get(bucket)
            .and_then(|bucket| bucket.uploads.get(&(key.to_owned(), id)));
        let mut parts: Vec<(u16, ETag)> = upload
            .map(|upload| {
                let tags = upload.parts.iter();
                tags.map(|(number, part)| (*number, ETag::Md5(md5_of(part))))
                    .collect()
            })
            .unwrap_or_default();
        match op.size % 5 {
            1 => _ = parts.pop(),
            2 => parts.push((9, ETag::Md5([2; 16]))),
            _ => {}
        }
        let succeeded = self.complete_with(objects, index, &parts).await?;
        if succeeded && !parts.is_empty() {
            self.completed = Some((index, parts));
        }
        Ok(succeeded)
    }

    async fn complete_with(
        &mut self,
        objects: &Objects,
        index: usize,
        parts: &[(u16, ETag)],
    ) -> std::result::Result<bool, String> {
        let (bucket, key, upload_id) = self.uploads[index];
        let request = CompleteUpload {
            bucket: bucket_name(bucket),
            key: object_key(key),
            upload_id,
            parts: parts
                .iter()
                .map(|(number, etag)| CompletedPart {
                    part_number: PartNumber::new(i64::from(*number)).expect("in range"),
                    etag: etag.quoted(),
                    checksum: None,
                })
                .collect(),
            conditions: WriteConditions::default(),
            checksum: None,
            checksum_type: None,
            object_size: None,
        };
        let found = objects.complete_upload(request).await;
        let numbers: Vec<u16> = parts.iter().map(|(number, _)| *number).collect();
        let shown = found.as_ref().ok().and_then(|output| output.version_id);
        let expected = self
            .reference
            .complete(bucket, key, upload_id, &numbers, shown);
        if let (Ok(found), Ok(expected)) = (&found, &expected) {
            same("tag of a completed object", &found.etag, expected)?;
        }
        agree(found, expected)
    }

    /// A client that did not hear the answer asks again.
    async fn complete_again(&mut self, objects: &Objects) -> std::result::Result<bool, String> {
        match self.completed.clone() {
            None => Ok(false),
            Some((index, parts)) => self.complete_with(objects, index, &parts).await,
        }
    }

    async fn abort(&mut self, op: &Op, objects: &Objects) -> std::result::Result<bool, String> {
        let Some(index) = self.pick_upload(op) else {
            return Ok(false);
        };
        let (bucket, key, upload_id) = self.uploads[index];
        let request = AbortUpload {
            bucket: bucket_name(bucket),
            key: object_key(key),
            upload_id,
        };
        let found = objects.abort_upload(request).await;
        let expected = self.reference.bucket(bucket).and_then(|bucket| {
            let removed = bucket.uploads.remove(&(key.to_owned(), upload_id));
            removed.map(|_| ()).ok_or(Error::NoSuchUpload)
        });
        agree(found, expected)
    }
}
