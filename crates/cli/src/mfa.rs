//! `mfa`: devices for MFA delete.

use clap::{Args, Subcommand};
use strongroom_admin_api::{MfaConfirmRequest, MfaDevice, MfaDeviceRequest, MfaDevicesRequest};

use crate::command::Connect;
use crate::disk::shown;
use crate::show::{Table, escaped};
use crate::{Admin, CliError};

/// What `mfa` does.
#[derive(Debug, Subcommand)]
pub enum Mfa {
    /// Enroll a device for an account; its secret is shown this once
    Enroll(MfaOne),
    /// Confirm a device by the code it shows: from then on it counts
    Confirm(MfaConfirm),
    /// List the devices of all accounts
    List(Connect),
    /// Forget a device
    Remove(MfaOne),
}

/// A device of an account.
#[derive(Debug, Args)]
pub struct MfaOne {
    /// Its name within the account, which clients send as its serial
    pub serial: String,
    /// Canonical id of the account, as `bucket` shows the owner
    #[arg(long, value_name = "ID")]
    pub owner: String,
    #[command(flatten)]
    pub connect: Connect,
}

/// What `mfa confirm` takes.
#[derive(Debug, Args)]
pub struct MfaConfirm {
    /// Its name within the account
    pub serial: String,
    /// What it shows now
    pub code: String,
    /// Canonical id of the account
    #[arg(long, value_name = "ID")]
    pub owner: String,
    #[command(flatten)]
    pub connect: Connect,
}

impl Mfa {
    /// How the server is reached.
    #[must_use]
    pub const fn connect(&self) -> &Connect {
        match self {
            Self::Enroll(flags) | Self::Remove(flags) => &flags.connect,
            Self::Confirm(flags) => &flags.connect,
            Self::List(connect) => connect,
        }
    }
}

pub(crate) async fn mfa(admin: &Admin, flags: &Mfa) -> Result<String, CliError> {
    let json = flags.connect().json;
    match flags {
        Mfa::Enroll(one) => {
            let enrolled = admin.mfa_enroll(&request(one)).await?;
            let serial = escaped(&enrolled.serial);
            Ok(shown(json, &enrolled, || {
                format!(
                    "Give this to an authenticator; it is not shown again:\n\n  {}\n\nor by hand: {}\n\n\
                     Then run `strongroom mfa confirm {serial} CODE --owner {}` with the code it shows.\n",
                    enrolled.uri,
                    enrolled.secret,
                    escaped(&enrolled.owner),
                )
            }))
        }
        Mfa::Confirm(confirm) => {
            let request = MfaConfirmRequest {
                owner: confirm.owner.clone(),
                serial: confirm.serial.clone(),
                code: confirm.code.clone(),
            };
            let changed = admin.mfa_confirm(&request).await?;
            Ok(shown(json, &changed, || {
                format!("{} counts from now on.\n", escaped(&changed.serial))
            }))
        }
        Mfa::List(_) => list(admin, json).await,
        Mfa::Remove(one) => {
            let changed = admin.mfa_remove(&request(one)).await?;
            Ok(shown(json, &changed, || {
                format!("{} is forgotten.\n", escaped(&changed.serial))
            }))
        }
    }
}

fn request(one: &MfaOne) -> MfaDeviceRequest {
    MfaDeviceRequest {
        owner: one.owner.clone(),
        serial: one.serial.clone(),
    }
}

async fn list(admin: &Admin, json: bool) -> Result<String, CliError> {
    let mut devices = Vec::new();
    let mut request = MfaDevicesRequest::default();
    loop {
        let page = admin.mfa_devices(&request).await?;
        devices.extend(page.devices);
        match page.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    Ok(shown(json, &devices, || list_text(&devices)))
}

fn list_text(devices: &[MfaDevice]) -> String {
    let mut table = Table::new(
        &["OWNER", "SERIAL", "ENROLLED", "STATE", "WRONG CODES"],
        &[4],
    );
    for device in devices {
        let state = match (&device.silent_until, device.confirmed) {
            (Some(until), _) => format!("silent until {until}"),
            (None, true) => "counts".to_owned(),
            (None, false) => "waits for its first code".to_owned(),
        };
        table.row(vec![
            device.owner.clone(),
            device.serial.clone(),
            device.enrolled.clone(),
            state,
            device.wrong_codes.to_string(),
        ]);
    }
    table.text_or("no devices")
}
