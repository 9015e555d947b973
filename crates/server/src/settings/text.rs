//! Settings that people write as text: durations, listen addresses, zones, log formats.
//!
//! Each type parses the same text on the command line, in the environment and in the file, and its
//! error is the rest of a sentence that says what to write instead.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// Why a text is not a value; says what to write.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(String);

/// A duration: a whole number and a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

/// A number of bytes: a whole number and a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

/// An address to listen on, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(pub SocketAddr);

/// A zone and the folders of its disks.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone {
    /// Its name, which its disks remember.
    pub name: String,
    /// One folder for each disk.
    pub folders: Vec<PathBuf>,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// Longest zone name: it stands in file names, metrics and superblocks.
const ZONE_NAME_LENGTH_MAX: usize = 32;

macro_rules! from_text {
    ($($type:ty),*) => { $(
        impl TryFrom<String> for $type {
            type Error = TextError;
            fn try_from(text: String) -> Result<Self, TextError> {
                text.parse()
            }
        }
    )* };
}
from_text!(Span, Size, ListenAddress, Zone, LogFormat);

impl FromStr for Span {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let bad = || {
            TextError(format!(
                "`{text}` is not a duration: write a whole number and one of ms, s, m, h, d, \
                 for example 10s"
            ))
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        number
            .checked_mul(millis)
            .map(|n| Self(Duration::from_millis(n)))
            .ok_or_else(bad)
    }
}

impl FromStr for Size {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let bad = || {
            TextError(format!(
                "`{text}` is not a size: write a whole number and one of B, KiB, MiB, GiB, for \
                 example 512MiB"
            ))
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let bytes: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(bad()),
        };
        number.checked_mul(bytes).map(Self).ok_or_else(bad)
    }
}

impl FromStr for ListenAddress {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        text.parse().map(Self).map_err(|_| {
            TextError(format!(
                "`{text}` is not an address to listen on: write a numeric host and a port, for \
                 example 127.0.0.1:9000, or 0.0.0.0:9000 for every interface"
            ))
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Zone {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (name, folders) = text.split_once('=').ok_or_else(|| {
            TextError(format!(
                "`{text}` is not a zone: write NAME=DIR[,DIR...], for example z1=/mnt/disk1"
            ))
        })?;
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > ZONE_NAME_LENGTH_MAX || !name.chars().all(is_word) {
            return Err(TextError(format!(
                "`{name}` is not a zone name: use 1 to {ZONE_NAME_LENGTH_MAX} lowercase letters, \
                 digits and hyphens"
            )));
        }
        if folders.split(',').any(str::is_empty) {
            return Err(TextError(format!(
                "zone {name} has an empty folder: write {name}=DIR[,DIR...] without spare commas"
            )));
        }
        let folders = folders.split(',').map(PathBuf::from).collect();
        Ok(Self {
            name: name.to_owned(),
            folders,
        })
    }
}

impl FromStr for LogFormat {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(TextError(format!(
                "`{text}` is no log format: write auto, text or json"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("2d", 172_800_000),
        ] {
            assert_eq!(
                text.parse(),
                Ok(Span(Duration::from_millis(millis))),
                "{text}"
            );
        }
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1w",
            "99999999999999999d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        for (text, bytes) in [("0B", 0), ("64KiB", 65_536), ("1GiB", 1 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in [
            "",
            "10",
            "GiB",
            "-1B",
            "1.5GiB",
            "1 GiB",
            "1GB",
            "99999999999GiB",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_zone_is_a_name_and_folders() {
        let zone: Zone = "rack-1=/a,/b c".parse().unwrap();
        assert_eq!(zone.name, "rack-1");
        assert_eq!(zone.folders, [PathBuf::from("/a"), PathBuf::from("/b c")]);
        for text in [
            "", "z1", "=/a", "Z1=/a", "z/1=/a", "z1=", "z1=/a,", "z1=,/a", "z 1=/a",
        ] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_numeric() {
        assert!("127.0.0.1:9000".parse::<ListenAddress>().is_ok());
        assert!("[::1]:9000".parse::<ListenAddress>().is_ok());
        for text in [
            "",
            "9000",
            ":9000",
            "localhost:9000",
            "127.0.0.1",
            "127.0.0.1:99999",
        ] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }
}
