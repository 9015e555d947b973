//! Reading certificates again when their files change.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strongroom_base::tasks;
use tokio::sync::watch;

use super::{Certificate, KeyPairFiles};

/// How often the files are looked at: a renewal comes days before the old certificate expires.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// What changes when a file is written anew or replaced, also behind a symbolic link.
type Fingerprint = [Option<(u64, i64, i64, u64)>; 2];

fn fingerprint(files: &KeyPairFiles) -> Fingerprint {
    let of = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        Some((metadata.ino(), seconds, nanoseconds, metadata.size()))
    };
    [of(&files.certificate), of(&files.key)]
}

/// Reads each certificate again when its files change and whenever `hang_up` changes. Runs until the
/// sender of `hang_up` is gone.
pub async fn reload_for_ever(
    certificates: Vec<Arc<Certificate>>,
    mut hang_up: watch::Receiver<u64>,
) {
    let files: Vec<KeyPairFiles> = certificates.iter().map(|one| one.files.clone()).collect();
    let mut seen = look(files.clone()).await;
    loop {
        let asked = match tasks::timeout(LOOK_INTERVAL, hang_up.changed()).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => return,
            Err(_) => false,
        };
        let now = look(files.clone()).await;
        for (index, certificate) in certificates.iter().enumerate() {
            if asked || now[index] != seen[index] {
                reload(Arc::clone(certificate)).await;
            }
        }
        seen = now;
    }
}

async fn look(files: Vec<KeyPairFiles>) -> Vec<Fingerprint> {
    tasks::blocking(move || files.iter().map(fingerprint).collect()).await
}

async fn reload(certificate: Arc<Certificate>) {
    let path = certificate.files.certificate.display().to_string();
    match tasks::blocking(move || certificate.reload()).await {
        Ok(true) => tracing::info!(%path, "a new TLS certificate is in use"),
        Ok(false) => tracing::info!(%path, "the TLS certificate was read again and is the same"),
        Err(error) => {
            tracing::warn!("the TLS certificate in use stays, because {error}");
        }
    }
}
