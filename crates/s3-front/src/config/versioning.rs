//! GetBucketVersioning and PutBucketVersioning.

use http::StatusCode;
use strongroom_objects::{Versioning, VersioningChange};

use super::{Answer, Call, document, empty};
use crate::error::{FrontError, Result};
use crate::second_factor;
use crate::xml::{Document, Element, malformed};

const ROOT: &str = "VersioningConfiguration";

/// GetBucketVersioning: empty for a bucket that was never versioned (VE01), and with MFA delete if that
/// was ever set (MF01).
pub async fn get(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let objects = &call.front.objects;
    let (versioning, mfa_delete) = objects.bucket_versioning_state(&bucket).await?;
    let status = match versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some("Enabled"),
        Versioning::Suspended => Some("Suspended"),
    };
    let mfa_delete = mfa_delete.map(|is_on| if is_on { "Enabled" } else { "Disabled" });
    let root = Document::new(ROOT).optional("Status", status);
    Ok(document(root.optional("MfaDelete", mfa_delete)))
}

/// PutBucketVersioning.
pub async fn put(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let change = read(call.document(ROOT)?)?;
    let objects = second_factor::presented(call.front, call.context, &bucket).await?;
    objects.change_bucket_versioning(&bucket, change).await?;
    Ok(empty(StatusCode::OK))
}

/// VE03, MF01.
fn read(root: Element) -> Result<VersioningChange> {
    let mut children = root.into_children()?;
    let status = children.text("Status")?;
    let mfa_delete = match children.text("MfaDelete")?.as_deref() {
        None => None,
        Some("Enabled") => Some(true),
        Some("Disabled") => Some(false),
        Some(_) => return Err(malformed()),
    };
    children.end()?;
    let versioning = read_status(status)?;
    Ok(VersioningChange {
        versioning,
        mfa_delete,
    })
}

fn read_status(status: Option<String>) -> Result<Versioning> {
    match status.as_deref() {
        Some("Enabled") => Ok(Versioning::Enabled),
        Some("Suspended") => Ok(Versioning::Suspended),
        Some(_) => Err(malformed()),
        None => Err(FrontError::bad_request(
            "IllegalVersioningConfigurationException",
            "The Versioning element must be specified",
        )),
    }
}
