//! The client against misbehaving registries on loopback.

mod auth;
mod carriers;
mod credentials;
mod ecr;
mod fake;
mod faults;
mod mirrors;
mod resolve;
mod secrets;
mod sharing;
mod tags;
mod tls;
