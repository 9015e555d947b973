//! Records of the devices that give codes (RFC 0015).

use strongroom_base::Timestamp;

use super::codec::{Decoded, FieldsReader, FieldsWriter, RecordError, RecordFormat};
use crate::totp::Secret;

const FORMAT: u8 = 1;

/// Under its owner and serial: a device, and what is needed so that a code of it works once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MfaDeviceRecord {
    pub secret: Secret,
    pub enrolled: Timestamp,
    /// Whether a first code was given; before that the device counts for nothing.
    pub confirmed: bool,
    /// The step of the last code that was used: only later ones are good.
    pub step_used: Option<u64>,
    /// Since the last good code.
    pub wrong_codes: u32,
    /// No code is looked at before this.
    pub silent_until: Timestamp,
}

impl RecordFormat for MfaDeviceRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .bytes(1, &self.secret.0)
            .u64(2, self.enrolled.0)
            .optional(3, self.confirmed.then_some(1), |out, flag| _ = out.u8(flag))
            .optional(4, self.step_used, |out, step| _ = out.u64(step))
            .u64(5, u64::from(self.wrong_codes))
            .u64(6, self.silent_until.0);
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let secret = fields.bytes(1)?.try_into();
        let record = Self {
            secret: Secret(secret.map_err(|_| RecordError::Invalid("secret"))?),
            enrolled: fields.timestamp(2)?,
            confirmed: fields.flag(3)?,
            step_used: fields.nested(4, |reader| reader.u64())?,
            wrong_codes: u32::try_from(fields.u64(5)?)
                .map_err(|_| RecordError::Invalid("count of wrong codes"))?,
            silent_until: fields.timestamp(6)?,
        };
        fields.finish()?;
        Ok(record)
    }
}
