//! What is noted of a request on its way, for those who only see its answer.

use std::sync::OnceLock;

use strongroom_types::Owner;

use crate::admission::Admitted;
use crate::body::Received;
use crate::target::Target;

/// Filled while the request is handled.
#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) received: Received,
    pub(crate) requester: OnceLock<Owner>,
    pub(crate) admitted: OnceLock<Admitted>,
    /// Known before it is let in, so that what is refused is logged by its name.
    pub(crate) operation: OnceLock<&'static str>,
    /// Set when the connection is encrypted.
    pub(crate) encrypted: OnceLock<()>,
}

impl Noted {
    pub(crate) fn for_access_log(
        &self,
        target: Option<Target>,
        error_code: Option<String>,
    ) -> AccessNotes {
        let (bucket, key) = target.map_or((None, None), |target| (target.bucket, target.key));
        AccessNotes {
            requester: self.requester.get().map(ToString::to_string),
            bucket,
            key,
            error_code,
        }
    }
}

/// An extension of every answer: what an access log says of the request besides what is in its head.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccessNotes {
    /// Canonical id of the account whose signature held.
    pub requester: Option<String>,
    pub bucket: Option<String>,
    pub key: Option<String>,
    /// S3's code of the error it was answered with.
    pub error_code: Option<String>,
}
