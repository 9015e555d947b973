//! Requests for the operations on configurations, from the table that routes them.

use strongroom_s3_front::route::{Level, Operation};
use strongroom_s3_front::subresources::SUBRESOURCES;

use super::{Call, crc32};

/// A request on `/bucket` or `/bucket/k` that its owner could make, or none when the operation is
/// not one of the table.
pub fn request(operation: Operation) -> Option<Call> {
    let row = SUBRESOURCES.iter().find(|row| row.operation == operation)?;
    let path = match row.level {
        Level::Object => "/bucket/k",
        Level::Bucket | Level::Service => "/bucket",
    };
    let more = row
        .requires
        .map_or(String::new(), |name| format!("&{name}=a"));
    let call = Call::new(row.method, &format!("{path}?{}{more}", row.name));
    if row.method != "PUT" {
        return Some(call);
    }
    let document = document(row.name);
    let checksum = crc32(document.as_bytes());
    Some(
        call.header("x-amz-checksum-crc32", &checksum)
            .body(document),
    )
}

/// A document that is accepted.
pub fn document(subresource: &str) -> &'static str {
    match subresource {
        "versioning" => {
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        }
        "tagging" => "<Tagging><TagSet/></Tagging>",
        "cors" => {
            "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>\
             <AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>"
        }
        "website" => {
            "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument>\
             </WebsiteConfiguration>"
        }
        "logging" => "<BucketLoggingStatus/>",
        "notification" => "<NotificationConfiguration/>",
        "requestPayment" => {
            "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>"
        }
        "ownershipControls" => {
            "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>\
             </OwnershipControls>"
        }
        "publicAccessBlock" => {
            "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
             <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
             <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
        }
        "object-lock" => {
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
             </ObjectLockConfiguration>"
        }
        "retention" => "<Retention/>",
        "legal-hold" => "<LegalHold><Status>OFF</Status></LegalHold>",
        "abac" => "<AbacStatus><Status>Disabled</Status></AbacStatus>",
        name => panic!("{name} is a new configuration: say here what is put"),
    }
}
