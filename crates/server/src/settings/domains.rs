//! Domains below which each label is a bucket.

use super::BadSettings;

/// Checks the domain of buckets and that of websites.
///
/// # Errors
/// When one is no host name that can stand below a bucket's, or one is below the other, so that a
/// host name would be a bucket and a website at once.
pub fn check(domain: Option<&str>, website_domain: Option<&str>) -> Result<(), BadSettings> {
    for (setting, domain) in [("domain", domain), ("website_domain", website_domain)] {
        if let Some(domain) = domain.filter(|domain| !is_domain(domain)) {
            return Err(BadSettings(format!(
                "{setting} is `{domain}`: use a host name in lower case without port, such as \
                 s3.example.com"
            )));
        }
    }
    if let (Some(domain), Some(website_domain)) = (domain, website_domain)
        && (is_within(domain, website_domain) || is_within(website_domain, domain))
    {
        return Err(BadSettings(format!(
            "domain is {domain} and website_domain is {website_domain}: give them names of which \
             neither is below the other"
        )));
    }
    Ok(())
}

fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let inside = !label.starts_with('-') && !label.ends_with('-');
        !label.is_empty() && label.len() <= 63 && label.chars().all(fits) && inside
    };
    let is_address = name.parse::<std::net::Ipv4Addr>().is_ok();
    name.len() <= 253 && name.split('.').all(is_label) && !is_address
}

fn is_within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_host_name_and_nothing_else() {
        for good in ["s3.example.com", "localhost"] {
            assert!(check(Some(good), None).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            ".example.com",
            "example.com.",
            "Example.com",
            "*.example.com",
            "http://example.com",
            "example.com:9000",
            "127.0.0.1",
            "a_b.com",
            "-a.com",
        ] {
            let error = check(Some(bad), None).unwrap_err().to_string();
            assert!(error.starts_with("domain is"), "{bad}: {error}");
            assert!(check(None, Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_host_name_is_a_bucket_and_a_website_at_once() {
        for (domain, website) in [
            ("example.com", "example.com"),
            ("example.com", "web.example.com"),
            ("s3.example.com", "example.com"),
        ] {
            let error = check(Some(domain), Some(website)).unwrap_err();
            assert!(error.to_string().contains("neither is below"));
        }
        assert!(check(Some("s3.example.com"), Some("web.example.com")).is_ok());
        assert!(check(Some("bexample.com"), Some("example.com")).is_ok());
    }
}
