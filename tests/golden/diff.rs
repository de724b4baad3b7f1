//! Differences, for people.

use serde_json::{Map, Value, json};

/// Lines that differ, with two lines around them.
pub fn lines(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let common = common(&old, &new);
    let mut out: Vec<(char, &str)> = Vec::new();
    let (mut i, mut j) = (0, 0);
    for (a, b) in common.into_iter().chain([(old.len(), new.len())]) {
        out.extend(old[i..a].iter().map(|line| ('-', *line)));
        out.extend(new[j..b].iter().map(|line| ('+', *line)));
        out.extend(old.get(a).map(|line| (' ', *line)));
        (i, j) = (a + 1, b + 1);
    }
    let near =
        |at: usize| out[at.saturating_sub(2)..(at + 3).min(out.len())].iter().any(|(sign, _)| *sign != ' ');
    let shown = (0..out.len()).filter(|at| near(*at)).map(|at| format!("  {} {}\n", out[at].0, out[at].1));
    shown.collect()
}

/// Pairs of the longest common subsequence.
fn common(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let mut best = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            best[i][j] =
                if old[i] == new[j] { best[i + 1][j + 1] + 1 } else { best[i + 1][j].max(best[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if best[i + 1][j] >= best[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// What a write changes: JSON pointer → `[before, after]`, `null` for absent.
pub fn pointers(before: &Value, after: &Value) -> Map<String, Value> {
    let mut found = Map::new();
    descend("", Some(before), Some(after), &mut found);
    found
}

fn descend(at: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Map<String, Value>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let key_text = key.replace('~', "~0").replace('/', "~1");
                descend(&format!("{at}/{key_text}"), old.get(key), new.get(key), found);
            }
        }
        _ => {
            found.insert(at.to_owned(), json!([before, after]));
        }
    }
}
