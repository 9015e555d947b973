//! What lists of objects and of uploads share.

use strongroom_types::KEY_SIZE_BYTES_MAX;

/// Records of one scan of a list that may skip some: small, because most lists with a delimiter
/// end soon or skip far.
pub(crate) const SCAN_PAGE: usize = 256;

/// Groups keys by prefix and delimiter.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    pub prefix: String,
    delimiter: Option<String>,
}

impl Grouping {
    pub fn new(prefix: String, delimiter: Option<String>) -> Self {
        Self {
            prefix,
            delimiter: delimiter.filter(|delimiter| !delimiter.is_empty()),
        }
    }

    /// Whether the prefix is longer than any key.
    pub fn is_hopeless(&self) -> bool {
        self.prefix.len() > KEY_SIZE_BYTES_MAX
    }

    /// Whether keys are grouped at all.
    pub const fn groups(&self) -> bool {
        self.delimiter.is_some()
    }

    /// The common prefix that `key` is listed under: through the first delimiter after the prefix.
    pub fn common_prefix<'a>(&self, key: &'a str) -> Option<&'a str> {
        let delimiter = self.delimiter.as_deref()?;
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let at = rest.find(delimiter)?;
        Some(&key[..self.prefix.len() + at + delimiter.len()])
    }

    /// Whether `marker` is itself a common prefix, as the last entry of a page may be. Then the
    /// list goes on past all keys under it.
    pub fn is_common_prefix(&self, marker: &str) -> bool {
        self.common_prefix(marker)
            .is_some_and(|common| common == marker)
    }
}

/// Cuts a marker to a size in which it still orders the same against every key: no key is longer.
pub(crate) fn cut(marker: &str) -> &str {
    let end = (KEY_SIZE_BYTES_MAX..marker.len()).find(|at| marker.is_char_boundary(*at));
    end.map_or(marker, |end| &marker[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_prefix_ends_with_the_first_delimiter_after_the_prefix() {
        let grouping = Grouping::new("a/".into(), Some("/".into()));
        assert_eq!(grouping.common_prefix("a/b/c/d"), Some("a/b/"));
        assert_eq!(grouping.common_prefix("a/b"), None);
        assert_eq!(grouping.common_prefix("a/"), None);
        assert_eq!(grouping.common_prefix("b/c"), None);
        assert!(grouping.is_common_prefix("a/b/") && !grouping.is_common_prefix("a/b/c"));
        let long = Grouping::new(String::new(), Some("--".into()));
        assert_eq!(long.common_prefix("x-y--z"), Some("x-y--"));
        assert_eq!(
            Grouping::new(String::new(), Some(String::new())).common_prefix("a"),
            None
        );
    }

    #[test]
    fn a_long_marker_is_cut_at_a_character() {
        assert_eq!(cut("abc"), "abc");
        let long = format!("{}é{}", "a".repeat(1023), "b".repeat(100));
        assert_eq!(cut(&long).len(), 1025);
    }
}
