//! The vocabulary: names and values every room speaks of, valid by construction.
//!
//! A [`BucketName`] that exists is a valid one, an [`ObjectKey`] is never empty nor too long, a
//! [`Checksum`] has as many bytes as its algorithm gives. So the domain checks nothing twice and the
//! wire layer has one place to turn bad input into an error. No I/O, no clock, no randomness.

mod account;
mod bucket_name;
mod checksum;
mod etag;
mod object_key;
mod owner;
mod part_number;
mod upload_id;
mod version_id;

pub use account::{Account, AccountError, AccountId, CanonicalId, DisplayName, EmailAddress};
pub use bucket_name::{BUCKET_NAMES_RESERVED, BucketName, BucketNameError};
pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumError, ChecksumType};
pub use etag::{ETag, ETagError};
pub use object_key::{KEY_SIZE_BYTES_MAX, ObjectKey, ObjectKeyError};
pub use owner::{Owner, OwnerError};
pub use part_number::{PART_NUMBER_MAX, PartNumber, PartNumberError};
pub use upload_id::{UploadId, UploadIdError};
pub use version_id::{VersionId, VersionIdError};
