//! A spec with every key, as a compose file.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::report::{compose, notes, yaml};
use crate::spec::Customer;
use crate::spec::parse::{SpecFiles, load};

const FULL: &str = include_str!("../../spec/parse/testdata/full.toml");

fn acme(text: &str) -> Customer {
    let files = [("acme.toml", text), ("templates/base.toml", "")];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let files = SpecFiles { files: files.into() };
    let loaded = load(&files);
    Customer::clone(loaded.customers.get("acme").unwrap())
}

fn full() -> Value {
    rendered(&acme(FULL))
}

fn rendered(customer: &Customer) -> Value {
    let image = |key: &String| (key.clone(), format!("r.example.com/{key}:1.0.0@sha256:aa"));
    compose(customer, &customer.services.keys().map(image).collect::<BTreeMap<_, _>>())
}

#[test]
fn every_key_has_its_place() {
    insta::assert_snapshot!("compose", yaml(&full()));
}

/// What a YAML reader makes of it is what was meant.
#[test]
fn the_yaml_reads_back() {
    for value in [
        full(),
        json!({}),
        json!({ "on": ["yes", "1.10", "0400", "", "a: b", "# x", "\u{1b}[31m", "é\n", "$$", null, -1, 0.5, true] }),
        json!({ "breaks": ["a \u{2028} b", "\u{85}\u{a0}\u{feff}\u{7f}\u{2029}", "😀"], "\u{2028}": 1 }),
        json!({ "lists": [[], {}, [["x"], { "a": 1, "b": [2] }], { "c": { "d": [] } }] }),
    ] {
        let read: Value = serde_saphyr::from_str(&yaml(&value)).unwrap();
        assert_eq!(read, value, "{}", yaml(&value));
    }
}

/// YAML breaks lines at these, and drops the blanks around them.
#[test]
fn no_character_breaks_a_line() {
    let text = yaml(&json!({ "a": "x \u{2028} \u{2029} \u{85} y" }));
    assert_eq!(text, "\"a\": \"x \\u2028 \\u2029 \\u0085 y\"\n");
}

#[test]
fn variables_without_a_value_are_told() {
    let customer = acme(
        "[services.web]\nimage = 'app'\nenvironment = ['NONE', 'EMPTY=', 'FULL=x']\n[services.db]\nimage = 'app'\n",
    );
    let notes = notes(&customer);
    assert!(notes.starts_with("# web: a variable without a value gets"), "{notes}");
    assert!(notes.ends_with(": EMPTY, NONE\n"), "{notes}");
    assert_eq!(notes.lines().count(), 1, "{notes}");
}

/// The docker CLI finds no other.
#[test]
fn a_credential_spec_names_its_config_as_the_swarm_does() {
    let file = rendered(&acme(
        "[services.web]\nimage = 'app'\ncredential_spec = { config = 'a' }\n[configs.a]\nexternal = true\nname = 'theirs'\n",
    ));
    assert_eq!(file["services"]["web"]["credential_spec"], json!({ "config": "theirs" }));
    assert_eq!(file["configs"]["theirs"], json!({ "external": true, "name": "theirs" }));
}

/// Which is the default network, as no key is.
#[test]
fn no_networks_are_said() {
    let file = rendered(&acme("[services.web]\nimage = 'app'\nnetworks = []\n"));
    assert_eq!(file["services"]["web"]["networks"], json!({}));
}
