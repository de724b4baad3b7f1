//! Where customers may take content from: the fleet's word on it, and what holds without one.

use super::fleet::WEB;
use super::secrets::Given;
use super::*;

const TOKENS: Given = Given(&[
    ("acme/token", "hunter2"),
    ("globex/token", "theirs"),
    ("globex/web.env", "A=theirs"),
    ("shared/token", "ours"),
    ("acme/link", "theirs"),
    ("acme/link->globex/token", ""),
    ("globex.toml", "spec"),
    ("$ACME_TOKEN", "hunter2"),
    ("$GLOBEX_TOKEN", "theirs"),
    ("$SHARED_TOKEN", "ours"),
    ("$AWS_SECRET_ACCESS_KEY", "skeps"),
]);

/// What is said of acme's file, beside a customer globex and these rules.
fn said(rules: &str, acme: &str) -> Vec<String> {
    let acme = format!("[services.web]\nimage = 'app'\n{acme}");
    let specs = [("fleet.toml", rules), ("acme.toml", acme.as_str()), ("globex.toml", WEB)];
    let loaded = load_with(&files(&specs), &TOKENS);
    let said = lines(&loaded.diagnostics);
    assert_eq!(loaded.customers.contains_key("acme"), said.is_empty(), "{said:?}");
    for secret in ["hunter2", "theirs", "skeps"] {
        assert!(!said.iter().any(|line| line.contains(secret)), "{said:?}");
    }
    said
}

#[track_caller]
fn good(rules: &str, acme: &str) {
    assert_eq!(said(rules, acme), [""; 0], "{rules} {acme}");
}

#[track_caller]
fn bad(rules: &str, acme: &str, place: &str, words: &str) {
    let said = said(rules, acme);
    let [line] = said.as_slice() else { panic!("{said:?}") };
    assert!(line.contains(place) && line.contains(words), "{line}");
}

const OWN: &str = "[secrets]\na.environment = 'ACME_TOKEN'\nb.file = 'acme/token'\n";

#[test]
fn without_a_rule_all_but_another_customers_may_be_named() {
    good("", OWN);
    good("", "[configs]\na.environment = 'SHARED_TOKEN'\nb.file = 'shared/token'\n");
    let other = "the variable `GLOBEX_TOKEN` belongs to customer globex";
    bad("", "[secrets.a]\nenvironment = 'GLOBEX_TOKEN'\n", "secrets.a.environment", other);
    bad("", "[configs.a]\nenvironment = 'GLOBEX_TOKEN'\n", "configs.a.environment", "contents.environment");
    let file = "`globex/token` belongs to customer globex";
    bad("", "[secrets.a]\nfile = 'globex/token'\n", "secrets.a.file", file);
    bad("", "[secrets.a]\nfile = 'acme/link'\n", "secrets.a.file", file);
    bad("", "[configs.a]\nfile = 'globex.toml'\n", "configs.a.file", "belongs to customer globex");
    bad("", "env_file = ['acme/token', 'globex/web.env']\n", "services.web.env_file[0]", "no `=`");
    bad("", "env_file = ['globex/web.env']\n", "services.web.env_file[0]", "belongs to customer globex");
}

#[test]
fn what_skep_uses_itself_is_refused_whatever_is_allowed() {
    for rules in ["", "[contents]\nenvironment = ['*']\n"] {
        for name in ["AWS_SECRET_ACCESS_KEY", "DOCKER_CONFIG", "SKEP_HTTP__TOKEN_FILE", "https_proxy"] {
            let acme = format!("[secrets.a]\nenvironment = '{name}'\n");
            let words = "settings and credentials of skep itself; give skep the content in another variable, e.g. `ACME_TOKEN`";
            bad(rules, &acme, "acme.toml:4:15: secrets.a.environment", words);
        }
    }
}

#[test]
fn a_rule_says_all_that_may_be_named() {
    let rules =
        "[contents]\nenvironment = ['${CUSTOMER}_*', 'SHARED_TOKEN']\nfiles = ['${customer}', 'shared']\n";
    good(rules, OWN);
    good(rules, "[configs]\na.environment = 'SHARED_TOKEN'\nb.file = 'shared/token'\n");
    let words = "`GLOBEX_TOKEN` is not among `contents.environment` in fleet.toml";
    bad(rules, "[secrets.a]\nenvironment = 'GLOBEX_TOKEN'\n", "secrets.a.environment", words);
    let words = "`globex/token` is in none of the folders of `contents.files` in fleet.toml";
    bad(rules, "[secrets.a]\nfile = 'globex/token'\n", "secrets.a.file", words);
    bad(rules, "[secrets.a]\nfile = 'acme/link'\n", "secrets.a.file", words);
    bad(rules, "env_file = 'globex/web.env'\n", "services.web.env_file", "is in none of the folders");
    // The fleet's word is for others' too.
    let rules = "[contents]\nenvironment = ['GLOBEX_TOKEN']\nfiles = ['globex']\n";
    good(rules, "[secrets]\na.environment = 'GLOBEX_TOKEN'\nb.file = 'globex/token'\n");
    let rules = "[contents]\nenvironment = []\nfiles = []\n";
    bad(rules, "[secrets.a]\nenvironment = 'SHARED_TOKEN'\n", "secrets.a", "is not among");
    bad(rules, "[secrets.a]\nfile = 'shared/token'\n", "secrets.a", "is in none");
}

#[test]
fn rules_that_say_nothing_clear_are_errors() {
    for rules in [
        "environment = ['A*B']",
        "environment = ['${stage}_*']",
        "environment = ['']",
        "environment = 'A'",
        "files = ['/etc']",
        "files = ['../x']",
        "files = ['a/**']",
        "files = ['${x}']",
        "files = [1]",
        "folders = ['a']",
    ] {
        let loaded = load(&files(&[("fleet.toml", &format!("[contents]\n{rules}\n")), ("acme.toml", WEB)]));
        assert!(loaded.fleet.is_none() && loaded.customers.is_empty(), "{rules}");
        let said = lines(&loaded.diagnostics);
        assert!(said.len() == 1 && said[0].starts_with("fleet.toml:2:"), "{said:?}");
    }
}
