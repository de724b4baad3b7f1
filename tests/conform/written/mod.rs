//! Sequences written by hand: every path and every refusal that skep depends on.

pub mod contents;
pub mod objects;
pub mod outcomes;
pub mod refusals;
pub mod registry;
pub mod services;
pub mod system;
