//! Requests and answers of every operation, as plain data.
//!
//! The words are S3's; headers and XML are the wire layer's. Whatever can be wrong by form alone
//! (a bucket name, a key, a checksum's size) is a type of `strongroom-types`, so it is refused
//! before it gets here; whatever depends on state or on other fields is checked here.

use std::collections::BTreeMap;
use std::ops::Range;

use futures::future::BoxFuture;
use strongroom_base::Timestamp;
use strongroom_blob::ByteStream;
use strongroom_types::{
    BucketName, Checksum, ChecksumAlgorithm, ChecksumType, ETag, ObjectKey, Owner, PartNumber,
    UploadId, VersionId,
};

use crate::decide::Bypass;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::tags::Tags;

/// Largest object of one PutObject or CopyObject, and largest part (LI05).
pub const PUT_SIZE_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Largest object (LI05).
pub const OBJECT_SIZE_BYTES_MAX: u64 = 50 * 1024 * 1024 * 1024 * 1024;
/// Smallest part that is not the last (BK12).
pub const PART_SIZE_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// Most bytes of user metadata: names and values together (LI01).
pub const METADATA_SIZE_BYTES_MAX: usize = 2 * 1024;
/// Most bytes of all system headers together: S3's limit for the request headers it keeps.
pub const HEADERS_SIZE_BYTES_MAX: usize = 8 * 1024;
/// Most keys of one DeleteObjects (LI03).
pub const DELETE_KEYS_MAX: usize = 1000;
/// Most entries of one page of objects, uploads or parts (LI03).
pub const LIST_PAGE_MAX: u32 = 1000;
/// Most buckets of one page (BK07).
pub const LIST_BUCKETS_PAGE_MAX: u32 = 10_000;

/// User metadata: names without `x-amz-meta-`, in lower case.
pub type UserMetadata = BTreeMap<String, String>;

/// Headers kept with an object and given back as they were.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectHeaders {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    /// As sent, not parsed.
    pub expires: Option<String>,
    pub website_redirect_location: Option<String>,
}

// ---------------------------------------------------------------------------------- content

/// The bytes of a PutObject or UploadPart and what the client declared about them.
pub struct Content {
    /// An error in the stream fails the operation with [`Error::ContentFailed`].
    pub stream: ByteStream,
    /// Exact number of bytes: the (decoded) content length.
    pub size: u64,
    pub digests: Digests,
}

/// Declared digests. All of them are verified before anything is visible.
#[derive(Default)]
pub struct Digests {
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// `x-amz-content-sha256`, when it is a digest of the whole payload.
    pub sha256: Option<[u8; 32]>,
    pub checksum: DeclaredChecksum,
}

/// The one `x-amz-checksum-*` of a request.
#[derive(Default)]
pub enum DeclaredChecksum {
    /// None: the store computes CRC64NVME (IN03), or the algorithm of the upload.
    #[default]
    None,
    /// `x-amz-sdk-checksum-algorithm` alone is refused by the wire layer; this is for a caller
    /// that wants an algorithm computed without declaring a value (a copy).
    Compute(ChecksumAlgorithm),
    /// A header gave the value.
    Value(Checksum),
    /// The trailer gives the value once the stream has ended.
    Trailer {
        algorithm: ChecksumAlgorithm,
        value: TrailerChecksum,
    },
}

/// Resolves after the content stream has ended; an error fails the operation with it.
pub type TrailerChecksum = BoxFuture<'static, Result<Checksum>>;

impl Content {
    /// Content with nothing declared but its size.
    #[must_use]
    pub fn new(stream: ByteStream, size: u64) -> Self {
        Self {
            stream,
            size,
            digests: Digests::default(),
        }
    }
}

// ------------------------------------------------------------------------------- conditions

/// An `If-Match` or `If-None-Match` value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ETagMatch {
    /// `*`.
    Any,
    /// One or more tags as the client wrote them, with or without quotes. A text that is no tag of
    /// ours equals none.
    OneOf(Vec<String>),
}

/// Conditions of PutObject, CopyObject (on the destination) and CompleteMultipartUpload, raw: what
/// is not implemented (CO02, CO03, CO04) is answered so by the domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriteConditions {
    pub if_match: Option<ETagMatch>,
    pub if_none_match: Option<ETagMatch>,
}

/// Conditions of GetObject, HeadObject and of a copy's source. Times have second precision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReadConditions {
    pub if_match: Option<ETagMatch>,
    pub if_none_match: Option<ETagMatch>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

/// A `Range` of one range. A header of another form or of several ranges is ignored by the wire
/// layer, as S3 does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByteRange {
    /// `bytes=first-last`, both included, or `bytes=first-`.
    From { first: u64, last: Option<u64> },
    /// `bytes=-size`.
    Suffix { size: u64 },
}

