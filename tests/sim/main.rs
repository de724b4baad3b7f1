//! The fault campaigns: scenarios run in simulation, against an embedded Swarm and registry,
//! with tokio's clock paused, and again with every fault at every exchange.
//!
//! `cargo campaigns` runs all, built with optimisation; `cargo campaigns -- NAME…` those campaigns
//! or scenarios. `SKEP_SIM_REPLAY='new_version/swarm#12:reset-mid-body' cargo campaigns` runs one
//! plan and shows its trace. `SKEP_SIM_SEEDS=10000` draws that many random plans. The same without
//! optimisation, slower to run and sooner built: `cargo test --test sim`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and this one prints")]

mod bugs;
mod campaign;
mod containment;
mod contest;
mod disk;
mod exceptions;
mod hooks;
mod normal;
mod oracle;
mod plan;
mod run;
mod scenarios;
mod shown;

mod skep_process;
mod witness;
mod world;

fn main() -> std::process::ExitCode {
    campaign::main()
}
