//! TLS of the ports: certificates that can be replaced while the server runs.
//!
//! Certificates expire, and a store that must be restarted for a new one is restarted at the worst
//! moment. So the files are read again when they change or the process gets SIGHUP; handshakes from
//! then on use what they say, connections that are open stay. Files that do not go together (one is
//! written before the other) leave the certificate in use as it is.

mod development;
mod reload;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub use development::Development;
pub use reload::reload_for_ever;

/// The protocol offered: clients of S3 speak HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";
/// Largest file of certificates or keys that is read: a chain is a few KiB.
const FILE_SIZE_BYTES_MAX: u64 = 1024 * 1024;

/// The files of a certificate: its chain, the server's own first, and its key, both in PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPairFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The certificate in use and the files it comes from.
pub struct Certificate {
    files: KeyPairFiles,
    current: RwLock<Arc<CertifiedKey>>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn load(files: KeyPairFiles) -> Result<Arc<Self>, String> {
        let current = RwLock::new(Arc::new(read(&files)?));
        Ok(Arc::new(Self { files, current }))
    }

    /// Reads the files again. Whether they say something new; when they cannot be used, what was in
    /// use stays.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn reload(&self) -> Result<bool, String> {
        let new = read(&self.files)?;
        let mut current = self.current.write().expect("no holder panics");
        let changed = current.cert != new.cert;
        *current = Arc::new(new);
        Ok(changed)
    }

    /// What a port needs to shake hands with it.
    #[must_use]
    pub fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![ALPN.to_vec()];
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().expect("no holder panics")))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn read(files: &KeyPairFiles) -> Result<CertifiedKey, String> {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let chain = read_chain(&files.certificate)?;
    let key_pem = read_small(&files.key)?;
    let private = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|error| format!("{key} has no private key in PEM ({error})"))?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("the key in {key} is not that of the certificate in {certificate}")
        }
        error => format!("{certificate} and {key} cannot be used: {error}"),
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read_small(path)?).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(format!("{shown} has no certificate in PEM")),
        Err(error) => Err(format!("{shown} has no certificate in PEM ({error})")),
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(cannot)?.len();
    if size > FILE_SIZE_BYTES_MAX {
        return Err(format!("{} is too large to be in PEM", path.display()));
    }
    std::fs::read(path).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        folder: tempfile::TempDir,
        files: KeyPairFiles,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let files = KeyPairFiles {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        };
        let fixture = Fixture { folder, files };
        fixture.write("one.example");
        fixture
    }

    impl Fixture {
        fn write(&self, name: &str) {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            std::fs::write(&self.files.certificate, made.cert.pem()).unwrap();
            std::fs::write(&self.files.key, made.signing_key.serialize_pem()).unwrap();
        }
    }

    #[test]
    fn a_new_certificate_takes_the_place_of_the_old_one() {
        let fixture = fixture();
        let certificate = Certificate::load(fixture.files.clone()).unwrap();
        let first = certificate.current.read().unwrap().cert.clone();
        assert_eq!(certificate.reload(), Ok(false));
        fixture.write("two.example");
        assert_eq!(certificate.reload(), Ok(true));
        assert_ne!(certificate.current.read().unwrap().cert, first);
    }

    #[test]
    fn files_that_cannot_be_used_leave_the_old_certificate_and_are_told_in_a_sentence() {
        let fixture = fixture();
        let certificate = Certificate::load(fixture.files.clone()).unwrap();
        let first = certificate.current.read().unwrap().cert.clone();
        let key = std::fs::read(&fixture.files.key).unwrap();
        fixture.write("two.example");
        std::fs::write(&fixture.files.key, key).unwrap();
        let error = certificate.reload().unwrap_err();
        assert!(error.contains("is not that of the certificate"), "{error}");
        std::fs::write(&fixture.files.certificate, "nonsense").unwrap();
        let error = certificate.reload().unwrap_err();
        assert!(error.contains("has no certificate in PEM"), "{error}");
        std::fs::remove_file(&fixture.files.key).unwrap();
        fixture.write("three.example");
        std::fs::write(&fixture.files.key, "nonsense").unwrap();
        let error = certificate.reload().unwrap_err();
        assert!(error.contains("has no private key in PEM"), "{error}");
        assert_eq!(certificate.current.read().unwrap().cert, first);
        drop(fixture.folder);
        assert!(certificate.reload().unwrap_err().contains("cannot read"));
    }
}
