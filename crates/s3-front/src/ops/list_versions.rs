//! ListObjectVersions: versions and delete markers in one order (VE25).

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};
use s3s::dto::EncodingType;
use strongroom_objects::{ListVersions, ListVersionsOutput, ListedContent, ListedVersion};
use strongroom_types::VersionId;

use super::list_objects::shown_max;
use super::{KeyEncoding, given, wire_owner};
use crate::config::{Answer, Call};
use crate::context::RequestContext;
use crate::convert::{page_size, version_id};
use crate::error::{FrontError, Result};
use crate::response::FrontBody;
use crate::route::Operation;
use crate::time_format::document_date;
use crate::xml::Document;
use crate::xml_answer::as_s3_has_it;

/// ListObjectVersions.
pub async fn run(call: &Call<'_>) -> Answer {
    let parameter = |name: &str| call.target.parameter(name).map(str::to_owned);
    let encoding = parameter("encoding-type").map(EncodingType::from);
    let encoding = KeyEncoding::new(encoding.as_ref())?;
    let keys_max = keys_max(parameter("max-keys").as_deref())?;
    let key_marker = parameter("key-marker").unwrap_or_default();
    let marker = parameter("version-id-marker");
    let bucket = call.bucket()?;
    let prefix = parameter("prefix").unwrap_or_default();
    let delimiter = given(parameter("delimiter"));
    let request = ListVersions {
        bucket: bucket.clone(),
        prefix: prefix.clone(),
        delimiter: delimiter.clone(),
        key_marker: key_marker.clone(),
        version_id_marker: version_id_marker(marker.as_deref(), &key_marker)?,
        keys_max,
    };
    let page = call.front.objects.list_versions(request).await?;
    let head = Document::new("ListVersionsResult")
        .element("Name", bucket.as_str())
        .element_of_key("Prefix", &encoding.write(&prefix))
        .element_of_key("KeyMarker", &encoding.write(&key_marker))
        .element("VersionIdMarker", marker.as_deref().unwrap_or(""))
        .element("MaxKeys", &shown_max(keys_max).to_string());
    let head = match &delimiter {
        Some(delimiter) => head.element_of_key("Delimiter", &encoding.write(delimiter)),
        None => head,
    };
    let kind = encoding.wire().map(|kind| kind.as_str().to_owned());
    let head = head.optional("EncodingType", kind.as_deref());
    Ok(answer(write(head, page, call.context, encoding)))
}

fn answer(document: Document) -> Response<FrontBody> {
    let document = Bytes::from(document.finish());
    let document = as_s3_has_it(Operation::ListObjectVersions, document);
    let mut response = Response::new(FrontBody::new(s3s::Body::from(document)));
    let xml = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(header::CONTENT_TYPE, xml);
    response
}

fn keys_max(text: Option<&str>) -> Result<u32> {
    let name = "max-keys";
    let parse = |text: &str| {
        text.parse::<i32>().map_err(|_| {
            let message = "provided value is not an integer or not within integer range";
            FrontError::invalid_argument(name, text, message)
        })
    };
    page_size(name, text.map(parse).transpose()?)
}

/// VE27. An empty one is none.
fn version_id_marker(marker: Option<&str>, key_marker: &str) -> Result<Option<VersionId>> {
    let Some(marker) = marker else {
        return Ok(None);
    };
    let name = "version-id-marker";
    let invalid = |message: &str| FrontError::invalid_argument(name, marker, message);
    if key_marker.is_empty() {
        let message = "a version-id marker cannot be specified without a key marker";
        return Err(invalid(message));
    }
    version_id(Some(marker).filter(|marker| !marker.is_empty()))
        .map_err(|_| invalid("invalid version id specified"))
}

fn write(
    mut out: Document,
    page: ListVersionsOutput,
    context: &RequestContext,
    encoding: KeyEncoding,
) -> Document {
    let truncated = page.next.is_some();
    out = out.element("IsTruncated", bool_text(truncated));
    if let Some((key, version)) = page.next {
        out = out.element_of_key("NextKeyMarker", &encoding.write(&key));
        let version = version.map(|id| id.to_string());
        out = out.optional("NextVersionIdMarker", version.as_deref());
    }
    for version in &page.versions {
        out = entry(out, version, context, encoding);
    }
    for prefix in &page.common_prefixes {
        out = out
            .open("CommonPrefixes")
            .element_of_key("Prefix", &encoding.write(prefix))
            .close();
    }
    out
}

fn entry(
    out: Document,
    version: &ListedVersion,
    context: &RequestContext,
    encoding: KeyEncoding,
) -> Document {
    let out = match &version.object {
        Some(object) => content(out.open("Version"), object),
        None => out.open("DeleteMarker"),
    };
    let owner = wire_owner(context, &version.owner);
    out.element_of_key("Key", &encoding.write(version.key.as_str()))
        .element("VersionId", &version.version_id.to_string())
        .element("IsLatest", bool_text(version.is_latest))
        .element("LastModified", &document_date(version.last_modified))
        .open("Owner")
        .optional("DisplayName", owner.display_name.as_deref())
        .optional("ID", owner.id.as_deref())
        .close()
        .close()
}

fn content(out: Document, object: &ListedContent) -> Document {
    let algorithm = object.checksum_algorithm.map(|algorithm| algorithm.name());
    let kind = object.checksum_type.map(|kind| kind.name());
    out.element("ETag", &object.etag.quoted())
        .element("Size", &object.size.to_string())
        .element("StorageClass", &object.storage_class)
        .optional("ChecksumAlgorithm", algorithm)
        .optional("ChecksumType", kind)
}

const fn bool_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
