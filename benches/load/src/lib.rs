//! What other measurements share with the load: bodies that cost nothing, and signatures.

pub mod bodies;
pub mod sign;