// ---------------------------------------------------------------------------------- buckets

#[derive(Clone, Debug)]
pub struct CreateBucket {
    pub bucket: BucketName,
    pub owner: Owner,
    /// BK10.
    pub tags: Tags,
    /// BK02: with Object Lock, and so with versioning.
    pub lock_enabled: bool,
}

/// What is known of a bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketInfo {
    pub name: BucketName,
    pub owner: Owner,
    pub created: Timestamp,
}

#[derive(Clone, Debug, Default)]
pub struct ListBuckets {
    pub prefix: String,
    /// As the last answer gave it.
    pub continuation_token: Option<String>,
    /// 1 to [`LIST_BUCKETS_PAGE_MAX`]; otherwise `InvalidArgument` (BK07).
    pub buckets_max: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListBucketsOutput {
    pub buckets: Vec<BucketInfo>,
    /// When there are more.
    pub continuation_token: Option<String>,
}

// ---------------------------------------------------------------------------------- objects

pub struct PutObject {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub content: Content,
    pub headers: ObjectHeaders,
    pub metadata: UserMetadata,
    pub tags: Tags,
    pub conditions: WriteConditions,
    /// None of it asked for: what the bucket says (OL07).
    pub lock: Lock,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutObjectOutput {
    pub etag: ETag,
    /// None in a bucket that was never versioned (VE06).
    pub version_id: Option<VersionId>,
    pub checksum: Checksum,
    pub size: u64,
    pub last_modified: Timestamp,
}

/// GetObject and HeadObject.
#[derive(Clone, Debug)]
pub struct GetObject {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub version_id: Option<VersionId>,
    pub range: Option<ByteRange>,
    /// With `range` also given: `InvalidRequest`.
    pub part_number: Option<PartNumber>,
    pub conditions: ReadConditions,
    /// Whether the checksum of what is answered is wanted. Of a range it costs a look at the parts.
    pub with_checksum: bool,
}

impl GetObject {
    /// The whole current version, without conditions.
    #[must_use]
    pub fn new(bucket: BucketName, key: ObjectKey) -> Self {
        Self {
            bucket,
            key,
            version_id: None,
            range: None,
            part_number: None,
            conditions: ReadConditions::default(),
            with_checksum: true,
        }
    }
}

/// Metadata of one version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectInfo {
    pub etag: ETag,
    /// Of the whole object.
    pub size: u64,
    pub last_modified: Timestamp,
    /// None in a bucket that was never versioned (VE06).
    pub version_id: Option<VersionId>,
    pub headers: ObjectHeaders,
    pub metadata: UserMetadata,
    /// Of the bytes the answer is about: the whole object, or a part asked for by its number or by
    /// exactly its range. None for any other range (IN04).
    pub checksum: Option<Checksum>,
    /// Of the whole object.
    pub checksum_type: Option<ChecksumType>,
    /// `STANDARD`, for now.
    pub storage_class: String,
    /// For `x-amz-mp-parts-count`: given when a part number was asked for of a multipart object.
    pub part_count: Option<u32>,
    /// For `x-amz-tagging-count`.
    pub tag_count: usize,
    /// As it was set, in force or over (OL26).
    pub lock: Option<Lock>,
}

/// HeadObject's answer, and GetObject's beside the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadObjectOutput {
    pub info: ObjectInfo,
    /// The bytes the answer is about; all of them without range and part number.
    pub range: Range<u64>,
    /// Whether a range or part number was given, so that the answer is 206 with `Content-Range`.
    pub partial: bool,
}

/// GetObjectAttributes.
#[derive(Clone, Debug)]
pub struct GetAttributes {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub version_id: Option<VersionId>,
    /// Parts with a larger number only.
    pub part_number_marker: u32,
    /// Capped at [`LIST_PAGE_MAX`].
    pub parts_max: u32,
}

/// GetObjectAttributes' answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectAttributes {
    pub info: ObjectInfo,
    /// None of an object that was not made of parts.
    pub parts: Option<AttributeParts>,
}

/// A page of the parts an object was made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeParts {
    pub count: u32,
    pub parts: Vec<AttributePart>,
    /// Number of the last part listed, when there are more.
    pub next_part_number_marker: Option<u16>,
}

/// One of the parts an object was made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttributePart {
    pub part_number: u16,
    pub size: u64,
    pub checksum: Checksum,
}

pub struct GetObjectOutput {
    pub head: HeadObjectOutput,
    /// Exactly the bytes of `head.range`, each verified. An error ends the stream early.
    pub content: ByteStream,
}

/// The current version of a key, or one by id.
#[derive(Clone, Debug)]
pub struct ObjectVersion {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub version_id: Option<VersionId>,
}

