//! Receiving content: hash it, store it, verify all that was declared of it.
//!
//! Each chunk is hashed once on its way. Small content is gathered and travels in the metadata
//! commit; larger content streams to the blob store, with memory of a few stripes whatever its
//! size. Whatever fails here leaves bytes without a record: garbage, and harmless.

use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use strongroom_base::Timestamp;
use strongroom_base::planted;
use strongroom_blob::{ByteStream, Durability, ErrorKind, PutOptions};
use strongroom_types::{Checksum, ChecksumAlgorithm};

use crate::api::{Content, DeclaredChecksum, Digests, PUT_SIZE_BYTES_MAX};
use crate::decide::{Body, NewContent};
use crate::error::{Error, Result};
use crate::hash::{Hashed, Hashers, md5_of};
use crate::objects::Objects;
use crate::records::{BlobId, CreationRecord, RecordFormat};

/// Largest content that is committed inline. Above it, the bytes cost more in the log of every
/// zone than as shards.
pub const INLINE_CONTENT_SIZE_BYTES_MAX: u64 = 16 * 1024;
const _: () =
    assert!(INLINE_CONTENT_SIZE_BYTES_MAX <= strongroom_meta::INLINE_SIZE_BYTES_MAX as u64);

/// Content that is stored and verified, ready to be committed.
pub(crate) struct Ingested {
    pub content: NewContent,
    /// Asked by the commit; none for inline content.
    pub durable: Option<Durability>,
    /// What the client declared, as it was verified.
    pub checksum_declared: Option<Checksum>,
}

/// The checksum a request wants computed, whatever it declared.
const fn algorithm_of(declared: &DeclaredChecksum) -> Option<ChecksumAlgorithm> {
    match declared {
        DeclaredChecksum::None => None,
        DeclaredChecksum::Compute(algorithm) | DeclaredChecksum::Trailer { algorithm, .. } => {
            Some(*algorithm)
        }
        DeclaredChecksum::Value(checksum) => Some(checksum.algorithm()),
    }
}

/// The algorithm a put keeps: the one asked for, or CRC64NVME (IN03).
pub(crate) const fn algorithm_kept(digests: &Digests) -> ChecksumAlgorithm {
    match algorithm_of(&digests.checksum) {
        Some(algorithm) => algorithm,
        None => ChecksumAlgorithm::Crc64Nvme,
    }
}

/// The algorithm a part declares, if it does.
pub(crate) const fn algorithm_declared(digests: &Digests) -> Option<ChecksumAlgorithm> {
    algorithm_of(&digests.checksum)
}

impl Objects {
    /// A new blob's id: the time first, so that blobs written together are kept together, and ten
    /// random bytes.
    pub(crate) fn new_blob_id(&self, now: Timestamp) -> BlobId {
        let mut id = self.random.next_16();
        id[..6].copy_from_slice(&now.millis().to_be_bytes()[2..]);
        BlobId(id)
    }

    /// Receives `content` whole, keeping a checksum of `kept`.
    pub(crate) async fn ingest(
        &self,
        content: Content,
        kept: ChecksumAlgorithm,
        creation: &CreationRecord,
    ) -> Result<Ingested> {
        let Content {
            stream,
            size,
            digests,
        } = content;
        if size > PUT_SIZE_BYTES_MAX {
            return Err(Error::EntityTooLarge {
                size,
                size_max: PUT_SIZE_BYTES_MAX,
            });
        }
        let algorithms: Vec<_> = [Some(kept), algorithm_of(&digests.checksum)]
            .into_iter()
            .flatten()
            .collect();
        let hashers = Hashers::new(&algorithms, digests.sha256.is_some());
        let (body, durable, hashed, md5) = if size <= INLINE_CONTENT_SIZE_BYTES_MAX {
            let (bytes, hashed) = gather(stream, size, hashers).await?;
            let md5 = md5_of(&bytes);
            let body = if bytes.is_empty() {
                Body::Empty
            } else {
                Body::Inline(bytes)
            };
            (body, None, hashed, md5)
        } else {
            let options = PutOptions {
                size,
                owner: creation.encode().into(),
            };
            let (written, hashed, md5) = self.place(stream, options, hashers).await?;
            let body = Body::Placed {
                place: written.place,
                reduced: written.reduced,
            };
            (body, Some(written.durable), hashed, md5)
        };
        let checksum_declared = verify(digests, &hashed, md5).await?;
        let checksum = hashed
            .checksum(kept)
            .expect("the kept algorithm was computed");
        let blob = creation.blob;
        let content = NewContent {
            blob,
            body,
            size,
            md5,
            checksum,
        };
        Ok(Ingested {
            content,
            durable,
            checksum_declared,
        })
    }

