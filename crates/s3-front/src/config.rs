//! Configurations: tags, CORS, websites, and everything else a bucket can be asked about.
//!
//! They are small documents, read whole and strictly ([`crate::xml`]), so they do not go through
//! `s3s`. What is not there yet answers as S3 answers for a bucket without it, and putting it is
//! refused: a configuration that protects data must never be accepted and forgotten (PR13).

mod bucket_tagging;
mod cors;
mod fixed;
mod object_lock;
mod object_tagging;
mod versioning;
mod website;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use strongroom_objects::{ConfigKind, Tags};
use strongroom_types::BucketName;

use crate::context::RequestContext;
use crate::convert::bucket_name;
use crate::digests;
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::ops::list_versions;
use crate::response::{FrontBody, text_body};
use crate::route::Operation;
use crate::target::Target;
use crate::xml::{self, Children, Document, Element};

/// Largest document of a configuration. A record holds no more than its document, and a value of
/// the store at most 256 KiB; fifty tags of the longest texts, as XML references, have less.
const DOCUMENT_SIZE_BYTES_MAX: usize = 192 * 1024;

/// A request for a configuration.
pub struct Call<'a> {
    pub front: &'a S3Front,
    pub context: &'a RequestContext,
    pub target: &'a Target,
    pub operation: Operation,
}

/// What an operation answers.
pub(crate) type Answer = Result<Response<FrontBody>>;

/// Answers the request, if it is for a configuration.
pub async fn answer(call: &Call<'_>) -> Option<Answer> {
    use Operation as O;
    let answer = match call.operation {
        O::GetObjectTagging => object_tagging::get(call).await,
        O::PutObjectTagging => object_tagging::put(call).await,
        O::DeleteObjectTagging => object_tagging::delete(call).await,
        O::GetBucketVersioning => versioning::get(call).await,
        O::PutBucketVersioning => versioning::put(call).await,
        O::GetObjectLockConfiguration => object_lock::get_configuration(call).await,
        O::PutObjectLockConfiguration => object_lock::put_configuration(call).await,
        O::GetObjectRetention => object_lock::get_retention(call).await,
        O::PutObjectRetention => object_lock::put_retention(call).await,
        O::GetObjectLegalHold => object_lock::get_legal_hold(call).await,
        O::PutObjectLegalHold => object_lock::put_legal_hold(call).await,
        O::ListObjectVersions => list_versions::run(call).await,
        O::GetBucketTagging => bucket_tagging::get(call).await,
        O::PutBucketTagging => bucket_tagging::put(call).await,
        O::DeleteBucketTagging => call.delete_config::<Tags>().await,
        O::GetBucketCors => cors::get(call).await,
        O::PutBucketCors => cors::put(call).await,
        O::DeleteBucketCors => cors::delete(call).await,
        O::GetBucketWebsite => website::get(call).await,
        O::PutBucketWebsite => website::put(call).await,
        O::DeleteBucketWebsite => website::delete(call).await,
        _ => return fixed::answer(call).await,
    };
    Some(answer)
}

impl Call<'_> {
    pub(crate) fn bucket(&self) -> Result<BucketName> {
        bucket_name(self.target.bucket.clone().unwrap_or_default())
    }

    /// The document of a put, whose root has this name. It must come with a digest (PR04).
    fn document(&self, root: &str) -> Result<Element> {
        // S3 demands none for notifications, and SDKs send none.
        if self.operation != Operation::PutBucketNotificationConfiguration {
            digests::demand(&self.context.headers)?;
        }
        let content = &self.context.content;
        if content.len() > DOCUMENT_SIZE_BYTES_MAX {
            let message = "your request was too big";
            return Err(FrontError::bad_request("MaxMessageLengthExceeded", message)
                .with("MaxMessageLengthBytes", DOCUMENT_SIZE_BYTES_MAX.to_string()));
        }
        xml::parse(content, root)
    }

    async fn delete_config<C: strongroom_objects::BucketConfig>(&self) -> Answer {
        let bucket = self.bucket()?;
        self.front
            .objects
            .delete_bucket_config::<C>(&bucket)
            .await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

fn empty(status: StatusCode) -> Response<FrontBody> {
    let mut response = Response::new(text_body(""));
    *response.status_mut() = status;
    response
}

fn document(document: Document) -> Response<FrontBody> {
    let mut response = Response::new(text_body(document.finish()));
    let xml = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(header::CONTENT_TYPE, xml);
    response
}

/// S3's code and message for a configuration that is not there.
pub(crate) const fn not_configured(kind: ConfigKind) -> (&'static str, &'static str) {
    match kind {
        ConfigKind::Tagging => ("NoSuchTagSet", "The TagSet does not exist"),
        ConfigKind::Cors => (
            "NoSuchCORSConfiguration",
            "The CORS configuration does not exist",
        ),
        ConfigKind::Website => (
            "NoSuchWebsiteConfiguration",
            "The specified bucket does not have a website configuration",
        ),
        ConfigKind::ObjectLock => (
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
        ),
    }
}

/// Reads the `Tag` elements of `set`.
pub(crate) fn read_tags(set: Element) -> Result<Vec<(String, String)>> {
    let mut children = set.into_children()?;
    let tags = children.all("Tag").into_iter().map(|tag| {
        let mut children = tag.into_children()?;
        let key = children.one("Key")?.into_text()?;
        let value = children.one("Value")?.into_text()?;
        children.end()?;
        Ok((key, value))
    });
    let tags = tags.collect::<Result<Vec<_>>>()?;
    children.end()?;
    Ok(tags)
}

/// The tags of a `Tagging` document.
fn read_tagging(call: &Call<'_>) -> Result<Vec<(String, String)>> {
    tags_of(call.document("Tagging")?)
}

/// The tags of the root of a `Tagging` document.
///
/// # Errors
/// `MalformedXML`.
pub(crate) fn tags_of(document: Element) -> Result<Vec<(String, String)>> {
    let mut children = document.into_children()?;
    let set = children.one("TagSet")?;
    children.end()?;
    read_tags(set)
}

fn tagging(tags: &Tags) -> Response<FrontBody> {
    let mut out = Document::new("Tagging").open("TagSet");
    for (key, value) in tags.iter() {
        out = out
            .open("Tag")
            .element("Key", key)
            .element("Value", value)
            .close();
    }
    document(out)
}

/// A whole number.
fn number(children: &mut Children, name: &str) -> Result<Option<u32>> {
    let parse = |text: String| text.trim().parse().map_err(|_| xml::malformed());
    children.text(name)?.map(parse).transpose()
}