/// GetObjectTagging's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaggingOutput {
    pub tags: Tags,
    /// As a read shows it.
    pub version_id: Option<VersionId>,
}

#[derive(Clone, Debug)]
pub struct DeleteObject {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub version_id: Option<VersionId>,
    /// CO07.
    pub if_match: Option<ETagMatch>,
    pub bypass: Bypass,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeleteObjectOutput {
    /// The version that was deleted by id, or the delete marker that was made.
    pub version_id: Option<VersionId>,
    /// Whether that is a delete marker.
    pub delete_marker: bool,
}

#[derive(Clone, Debug)]
pub struct DeleteObjects {
    pub bucket: BucketName,
    /// At most [`DELETE_KEYS_MAX`].
    pub keys: Vec<DeleteKey>,
    pub bypass: Bypass,
}

#[derive(Clone, Debug)]
pub struct DeleteKey {
    pub key: ObjectKey,
    pub version_id: Option<VersionId>,
    pub if_match: Option<ETagMatch>,
}

/// Answers of DeleteObjects, in the order of its keys.
pub type DeleteObjectsOutput = Vec<Result<DeleteObjectOutput>>;

#[derive(Clone, Debug)]
pub struct CopyObject {
    pub source_bucket: BucketName,
    pub source_key: ObjectKey,
    pub source_version_id: Option<VersionId>,
    /// CO11: any that fails answers `PreconditionFailed`.
    pub source_conditions: ReadConditions,
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub metadata: MetadataDirective,
    pub tags: TaggingDirective,
    /// The source's algorithm when none (IN09).
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    pub conditions: WriteConditions,
    /// Never the source's (OL18).
    pub lock: Lock,
}

/// Where a copy's headers and metadata come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataDirective {
    /// From the source, but for where a website redirects to, which is never copied.
    Copy {
        website_redirect_location: Option<String>,
    },
    /// From the request.
    Replace {
        headers: ObjectHeaders,
        metadata: UserMetadata,
    },
}

/// Where a copy's tags come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum TaggingDirective {
    /// From the source.
    #[default]
    Copy,
    /// From the request.
    Replace(Tags),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyObjectOutput {
    pub etag: ETag,
    pub last_modified: Timestamp,
    pub version_id: Option<VersionId>,
    pub source_version_id: Option<VersionId>,
    pub checksum: Checksum,
}

// ------------------------------------------------------------------------------------ lists

/// ListObjects (v1) and ListObjectsV2: they differ in how the place to start is written.
#[derive(Clone, Debug)]
pub struct ListObjects {
    pub bucket: BucketName,
    pub prefix: String,
    /// An empty one is none.
    pub delimiter: Option<String>,
    pub start: ListStart,
    /// Capped at [`LIST_PAGE_MAX`]; 0 answers an empty page that is not truncated.
    pub keys_max: u32,
}

/// Where a list starts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ListStart {
    #[default]
    Beginning,
    /// After this text: v1's `marker`, v2's `start-after`.
    After(String),
    /// v2's `continuation-token`; of another form: `InvalidArgument`.
    Token(String),
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListObjectsOutput {
    pub objects: Vec<ListedObject>,
    /// In order, each ending with the delimiter.
    pub common_prefixes: Vec<String>,
    /// Last key or common prefix, when there are more: v1's `NextMarker` (S3 sends it only with a
    /// delimiter).
    pub next_marker: Option<String>,
    /// The same as an opaque token, for v2.
    pub continuation_token: Option<String>,
}

