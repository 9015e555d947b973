//! Configurations of buckets: what they say, what S3 refuses in them, and what follows from them.
//!
//! No XML and no header here. The wire layer reads documents into these types, and asks them which
//! rule is for a request.

use crate::error::{Error, Result};

/// Most rules of a CORS configuration, as S3 has it.
pub const CORS_RULES_MAX: usize = 100;
/// Most routing rules of a website, as S3 has it.
pub const ROUTING_RULES_MAX: usize = 50;
/// Longest id of a rule, as S3 has it (LI02).
pub const RULE_ID_CHARACTERS_MAX: usize = 255;

const CORS_METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

/// Which pages of other origins may use a bucket.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CorsConfig {
    pub rules: Vec<CorsRule>,
}

/// One rule; the first that is for a request decides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CorsRule {
    pub id: Option<String>,
    pub allowed_methods: Vec<String>,
    /// Each with at most one `*`.
    pub allowed_origins: Vec<String>,
    /// Each with at most one `*`.
    pub allowed_headers: Vec<String>,
    pub expose_headers: Vec<String>,
    pub max_age_seconds: Option<u32>,
}

impl CorsConfig {
    /// What S3 refuses.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub fn check(&self) -> Result<()> {
        self.rules.iter().try_for_each(CorsRule::check)
    }

    /// The rule for a request of `origin` with `method`, which wants to send `headers`.
    #[must_use]
    pub fn rule_for(&self, origin: &str, method: &str, headers: &[String]) -> Option<&CorsRule> {
        self.rules
            .iter()
            .find(|rule| rule.is_for(origin, method, headers))
    }
}

impl CorsRule {
    fn check(&self) -> Result<()> {
        for method in &self.allowed_methods {
            if !CORS_METHODS.contains(&method.as_str()) {
                return Err(Error::invalid_request(format!(
                    "found unsupported HTTP method in CORS config. Unsupported method is {method}"
                )));
            }
        }
        for (name, patterns) in [
            ("AllowedOrigin", &self.allowed_origins),
            ("AllowedHeader", &self.allowed_headers),
        ] {
            for pattern in patterns {
                if pattern.matches('*').count() > 1 {
                    return Err(Error::invalid_request(format!(
                        "{name} \"{pattern}\" can not have more than one wildcard"
                    )));
                }
            }
        }
        for header in &self.expose_headers {
            if header.contains('*') {
                return Err(Error::invalid_request(format!(
                    "ExposeHeader \"{header}\" contains wildcard. We currently do not support \
                     wildcard for ExposeHeader"
                )));
            }
        }
        Ok(())
    }

    fn is_for(&self, origin: &str, method: &str, headers: &[String]) -> bool {
        let header_allowed = |header: &String| {
            let header = header.to_ascii_lowercase();
            self.allowed_headers
                .iter()
                .any(|pattern| matches(&pattern.to_ascii_lowercase(), &header))
        };
        self.allowed_methods.iter().any(|allowed| allowed == method)
            && self
                .allowed_origins
                .iter()
                .any(|pattern| matches(pattern, origin))
            && headers.iter().all(header_allowed)
    }

    /// Whether it is for every origin, so that the answer names none.
    #[must_use]
    pub fn allows_any_origin(&self) -> bool {
        self.allowed_origins.iter().any(|origin| origin == "*")
    }
}

/// Whether `text` is `pattern`, in which one `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => text
            .strip_prefix(start)
            .is_some_and(|rest| rest.ends_with(end)),
    }
}

/// How a bucket is served as a website.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebsiteConfig {
    pub mode: WebsiteMode,
}

/// The two kinds of websites.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WebsiteMode {
    /// Nothing is served here.
    RedirectAll(RedirectAll),
    Serve {
        /// What is served for a key that ends in a slash, and for none.
        index_suffix: String,
        error_key: Option<String>,
        rules: Vec<RoutingRule>,
    },
}

/// Where all requests go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedirectAll {
    pub host: String,
    pub protocol: Option<String>,
}

/// A redirect of some requests. What is none stays as it was in the request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoutingRule {
    pub key_prefix: Option<String>,
    /// Three digits: only when the answer would have this status.
    pub error_code: Option<String>,
    pub host: Option<String>,
    /// Three digits; 301 when none.
    pub redirect_code: Option<String>,
    pub protocol: Option<String>,
    pub replace_prefix: Option<String>,
    pub replace_key: Option<String>,
}

impl RoutingRule {
    /// Whether it is for `key`, when the answer would have the status `error`; before that is known,
    /// none.
    #[must_use]
    pub fn is_for(&self, key: &str, error: Option<u16>) -> bool {
        let prefix = self.key_prefix.as_deref().unwrap_or("");
        let error_fits = match (&self.error_code, error) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(error)) => *wanted == error.to_string(),
        };
        error_fits && key.starts_with(prefix)
    }
}

