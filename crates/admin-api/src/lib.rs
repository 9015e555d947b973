//! The administration interface: one table of calls, and everything that follows from it.
//!
//! Whoever runs a store needs answers that S3 has no words for: which zone is out, what is
//! forgotten, on which disks an object lies. The server, the command line, the description for
//! other people's tools and later a console must agree about the calls for years. So there is one
//! place that names them, the table in `calls.rs`; from it come the trait that the server
//! implements, the dispatch from a path to a method of it, the client's methods, and the OpenAPI
//! description in `docs/openapi.json`. To add a call: its request and answer in `wire/`, one entry
//! in the table, its implementation, and `cargo run -p strongroom-admin-api --example openapi`.
//!
//! Invariants
//! - The version stands in the path. Within a version fields are added, never renamed or removed,
//!   and a client ignores fields it does not know.
//! - A parameter that a call does not know is refused, never ignored.
//! - Every list has a page size with a named limit.
//!
//! Not here: sockets, credentials, the store. This is data, names and one trait.

mod calls;
mod client;
mod error;
mod openapi;
mod parameters;
mod route;
mod wire;

pub use calls::{AdminApi, CALLS, Call, dispatch};
pub use client::{Client, Transport};
pub use error::{ApiError, ErrorCode, Result};
pub use openapi::openapi;
pub use route::{Method, Routed, route};
pub use wire::*;
