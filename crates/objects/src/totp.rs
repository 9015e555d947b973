//! Time-based one-time passwords: RFC 6238 as every authenticator has it.
//!
//! Six digits, steps of 30 seconds, HMAC-SHA-1: other choices exist, and common authenticators ignore
//! that they were asked for. Guessing is made infeasible by whoever counts the tries, not here.
//!
//! Invariants
//! - How long a comparison takes says nothing about the code.

use aws_lc_rs::{constant_time, hmac};
use strongroom_base::Timestamp;

/// Bytes of a secret: those of the hash, as RFC 4226 advises.
pub const SECRET_SIZE_BYTES: usize = 20;
/// How long a code is shown.
pub const STEP_SECONDS: u64 = 30;
/// Steps a device's clock may be off, each way. RFC 6238 advises one.
pub const SKEW_STEPS_MAX: u64 = 1;
/// Digits of a code.
pub const CODE_DIGITS: usize = 6;

/// A device's secret. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; SECRET_SIZE_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What a code is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    /// That of this step, which is later than the last used one.
    Unused { step: u64 },
    /// That of a step that was used, or that is earlier than one.
    Used,
    /// That of no step there may be now.
    Wrong,
}

/// The step at this time.
#[must_use]
pub const fn step_at(now: Timestamp) -> u64 {
    now.seconds() / STEP_SECONDS
}

/// The code a device shows during a step.
#[must_use]
pub fn code_of(secret: &Secret, step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret.0);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    // RFC 4226, 5.3: the last four bits say where the number starts.
    let offset = usize::from(bytes[bytes.len() - 1] & 0x0F);
    let number = bytes[offset..offset + 4]
        .iter()
        .fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    let number = (number & 0x7FFF_FFFF) % 1_000_000;
    format!("{number:0digits$}", digits = CODE_DIGITS)
}

/// Looks for a code among the steps there may be now.
#[must_use]
pub fn find(secret: &Secret, code: &str, now: Timestamp, used: Option<u64>) -> Match {
    let current = step_at(now);
    let first = current.saturating_sub(SKEW_STEPS_MAX);
    let mut found = Match::Wrong;
    for step in first..=current + SKEW_STEPS_MAX {
        let expected = code_of(secret, step);
        let same = constant_time::verify_slices_are_equal(expected.as_bytes(), code.as_bytes());
        if same.is_ok() && !matches!(found, Match::Unused { .. }) {
            found = if used.is_none_or(|used| step > used) {
                Match::Unused { step }
            } else {
                Match::Used
            };
        }
    }
    found
}

/// RFC 4648, without padding: how authenticators take a secret.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::new();
    for group in bytes.chunks(5) {
        let mut five = [0u8; 8];
        five[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(five);
        for index in 0..(group.len() * 8).div_ceil(5) {
            let digit = (bits >> (35 - 5 * index)) & 31;
            text.push(char::from(ALPHABET[digit as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret(*b"12345678901234567890")
    }

    const fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // MF05. The vectors have eight digits, of which six are shown.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(
                code_of(&secret(), seconds / STEP_SECONDS),
                code,
                "{seconds}"
            );
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_and_late_and_never_twice() {
        let now = at(1_234_567_890);
        let step = step_at(now);
        for (shift, is_good) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let of = step.saturating_add_signed(shift);
            let code = code_of(&secret(), of);
            let expected = if is_good {
                Match::Unused { step: of }
            } else {
                Match::Wrong
            };
            assert_eq!(find(&secret(), &code, now, None), expected, "{shift}");
        }
        let code = code_of(&secret(), step);
        let found = |used| find(&secret(), &code, now, Some(used));
        assert_eq!(found(step), Match::Used);
        assert_eq!(found(step + 1), Match::Used);
        assert_eq!(found(step - 1), Match::Unused { step });
        for wrong in ["", "00592", "0059240", "a05924", "５05924"] {
            assert_eq!(find(&secret(), wrong, now, None), Match::Wrong, "{wrong}");
        }
    }

    #[test]
    fn the_first_steps_of_time_have_codes_too() {
        let code = code_of(&secret(), 0);
        assert_eq!(
            find(&secret(), &code, at(0), None),
            Match::Unused { step: 0 }
        );
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(base32(&secret().0), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }
}
