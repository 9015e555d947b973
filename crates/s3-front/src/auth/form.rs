//! Signature Version 4 in the fields of a form: what is signed is its policy.
//!
//! The browser that sends the form has no key. Whoever has one signed, beforehand, a policy that says
//! which forms are his; that the form is one of them is [`crate::form::policy`]'s to check.

use super::credentials::Caller;
use super::scope::{AmzDate, Scope};
use super::signing::{ALGORITHM, Signature, SigningKey};
use super::{
    Authenticator, CLOCK_SKEW_SECONDS_MAX, Claim, PRESIGNED_EXPIRY_SECONDS_MAX, UNSIGNED,
    does_not_match, old_signature, query_error, unknown_key,
};
use crate::error::{FrontError, Result};
use crate::form::fields::Fields;

/// Fields that carry the signature, in lower case. None is a header, and none is rewritten.
pub const FORM_AUTH_FIELDS: [&str; 5] = [
    "policy",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-signature",
];

impl Authenticator<'_> {
    /// Who signed the policy of a form.
    ///
    /// # Errors
    /// `AccessDenied` for a form without signature or with one of another time, `InvalidArgument`
    /// for a missing field, and otherwise as [`Authenticator::verify`].
    pub fn verify_form(&self, fields: &Fields) -> Result<Caller> {
        let claim = form_claim(fields)?;
        self.check_scope(&claim)?;
        self.check_age(claim.date.seconds)?;
        let policy = fields.get("policy").unwrap_or("");
        let changes = self.credentials.changes();
        self.keys.follow(changes);
        let access_key = claim.scope.access_key.clone();
        let Some(credential) = self.credentials.look_up(&access_key) else {
            let key = SigningKey::new(self.keys.decoy(&claim.scope), &claim.scope, &claim.date);
            let _ = key.verifies_policy(policy, claim.signature);
            return Err(unknown_key(&access_key));
        };
        let scope_key = self.keys.key(&credential.secret_key, &claim.scope);
        let key = SigningKey::new(scope_key.key.clone(), &claim.scope, &claim.date);
        if !key.verifies_policy(policy, claim.signature) {
            return Err(does_not_match());
        }
        self.keys
            .keep(&scope_key, &credential.secret_key, &claim.scope, changes);
        Ok(Caller {
            account: credential.account,
            access_key,
        })
    }

    /// A signing key is good for seven days; within them the policy says when it expires.
    fn check_age(&self, date_seconds: i64) -> Result<()> {
        let now = self.now_seconds();
        if date_seconds > now + CLOCK_SKEW_SECONDS_MAX {
            return Err(FrontError::denied("request is not valid yet"));
        }
        if now > date_seconds + PRESIGNED_EXPIRY_SECONDS_MAX {
            return Err(FrontError::denied(
                "Invalid according to Policy: Policy expired.",
            ));
        }
        Ok(())
    }
}

fn form_claim(fields: &Fields) -> Result<Claim> {
    if fields.get("x-amz-security-token").is_some() {
        return Err(FrontError::bad_request(
            "InvalidToken",
            "the provided token is malformed or otherwise invalid",
        ));
    }
    if fields.get("awsaccesskeyid").is_some() || fields.get("signature").is_some() {
        return Err(old_signature());
    }
    if FORM_AUTH_FIELDS
        .iter()
        .all(|name| fields.get(name).is_none())
    {
        return Err(FrontError::denied("access denied: the form is not signed"));
    }
    let mut values = [""; FORM_AUTH_FIELDS.len()];
    for (slot, name) in values.iter_mut().zip(FORM_AUTH_FIELDS) {
        *slot = fields.get(name).ok_or_else(|| {
            let message = format!("Bucket POST must contain a field named '{name}'");
            FrontError::invalid_argument(name, "", message)
        })?;
    }
    let [_, algorithm, credential, date, signature] = values;
    if algorithm != ALGORITHM {
        return Err(query_error(
            "X-Amz-Algorithm only supports AWS4-HMAC-SHA256",
        ));
    }
    Ok(Claim {
        scope: Scope::parse(credential)
            .ok_or_else(|| query_error("X-Amz-Credential is malformed"))?,
        date: AmzDate::parse(date)
            .ok_or_else(|| query_error("X-Amz-Date must be in the form yyyyMMdd'T'HHmmss'Z'"))?,
        signed_headers: Vec::new(),
        signature: Signature::parse(signature).ok_or_else(does_not_match)?,
        payload_hash: UNSIGNED.to_owned(),
        presigned: true,
    })
}
