//! The operations on sub-resources that are configurations: which request is which of them.
//!
//! One table: method, level, sub-resource, operation, and the other parameters it takes. These
//! operations are answered in `config` and not through `s3s`, whose reader skips elements it
//! does not know. The list of versions is here because its entries are of two kinds in one order,
//! which `s3s` would write one kind after the other.

use http::Method;

use crate::route::{Level, Operation};
use crate::target::Target;

/// One row of the table.
pub struct Subresource {
    pub method: &'static str,
    pub level: Level,
    pub name: &'static str,
    pub operation: Operation,
    /// Parameters beside `name`.
    pub parameters: &'static [&'static str],
    /// A parameter that must be given too.
    pub requires: Option<&'static str>,
}

macro_rules! table {
    ($($method:literal $level:ident $name:literal $operation:ident
        $([$($parameter:literal),*])? $(if $requires:literal)?;)*) => {
        /// All rows; of those that fit, the first is meant.
        pub const SUBRESOURCES: &[Subresource] = &[$(Subresource {
            method: $method,
            level: Level::$level,
            name: $name,
            operation: Operation::$operation,
            parameters: &[$($($parameter),*)?],
            requires: table!(@requires $($requires)?),
        }),*];
    };
    (@requires) => { None };
    (@requires $name:literal) => { Some($name) };
}

table! {
    "GET" Object "tagging" GetObjectTagging ["versionId"];
    "PUT" Object "tagging" PutObjectTagging ["versionId"];
    "DELETE" Object "tagging" DeleteObjectTagging ["versionId"];
    "GET" Bucket "versioning" GetBucketVersioning;
    "PUT" Bucket "versioning" PutBucketVersioning;
    "GET" Bucket "versions" ListObjectVersions ["prefix", "delimiter", "encoding-type", "max-keys",
        "key-marker", "version-id-marker"];
    "GET" Bucket "tagging" GetBucketTagging;
    "PUT" Bucket "tagging" PutBucketTagging;
    "DELETE" Bucket "tagging" DeleteBucketTagging;
    "GET" Bucket "cors" GetBucketCors;
    "PUT" Bucket "cors" PutBucketCors;
    "DELETE" Bucket "cors" DeleteBucketCors;
    "GET" Bucket "website" GetBucketWebsite;
    "PUT" Bucket "website" PutBucketWebsite;
    "DELETE" Bucket "website" DeleteBucketWebsite;
    "GET" Bucket "policy" GetBucketPolicy;
    "DELETE" Bucket "policy" DeleteBucketPolicy;
    "GET" Bucket "policyStatus" GetBucketPolicyStatus;
    "GET" Bucket "lifecycle" GetBucketLifecycleConfiguration;
    "DELETE" Bucket "lifecycle" DeleteBucketLifecycle;
    "GET" Bucket "replication" GetBucketReplication;
    "DELETE" Bucket "replication" DeleteBucketReplication;
    "GET" Bucket "encryption" GetBucketEncryption;
    "DELETE" Bucket "encryption" DeleteBucketEncryption;
    "GET" Bucket "object-lock" GetObjectLockConfiguration;
    "PUT" Bucket "object-lock" PutObjectLockConfiguration;
    "GET" Object "retention" GetObjectRetention ["versionId"];
    "PUT" Object "retention" PutObjectRetention ["versionId"];
    "GET" Object "legal-hold" GetObjectLegalHold ["versionId"];
    "PUT" Object "legal-hold" PutObjectLegalHold ["versionId"];
    "GET" Bucket "logging" GetBucketLogging;
    "PUT" Bucket "logging" PutBucketLogging;
    "GET" Bucket "requestPayment" GetBucketRequestPayment;
    "PUT" Bucket "requestPayment" PutBucketRequestPayment;
    "GET" Bucket "accelerate" GetBucketAccelerateConfiguration;
    "GET" Bucket "notification" GetBucketNotificationConfiguration;
    "PUT" Bucket "notification" PutBucketNotificationConfiguration;
    "GET" Bucket "ownershipControls" GetBucketOwnershipControls;
    "PUT" Bucket "ownershipControls" PutBucketOwnershipControls;
    "GET" Bucket "publicAccessBlock" GetPublicAccessBlock;
    "PUT" Bucket "publicAccessBlock" PutPublicAccessBlock;
    "GET" Bucket "abac" GetBucketAbac;
    "PUT" Bucket "abac" PutBucketAbac;
    "GET" Bucket "metadataConfiguration" GetBucketMetadataConfiguration;
    "GET" Bucket "analytics" GetBucketAnalyticsConfiguration ["id"] if "id";
    "GET" Bucket "analytics" ListBucketAnalyticsConfigurations ["continuation-token"];
    "DELETE" Bucket "analytics" DeleteBucketAnalyticsConfiguration ["id"] if "id";
    "GET" Bucket "metrics" GetBucketMetricsConfiguration ["id"] if "id";
    "GET" Bucket "metrics" ListBucketMetricsConfigurations ["continuation-token"];
    "DELETE" Bucket "metrics" DeleteBucketMetricsConfiguration ["id"] if "id";
    "GET" Bucket "inventory" GetBucketInventoryConfiguration ["id"] if "id";
    "GET" Bucket "inventory" ListBucketInventoryConfigurations ["continuation-token"];
    "DELETE" Bucket "inventory" DeleteBucketInventoryConfiguration ["id"] if "id";
    "GET" Bucket "intelligent-tiering" GetBucketIntelligentTieringConfiguration ["id"] if "id";
    "GET" Bucket "intelligent-tiering" ListBucketIntelligentTieringConfigurations
        ["continuation-token"];
    "DELETE" Bucket "intelligent-tiering" DeleteBucketIntelligentTieringConfiguration ["id"] if "id";
}

/// The operation a request names, if it is one of the table's.
#[must_use]
pub fn resolve(method: &Method, level: Level, target: &Target) -> Option<Operation> {
    let fits = |row: &&Subresource| {
        row.method == method.as_str()
            && row.level == level
            && target.has(row.name)
            && row.requires.is_none_or(|name| target.has(name))
    };
    SUBRESOURCES.iter().find(fits).map(|row| row.operation)
}

/// Whether the parameter `name` is one of the operation's own.
#[must_use]
pub fn takes(operation: Operation, name: &str) -> bool {
    SUBRESOURCES
        .iter()
        .filter(|row| row.operation == operation)
        .any(|row| row.name == name || row.parameters.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route;
    use http::HeaderMap;

    fn route(method: &str, level: Level, query: &str) -> Result<Operation, String> {
        let path = match level {
            Level::Service => "/",
            Level::Bucket => "/b",
            Level::Object => "/b/k",
        };
        let uri = format!("{path}?{query}").parse().unwrap();
        let target = Target::parse(&uri, None).unwrap();
        route::resolve(&method.parse().unwrap(), &target, &HeaderMap::new())
            .map_err(|error| error.code.into_owned())
    }

    #[test]
    fn each_row_is_reached_and_takes_its_own_parameters_only() {
        for row in SUBRESOURCES {
            let mut query = row.name.to_owned();
            for parameter in row.parameters {
                query += &format!("&{parameter}=null");
            }
            let found = route(row.method, row.level, &query);
            assert_eq!(found, Ok(row.operation), "{query}");
            let more = route(row.method, row.level, &(query + "&uploadId=u"));
            assert!(more.is_err(), "{} {}", row.method, row.name);
        }
    }
}
