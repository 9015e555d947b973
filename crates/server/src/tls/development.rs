//! A certificate for trying things out: signed by an authority of our own that clients can be told
//! to trust.
//!
//! The authority is drawn once and kept, so that clients are told once; the server's certificate is
//! made at each start, for the names and addresses of that start. Nothing here is for a store that
//! others rely on: whoever reads the authority's key can pose as any server to whoever trusts it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use strongroom_base::Clock;
use time::{Duration, OffsetDateTime};

use super::KeyPairFiles;
use crate::private_file;

/// The folder beside the credentials.
const FOLDER: &str = "tls-development";
/// How long the authority is valid: longer than anything tried out.
const AUTHORITY_DAYS: i64 = 10 * 365;
/// How long the server's certificate is valid: as long as the strictest clients accept.
const CERTIFICATE_DAYS: i64 = 397;
/// Clients whose clocks are behind ours by less accept it.
const SKEW: Duration = Duration::DAY;

/// Where the files are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Development {
    folder: PathBuf,
}

impl Development {
    /// The files that belong to a store whose credentials are in `credentials`.
    #[must_use]
    pub fn beside(credentials: &Path) -> Self {
        let folder = credentials.parent().unwrap_or(Path::new(""));
        Self {
            folder: folder.join(FOLDER),
        }
    }

    /// The certificate of the authority, for clients to trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The files of the server's certificate.
    #[must_use]
    pub fn files(&self) -> KeyPairFiles {
        KeyPairFiles {
            certificate: self.folder.join("certificate.pem"),
            key: self.folder.join("key.pem"),
        }
    }

    /// Makes a certificate for these addresses, and the authority if there is none yet.
    ///
    /// # Errors
    /// What could not be read or written, as a sentence.
    pub fn make(
        &self,
        addresses: &[SocketAddr],
        clock: &dyn Clock,
    ) -> Result<KeyPairFiles, String> {
        let shown = self.folder.display();
        let cannot = |error: &dyn std::fmt::Display| {
            format!("cannot make a development certificate in {shown}: {error}; remove that folder")
        };
        let seconds = i64::try_from(clock.now().seconds()).unwrap_or(0);
        let now = OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| cannot(&error))?;
        std::fs::create_dir_all(&self.folder).map_err(|error| cannot(&error))?;
        let (issuer, authority) = self.issuer(now).map_err(|error| cannot(&error))?;
        let key = KeyPair::generate().map_err(|error| cannot(&error))?;
        let certificate = certificate_params(addresses, now)
            .and_then(|params| params.signed_by(&key, &issuer))
            .map_err(|error| cannot(&error))?;
        let files = self.files();
        let chain = certificate.pem() + &authority;
        private_file::replace(&files.key, &key.serialize_pem()).map_err(|error| cannot(&error))?;
        private_file::replace(&files.certificate, &chain).map_err(|error| cannot(&error))?;
        Ok(files)
    }

    /// The authority: the one that is kept, or a new one.
    fn issuer(&self, now: OffsetDateTime) -> Result<(Issuer<'static, KeyPair>, String), Trouble> {
        let (path, key_path) = (self.authority(), self.folder.join("ca.key"));
        let key = match std::fs::read_to_string(&key_path) {
            Ok(text) => KeyPair::from_pem(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                private_file::replace(&key_path, &key.serialize_pem())?;
                key
            }
            Err(error) => return Err(error.into()),
        };
        let params = authority_params(now);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = params.self_signed(&key)?.pem();
                private_file::replace(&path, &text)?;
                text
            }
            Err(error) => return Err(error.into()),
        };
        Ok((Issuer::new(params, key), text))
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
}

fn authority_params(now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Strongroom development authority");
    params.not_before = now - SKEW;
    params.not_after = now + Duration::days(AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn certificate_params(
    addresses: &[SocketAddr],
    now: OffsetDateTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names(addresses))?;
    params.distinguished_name = named("Strongroom development");
    params.not_before = now - SKEW;
    params.not_after = now + Duration::days(CERTIFICATE_DAYS);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn named(name: &str) -> rcgen::DistinguishedName {
    let mut names = rcgen::DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// This machine as its clients call it.
fn names(addresses: &[SocketAddr]) -> Vec<String> {
    let mut ips = vec![
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    for address in addresses {
        if !address.ip().is_unspecified() && !ips.contains(&address.ip()) {
            ips.push(address.ip());
        }
    }
    let mut names = vec!["localhost".to_owned(), "*.localhost".to_owned()];
    names.extend(ips.iter().map(IpAddr::to_string));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Certificate;
    use std::os::unix::fs::PermissionsExt;
    use strongroom_base::SystemClock;

    #[test]
    fn the_authority_stays_and_the_certificate_is_new_at_each_start() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::beside(&folder.path().join("credentials"));
        let address = "192.0.2.1:9000".parse().unwrap();
        let mut kept = Vec::new();
        for _ in 0..2 {
            let files = development.make(&[address], &SystemClock::new()).unwrap();
            Certificate::load(files.clone()).unwrap();
            let read = |path: &Path| std::fs::read_to_string(path).unwrap();
            kept.push((read(&development.authority()), read(&files.certificate)));
            for path in [&files.key, &folder.path().join(FOLDER).join("ca.key")] {
                let mode = std::fs::metadata(path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
        }
        assert_eq!(kept[0].0, kept[1].0);
        assert_ne!(kept[0].1, kept[1].1);
    }

    #[test]
    fn a_damaged_authority_is_told_in_a_sentence_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::beside(&folder.path().join("credentials"));
        let key = folder.path().join(FOLDER).join("ca.key");
        std::fs::create_dir(key.parent().unwrap()).unwrap();
        std::fs::write(&key, "nonsense").unwrap();
        let error = development.make(&[], &SystemClock::new()).unwrap_err();
        assert!(error.ends_with("remove that folder"), "{error}");
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "nonsense");
    }
}
