//! GetBucketVersioning and PutBucketVersioning.

use http::StatusCode;
use strongroom_objects::Versioning;

use super::{Answer, Call, document, empty};
use crate::error::{FrontError, Result};
use crate::xml::{Document, Element, malformed};

const ROOT: &str = "VersioningConfiguration";

/// GetBucketVersioning: empty for a bucket that was never versioned (VE01).
pub async fn get(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let status = match call.front.objects.bucket_versioning(&bucket).await? {
        Versioning::Never => None,
        Versioning::Enabled => Some("Enabled"),
        Versioning::Suspended => Some("Suspended"),
    };
    Ok(document(Document::new(ROOT).optional("Status", status)))
}

/// PutBucketVersioning.
pub async fn put(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let versioning = read(call.document(ROOT)?)?;
    call.front
        .objects
        .put_bucket_versioning(&bucket, versioning)
        .await?;
    Ok(empty(StatusCode::OK))
}

/// VE03. There is no second factor for deletes yet: asking for one is refused, and saying that there
/// is none is right (MF05).
fn read(root: Element) -> Result<Versioning> {
    let mut children = root.into_children()?;
    let status = children.text("Status")?;
    let second_factor = children.text("MfaDelete")?;
    children.end()?;
    match second_factor.as_deref() {
        None | Some("Disabled") => {}
        Some("Enabled") => return Err(FrontError::not_implemented("MfaDelete")),
        Some(_) => return Err(malformed()),
    }
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
