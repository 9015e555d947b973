//! What a start shows on standard output: where to connect, with which credentials, one line to
//! paste, and what this configuration survives.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::credentials::{PROFILE, Source, shell_word};

use crate::http_port::Port;

/// Where a port is reached, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub address: SocketAddr,
    pub tls: bool,
}

impl Place {
    /// That of a bound port.
    #[must_use]
    pub fn of(port: &Port) -> Self {
        Self {
            address: port.address(),
            tls: port.is_tls(),
        }
    }

    /// The URL under which this machine reaches it.
    #[must_use]
    pub fn endpoint(self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", reachable(self.address))
    }

    /// Whether others than this machine can read along.
    #[must_use]
    pub fn is_exposed(self) -> bool {
        !self.tls && !self.address.ip().is_loopback()
    }
}

/// What the screen shows.
pub struct Screen<'a> {
    pub s3: Place,
    pub admin: Place,
    /// The authority of a development certificate.
    pub authority: Option<PathBuf>,
    pub region: &'a str,
    pub source: &'a Source,
    /// Access key and secret, given only when they are new and the screen is a terminal.
    pub secret: Option<(&'a str, &'a str)>,
    pub survives: &'a str,
    /// Why writes are not acknowledged, when they are not.
    pub reads_only: Option<String>,
}

impl Screen<'_> {
    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let mut text = match &self.reads_only {
            None => format!("Strongroom {version} is ready.\n\n"),
            Some(reason) => format!("Strongroom {version} serves reads only: {reason}.\n\n"),
        };
        let endpoint = self.s3.endpoint();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<15} {value}");
        };
        for (name, place) in [("S3", self.s3), ("Administration", self.admin)] {
            let where_else = interfaces(place.address);
            line(name, &format!("{}{where_else}", place.endpoint()));
        }
        if let Some(authority) = &self.authority {
            line("Trust for TLS", &absolute(authority).display().to_string());
        }
        line("Credentials", &self.credentials());
        if let Some((access_key, secret_key)) = self.secret {
            line("Access key", access_key);
            line("Secret key", &format!("{secret_key}  (shown this once)"));
        }
        let _ = writeln!(text, "\n{}", self.survives);
        if self.s3.is_exposed() || self.admin.is_exposed() {
            let _ = writeln!(text, "{PLAIN_WARNING}");
        }
        text.push('\n');
        let region = match self.region {
            "us-east-1" => String::new(),
            other => format!(" --region {other}"),
        };
        let (variables, profile) = self.aws();
        let trust = self
            .authority
            .as_ref()
            .map_or_else(String::new, |authority| {
                format!("AWS_CA_BUNDLE={} ", shell_word(&absolute(authority)))
            });
        let _ = writeln!(
            text,
            "Try it:\n  {trust}{variables} aws{profile}{region} --endpoint-url {endpoint} s3 mb s3://first"
        );
        text
    }

    fn credentials(&self) -> String {
        match self.source {
            Source::Generated(path) => {
                format!("{} (new; only you can read it)", absolute(path).display())
            }
            Source::File(path) => absolute(path).display().to_string(),
            Source::Given { .. } => "as given".to_owned(),
        }
    }

    /// The variables and the flag with which the `aws` command finds the credentials. The profile
    /// is named because the command would prefer keys it finds in the environment.
    fn aws(&self) -> (String, String) {
        match self.source {
            Source::Generated(path) | Source::File(path) => (
                format!(
                    "AWS_SHARED_CREDENTIALS_FILE={}",
                    shell_word(&absolute(path))
                ),
                format!(" --profile {PROFILE}"),
            ),
            Source::Given {
                access_key,
                secret_key,
            } => (
                format!("AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={secret_key}"),
                String::new(),
            ),
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// What is said where others than this machine can read along.
const PLAIN_WARNING: &str = "A port speaks plain HTTP beyond this machine, so whoever sees the network \
    can read what passes: set tls_certificate and tls_key, or put a TLS proxy in front.";

/// `address` with loopback in place of "every interface".
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}

fn interfaces(address: SocketAddr) -> &'static str {
    if address.ip().is_unspecified() {
        " (and every other address of this machine)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str, tls: bool) -> Place {
        let address = address.parse().unwrap();
        Place { address, tls }
    }

    fn screen<'a>(source: &'a Source, secret: Option<(&'a str, &'a str)>) -> Screen<'a> {
        Screen {
            s3: place("0.0.0.0:9000", false),
            admin: place("127.0.0.1:9001", false),
            authority: None,
            region: "us-east-1",
            source,
            secret,
            survives: "This configuration survives nothing.",
            reads_only: None,
        }
    }

    #[test]
    fn the_screen_says_where_and_what_it_survives_and_gives_a_line_to_paste() {
        let source = Source::File("/data/credentials".into());
        let text = screen(&source, None).text();
        for part in [
            "http://127.0.0.1:9000 (and every other",
            "http://127.0.0.1:9001\n",
            "/data/credentials\n",
            "This configuration survives nothing.",
            "AWS_SHARED_CREDENTIALS_FILE=/data/credentials aws --profile strongroom \
             --endpoint-url http://127.0.0.1:9000 s3 mb s3://first",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("Secret"), "{text}");
    }

    #[test]
    fn tls_is_in_the_addresses_and_the_authority_in_the_line_to_paste() {
        let source = Source::File("/data/credentials".into());
        let text = Screen {
            s3: place("0.0.0.0:9000", true),
            authority: Some("/data/tls-development/ca.pem".into()),
            ..screen(&source, None)
        }
        .text();
        assert!(text.contains("https://127.0.0.1:9000 (and"), "{text}");
        assert!(
            text.contains("AWS_CA_BUNDLE=/data/tls-development/ca.pem AWS_SHARED"),
            "{text}"
        );
        assert!(!text.contains("plain HTTP"), "{text}");
    }

    #[test]
    fn plain_http_beyond_this_machine_is_warned_of_in_one_sentence() {
        let source = Source::File("/data/credentials".into());
        let warned = |s3| {
            let screen = Screen {
                s3,
                ..screen(&source, None)
            };
            screen.text().contains(PLAIN_WARNING)
        };
        assert!(warned(place("0.0.0.0:9000", false)));
        assert!(!warned(place("0.0.0.0:9000", true)));
        assert!(!warned(place("127.0.0.1:9000", false)));
    }

    #[test]
    fn a_new_secret_is_shown_when_asked_for() {
        let source = Source::Generated("/data/credentials".into());
        let text = screen(&source, Some(("AKEY", "SKEY"))).text();
        assert!(text.contains("SKEY  (shown this once)"), "{text}");
    }

    #[test]
    fn given_secrets_stay_names_of_variables() {
        let source = Source::Given {
            access_key: "\"$STRONGROOM_ACCESS_KEY\"".to_owned(),
            secret_key: "\"$STRONGROOM_SECRET_KEY\"".to_owned(),
        };
        let text = Screen {
            region: "eu-1",
            ..screen(&source, None)
        }
        .text();
        assert!(
            text.contains("AWS_SECRET_ACCESS_KEY=\"$STRONGROOM_SECRET_KEY\" aws --region eu-1")
        );
    }
}
