//! Logs: to stderr, for people or machines.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use super::{Cli, Command, LogFormat, output};

/// Sets up logging for the process, once.
///
/// # Errors
/// When `SKEP_LOG` or `RUST_LOG` is not a filter.
pub fn init(cli: &Cli, env: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let filter = filter(cli, env)?;
    let ansi = output::color(cli.global.color, env, std::io::stderr().is_terminal());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    let set = match cli.global.log_format {
        LogFormat::Text => logs.with_target(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    // Only a second call can fail, and then logs are set up already.
    drop(set);
    Ok(())
}

fn filter(cli: &Cli, env: &BTreeMap<String, String>) -> anyhow::Result<EnvFilter> {
    for name in ["SKEP_LOG", "RUST_LOG"] {
        if let Some(text) = env.get(name).filter(|text| !text.is_empty()) {
            return EnvFilter::try_new(without_echo(text))
                .with_context(|| format!("{name} is not a log filter such as `info` or `skep=debug`"));
        }
    }
    EnvFilter::try_new(without_echo(level(cli))).context("the log filter of -v")
}

/// At `trace` the file watcher has a line for each of its events; of a log in a folder that is
/// watched, each line would bring the next, without end. Whoever names `notify` has it so.
fn without_echo(filter: &str) -> String {
    let says_all = filter.split(',').any(|part| part.trim().eq_ignore_ascii_case("trace"));
    match says_all && !filter.contains("notify") {
        true => format!("{filter},notify=info"),
        false => filter.to_owned(),
    }
}

/// The controller's log is its voice; a command's result is printed, so it logs only what
/// went wrong. Libraries speak up at the very last `-v` only.
fn level(cli: &Cli) -> &'static str {
    const LEVELS: [&str; 5] = ["error", "warn", "warn,skep=info", "warn,skep=debug", "trace"];
    let usual: usize = match cli.command {
        Command::Run(_) => 2,
        // Failures are part of its story, which has its own voice.
        Command::Demo(_) => 0,
        _ => 1,
    };
    let at = match cli.global.quiet {
        true => usual.saturating_sub(1),
        false => usual + usize::from(cli.global.verbose),
    };
    LEVELS[at.min(LEVELS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_level_follows_command_and_flags() {
        for (line, expected) in [
            ("skep plan", "warn"),
            ("skep plan -q", "error"),
            ("skep -v plan", "warn,skep=info"),
            ("skep plan -vv", "warn,skep=debug"),
            ("skep plan -vvvvvv", "trace"),
            ("skep run", "warn,skep=info"),
            ("skep run -q", "warn"),
            ("skep run -v", "warn,skep=debug"),
            ("skep run -vv", "trace"),
            ("skep demo", "error"),
            ("skep demo -q", "error"),
            ("skep demo -v", "warn"),
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(level(&cli), expected, "{line}");
        }
    }

    #[test]
    fn the_environment_wins_and_must_be_a_filter() {
        let cli = Cli::try_parse_from(["skep", "plan"]).unwrap();
        let with =
            |name: &str, text: &str| filter(&cli, &BTreeMap::from([(name.to_owned(), text.to_owned())]));
        assert_eq!(with("SKEP_LOG", "skep=trace").unwrap().to_string(), "skep=trace");
        assert_eq!(with("RUST_LOG", "info").unwrap().to_string(), "info");
        for (said, meant) in [("trace", "notify=info,trace"), ("notify=trace,trace", "notify=trace,trace")] {
            assert_eq!(with("SKEP_LOG", said).unwrap().to_string(), meant, "no line about each line");
        }
        let error = with("SKEP_LOG", "skep=loud").unwrap_err();
        assert!(error.to_string().starts_with("SKEP_LOG is not a log filter"), "{error}");
    }
}
