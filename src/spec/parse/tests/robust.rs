//! Whatever the text, the reader answers, and what it says has its place in the text.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::spec::diagnostics::{position, render};

/// Loads the text as a customer with a template, and as the template of a customer.
fn check(text: &str) {
    for given in [
        files(&[("acme.toml", text), ("templates/base.toml", "[services.frontend]\nimage = 'app'\n")]),
        files(&[("acme.toml", "template = 'base'\n"), ("templates/base.toml", text)]),
    ] {
        let loaded = load(&given);
        assert_eq!(loaded.customers.len() + loaded.invalid.len(), 1);
        assert!(loaded.diagnostics.is_sorted_by_key(|d| (d.file.clone(), d.span.clone().map(|s| s.start))));
        for diagnostic in loaded.invalid.values().flatten().chain(&loaded.diagnostics) {
            check_place(diagnostic, &given);
        }
        let shown = render(&loaded.diagnostics, &given, false);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }
}

fn check_place(diagnostic: &Diagnostic, given: &SpecFiles) {
    let text = &given.files[&diagnostic.file];
    assert!(!diagnostic.message.is_empty());
    assert!(!diagnostic.one_line().chars().any(char::is_control));
    match &diagnostic.span {
        None => assert_eq!((diagnostic.line, diagnostic.column), (0, 0)),
        Some(span) => {
            assert!(text.get(span.clone()).is_some(), "{diagnostic:?}");
            assert_eq!(position(text, span.start), (diagnostic.line, diagnostic.column));
        }
    }
}

#[test]
fn odd_texts() {
    for text in [
        "",
        "\u{feff}",
        "\0",
        "\r",
        "=",
        "[",
        "[[",
        "]]",
        "\"\"\"",
        "a.",
        "a = {",
        "[a]\n[a]\n[a.b]\n[[a]]",
        "[[a]]\n[a]\nb=1",
    ] {
        check(text);
    }
}

proptest! {
    #[test]
    fn arbitrary_text(text in "(?s).{0,200}") {
        check(&text);
    }

    #[test]
    fn toml_like_text(parts in prop::collection::vec(select(vec![
        "[services.a]\n", "[services", "]", "[[", "image", "version", "deploy", ".", "=", " ", "\n", "'app'",
        "'x:latest'", "\"${\"", "'${a}'", "{", "}", "[", ",", "5", "-1", "1.5", "true", "2026-01-01", "#",
        "ports", "networks", "environment", "'80-90:1'", "\"\"\"", "'", "\u{1b}", "ö", "\r\n", "vars", "template='base'\n",
    ]), 0..40)) {
        check(&parts.concat());
    }

    #[test]
    fn mutated_specs(at in any::<Index>(), len in 0usize..30, insert in "(?s).{0,5}") {
        let bounds: Vec<usize> = FULL.char_indices().map(|(i, _)| i).collect();
        let from = at.index(bounds.len());
        let to = (from + len).min(bounds.len() - 1);
        let mut text = FULL.to_owned();
        text.replace_range(bounds[from]..bounds[to], &insert);
        check(&text);
    }

    #[test]
    fn values_of_the_wrong_type(line in any::<Index>(), value in select(vec![
        "5", "-5", "1.5", "''", "'x'", "true", "[]", "[[]]", "['']", "[5]", "{}", "{ x = 1 }", "2026-01-01", "99999999999999999999", "nan",
    ])) {
        let mut lines: Vec<String> = FULL.lines().map(str::to_owned).collect();
        let line = line.index(lines.len());
        if let Some((key, _)) = lines[line].split_once(" = ") {
            lines[line] = format!("{key} = {value}");
        }
        check(&lines.join("\n"));
    }
}
