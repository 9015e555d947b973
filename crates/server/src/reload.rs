//! The accounts of the settings file, read again at SIGHUP without a restart.
//!
//! Only the accounts: every other setting of the file is in force until the process ends. A file that
//! is wrong changes nothing, so that a slip of the pen locks nobody out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_admin_server::RootCredentials;
use strongroom_base::tasks;
use strongroom_s3_front::{Credentials, SharedCredentials};
use tokio::sync::watch;

use crate::settings::{Accounts, BadSettings};

/// Reads the accounts of `file` at every hang-up, for as long as the process serves. Without a file
/// there is nothing to read.
pub async fn accounts_for_ever(
    file: Option<PathBuf>,
    root: RootCredentials,
    shared: Arc<SharedCredentials>,
    mut hang_ups: watch::Receiver<u64>,
) {
    let Some(file) = file else {
        return;
    };
    while hang_ups.changed().await.is_ok() {
        let (file, root) = (file.clone(), root.clone());
        match tasks::blocking(move || read(&file, &root)).await {
            Ok((accounts, credentials)) => {
                let keys = credentials.key_count();
                shared.replace(credentials);
                tracing::info!(accounts, keys, "accounts were read again");
            }
            Err(error) => tracing::error!(
                %error,
                "accounts were not read again, those from before stay in force"
            ),
        }
    }
}

fn read(file: &Path, root: &RootCredentials) -> Result<(usize, Credentials), BadSettings> {
    let accounts = Accounts::read(file)?;
    Ok((accounts.len(), accounts.credentials(root)?))
}
