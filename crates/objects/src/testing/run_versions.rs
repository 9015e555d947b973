//! Operations on versions, against both.

use strongroom_types::VersionId;

use super::compare::{bucket_name, entries_of, object_key, same};
use super::op::{BUCKETS, LOCKED_BUCKET, Op};
use super::run::{Model, agree};
use crate::api::{DeleteKey, DeleteObject, ListVersions};
use crate::objects::Objects;
use crate::records::Versioning;

/// The bucket whose versioning is set.
const VERSIONED_BUCKET: &str = BUCKETS[1];
/// Of so many settings one is of the bucket with locks, where it is kept.
const OF_LOCKED_ONE_IN: u64 = 5;

impl Model {
    /// A version that is there, or one that is not, for good.
    pub(super) async fn delete_version(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let op = &match op.pick % 3 {
            0 => op.clone(),
            _ => op.of_locked(),
        };
        let picked = self.pick_version(op, op.bucket, op.key);
        let id = picked.unwrap_or(match op.seed % 2 {
            0 => VersionId::Null,
            _ => VersionId::Stamp(op.seed),
        });
        let request = DeleteObject {
            bypass: op.bypass(),
            bucket: bucket_name(op.bucket),
            key: object_key(op.key),
            version_id: Some(id),
            if_match: None,
        };
        let found = objects.delete_object(request).await;
        let expected = self
            .reference
            .delete_version(op.bucket, op.key, id, op.bypass());
        if let (Ok(found), Ok(expected)) = (&found, &expected) {
            same(
                "was a marker",
                &found.delete_marker,
                &(*expected == Some(true)),
            )?;
            same("id of what was deleted", &found.version_id, &Some(id))?;
        }
        agree(found, expected)
    }

    /// One of the buckets is never versioned, and one always.
    pub(super) async fn set_versioning(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let versioning = match op.pick % 3 {
            0 => Versioning::Suspended,
            _ => Versioning::Enabled,
        };
        let name = match op.seed % OF_LOCKED_ONE_IN {
            0 => LOCKED_BUCKET,
            _ => VERSIONED_BUCKET,
        };
        let found = objects
            .put_bucket_versioning(&bucket_name(name), versioning)
            .await;
        agree(found, self.reference.set_versioning(name, versioning))
    }

    pub(super) async fn list_versions(
        &mut self,
        op: &Op,
        objects: &Objects,
    ) -> std::result::Result<bool, String> {
        let version_id_marker = self.pick_version(op, op.bucket, op.other_key);
        let max = 1 + op.pick % 5;
        let request = ListVersions {
            bucket: bucket_name(op.bucket),
            prefix: op.prefix.to_owned(),
            delimiter: op.delimiter.map(str::to_owned),
            key_marker: op.other_key.to_owned(),
            version_id_marker,
            keys_max: u32::try_from(max).expect("small"),
        };
        let found = objects.list_versions(request).await;
        let marker = (op.other_key, version_id_marker);
        let expected = self
            .reference
            .bucket(op.bucket)
            .map(|bucket| bucket.list_versions(op.prefix, op.delimiter, marker));
        if let (Ok(found), Ok(expected)) = (&found, &expected) {
            let page = &expected[..max.min(expected.len())];
            same("list of versions", &entries_of(found), &page.to_vec())?;
            same("truncated", &found.next.is_some(), &(expected.len() > max))?;
        }
        agree(found, expected)
    }

    /// The id of a version of the key, of several mostly; none for the current one.
    pub(super) fn pick_version(&self, op: &Op, bucket: &str, key: &str) -> Option<VersionId> {
        let versions = self.reference.buckets.get(bucket)?.versions.get(key)?;
        let at = op.pick % (versions.len() + 1);
        versions.get(at).map(|version| version.id)
    }

    /// A write shows an id where versions have ids of their own, and always a new one (VE05, VE07).
    pub(super) fn check_shown(
        &mut self,
        bucket: &str,
        succeeded: bool,
        shown: Option<VersionId>,
    ) -> std::result::Result<(), String> {
        if !succeeded {
            return Ok(());
        }
        let bucket = self.reference.buckets.get(bucket);
        let versioning = bucket.map(|bucket| bucket.versioning);
        match (versioning, shown) {
            (Some(Versioning::Enabled), Some(VersionId::Stamp(stamp))) if stamp > self.newest => {
                self.newest = stamp;
                Ok(())
            }
            (Some(Versioning::Never | Versioning::Suspended), None) => Ok(()),
            (versioning, shown) => Err(format!("a write in {versioning:?} showed {shown:?}")),
        }
    }

    pub(super) fn versions_of(&self, bucket: &str, key: &str, count: usize) -> Vec<DeleteKey> {
        let bucket = self.reference.buckets.get(bucket);
        let versions = bucket.and_then(|bucket| bucket.versions.get(key));
        let ids = versions.into_iter().flatten().map(|version| version.id);
        ids.take(count)
            .map(|id| DeleteKey {
                key: object_key(key),
                version_id: Some(id),
                if_match: None,
            })
            .collect()
    }
}