impl WebsiteConfig {
    /// What S3 refuses.
    ///
    /// # Errors
    /// `InvalidRequest`, `InvalidArgument`.
    pub fn check(&self) -> Result<()> {
        match &self.mode {
            WebsiteMode::RedirectAll(to) => check_protocol(to.protocol.as_deref()),
            WebsiteMode::Serve {
                index_suffix,
                rules,
                ..
            } => {
                if index_suffix.is_empty() || index_suffix.contains('/') {
                    return Err(Error::invalid_argument(
                        "IndexDocument",
                        index_suffix.as_str(),
                        "the IndexDocument Suffix is not well formed",
                    ));
                }
                if rules.len() > ROUTING_RULES_MAX {
                    return Err(Error::invalid_request(format!(
                        "{} routing rules provided, the number of routing rules in a website \
                         configuration is limited to {ROUTING_RULES_MAX}",
                        rules.len()
                    )));
                }
                rules.iter().try_for_each(check_routing_rule)
            }
        }
    }
}

fn check_routing_rule(rule: &RoutingRule) -> Result<()> {
    if rule.replace_key.is_some() && rule.replace_prefix.is_some() {
        return Err(Error::invalid_request(
            "you can only define ReplaceKeyPrefix or ReplaceKey but not both",
        ));
    }
    let code_in = |code: &str, first: &[u8]| {
        let bytes = code.as_bytes();
        bytes.len() == 3 && bytes.iter().all(u8::is_ascii_digit) && first.contains(&bytes[0])
    };
    if let Some(code) = &rule.error_code
        && !code_in(code, b"45")
    {
        return Err(Error::invalid_request(format!(
            "the provided HTTP error code ({code}) is not valid. Valid codes are 4XX or 5XX"
        )));
    }
    if let Some(code) = &rule.redirect_code
        && (!code_in(code, b"3") || code == "300")
    {
        return Err(Error::invalid_request(format!(
            "the provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except 300"
        )));
    }
    check_protocol(rule.protocol.as_deref())
}

fn check_protocol(protocol: Option<&str>) -> Result<()> {
    match protocol {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(Error::invalid_request(
            "invalid protocol, protocol can be http or https. If not defined the protocol will be \
             selected automatically",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn rule(origins: &[&str], headers: &[&str]) -> CorsRule {
        CorsRule {
            allowed_methods: texts(&["GET", "PUT"]),
            allowed_origins: texts(origins),
            allowed_headers: texts(headers),
            ..CorsRule::default()
        }
    }

    #[test]
    fn the_first_rule_that_is_for_a_request_decides() {
        let config = CorsConfig {
            rules: vec![
                rule(&["http://*.example.com"], &["x-amz-*"]),
                rule(&["*"], &[]),
            ],
        };
        let found = |origin: &str, method: &str, headers: &[&str]| {
            let rule = config.rule_for(origin, method, &texts(headers));
            rule.and_then(|rule| config.rules.iter().position(|other| other == rule))
        };
        assert_eq!(
            found("http://a.example.com", "GET", &["X-Amz-Date"]),
            Some(0)
        );
        assert_eq!(
            found("http://a.example.com", "GET", &["content-type"]),
            None
        );
        assert_eq!(found("https://a.example.com", "PUT", &[]), Some(1));
        assert_eq!(found("http://a.example.com", "DELETE", &[]), None);
        // The star stands for text between both ends, which do not overlap.
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("ab*ba", "abba"));
    }

    #[test]
    fn a_cors_rule_that_s3_refuses_is_refused() {
        let method = CorsRule {
            allowed_methods: texts(&["PATCH"]),
            ..rule(&["*"], &[])
        };
        let exposed = CorsRule {
            expose_headers: texts(&["x-*"]),
            ..rule(&["*"], &[])
        };
        for refused in [
            method,
            exposed,
            rule(&["http://*.*"], &[]),
            rule(&["*"], &["*a*"]),
        ] {
            let config = CorsConfig {
                rules: vec![refused],
            };
            assert!(matches!(config.check(), Err(Error::InvalidRequest { .. })));
        }
    }

    #[test]
    fn a_website_that_s3_refuses_is_refused() {
        let serve = |index: &str, rule: RoutingRule| WebsiteConfig {
            mode: WebsiteMode::Serve {
                index_suffix: index.to_owned(),
                error_key: None,
                rules: vec![rule],
            },
        };
        let plain = RoutingRule::default;
        assert_eq!(serve("index.html", plain()).check(), Ok(()));
        for index in ["", "a/b"] {
            let found = serve(index, plain()).check();
            assert!(matches!(found, Err(Error::InvalidArgument { .. })));
        }
        let text = |text: &str| Some(text.to_owned());
        for rule in [
            RoutingRule {
                replace_key: text("a"),
                replace_prefix: text("b"),
                ..plain()
            },
            RoutingRule {
                error_code: text("200"),
                ..plain()
            },
            RoutingRule {
                redirect_code: text("300"),
                ..plain()
            },
            RoutingRule {
                protocol: text("ftp"),
                ..plain()
            },
        ] {
            let found = serve("index.html", rule).check();
            assert!(matches!(found, Err(Error::InvalidRequest { .. })));
        }
    }

    #[test]
    fn a_routing_rule_on_an_error_waits_for_the_error() {
        let rule = RoutingRule {
            key_prefix: Some("docs/".to_owned()),
            error_code: Some("404".to_owned()),
            ..RoutingRule::default()
        };
        assert!(!rule.is_for("docs/a", None));
        assert!(rule.is_for("docs/a", Some(404)));
        assert!(!rule.is_for("docs/a", Some(403)));
        assert!(!rule.is_for("other", Some(404)));
    }
}
