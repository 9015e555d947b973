//! S3 clients without a socket: requests to the domain, and short workloads that mark what they
//! were told.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_base::{ManualClock, Random, SeededRandom};
use strongroom_objects::*;
use strongroom_sim::SimWorld;
use strongroom_types::{BucketName, ObjectKey, Owner, PartNumber};

use crate::ledger::{Piece, State, Told};

pub fn bucket() -> BucketName {
    BucketName::new("replay").unwrap()
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

pub async fn make_bucket(objects: &Objects) -> Result<()> {
    let owner = Owner::new("replay").unwrap();
    let bucket = bucket();
    objects
        .create_bucket(CreateBucket {
            bucket,
            owner,
            tags: Default::default(),
        })
        .await
}

pub async fn put(objects: &Objects, key: &str, piece: Piece) -> Result<()> {
    let request = PutObject {
        bucket: bucket(),
        key: object_key(key),
        content: content_of(piece.bytes()),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
    };
    objects.put_object(request).await.map(drop)
}

async fn delete(objects: &Objects, key: &str) -> Result<()> {
    let request = DeleteObject {
        bucket: bucket(),
        key: object_key(key),
        version_id: None,
        if_match: None,
    };
    objects.delete_object(request).await.map(drop)
}

/// The object's bytes and ETag; none when there is no object.
pub async fn get(objects: &Objects, key: &str) -> Result<Option<(Vec<u8>, String)>> {
    let request = GetObject::new(bucket(), object_key(key));
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

/// Key, size and ETag of every object, through pages of a few.
pub async fn list(objects: &Objects) -> Result<Vec<(String, u64, String)>> {
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

/// One client: its own keys, a fixed order of requests.
pub struct Client {
    pub number: u64,
    pub world: SimWorld,
    pub objects: Objects,
    pub clock: Arc<ManualClock>,
    random: SeededRandom,
    /// Numbers pieces, so that no two have the same bytes.
    next_piece: u64,
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
            match self.below(20) {
                0..=8 => {
                    let piece = self.small();
                    self.put(key, piece).await;
                }
                9..=12 => {
                    let piece = self.large();
                    self.put(key, piece).await;
                }
                13..=16 => self.delete(key).await,
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
        let result = delete(&self.objects, &key).await;
        self.end(key, result);
    }

    /// Opens an upload, sends its parts, one of them twice, then completes it, aborts it or leaves it.
    async fn upload(&mut self, key: String) {
        let request = CreateUpload {
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