    /// Streams content to the blob store, hashing each chunk on its way.
    async fn place(
        &self,
        stream: ByteStream,
        options: PutOptions,
        hashers: Hashers,
    ) -> Result<(strongroom_blob::Written, Hashed, [u8; 16])> {
        let declared = options.size;
        let hashers = Arc::new(Mutex::new(hashers));
        let lane = Arc::new(self.hasher.lane());
        let (seen, md5) = (Arc::clone(&hashers), Arc::clone(&lane));
        let hashed = stream.then(move |item| {
            if let Ok(bytes) = &item {
                seen.lock().expect("no holder panics").update(bytes);
            }
            let md5 = Arc::clone(&md5);
            async move {
                if let Ok(bytes) = &item {
                    md5.update(bytes.clone()).await;
                }
                item
            }
        });
        let result = self.blobs.put(options, Box::pin(hashed)).await;
        let hashers = std::mem::replace(
            &mut *hashers.lock().expect("no holder panics"),
            Hashers::new(&[], false),
        );
        match result {
            Ok(written) => {
                check_size(declared, hashers.size())?;
                Ok((written, hashers.finish(), lane.finish().await?))
            }
            Err(error) if error.kind == ErrorKind::Invalid => {
                check_size(declared, hashers.size())?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the bytes of lost content anew.
    pub(crate) async fn rewrite(&self, ingested: &mut Ingested) -> Result<()> {
        if let Body::Placed { place, .. } = &ingested.content.body {
            let written = self.blobs.rewrite(place).await?;
            ingested.content.body = Body::Placed {
                place: written.place,
                reduced: written.reduced,
            };
            ingested.durable = Some(written.durable);
        }
        Ok(())
    }
}

/// That content had as many bytes as was declared.
fn check_size(declared: u64, received: u64) -> Result<()> {
    match received.cmp(&declared) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(Error::IncompleteBody { declared, received }),
        std::cmp::Ordering::Greater => Err(Error::invalid_request(format!(
            "the content has more than the {declared} bytes declared"
        ))),
    }
}

/// Collects small content.
async fn gather(
    mut stream: ByteStream,
    size: u64,
    mut hashers: Hashers,
) -> Result<(Bytes, Hashed)> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(item) = stream.next().await {
        let bytes = item?;
        hashers.update(&bytes);
        if hashers.size() > size {
            break;
        }
        if first.is_empty() {
            first = bytes;
        } else {
            rest.extend_from_slice(&bytes);
        }
    }
    check_size(size, hashers.size())?;
    let bytes = if rest.is_empty() {
        first
    } else {
        let mut whole = BytesMut::with_capacity(first.len() + rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&rest);
        whole.freeze()
    };
    Ok((bytes, hashers.finish()))
}

/// Compares all that was declared with what was computed (IN02). The trailer is asked last: it
/// comes after the content.
async fn verify(digests: Digests, hashed: &Hashed, md5: [u8; 16]) -> Result<Option<Checksum>> {
    if planted("objects-digests-not-verified") {
        return Ok(None);
    }
    if digests.md5.is_some_and(|declared| declared != md5) {
        return Err(Error::BadDigest {
            digest: "Content-MD5",
        });
    }
    if digests.sha256.is_some() && digests.sha256 != hashed.sha256 {
        return Err(Error::ContentSha256Mismatch);
    }
    let declared = match digests.checksum {
        DeclaredChecksum::None => return Ok(None),
        DeclaredChecksum::Compute(algorithm) => return Ok(hashed.checksum(algorithm)),
        DeclaredChecksum::Value(checksum) => checksum,
        DeclaredChecksum::Trailer { algorithm, value } => {
            let checksum = value.await?;
            if checksum.algorithm() != algorithm {
                let message = "the trailer has another checksum algorithm than announced";
                return Err(Error::invalid_request(message));
            }
            checksum
        }
    };
    if hashed.checksum(declared.algorithm()) != Some(declared) {
        return Err(Error::BadDigest {
            digest: declared.algorithm().name(),
        });
    }
    Ok(Some(declared))
}
