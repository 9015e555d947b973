//! Chooses the backends and puts the store together.

use std::sync::Arc;

use strongroom_admin_server::RootCredentials;
use strongroom_base::{Clock, Random};

use crate::app::Opened;
use crate::settings::Settings;

/// Opens the store.
///
/// # Errors
/// One sentence for the operator.
pub async fn open(
    _settings: Settings,
    _root: RootCredentials,
    _clock: Arc<dyn Clock>,
    _random: Arc<dyn Random>,
) -> Result<Opened, String> {
    Err("this build has no storage engine yet: use a later one".to_owned())
}
