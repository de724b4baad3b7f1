//! The embedded OCI registry.

/// An embedded registry.
pub struct Registry;
