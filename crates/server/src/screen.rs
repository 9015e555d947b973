//! What a start shows on standard output: where to connect, with which credentials, one line to
//! paste, and what this configuration survives.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::credentials::{PROFILE, Source, shell_word};

/// What the screen shows.
pub struct Screen<'a> {
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
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
        let endpoint = endpoint(self.address);
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<15} {value}");
        };
        line("S3", &format!("{endpoint}{}", interfaces(self.address)));
        line(
            "Administration",
            &format!(
                "{}{}",
                self::endpoint(self.admin_address),
                interfaces(self.admin_address)
            ),
        );
        line("Credentials", &self.credentials());
        if let Some((access_key, secret_key)) = self.secret {
            line("Access key", access_key);
            line("Secret key", &format!("{secret_key}  (shown this once)"));
        }
        let _ = writeln!(text, "\n{}\n", self.survives);
        let region = match self.region {
            "us-east-1" => String::new(),
            other => format!(" --region {other}"),
        };
        let (variables, profile) = self.aws();
        let _ = writeln!(
            text,
            "Try it:\n  {variables} aws{profile}{region} --endpoint-url {endpoint} s3 mb s3://first"
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

/// The URL under which this machine reaches `address`.
#[must_use]
pub fn endpoint(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}

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

    fn screen<'a>(source: &'a Source, secret: Option<(&'a str, &'a str)>) -> Screen<'a> {
        Screen {
            address: "0.0.0.0:9000".parse().unwrap(),
            admin_address: "127.0.0.1:9001".parse().unwrap(),
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
