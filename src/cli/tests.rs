use clap::{CommandFactory, Parser};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn clap_finds_no_fault() {
    Cli::command().debug_assert();
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for line in [
        "skep --specs s --state-dir d --server http://h:1 --config c --docker-host unix:///d --output json --color never --log-format json -q plan",
        "skep plan --specs s --state-dir d --server http://h:1 --config c --docker-host unix:///d --output json --color never --log-format json -q",
    ] {
        let cli = parse(line).unwrap();
        let flags = cli.flags();
        assert_eq!(flags.specs.as_deref(), Some(std::path::Path::new("s")));
        assert_eq!(flags.state_dir.as_deref(), Some(std::path::Path::new("d")));
        assert_eq!(flags.server.as_deref(), Some("http://h:1"));
        assert_eq!(flags.docker_host.as_deref(), Some("unix:///d"));
        assert_eq!(cli.global.config.as_deref(), Some(std::path::Path::new("c")));
        assert_eq!((cli.global.output, cli.global.color), (Output::Json, Color::Never));
        assert_eq!((cli.global.log_format, cli.global.quiet), (LogFormat::Json, true));
    }
}

#[test]
fn commands_take_their_arguments() {
    let Command::Plan(args) = parse("skep diff acme globex").unwrap().command else { panic!("diff is plan") };
    assert_eq!(args.customers.customers, ["acme", "globex"]);
    assert!(args.customers.includes("acme") && !args.customers.includes("initech"));
    let Command::Apply(args) = parse("skep apply --timeout 5m").unwrap().command else { panic!("apply") };
    assert_eq!(args.timeout, Some(std::time::Duration::from_secs(300)));
    assert!(args.customers.includes("initech"));
    let Command::Audit(args) = parse("skep audit -f a.yml b.yml -f c.yml").unwrap().command else {
        panic!("audit")
    };
    assert_eq!(args.files.len(), 3);
    let Command::Explain(args) = parse("skep explain acme/front_end-2").unwrap().command else {
        panic!("explain")
    };
    assert_eq!(args.service.to_string(), "acme/front_end-2");
    let Command::Retry(args) = parse("skep retry acme/db --version 1.2.3").unwrap().command else {
        panic!("retry")
    };
    assert_eq!(args.version, Some(semver::Version::new(1, 2, 3)));
    assert_eq!(parse("skep run --listen 0.0.0.0:1").unwrap().flags().listen.as_deref(), Some("0.0.0.0:1"));
}

#[test]
fn usage_errors_are_told_and_end_with_2() {
    for (line, part) in [
        ("skep", "Usage:"),
        ("skep plna", "similar subcommand"),
        ("skep plan specs/acme.toml", "a customer is named without folder and suffix: `acme`"),
        ("skep plan Acme", "lower-case letters, digits and hyphens"),
        ("skep explain acme", "write CUSTOMER/SERVICE, such as acme/frontend"),
        ("skep explain acme/", "write CUSTOMER/SERVICE, such as acme/frontend"),
        ("skep retry acme/db --version 1.2", "invalid value '1.2'"),
        ("skep apply --timeout 5", "time unit needed"),
        ("skep apply --no-wait --timeout 5s", "cannot be used with"),
        ("skep plan -q -v", "cannot be used with"),
        ("skep plan --output yaml", "[possible values: text, json]"),
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(part), "{line}: {error}");
    }
}

#[test]
fn every_command_tells_what_it_does_with_examples_and_exit_statuses() {
    let commands = Cli::command();
    let names: Vec<&str> = commands.get_subcommands().map(clap::Command::get_name).collect();
    for name in [
        "run",
        "plan",
        "apply",
        "lint",
        "audit",
        "explain",
        "status",
        "wait",
        "events",
        "history",
        "reconcile",
        "suspend",
        "resume",
        "retry",
        "doctor",
        "demo",
        "schema",
        "completions",
    ] {
        assert!(names.contains(&name), "{name} is missing");
    }
    for command in commands.get_subcommands() {
        let name = command.get_name();
        let about = command.get_about().unwrap_or_else(|| panic!("{name} has no description")).to_string();
        assert!(!about.contains('\n') && about.len() <= 100, "{name}: {about:?} is not one line");
        let after = command.get_after_help().unwrap_or_else(|| panic!("{name} has no examples")).to_string();
        assert!(
            after.contains("Examples:\n  skep ") && after.contains("Exit status:\n  0  "),
            "{name}: {after}"
        );
    }
}

#[test]
fn completions_name_the_commands() {
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
        let mut script = Vec::new();
        assert_eq!(completions::run(&mut script, &completions::Args { shell }).unwrap(), CLEAN);
        let script = String::from_utf8(script).unwrap();
        assert!(
            script.contains("explain") && script.contains("--state-dir") || script.contains("state-dir"),
            "{shell}"
        );
    }
}

#[test]
fn the_schema_is_json() {
    let mut text = Vec::new();
    assert_eq!(schema::run(&mut text, &schema::Args { fleet: false }).unwrap(), CLEAN);
    let schema: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}
