//! The `skep` program: reads the command line, lets `skep::cli` do the work, and turns what
//! comes of it into an exit status.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use skep::cli::{self, Cli, OutputClosed};

/// What a shell reports of a program that a broken pipe ended, as other filters have it.
const OUTPUT_CLOSED: u8 = 141;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let Some(told) = cli::not_yet(&error) else { error.exit() };
            drop(std::io::stderr().write_all(told.as_bytes()));
            return ExitCode::from(cli::FAILED);
        }
    };
    let color = cli.global.color;
    let env = environment();
    match cli::main(cli, &env) {
        Ok(status) => ExitCode::from(status),
        Err(error) if OutputClosed::caused(&error) => ExitCode::from(OUTPUT_CLOSED),
        Err(error) => {
            // When stderr is gone as well, there is nobody left to tell.
            drop(std::io::stderr().write_all(cli::tell(&error, color, &env).as_bytes()));
            ExitCode::from(cli::FAILED)
        }
    }
}

/// Variables that are not UTF-8 cannot be meant for us.
fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}
