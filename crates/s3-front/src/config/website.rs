//! GetBucketWebsite, PutBucketWebsite, DeleteBucketWebsite. How it is served: [`crate::website`].

use http::StatusCode;
use strongroom_objects::config::{RedirectAll, RoutingRule, WebsiteConfig, WebsiteMode};

use super::{Answer, Call, document, empty};
use crate::error::{FrontError, Result};
use crate::xml::{Document, Element, malformed};

/// GetBucketWebsite.
pub async fn get(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let config: WebsiteConfig = call.front.objects.bucket_config(&bucket).await?;
    let out = Document::new("WebsiteConfiguration");
    let out = match &config.mode {
        WebsiteMode::RedirectAll(to) => out
            .open("RedirectAllRequestsTo")
            .element("HostName", &to.host)
            .optional("Protocol", to.protocol.as_deref()),
        WebsiteMode::Serve {
            index_suffix,
            error_key,
            rules,
        } => {
            let mut out = out
                .open("IndexDocument")
                .element("Suffix", index_suffix)
                .close();
            if let Some(key) = error_key {
                out = out.open("ErrorDocument").element("Key", key).close();
            }
            if rules.is_empty() {
                out
            } else {
                rules.iter().fold(out.open("RoutingRules"), write_rule)
            }
        }
    };
    Ok(document(out))
}

fn write_rule(out: Document, rule: &RoutingRule) -> Document {
    let mut out = out.open("RoutingRule");
    if rule.key_prefix.is_some() || rule.error_code.is_some() {
        out = out
            .open("Condition")
            .optional("HttpErrorCodeReturnedEquals", rule.error_code.as_deref())
            .optional("KeyPrefixEquals", rule.key_prefix.as_deref())
            .close();
    }
    out.open("Redirect")
        .optional("HostName", rule.host.as_deref())
        .optional("HttpRedirectCode", rule.redirect_code.as_deref())
        .optional("Protocol", rule.protocol.as_deref())
        .optional("ReplaceKeyPrefixWith", rule.replace_prefix.as_deref())
        .optional("ReplaceKeyWith", rule.replace_key.as_deref())
        .close()
        .close()
}

/// PutBucketWebsite.
pub async fn put(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let config = configuration(call.document("WebsiteConfiguration")?)?;
    call.front
        .objects
        .put_bucket_config(&bucket, config)
        .await?;
    Ok(empty(StatusCode::OK))
}

fn configuration(document: Element) -> Result<WebsiteConfig> {
    let mut children = document.into_children()?;
    let redirect_all = children.optional("RedirectAllRequestsTo")?;
    let index = children.optional("IndexDocument")?;
    let error = children.optional("ErrorDocument")?;
    let rules = children.optional("RoutingRules")?;
    children.end()?;
    if let Some(redirect_all) = redirect_all {
        if index.is_some() || error.is_some() || rules.is_some() {
            return Err(FrontError::invalid_argument(
                "RedirectAllRequestsTo",
                "not null",
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
            ));
        }
        let mut children = redirect_all.into_children()?;
        let to = RedirectAll {
            host: children.one("HostName")?.into_text()?,
            protocol: children.text("Protocol")?,
        };
        children.end()?;
        if to.host.is_empty() {
            return Err(malformed());
        }
        let mode = WebsiteMode::RedirectAll(to);
        return Ok(WebsiteConfig { mode });
    }
    let Some(index) = index else {
        return Err(FrontError::invalid_argument(
            "IndexDocument",
            "null",
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
        ));
    };
    let mode = WebsiteMode::Serve {
        index_suffix: only_text(index, "Suffix")?,
        error_key: error.map(error_key).transpose()?,
        rules: rules.map(routing_rules).transpose()?.unwrap_or_default(),
    };
    Ok(WebsiteConfig { mode })
}

/// The text of the one child an element has.
fn only_text(element: Element, name: &str) -> Result<String> {
    let mut children = element.into_children()?;
    let text = children.one(name)?.into_text()?;
    children.end()?;
    Ok(text)
}

fn error_key(element: Element) -> Result<String> {
    let key = only_text(element, "Key")?;
    if key.is_empty() {
        return Err(malformed());
    }
    Ok(key)
}

fn routing_rules(element: Element) -> Result<Vec<RoutingRule>> {
    let mut children = element.into_children()?;
    let rules = children.all("RoutingRule");
    children.end()?;
    if rules.is_empty() {
        return Err(malformed());
    }
    rules.into_iter().map(routing_rule).collect()
}

fn routing_rule(element: Element) -> Result<RoutingRule> {
    let mut children = element.into_children()?;
    let mut rule = RoutingRule::default();
    if let Some(condition) = children.optional("Condition")? {
        let mut children = condition.into_children()?;
        rule.error_code = children.text("HttpErrorCodeReturnedEquals")?;
        rule.key_prefix = children.text("KeyPrefixEquals")?;
        children.end()?;
        if rule.error_code.is_none() && rule.key_prefix.is_none() {
            return Err(FrontError::invalid_request(
                "Condition cannot be empty. To redirect all requests without a condition, the \
                 condition element shouldn't be present.",
            ));
        }
    }
    let mut redirect = children.one("Redirect")?.into_children()?;
    rule.host = redirect.text("HostName")?;
    rule.redirect_code = redirect.text("HttpRedirectCode")?;
    rule.protocol = redirect.text("Protocol")?;
    rule.replace_prefix = redirect.text("ReplaceKeyPrefixWith")?;
    rule.replace_key = redirect.text("ReplaceKeyWith")?;
    redirect.end()?;
    children.end()?;
    Ok(rule)
}

/// DeleteBucketWebsite.
pub async fn delete(call: &Call<'_>) -> Answer {
    call.delete_config::<WebsiteConfig>().await
}
