//! What S3 has and we have not: the list behind `501 NotImplemented` (PR13).
//!
//! Requests are refused because nothing takes them, not because they are in this list; the list
//! says by name what that covers. A test walks it through the router, and another one compares it
//! with `docs/semantics.md`, so neither can forget a line.

use crate::route::Level;

/// A sub-resource that is refused: method, level, query, and what it would do.
pub struct Refused {
    pub method: &'static str,
    pub level: Level,
    pub query: &'static str,
    pub what: &'static str,
}

macro_rules! refused {
    ($($method:literal $level:ident $query:literal $what:literal;)*) => {
        /// Sub-resources.
        pub const SUBRESOURCES: &[Refused] = &[$(Refused {
            method: $method, level: Level::$level, query: $query, what: $what,
        }),*];
    };
}

refused! {
    "PUT" Bucket "policy" "PutBucketPolicy";
    "PUT" Bucket "lifecycle" "PutBucketLifecycleConfiguration";
    "PUT" Bucket "replication" "PutBucketReplication";
    "PUT" Bucket "encryption" "PutBucketEncryption";
    "PUT" Bucket "accelerate" "PutBucketAccelerateConfiguration";
    "PUT" Bucket "analytics" "PutBucketAnalyticsConfiguration";
    "PUT" Bucket "metrics" "PutBucketMetricsConfiguration";
    "PUT" Bucket "inventory" "PutBucketInventoryConfiguration";
    "PUT" Bucket "intelligent-tiering" "PutBucketIntelligentTieringConfiguration";
    "DELETE" Bucket "publicAccessBlock" "DeletePublicAccessBlock";
    "DELETE" Bucket "ownershipControls" "DeleteBucketOwnershipControls";
    "POST" Bucket "metadataConfiguration" "CreateBucketMetadataConfiguration";
    "DELETE" Bucket "metadataConfiguration" "DeleteBucketMetadataConfiguration";
    "PUT" Bucket "metadataInventoryTable" "UpdateBucketMetadataInventoryTableConfiguration";
    "PUT" Bucket "metadataJournalTable" "UpdateBucketMetadataJournalTableConfiguration";
    "GET" Bucket "metadataTable" "GetBucketMetadataTableConfiguration";
    "POST" Bucket "metadataTable" "CreateBucketMetadataTableConfiguration";
    "DELETE" Bucket "metadataTable" "DeleteBucketMetadataTableConfiguration";
    "GET" Bucket "session" "CreateSession";
    "PUT" Object "renameObject" "RenameObject";
    "POST" Object "select" "SelectObjectContent";
    "POST" Object "restore" "RestoreObject";
    "GET" Object "torrent" "GetObjectTorrent";
    "GET" Object "event-hold" "GetObjectEventHold";
    "PUT" Object "event-hold" "PutObjectEventHold";
    "PUT" Object "encryption" "UpdateObjectEncryption";
    "GET" Object "annotation" "GetObjectAnnotation";
    "PUT" Object "annotation" "PutObjectAnnotation";
}

/// Request headers.
pub const HEADERS: &[&str] = &[
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key-md5",
    "x-amz-object-lock-event-hold",
    "x-amz-write-offset-bytes",
    "x-amz-rename-source",
    "x-amz-if-match-last-modified-time",
    "x-amz-if-match-size",
    "x-amz-object-annotation-directive",
];

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::target::Target;
    use crate::{headers, route};

    #[test]
    fn everything_in_the_list_is_refused_by_its_name() {
        // PR02, PR13
        for refused in SUBRESOURCES {
            let path = match refused.level {
                Level::Service => "/",
                Level::Bucket => "/b",
                Level::Object => "/b/k",
            };
            let uri = format!("{path}?{}", refused.query).parse().unwrap();
            let target = Target::parse(&uri, None).unwrap();
            let method = refused.method.parse().unwrap();
            let found = route::resolve(&method, &target, &HeaderMap::new());
            let error = found.expect_err(refused.what);
            assert_eq!(error.code, "NotImplemented", "{}", refused.what);
            let header = ("Header", refused.query.to_owned());
            assert!(error.fields.contains(&header), "{}", refused.what);
        }
        for name in HEADERS {
            let mut given = HeaderMap::new();
            given.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
            let error = headers::refuse_unknown(&given).expect_err(name);
            assert_eq!(error.code, "NotImplemented", "{name}");
            assert!(error.fields.contains(&("Header", (*name).to_owned())));
        }
    }

    #[test]
    fn the_documentation_lists_the_same() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/semantics.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, list) = text.split_once("<!-- not implemented -->").unwrap();
        let (list, _) = list.split_once("<!-- end -->").unwrap();
        for refused in SUBRESOURCES {
            let line = format!(
                "`{}` (`{} ?{}`)",
                refused.what, refused.method, refused.query
            );
            assert!(list.contains(&line), "docs/semantics.md lacks {line}");
        }
        for name in HEADERS {
            assert!(
                list.contains(&format!("`{name}`")),
                "docs/semantics.md lacks {name}"
            );
        }
        let count = list.matches(" (`").count();
        assert_eq!(
            count,
            SUBRESOURCES.len(),
            "docs/semantics.md lists what is implemented"
        );
    }
}
