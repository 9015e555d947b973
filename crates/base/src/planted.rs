//! Planted bugs: switches that break a rule on purpose, to prove that a test notices.
//!
//! A test that has never failed proves little. Where a rule matters, the code asks
//! [`planted`]`("name-of-the-bug")` and does the wrong thing when the answer is yes. The list of
//! names, each with the test that must turn red, is `tests/planted.toml`; `cargo xtask planted`
//! runs it.
//!
//! Invariants
//! - Without the feature `planted`, which nothing turns on by default, the answer is a constant
//!   `false` and the branch is compiled out.
//! - With it, at most one bug is on in a process: the one the variable `STRONGROOM_PLANTED` names,
//!   read once.

/// Whether the bug `name` is planted in this process.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[must_use]
pub const fn planted(_name: &str) -> bool {
    false
}

/// Whether the bug `name` is planted in this process.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted(name: &str) -> bool {
    use std::sync::OnceLock;

    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN
        .get_or_init(|| std::env::var("STRONGROOM_PLANTED").ok())
        .as_deref()
        == Some(name)
}

#[cfg(test)]
mod tests {
    use super::planted;

    #[test]
    fn a_bug_is_planted_only_when_the_feature_and_the_variable_say_so() {
        // The one name no run of the planted list ever uses.
        assert!(!planted("no-such-bug"));
    }

    /// The bug that proves the machinery itself: with `base-self-test` planted, this test fails.
    #[test]
    fn the_self_test_bug_is_not_planted() {
        assert!(!planted("base-self-test"));
    }
}
