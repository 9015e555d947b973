//! The two ports as the settings want them: bound, with TLS where asked for, and what an operator
//! should know about them.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use prometheus::Registry;
use strongroom_base::Clock;

use crate::Failure;
use crate::http_port::{Patience, Port, PortRules};
use crate::port_metrics::{PortCounters, PortMetrics};
use crate::request_metrics::{RequestMetrics, bytes_unshown};
use crate::settings::{BadSettings, Settings};
use crate::tls::{Certificate, KeyPairFiles};

/// Most connections of the administration port: a few scrapers, probes and people.
const ADMIN_CONNECTIONS_MAX: usize = 128;
/// Open files of a busy store besides connections: log files of each zone, and segments.
const STORE_FILES: u64 = 12_288;

/// The ports and their certificates.
pub struct Ports {
    pub s3: Port,
    pub admin: Port,
    pub certificates: Vec<Arc<Certificate>>,
}

impl Ports {
    /// Reads or makes certificates and binds both addresses.
    ///
    /// # Errors
    /// A certificate that cannot be used, an address in use.
    pub async fn bind(
        settings: &Settings,
        registry: &Registry,
        metrics: &RequestMetrics,
        clock: &dyn Clock,
    ) -> Result<Self, Failure> {
        if let Some(development) = &settings.tls.development {
            let addresses = [settings.address, settings.admin_address];
            development.make(&addresses, clock).map_err(Failure::Run)?;
        }
        let s3_tls = load("", settings.tls.s3.as_ref())?;
        let admin_tls = if settings.tls.admin == settings.tls.s3 {
            s3_tls.clone()
        } else {
            load("admin_", settings.tls.admin.as_ref())?
        };
        let rules = |connections_max, certificate: &Option<Arc<Certificate>>| PortRules {
            connections_max,
            patience: Patience {
                idle: settings.idle_max,
                head: settings.head_deadline,
                send_idle: settings.send_idle_max,
            },
            tls: certificate.as_ref().map(Certificate::server_config),
        };
        let counters = PortMetrics::new(registry);
        let s3_rules = rules(settings.connections_max, &s3_tls);
        let s3_counters = counters.port("s3", metrics.bytes());
        let s3 = bind("address", settings.address, s3_rules, s3_counters).await?;
        let admin_rules = rules(ADMIN_CONNECTIONS_MAX, &admin_tls);
        let admin_counters = counters.port("admin", bytes_unshown());
        let address = settings.admin_address;
        let admin = bind("admin_address", address, admin_rules, admin_counters).await?;
        let mut certificates: Vec<_> = s3_tls.into_iter().collect();
        if settings.tls.admin != settings.tls.s3 {
            certificates.extend(admin_tls);
        }
        Ok(Self {
            s3,
            admin,
            certificates,
        })
    }
}

fn load(prefix: &str, files: Option<&KeyPairFiles>) -> Result<Option<Arc<Certificate>>, Failure> {
    let Some(files) = files else {
        return Ok(None);
    };
    let certificate = Certificate::load(files.clone()).map_err(|error| {
        BadSettings(format!(
            "{error}; set {prefix}tls_certificate and {prefix}tls_key to a chain and its key in PEM"
        ))
    })?;
    let mode = std::fs::metadata(&files.key).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o007 != 0) {
        let path = files.key.display();
        tracing::warn!("every user of this machine can read the TLS key {path}: chmod o= it");
    }
    Ok(Some(certificate))
}

async fn bind(
    setting: &str,
    address: SocketAddr,
    rules: PortRules,
    counters: PortCounters,
) -> Result<Port, Failure> {
    Port::bind(address, rules, counters).await.map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
            _ => error.to_string(),
        };
        Failure::Run(format!(
            "cannot listen on {address} ({why}): choose another {setting}"
        ))
    })
}

/// Lowers the most connections to what `files_max` open files carry, and says so: with all files
/// open for connections none could be opened for the store, and writes would fail.
pub fn fit_connections(settings: &mut Settings, files_max: Option<u64>) {
    let Some(files_max) = files_max else {
        return;
    };
    let wanted = settings.connections_max as u64 + ADMIN_CONNECTIONS_MAX as u64 + STORE_FILES;
    if files_max >= wanted {
        return;
    }
    let half = usize::try_from(files_max / 2).unwrap_or(usize::MAX).max(1);
    let connections_max = settings.connections_max.min(half);
    tracing::warn!(
        files_max,
        connections_max,
        "few files may be open at once, so at most {connections_max} connections are held: raise \
         the limit on open files to {wanted}"
    );
    settings.connections_max = connections_max;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Layer;

    fn settings() -> Settings {
        Settings::resolve(Layer::default(), None, &Default::default()).unwrap()
    }

    #[test]
    fn few_open_files_leave_half_of_them_to_the_store() {
        let mut few = settings();
        fit_connections(&mut few, Some(1024));
        assert_eq!(few.connections_max, 512);
        let mut many = settings();
        fit_connections(&mut many, Some(1_000_000));
        fit_connections(&mut many, None);
        assert_eq!(many.connections_max, settings().connections_max);
    }
}
