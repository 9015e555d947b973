//! S3 on the wire: requests in, domain calls out, domain errors back as S3 errors.
//!
//! `s3s` knows S3's types, routes and XML; what it does not do strictly enough stands before it here:
//! signatures ([`auth`]), bodies ([`body`]), the refusal of what we do not have ([`route`],
//! [`headers`]). No socket is opened here: a server mounts [`FrontService`].
//!
//! Invariants
//! - Nothing but health, preflights and websites is answered before the signature was verified; a
//!   preflight tells of a bucket's CORS rules only, and a website serves what everyone may read.
//! - An operation acts for the account that signed the request and reaches its buckets alone.
//! - An operation sees no byte, header or parameter that was not covered by what was verified, and no
//!   content is committed before the body ended as it was declared.
//! - What we do not implement answers `501 NotImplemented`; nothing is accepted and ignored.
//! - Secrets and signatures are never logged.

mod access;
mod acl;
pub mod admission;
pub mod auth;
pub mod body;
mod config;
mod context;
mod convert;
mod copy_source;
mod cors;
pub mod digests;
pub mod error;
pub mod form;
mod front;
#[doc(hidden)]
pub mod fuzzing;
pub mod headers;
pub mod health;
mod lock_headers;
pub mod not_implemented;
mod noted;
pub mod observe;
mod ops;
mod parameters;
mod response;
pub mod route;
mod second_factor;
mod service;
pub mod subresources;
pub mod target;
mod time_format;
pub mod website;
mod xml;
mod xml_answer;

pub use admission::{Admission, AdmissionLimits};
pub use auth::credentials::{
    Caller, Credential, CredentialSource, Credentials, ROOT_ACCOUNT_ID, ROOT_OWNER_ID, SecretKey,
    SharedCredentials, root_account,
};
pub use error::FrontError;
pub use front::S3Front;
pub use health::Health;
pub use noted::AccessNotes;
pub use observe::{NoObserver, Observed, Observer};
pub use response::{FrontBody, RequestIds};
pub use second_factor::Encrypted;
pub use service::{BodyIdleMax, FrontParts, FrontService, FrontSettings, OperationName, RequestId};
