//! A spec with every key, as a compose file.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::report::{compose, yaml};
use crate::spec::parse::{SpecFiles, load};

const FULL: &str = include_str!("../../spec/parse/testdata/full.toml");

fn full() -> Value {
    let files = [("acme.toml", FULL), ("templates/base.toml", "")];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let files = SpecFiles { files: files.into() };
    let loaded = load(&files);
    let customer = loaded.customers.get("acme").unwrap();
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
        json!({ "lists": [[], {}, [["x"], { "a": 1, "b": [2] }], { "c": { "d": [] } }] }),
    ] {
        let read: Value = serde_saphyr::from_str(&yaml(&value)).unwrap();
        assert_eq!(read, value, "{}", yaml(&value));
    }
}
