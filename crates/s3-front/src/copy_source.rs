//! `x-amz-copy-source`: which object is copied.
//!
//! The header is read here and not by `s3s`: what does not decode is refused instead of being taken
//! for a key, and a plus sign is a space, as S3 has it (clients escape one they mean, HD06).

use strongroom_objects::{Error, Objects};
use strongroom_types::{BucketName, ObjectKey, VersionId};

use crate::context::RequestContext;
use crate::convert::{bucket_name, object_key, version_id};
use crate::error::{FrontError, Result};
use crate::target::percent_decode;

const NAME: &str = "x-amz-copy-source";

/// The object a copy reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopySource {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub version_id: Option<VersionId>,
}

impl CopySource {
    /// Reads the header.
    ///
    /// # Errors
    /// `InvalidArgument`, `NotImplemented` for an access point, what is wrong with a name.
    pub fn of(context: &RequestContext) -> Result<Self> {
        let value = context.headers.get(NAME);
        let bytes = value.map_or(&[][..], |value| value.as_bytes());
        Self::parse(std::str::from_utf8(bytes).map_err(|_| malformed(""))?)
    }

    fn parse(text: &str) -> Result<Self> {
        let (path, version) = match text.split_once("?versionId=") {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        if path.trim_start_matches('/').starts_with("arn:") {
            return Err(FrontError::not_implemented(NAME));
        }
        let path = percent_decode(path, true).map_err(|_| malformed(text))?;
        let (bucket, key) = path
            .strip_prefix('/')
            .unwrap_or(&path)
            .split_once('/')
            .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
            .ok_or_else(|| malformed(text))?;
        Ok(Self {
            bucket: bucket_name(bucket.to_owned())?,
            key: object_key(key.to_owned())?,
            version_id: version_id(version)?,
        })
    }

    /// An error of a copy from here to `bucket`, naming the source if that is what was missing.
    pub async fn blamed(&self, error: Error, objects: &Objects, bucket: &BucketName) -> FrontError {
        let (field, name) = match error {
            Error::NoSuchBucket if self.bucket != *bucket => ("BucketName", self.bucket.as_str()),
            Error::NoSuchKey { .. } | Error::NoSuchVersion => ("Key", self.key.as_str()),
            error => return error.into(),
        };
        // The target can be missing too: the bucket, or the key of an If-Match.
        let bucket_missing = matches!(error, Error::NoSuchBucket);
        let source_missing = if bucket_missing {
            objects.head_bucket(&self.bucket).await == Err(Error::NoSuchBucket)
        } else {
            let mut head =
                strongroom_objects::GetObject::new(self.bucket.clone(), self.key.clone());
            head.version_id = self.version_id;
            objects.head_object(head).await.is_err()
        };
        let version = self.version_id.map(|id| id.to_string());
        let is_version = error == Error::NoSuchVersion;
        let front = FrontError::from(error);
        if !source_missing {
            return front;
        }
        let front = front.with(field, name);
        match version {
            Some(version) if is_version => front.with("VersionId", version),
            _ => front,
        }
    }
}

fn malformed(text: &str) -> FrontError {
    FrontError::invalid_argument(
        NAME,
        text,
        "copy source must mention the source bucket and key: sourcebucket/sourcekey",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> std::result::Result<(String, String), String> {
        CopySource::parse(text)
            .map(|source| (source.bucket.to_string(), source.key.as_str().to_owned()))
            .map_err(|error| error.code.into_owned())
    }

    #[test]
    fn a_copy_source_is_decoded_once() {
        // HD06
        for (text, key) in [
            ("bucket/k", "k"),
            ("/bucket/k", "k"),
            ("bucket%2Fa%2Fb", "a/b"),
            ("/bucket/a%20b%2Bc", "a b+c"),
            ("bucket/a+b", "a b"),
            ("bucket//k", "/k"),
            ("bucket/%2541", "%41"),
            ("bucket/a?b", "a?b"),
            ("bucket/k?versionId=null", "k"),
        ] {
            assert_eq!(
                parsed(text),
                Ok(("bucket".to_owned(), key.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_copy_source_that_names_no_object_is_refused() {
        // attack 18
        for (text, code) in [
            ("", "InvalidArgument"),
            ("/", "InvalidArgument"),
            ("bucket", "InvalidArgument"),
            ("bucket/", "InvalidArgument"),
            ("//k", "InvalidArgument"),
            ("bucket/%zz", "InvalidArgument"),
            ("bucket/%FF", "InvalidArgument"),
            ("bucket/k?versionId=", "InvalidArgument"),
            ("bucket/k?versionId=x", "InvalidArgument"),
            ("Bad/k", "InvalidBucketName"),
            (
                "arn:aws:s3:us-east-1:1:accesspoint/a/object/k",
                "NotImplemented",
            ),
        ] {
            assert_eq!(parsed(text), Err(code.to_owned()), "{text}");
        }
    }
}
