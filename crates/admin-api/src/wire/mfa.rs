//! Devices that give the second factor of MFA delete.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Devices of a page when no limit is given.
pub const MFA_PAGE_DEFAULT: u32 = 100;
/// Most devices of a page.
pub const MFA_PAGE_MAX: u32 = 1000;

/// Which device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MfaDeviceRequest {
    /// Canonical id of the account, as `owner` of its buckets.
    pub owner: String,
    /// Name of the device within the account: 1 to 64 letters, digits and `-_.:/`.
    pub serial: String,
}

/// A device and its first code.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MfaConfirmRequest {
    /// Canonical id of the account.
    pub owner: String,
    /// Name of the device within the account.
    pub serial: String,
    /// What it shows now.
    pub code: String,
}

/// A device that was enrolled: shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MfaEnrolled {
    pub owner: String,
    pub serial: String,
    /// In base32, to be typed into an authenticator.
    pub secret: String,
    /// The same as an `otpauth://` URI, to be shown as a picture.
    pub uri: String,
}

/// A device that was confirmed or removed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MfaChanged {
    pub owner: String,
    pub serial: String,
}

/// Which devices.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MfaDevicesRequest {
    /// Only what follows this place: `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// Most devices of the page.
    #[serde(default)]
    #[schemars(range(min = 1, max = MFA_PAGE_MAX))]
    pub limit: Option<u32>,
}

/// A device; its secret is shown nowhere.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct MfaDevice {
    /// Canonical id of the account.
    pub owner: String,
    pub serial: String,
    /// When it was enrolled.
    pub enrolled: String,
    /// Whether a first code was given; before that it counts for nothing.
    pub confirmed: bool,
    /// Since the last good code.
    pub wrong_codes: u32,
    /// Until when no code of it is looked at; absent when it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_until: Option<String>,
}

/// A page of devices.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct MfaDevicePage {
    pub devices: Vec<MfaDevice>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
