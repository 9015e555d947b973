//! DeleteObjects.

use std::collections::HashSet;

use futures::future::join_all;
use strongroom_types::VersionId;

use crate::api::{
    DELETE_KEYS_MAX, DeleteKey, DeleteObjectOutput, DeleteObjects, DeleteObjectsOutput,
    ObjectVersion,
};
use crate::decide::{self, BucketRef, Bypass, Deletion};
use crate::error::{Error, Result};
use crate::objects::Objects;

/// Most keys deleted in one transaction: 1000 keys are ten commits, and none holds up the commits
/// behind it for long.
const GROUP_KEYS_MAX: usize = 100;
/// Most groups under way at once. One after the other, 1000 keys waited for ten syncs; those that wait
/// together share one. Not all ten: a small commit that comes behind them waits for half of them.
const GROUPS_AT_ONCE_MAX: usize = 5;

impl Objects {
    /// Deletes many keys, each with an answer of its own. Keys are deleted in groups, each in one
    /// commit; keys of different groups are not deleted together, and in no order, unless a key is
    /// named again.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidRequest`, `OperationAborted`, `AccessDenied` (MF03). Once a group was deleted, what fails
    /// later is the answer of the keys it concerns.
    pub async fn delete_objects(&self, request: DeleteObjects) -> Result<DeleteObjectsOutput> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        if request.keys.len() > DELETE_KEYS_MAX {
            let message = format!("at most {DELETE_KEYS_MAX} keys");
            return Err(Error::invalid_request(message));
        }
        // MF03: one version among them, and the whole request needs the second factor.
        let names_version = request.keys.iter().any(|key| key.version_id.is_some());
        let mut answers: DeleteObjectsOutput = Vec::with_capacity(request.keys.len());
        let mut is_any_deleted = false;
        for together in waves(groups(request.keys)) {
            let counts: Vec<usize> = together.iter().map(Vec::len).collect();
            let deleted = together
                .into_iter()
                .map(|group| self.delete_group(&bucket, group, names_version, request.bypass));
            let deleted = join_all(deleted).await;
            is_any_deleted |= deleted.iter().any(Result::is_ok);
            for (count, group) in counts.into_iter().zip(deleted) {
                match group {
                    Ok(group) => answers.extend(group),
                    Err(error) if !is_any_deleted => return Err(error),
                    Err(error) => answers.extend((0..count).map(|_| Err(error.clone()))),
                }
            }
        }
        Ok(answers)
    }

    /// Deletes the keys of one group in one commit.
    async fn delete_group(
        &self,
        bucket: &BucketRef,
        group: Vec<DeleteKey>,
        names_version: bool,
        bypass: Bypass,
    ) -> Result<DeleteObjectsOutput> {
        let of = group.clone();
        let (bucket_id, now) = (bucket.clone(), self.clock.now());
        let proof = self.second_factor_of.clone();
        let answers = self
            .decide(move |reads| {
                if names_version {
                    decide::demand_for_versions(reads, &bucket_id, proof.as_ref())?;
                }
                decide::delete(reads, &bucket_id, &group, bypass, now)
            })
            .await?;
        for (key, answer) in of.into_iter().zip(&answers) {
            let of = ObjectVersion {
                bucket: bucket.name.clone(),
                key: key.key,
                version_id: key.version_id,
            };
            let passage = answer.as_ref().map(|deletion| deletion.passage);
            self.record_lock("DeleteObjects", &of, passage);
        }
        Ok(answers.into_iter().map(answer_of).collect())
    }
}

/// What is deleted at once: a bounded number of groups, and none that names a key again which an
/// earlier one names, since the order of those counts.
fn waves(groups: Vec<Vec<DeleteKey>>) -> Vec<Vec<Vec<DeleteKey>>> {
    let mut waves: Vec<Vec<Vec<DeleteKey>>> = Vec::new();
    let mut named = HashSet::new();
    for group in groups {
        let full = waves
            .last()
            .is_none_or(|wave| wave.len() == GROUPS_AT_ONCE_MAX);
        if full || group.iter().any(|key| named.contains(&key.key)) {
            waves.push(Vec::new());
            named.clear();
        }
        named.extend(group.iter().map(|key| key.key.clone()));
        waves
            .last_mut()
            .expect("a wave was just pushed")
            .push(group);
    }
    waves
}

/// VE15: of many keys, one with an id that no version has is an error of that key.
fn answer_of(answer: Result<decide::Deletion>) -> Result<DeleteObjectOutput> {
    match answer {
        Ok(Deletion {
            unknown_version: true,
            passage: _,
            output:
                DeleteObjectOutput {
                    version_id: Some(VersionId::Stamp(_)),
                    ..
                },
        })
        | Err(Error::InvalidArgument {
            name: "versionId", ..
        }) => Err(Error::NoSuchVersion),
        answer => answer.map(|deletion| deletion.output),
    }
}

/// Groups of bounded size in which nothing is named after it was deleted without a version id: a
/// decision does not see its own writes, and keeps account of versions it removed only. So many
/// versions of one key are one group.
fn groups(keys: Vec<DeleteKey>) -> Vec<Vec<DeleteKey>> {
    let mut groups: Vec<Vec<DeleteKey>> = Vec::new();
    let mut named = HashSet::new();
    for key in keys {
        let full = groups
            .last()
            .is_none_or(|group| group.len() == GROUP_KEYS_MAX);
        if full || named.contains(&key.key) {
            groups.push(Vec::new());
            named.clear();
        }
        if key.version_id.is_none() {
            named.insert(key.key.clone());
        }
        groups
            .last_mut()
            .expect("a group was just pushed")
            .push(key);
    }
    groups
}

#[cfg(test)]
mod tests {
    use strongroom_types::ObjectKey;

    use super::*;

    fn key(text: &str) -> DeleteKey {
        DeleteKey {
            key: ObjectKey::new(text).unwrap(),
            version_id: None,
            if_match: None,
        }
    }

    #[test]
    fn a_thousand_keys_are_ten_groups() {
        let keys = (0..1000).map(|index| key(&index.to_string())).collect();
        let sizes: Vec<_> = groups(keys).iter().map(Vec::len).collect();
        assert_eq!(sizes, [100; 10]);
    }

    #[test]
    fn versions_of_one_key_are_deleted_in_one_group() {
        let version = |stamp| DeleteKey {
            version_id: Some(VersionId::Stamp(stamp)),
            ..key("a")
        };
        let groups = groups(vec![version(1), version(2), key("a"), version(3), key("b")]);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn ten_groups_are_two_waves_and_a_key_named_twice_begins_another() {
        let keys = (0..1000).map(|index| key(&index.to_string())).collect();
        let sizes = |keys| waves(groups(keys)).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(keys), [5; 2]);
        let mut keys: Vec<_> = (0..200).map(|index| key(&index.to_string())).collect();
        keys.push(key("3"));
        assert_eq!(sizes(keys), [2, 1]);
        assert_eq!(sizes(vec![key("a"), key("a"), key("a")]), [1; 3]);
    }

    #[test]
    fn a_key_named_twice_begins_a_group() {
        let groups = groups(vec![key("a"), key("b"), key("a"), key("a")]);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
    }
}
