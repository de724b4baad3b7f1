//! What carries requests: in-memory streams, unix sockets and TCP ports, and a tap on them
//! that records every exchange and injects faults.
//!
//! `serve` carries; `tap` sits between it and an engine or registry; `fault` is what it may do,
//! as plain data, so that a run that failed can be replayed by the text of its plan.

mod body;
mod events;
mod fault;
mod serve;
mod tap;
#[cfg(test)]
mod tests;

pub use fault::{EventFault, Fault, ParsePlanError, Plan};
pub use serve::{Hosts, Memory, Server, reset, serve_tcp, serve_unix};
pub use tap::{Exchange, Hook, Rule, Tap, Wire};
