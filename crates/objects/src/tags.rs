//! Tags of objects and buckets: valid by construction.
//!
//! S3 says which texts a tag may have and how many there are (LI01, BK10). The rules are the same
//! wherever tags come from (a header, an XML document, a form), so they are checked where the set
//! is built and not where it is read.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Most tags of one object (LI01).
pub const OBJECT_TAGS_MAX: usize = 10;
/// Most tags of one bucket (LI01).
pub const BUCKET_TAGS_MAX: usize = 50;
/// Most characters of a tag's key (LI01).
pub const TAG_KEY_CHARACTERS_MAX: usize = 128;
/// Most characters of a tag's value (LI01).
pub const TAG_VALUE_CHARACTERS_MAX: usize = 256;

/// A set of tags: each key once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// The tags of an object.
    ///
    /// # Errors
    /// `InvalidTag`, `TooManyTags`.
    pub fn of_object(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let reserved = "your TagKey cannot be prefixed with aws:";
        Self::checked(pairs, "Object", OBJECT_TAGS_MAX, reserved)
    }

    /// The tags of a bucket.
    ///
    /// # Errors
    /// `InvalidTag`, `TooManyTags`.
    pub fn of_bucket(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let reserved = "system tags cannot be added/updated by requester";
        Self::checked(pairs, "Bucket", BUCKET_TAGS_MAX, reserved)
    }

    fn checked(
        pairs: impl IntoIterator<Item = (String, String)>,
        what: &'static str,
        count_max: usize,
        reserved: &'static str,
    ) -> Result<Self> {
        let mut tags = BTreeMap::new();
        for (key, value) in pairs {
            let refused = |message| Error::InvalidTag {
                message,
                key: key.clone(),
            };
            if key.starts_with("aws:") {
                return Err(refused(reserved));
            }
            if key.is_empty() || !is_tag_text(&key, TAG_KEY_CHARACTERS_MAX) {
                return Err(refused("the TagKey you have provided is invalid"));
            }
            if !is_tag_text(&value, TAG_VALUE_CHARACTERS_MAX) {
                return Err(refused("the TagValue you have provided is invalid"));
            }
            if tags.contains_key(&key) {
                return Err(refused("cannot provide multiple Tags with the same key"));
            }
            if tags.len() == count_max {
                return Err(Error::TooManyTags { what, count_max });
            }
            tags.insert(key, value);
        }
        Ok(Self(tags))
    }

    /// Tags that were checked when they were stored.
    pub(crate) const fn stored(tags: BTreeMap<String, String>) -> Self {
        Self(tags)
    }

    /// The tags, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    pub(crate) fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }
}

/// Letters, digits, spaces and `_ . : / = + - @`, of any script.
fn is_tag_text(text: &str, characters_max: usize) -> bool {
    let allowed = |character: char| {
        character.is_alphanumeric()
            || (character.is_whitespace() && !character.is_control())
            || "_.:/=+-@".contains(character)
    };
    text.chars().count() <= characters_max && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn numbered(count: usize) -> Vec<(String, String)> {
        (0..count)
            .map(|index| (format!("key{index}"), String::new()))
            .collect()
    }

    #[test]
    fn the_largest_tags_are_accepted_and_larger_ones_refused() {
        // LI01
        let (key, value) = ("é".repeat(128), "w".repeat(256));
        assert!(Tags::of_object([(key.clone(), value.clone())]).is_ok());
        for (key, value) in [(key.clone() + "k", value.clone()), (key, value + "v")] {
            let refused = Tags::of_object([(key, value)]);
            assert!(matches!(refused, Err(Error::InvalidTag { .. })));
        }
        assert_eq!(Tags::of_object(numbered(10)).unwrap().len(), 10);
        assert!(matches!(
            Tags::of_object(numbered(11)),
            Err(Error::TooManyTags { count_max: 10, .. })
        ));
        assert_eq!(Tags::of_bucket(numbered(50)).unwrap().len(), 50);
        assert!(Tags::of_bucket(numbered(51)).is_err());
    }

    #[test]
    fn a_key_twice_a_reserved_key_and_characters_outside_the_list_are_refused() {
        // BK10
        for refused in [
            &[("a", "1"), ("a", "2")][..],
            &[("aws:a", "1")],
            &[("", "1")],
            &[("a#b", "1")],
            &[("a", "<>")],
            &[("a", "\n")],
        ] {
            let found = Tags::of_bucket(pairs(refused));
            assert!(
                matches!(found, Err(Error::InvalidTag { .. })),
                "{refused:?}"
            );
        }
        let accepted = pairs(&[("AWS:a b_.:/=+-@", "ß 1"), ("x", "")]);
        assert_eq!(Tags::of_bucket(accepted).unwrap().len(), 2);
    }
}
