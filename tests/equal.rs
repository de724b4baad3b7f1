//! The specs of `tests/equal` say every key that a spec has: what `tests/swarm/equal` compares
//! with the docker CLI on real Swarms is the whole vocabulary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use skep::spec::keys::{ALL, Keys, SPEC, Shape};
use toml::Value;

/// As many as issue 4 asks for; there are more.
const SPECS_MIN: usize = 60;

fn specs(folder: &str) -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/equal").join(folder);
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect()
}

/// Every key by its table.
type Used = BTreeSet<(&'static str, &'static str)>;

fn in_table(keys: &'static Keys, table: &toml::Table, used: &mut Used) {
    for key in keys.known {
        if let Some(value) = table.get(key.name) {
            used.insert((keys.id, key.name));
            in_value(&key.shape, value, used);
        }
    }
}

fn in_value(shape: &Shape, value: &Value, used: &mut Used) {
    match (shape, value) {
        (Shape::Table(keys), Value::Table(table)) => in_table(keys, table, used),
        (Shape::Map { value: shape, .. }, Value::Table(table)) => {
            table.values().for_each(|value| in_value(shape, value, used));
        }
        (Shape::List(shape), Value::Array(list)) => {
            list.iter().for_each(|value| in_value(shape, value, used));
        }
        (Shape::Any(shapes), value) => shapes.iter().for_each(|shape| in_value(shape, value, used)),
        _ => {}
    }
}

#[test]
fn every_key_is_used() {
    let mut used = Used::new();
    let (customers, templates) = (specs(""), specs("templates"));
    assert!(customers.len() >= SPECS_MIN, "{} specs", customers.len());
    for path in customers.iter().chain(&templates) {
        let table: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        in_table(&SPEC, &table, &mut used);
    }
    let all = ALL.iter().flat_map(|keys| keys.known.iter().map(|key| (keys.id, key.name)));
    let unused: Vec<_> = all.filter(|key| !used.contains(key)).collect();
    assert!(unused.is_empty(), "no spec in tests/equal says {unused:?}");
}
