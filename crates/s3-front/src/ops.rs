//! The operations: each reads its input, calls the domain, and writes its answer.

pub mod acl;
pub mod bucket;
pub mod complete_upload;
pub mod copy_object;
pub mod create_bucket;
pub mod create_upload;
pub mod delete_object;
pub mod get_object;
pub mod list_buckets;
pub mod list_objects;
pub mod list_parts;
pub mod list_uploads;
pub mod list_versions;
pub mod object_attributes;
pub mod overrides;
pub mod post_object;
pub mod put_object;
pub mod upload_part;
pub mod upload_part_copy;

use s3s::S3Response;
use s3s::dto::{EncodingType, Initiator, Owner as WireOwner};
use strongroom_types::Owner;

use crate::context::RequestContext;
use crate::error::{FrontError, Result};
use crate::target::percent_encode;

/// Result of an operation.
pub type Answer<T> = Result<S3Response<T>>;

/// An owner as answers show it. The name for people is known of the caller's own account.
fn wire_owner(context: &RequestContext, owner: &Owner) -> WireOwner {
    WireOwner {
        display_name: display_name(context, owner),
        id: Some(owner.as_str().to_owned()),
    }
}

fn wire_initiator(context: &RequestContext, owner: &Owner) -> Initiator {
    Initiator {
        display_name: display_name(context, owner),
        id: Some(owner.as_str().to_owned()),
    }
}

fn display_name(context: &RequestContext, owner: &Owner) -> Option<String> {
    let account = &context.caller.account;
    let name = account.display_name.as_ref();
    name.filter(|_| account.owner() == *owner)
        .map(ToString::to_string)
}

/// A list's parameter that says something: S3 takes an empty delimiter for none and shows none.
fn given(parameter: Option<String>) -> Option<String> {
    parameter.filter(|text| !text.is_empty())
}

/// How a list writes keys: as they are, or escaped so that XML can hold them.
#[derive(Clone, Copy)]
struct KeyEncoding {
    url: bool,
}

impl KeyEncoding {
    fn new(encoding: Option<&EncodingType>) -> Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some("url") => Ok(Self { url: true }),
            Some(other) => Err(FrontError::invalid_argument(
                "encoding-type",
                other,
                "invalid encoding method specified in request",
            )),
        }
    }

    fn write(self, text: &str) -> String {
        if self.url {
            percent_encode(text, true)
        } else {
            text.to_owned()
        }
    }

    fn wire(self) -> Option<EncodingType> {
        self.url
            .then(|| EncodingType::from_static(EncodingType::URL))
    }
}
