//! Second factors: the devices of an account, and the code that comes with a request (RFC 0015).

use strongroom_base::Timestamp;
use strongroom_types::{BucketName, Owner};

use crate::decide::{self, CodePurpose, CodeUse};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{MfaDeviceRecord, RecordFormat, keys};
use crate::totp::{self, SECRET_SIZE_BYTES, Secret};

/// Longest serial: people type it, and an ARN of a device fits.
pub const MFA_SERIAL_SIZE_BYTES_MAX: usize = 64;
/// Most devices of one page of a list.
pub const MFA_DEVICES_PAGE_MAX: usize = 1000;

/// Name of a device within its account: 1 to 64 letters, digits and `-_.:/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MfaSerial(String);

impl MfaSerial {
    /// Checks the form.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn new(text: &str) -> Result<Self> {
        let fits = (1..=MFA_SERIAL_SIZE_BYTES_MAX).contains(&text.len());
        let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
        if fits && text.bytes().all(is_of_it) {
            return Ok(Self(text.to_owned()));
        }
        let message = "a serial has 1 to 64 letters, digits and characters of -_.:/";
        Err(Error::invalid_argument("serial", text, message))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What `x-amz-mfa` holds.
#[derive(Clone)]
pub struct SecondFactor {
    pub serial: MfaSerial,
    pub code: String,
}

impl SecondFactor {
    /// A serial, a space and a code.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (serial, code) = text.split_once(' ')?;
        Some(Self {
            serial: MfaSerial::new(serial).ok()?,
            code: code.to_owned(),
        })
    }
}

/// What is shown once of a device that was enrolled.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolledDevice {
    /// As authenticators take it by hand.
    pub secret: String,
    /// As authenticators take it as a picture.
    pub uri: String,
}

/// What is known of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MfaDevice {
    pub owner: Owner,
    pub serial: MfaSerial,
    pub enrolled: Timestamp,
    pub confirmed: bool,
    /// Since the last good code.
    pub wrong_codes: u32,
    /// When it answers again, if that is not now.
    pub silent_until: Option<Timestamp>,
}

/// A page of devices.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MfaDevicesPage {
    pub devices: Vec<MfaDevice>,
    /// Where the next page begins; none at the end.
    pub next: Option<(Owner, MfaSerial)>,
}

impl Objects {
    /// Enrolls a device for an account. It counts once a code confirmed it.
    ///
    /// # Errors
    /// `InvalidRequest` when the account has it, or as many as it may have.
    pub async fn enroll_mfa_device(
        &self,
        owner: &Owner,
        serial: &MfaSerial,
    ) -> Result<EnrolledDevice> {
        let mut bytes = [0; SECRET_SIZE_BYTES];
        self.random.fill(&mut bytes);
        let (now, secret) = (self.clock.now(), Secret(bytes));
        let text = totp::base32(&bytes);
        let label = serial.as_str().replace('/', "%2F").replace(':', "%3A");
        let uri = format!("otpauth://totp/Strongroom:{label}?secret={text}&issuer=Strongroom");
        let (owner, serial) = (owner.clone(), serial.clone());
        self.decide(move |reads| decide::enroll_device(reads, &owner, &serial, &secret, now))
            .await?;
        Ok(EnrolledDevice { secret: text, uri })
    }

    /// Confirms a device by a first code of it, which is used up.
    ///
    /// # Errors
    /// `InvalidRequest` with the reason.
    pub async fn confirm_mfa_device(&self, owner: &Owner, factor: &SecondFactor) -> Result<()> {
        let used = self.use_code(owner, factor, CodePurpose::Confirm).await?;
        let message = match used {
            CodeUse::Accepted => return Ok(()),
            CodeUse::NoDevice => "no device with this serial waits for its first code",
            CodeUse::Used => "the code was used before: wait for the next one",
            CodeUse::Wrong => "the code is wrong: look at the clocks of the server and the device",
            CodeUse::Silent => "too many wrong codes: remove the device and enroll it again",
        };
        Err(Error::invalid_request(message))
    }

    /// Forgets a device.
    ///
    /// # Errors
    /// `InvalidRequest` when there is none.
    pub async fn remove_mfa_device(&self, owner: &Owner, serial: &MfaSerial) -> Result<()> {
        let (owner, serial) = (owner.clone(), serial.clone());
        self.decide(move |reads| decide::remove_device(reads, &owner, &serial))
            .await
    }

    /// A page of the devices of all accounts, in the order of owners and serials.
    ///
    /// # Errors
    /// Of the store.
    pub async fn list_mfa_devices(
        &self,
        after: Option<&(Owner, MfaSerial)>,
        limit: usize,
    ) -> Result<MfaDevicesPage> {
        let after = after.map(|(owner, serial)| keys::mfa_device(owner, serial));
        let limit = limit.clamp(1, MFA_DEVICES_PAGE_MAX);
        let prefix = keys::mfa_devices();
        let page = self.meta.scan(&prefix, after.as_deref(), limit).await?;
        let now = self.clock.now();
        let mut devices = Vec::with_capacity(page.records.len());
        for (key, record) in &page.records {
            let (owner, serial) = keys::mfa_device_of(key).ok_or_else(|| Error::Corrupt {
                message: "bad key of a device".into(),
            })?;
            let device = MfaDeviceRecord::decode(&record.value)?;
            devices.push(MfaDevice {
                owner,
                serial,
                enrolled: device.enrolled,
                confirmed: device.confirmed,
                wrong_codes: device.wrong_codes,
                silent_until: Some(device.silent_until).filter(|until| *until > now),
            });
        }
        let last = devices.last().filter(|_| page.more);
        let next = last.map(|device| (device.owner.clone(), device.serial.clone()));
        Ok(MfaDevicesPage { devices, next })
    }

    /// The domain with the second factor of a request to this bucket. The code is used up by that,
    /// whatever becomes of the request.
    ///
    /// # Errors
    /// `AccessDenied` when the code is not good (MF02), and those of reaching the bucket.
    pub async fn with_second_factor(
        &self,
        bucket: &BucketName,
        factor: &SecondFactor,
    ) -> Result<Self> {
        let (_, record) = self.bucket(bucket).await?;
        let used = self
            .use_code(&record.owner, factor, CodePurpose::Request)
            .await?;
        if used != CodeUse::Accepted {
            let serial = factor.serial.as_str();
            tracing::warn!(bucket = %bucket, serial, reason = ?used, "a second factor was refused");
            return Err(Error::AccessDenied);
        }
        Ok(Self {
            second_factor_of: Some(record.owner),
            ..self.clone()
        })
    }

    async fn use_code(
        &self,
        owner: &Owner,
        factor: &SecondFactor,
        purpose: CodePurpose,
    ) -> Result<CodeUse> {
        let (owner, factor, now) = (owner.clone(), factor.clone(), self.clock.now());
        self.decide(move |reads| {
            let given = (&factor.serial, &*factor.code);
            decide::use_code(reads, &owner, given, purpose, now)
        })
        .await
    }
}
