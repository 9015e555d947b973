//! GetBucketCors, PutBucketCors, DeleteBucketCors.

use http::StatusCode;
use strongroom_objects::config::{CORS_RULES_MAX, CorsConfig, CorsRule, RULE_ID_CHARACTERS_MAX};

use super::{Answer, Call, document, empty, number};
use crate::error::Result;
use crate::xml::{Document, Element, malformed};

/// GetBucketCors.
pub async fn get(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let config: CorsConfig = call.front.objects.bucket_config(&bucket).await?;
    let out = config
        .rules
        .iter()
        .fold(Document::new("CORSConfiguration"), |out, rule| {
            let age = rule.max_age_seconds.map(|seconds| seconds.to_string());
            out.open("CORSRule")
                .optional("ID", rule.id.as_deref())
                .each("AllowedHeader", &rule.allowed_headers)
                .each("AllowedMethod", &rule.allowed_methods)
                .each("AllowedOrigin", &rule.allowed_origins)
                .each("ExposeHeader", &rule.expose_headers)
                .optional("MaxAgeSeconds", age.as_deref())
                .close()
        });
    Ok(document(out))
}

/// PutBucketCors.
pub async fn put(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let mut children = call.document("CORSConfiguration")?.into_children()?;
    let rules = children.all("CORSRule");
    children.end()?;
    if rules.is_empty() || rules.len() > CORS_RULES_MAX {
        return Err(malformed());
    }
    let rules = rules.into_iter().map(rule).collect::<Result<_>>()?;
    let config = CorsConfig { rules };
    call.front
        .objects
        .put_bucket_config(&bucket, config)
        .await?;
    Ok(empty(StatusCode::OK))
}

fn rule(element: Element) -> Result<CorsRule> {
    let mut children = element.into_children()?;
    let rule = CorsRule {
        id: children.text("ID")?,
        allowed_headers: children.texts("AllowedHeader")?,
        allowed_methods: children.texts("AllowedMethod")?,
        allowed_origins: children.texts("AllowedOrigin")?,
        expose_headers: children.texts("ExposeHeader")?,
        max_age_seconds: number(&mut children, "MaxAgeSeconds")?,
    };
    children.end()?;
    let id_size = rule.id.as_ref().map_or(0, |id| id.chars().count());
    let required = !rule.allowed_methods.is_empty() && !rule.allowed_origins.is_empty();
    if required && id_size <= RULE_ID_CHARACTERS_MAX {
        Ok(rule)
    } else {
        Err(malformed())
    }
}

/// DeleteBucketCors.
pub async fn delete(call: &Call<'_>) -> Answer {
    call.delete_config::<CorsConfig>().await
}
