//! The calls about devices for MFA delete, over the domain.

use strongroom_admin_api::{
    ApiError, MFA_PAGE_DEFAULT, MFA_PAGE_MAX, MfaChanged, MfaConfirmRequest, MfaDevice,
    MfaDevicePage, MfaDeviceRequest, MfaDevicesRequest, MfaEnrolled, Result,
};
use strongroom_objects::{MfaDevice as Device, MfaSerial, Objects, SecondFactor};
use strongroom_types::Owner;

use crate::places::rfc3339;
use crate::service::{limit, refusal};

/// Between owner and serial in a place of a list: an owner does not have it.
const SEPARATOR: char = '/';

pub(crate) async fn devices(
    objects: &Objects,
    request: MfaDevicesRequest,
) -> Result<MfaDevicePage> {
    let after = request.after.as_deref().map(place).transpose()?;
    let limit = limit(request.limit, MFA_PAGE_DEFAULT, MFA_PAGE_MAX)? as usize;
    let page = objects.list_mfa_devices(after.as_ref(), limit).await;
    let page = page.map_err(refusal)?;
    let next = page.next;
    Ok(MfaDevicePage {
        devices: page.devices.into_iter().map(wire_device).collect(),
        next: next.map(|(owner, serial)| format!("{owner}{SEPARATOR}{}", serial.as_str())),
    })
}

pub(crate) async fn enroll(objects: &Objects, request: MfaDeviceRequest) -> Result<MfaEnrolled> {
    let (owner, serial) = named(&request.owner, &request.serial)?;
    let enrolled = objects.enroll_mfa_device(&owner, &serial).await;
    let enrolled = enrolled.map_err(refusal)?;
    Ok(MfaEnrolled {
        owner: request.owner,
        serial: request.serial,
        secret: enrolled.secret,
        uri: enrolled.uri,
    })
}

pub(crate) async fn confirm(objects: &Objects, request: MfaConfirmRequest) -> Result<MfaChanged> {
    let (owner, serial) = named(&request.owner, &request.serial)?;
    let factor = SecondFactor {
        serial,
        code: request.code,
    };
    let confirmed = objects.confirm_mfa_device(&owner, &factor).await;
    confirmed.map_err(refusal)?;
    Ok(MfaChanged {
        owner: request.owner,
        serial: request.serial,
    })
}

pub(crate) async fn remove(objects: &Objects, request: MfaDeviceRequest) -> Result<MfaChanged> {
    let (owner, serial) = named(&request.owner, &request.serial)?;
    let removed = objects.remove_mfa_device(&owner, &serial).await;
    removed.map_err(refusal)?;
    Ok(MfaChanged {
        owner: request.owner,
        serial: request.serial,
    })
}

fn named(owner: &str, serial: &str) -> Result<(Owner, MfaSerial)> {
    let owner = Owner::new(owner);
    let owner = owner.map_err(|error| ApiError::invalid(format!("owner: {error}")))?;
    Ok((owner, MfaSerial::new(serial).map_err(refusal)?))
}

fn place(text: &str) -> Result<(Owner, MfaSerial)> {
    let other = || ApiError::invalid("after: use `next` of the page before, as it was");
    let (owner, serial) = text.split_once(SEPARATOR).ok_or_else(other)?;
    named(owner, serial).map_err(|_| other())
}

fn wire_device(device: Device) -> MfaDevice {
    MfaDevice {
        owner: device.owner.to_string(),
        serial: device.serial.as_str().to_owned(),
        enrolled: rfc3339(device.enrolled),
        confirmed: device.confirmed,
        wrong_codes: device.wrong_codes,
        silent_until: device.silent_until.map(rfc3339),
    }
}