impl ListObjectsOutput {
    /// Whether there are more.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.next_marker.is_some()
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedObject {
    pub key: ObjectKey,
    pub etag: ETag,
    pub size: u64,
    pub last_modified: Timestamp,
    pub storage_class: String,
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    pub checksum_type: Option<ChecksumType>,
    /// The bucket's owner.
    pub owner: Owner,
}

/// ListObjectVersions.
#[derive(Clone, Debug)]
pub struct ListVersions {
    pub bucket: BucketName,
    pub prefix: String,
    /// An empty one is none.
    pub delimiter: Option<String>,
    /// Keys after this one only; none when it is empty.
    pub key_marker: String,
    /// Of the key of the marker, versions older than this one too.
    pub version_id_marker: Option<VersionId>,
    /// Capped at [`LIST_PAGE_MAX`]; 0 answers an empty page that is not truncated.
    pub keys_max: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListVersionsOutput {
    /// By key, and of a key the newest first.
    pub versions: Vec<ListedVersion>,
    /// In order, each ending with the delimiter.
    pub common_prefixes: Vec<String>,
    /// Last key with its version, or last common prefix, when there are more. In a bucket that was
    /// ever versioned the version is named by its place in the order, also the null version: so
    /// the list goes on right when that version is gone by then.
    pub next: Option<(String, Option<VersionId>)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedVersion {
    pub key: ObjectKey,
    pub version_id: VersionId,
    /// Whether it is the current version.
    pub is_latest: bool,
    pub last_modified: Timestamp,
    /// The bucket's owner.
    pub owner: Owner,
    /// None for a delete marker.
    pub object: Option<ListedContent>,
}

/// What a list shows of a version that is an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedContent {
    pub etag: ETag,
    pub size: u64,
    pub storage_class: String,
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    pub checksum_type: Option<ChecksumType>,
}

// -------------------------------------------------------------------------------- multipart

#[derive(Clone, Debug)]
pub struct CreateUpload {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub headers: ObjectHeaders,
    pub metadata: UserMetadata,
    pub tags: Tags,
    /// CRC64NVME when none.
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    /// Without algorithm: `InvalidRequest` (IN05).
    pub checksum_type: Option<ChecksumType>,
    /// Of the object that is completed of it (OL17).
    pub lock: Lock,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateUploadOutput {
    pub upload_id: UploadId,
    /// What the client asked for; none when the default is used.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
}

pub struct UploadPart {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub upload_id: UploadId,
    pub part_number: PartNumber,
    pub content: Content,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadPartOutput {
    pub etag: ETag,
    pub checksum: Checksum,
}

#[derive(Clone, Debug)]
pub struct CompleteUpload {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub upload_id: UploadId,
    /// As listed by the client, in its order.
    pub parts: Vec<CompletedPart>,
    pub conditions: WriteConditions,
    /// `x-amz-checksum-*` of the whole object.
    pub checksum: Option<Checksum>,
    pub checksum_type: Option<ChecksumType>,
    /// `x-amz-mp-object-size`.
    pub object_size: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct CompletedPart {
    pub part_number: PartNumber,
    /// As the client wrote it, with or without quotes.
    pub etag: String,
    pub checksum: Option<Checksum>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompleteUploadOutput {
    pub etag: ETag,
    pub version_id: Option<VersionId>,
    pub checksum: Checksum,
    pub size: u64,
}

#[derive(Clone, Debug)]
pub struct AbortUpload {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub upload_id: UploadId,
}

#[derive(Clone, Debug)]
pub struct ListParts {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub upload_id: UploadId,
    /// Parts with a larger number only.
    pub part_number_marker: u32,
    /// Capped at [`LIST_PAGE_MAX`].
    pub parts_max: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPartsOutput {
    pub parts: Vec<ListedPart>,
    /// Number of the last part listed, when there are more.
    pub next_part_number_marker: Option<PartNumber>,
    pub owner: Owner,
    pub storage_class: String,
    /// As CreateUpload answered it.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedPart {
    pub part_number: PartNumber,
    pub etag: ETag,
    pub size: u64,
    pub last_modified: Timestamp,
    pub checksum: Checksum,
}

#[derive(Clone, Debug)]
pub struct ListUploads {
    pub bucket: BucketName,
    pub prefix: String,
    pub delimiter: Option<String>,
    pub key_marker: String,
    /// Only with a key marker: uploads of that key with a larger id come first.
    pub upload_id_marker: Option<UploadId>,
    /// Capped at [`LIST_PAGE_MAX`].
    pub uploads_max: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListUploadsOutput {
    pub uploads: Vec<ListedUpload>,
    pub common_prefixes: Vec<String>,
    /// Where the next page starts, when there are more. The id is none after a common prefix.
    pub next: Option<(String, Option<UploadId>)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedUpload {
    pub key: ObjectKey,
    pub upload_id: UploadId,
    pub initiated: Timestamp,
    pub owner: Owner,
    pub storage_class: String,
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
}

// ------------------------------------------------------------------------------- background

/// What one call of [`crate::Objects::respread_once`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Respread {
    /// Records of reduced blobs looked at.
    pub examined: u64,
    /// Blobs that now have the redundancy asked for.
    pub moved: u64,
    /// Blobs that are still reduced.
    pub remaining: u64,
}

/// What one call of [`crate::Objects::respread_page`] did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RespreadPage {
    pub done: Respread,
    /// What kept the first blob that failed from being written anew.
    pub error: Option<Error>,
    /// The last blob looked at, to go on after. `None` when there is nothing to go on to: no blob
    /// follows, or the disks for them are not back.
    pub last: Option<crate::records::BlobId>,
}

impl From<strongroom_types::ObjectKeyError> for Error {
    fn from(error: strongroom_types::ObjectKeyError) -> Self {
        use strongroom_types::ObjectKeyError;
        match error {
            ObjectKeyError::TooLong(size) => Self::KeyTooLong { size },
            ObjectKeyError::Empty => Self::invalid_argument("key", "", "a key is not empty"),
        }
    }
}
