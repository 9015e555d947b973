//! Whom an https endpoint must prove to be.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::CliError;
use crate::pinned::Pinned;
use crate::target::Trust;

/// A configuration that trusts whom it is told to.
///
/// # Errors
/// When the file is no certificate, or there is none to trust.
pub(crate) fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, CliError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Certificate(path) => return pinned_config(path),
        Trust::Authorities(path) => add_file(&mut roots, path)?,
        Trust::Machine => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(CliError::Usage(
            "this machine trusts no certificate: name those of the server with --ca".to_owned(),
        ));
    }
    let config = builder()?.with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

/// A configuration that trusts the first certificate in the file and no other.
fn pinned_config(path: &Path) -> Result<Arc<ClientConfig>, CliError> {
    let shown = path.display();
    let bad = |why: String| CliError::Usage(format!("the certificate {shown}: {why}"));
    let mut chain = CertificateDer::pem_file_iter(path).map_err(|e| bad(e.to_string()))?;
    let first = chain
        .next()
        .ok_or_else(|| bad("the file has none".to_owned()))?;
    let pinned = Pinned {
        certificate: first.map_err(|e| bad(e.to_string()))?,
        provider: provider(),
    };
    let config = builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned));
    Ok(Arc::new(config.with_no_client_auth()))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, CliError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::NoAnswer(format!("TLS can not be set up: {error}")))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), CliError> {
    let shown = path.display();
    let bad = |why: String| CliError::Usage(format!("--ca {shown}: {why}"));
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| bad(e.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        roots.add(certificate).map_err(|e| bad(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate in it".to_owned()));
    }
    Ok(())
}
