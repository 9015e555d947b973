//! The settings of TLS, put together from those of the two ports.

use std::path::{Path, PathBuf};

use super::{BadSettings, Layer};
use crate::tls::{Development, KeyPairFiles};

/// With what each port speaks TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsSettings {
    /// The S3 port's; plain HTTP when none.
    pub s3: Option<KeyPairFiles>,
    /// The administration port's; plain HTTP when none.
    pub admin: Option<KeyPairFiles>,
    /// Where the certificate is made at each start, when it is.
    pub development: Option<Development>,
}

impl TlsSettings {
    pub(super) fn from_layer(layer: &Layer, credentials: &Path) -> Result<Self, BadSettings> {
        let s3 = pair("", &layer.tls_certificate, &layer.tls_key)?;
        let admin = pair("admin_", &layer.admin_tls_certificate, &layer.admin_tls_key)?;
        if !layer.tls_development.unwrap_or(false) {
            let admin = admin.or_else(|| s3.clone());
            return Ok(Self {
                s3,
                admin,
                development: None,
            });
        }
        if s3.is_some() || admin.is_some() {
            return Err(BadSettings(
                "tls_development makes a certificate, and one is given as well: give the one or \
                 the other"
                    .to_owned(),
            ));
        }
        let development = Development::beside(credentials);
        let files = Some(development.files());
        Ok(Self {
            s3: files.clone(),
            admin: files,
            development: Some(development),
        })
    }

    /// The certificate that the administration port presents.
    #[must_use]
    pub fn admin_certificate(&self) -> Option<PathBuf> {
        self.admin.as_ref().map(|files| files.certificate.clone())
    }
}

fn pair(
    prefix: &str,
    certificate: &Option<PathBuf>,
    key: &Option<PathBuf>,
) -> Result<Option<KeyPairFiles>, BadSettings> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(KeyPairFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        })),
        (Some(_), None) => Err(BadSettings(format!(
            "{prefix}tls_certificate is given without its key: set {prefix}tls_key as well"
        ))),
        (None, Some(_)) => Err(BadSettings(format!(
            "{prefix}tls_key is given without its certificate: set {prefix}tls_certificate as well"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(layer: &Layer) -> Result<TlsSettings, String> {
        TlsSettings::from_layer(layer, Path::new("/data/credentials")).map_err(|error| error.0)
    }

    fn path(text: &str) -> Option<PathBuf> {
        Some(PathBuf::from(text))
    }

    #[test]
    fn one_certificate_serves_both_ports_unless_the_administration_has_its_own() {
        let mut layer = Layer {
            tls_certificate: path("/c"),
            tls_key: path("/k"),
            ..Layer::default()
        };
        let tls = settings(&layer).unwrap();
        assert_eq!(tls.s3, tls.admin);
        layer.admin_tls_certificate = path("/ac");
        layer.admin_tls_key = path("/ak");
        let tls = settings(&layer).unwrap();
        assert_eq!(tls.admin_certificate(), path("/ac"));
        assert_eq!(settings(&Layer::default()), Ok(TlsSettings::default()));
    }

    #[test]
    fn half_a_certificate_or_two_stop_the_start_with_a_sentence() {
        let certificate = Layer {
            tls_certificate: path("/c"),
            ..Layer::default()
        };
        assert!(
            settings(&certificate)
                .unwrap_err()
                .contains("set tls_key as well")
        );
        let key = Layer {
            admin_tls_key: path("/k"),
            ..Layer::default()
        };
        assert!(
            settings(&key)
                .unwrap_err()
                .contains("set admin_tls_certificate as well")
        );
        let both = Layer {
            tls_certificate: path("/c"),
            tls_key: path("/k"),
            tls_development: Some(true),
            ..Layer::default()
        };
        assert!(
            settings(&both)
                .unwrap_err()
                .contains("the one or the other")
        );
    }
}
