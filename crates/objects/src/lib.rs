//! The domain: buckets, objects and multipart uploads over the two stores.
//!
//! Each operation streams what bytes it has to the blob store, then commits one *decision* (a pure
//! function of the records it reads, in [`decide`]) to the metadata store. Bytes are durable before
//! the commit that makes them visible; a delete removes records first and leaves the bytes to the
//! sweep. No HTTP, no XML: a test drives it without a socket.
//!
//! Invariants
//! - A record never points at a blob that is not there; a blob has exactly one owner.
//! - Every commit of an object reads the bucket's name and state, and every change of a key reads
//!   its head: what a decision reads guards it.
//! - Nothing is visible until every declared digest was verified.

pub mod api;
pub mod decide;
mod error;
mod hash;
mod objects;
pub mod records;
mod skeleton;

pub use api::*;
pub use error::{Condition, Error, Result};
pub use objects::{Objects, Settings};
/// A stream of content and its error, for callers that do not know the blob store.
pub use strongroom_blob::{ByteStream, Error as ContentError, ErrorKind as ContentErrorKind};
