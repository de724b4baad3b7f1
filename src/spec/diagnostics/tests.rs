use super::*;
use crate::spec::parse::load;
use crate::spec::parse::tests::files;

#[test]
fn one_line_names_place_key_and_mend() {
    let given = files(&[("acme.toml", "# ö\n[services.frontend]\nverson = 1\nimage = 'a'\n")]);
    let lines: Vec<_> = load(&given).diagnostics.iter().map(Diagnostic::one_line).collect();
    assert_eq!(lines, ["acme.toml:3:1: services.frontend.verson: unknown key; did you mean `version`?"]);
}

#[test]
fn renders_as_a_compiler_does() {
    let text =
        "[services.web]\nimage = \"nginx:1.25\"\n\tverson = 'ö\u{85}'\nports = [\n  '80', '70000',\n]\n";
    let given = files(&[("acme.toml", text), ("templates/eu/x.toml", "a")]);
    let shown = render(&load(&given).diagnostics, &given, false);
    insta::assert_snapshot!(shown, @r#"
    error: services.web.image: `1.25` is a floating tag: what it names can change
     --> acme.toml:2:9
      |
    2 | image = "nginx:1.25"
      |         ^^^^^^^^^^^^
      |
      = help: follow the highest version: `image = "nginx"` and `version = "~1.25"`; or pin the content by its digest: `nginx:1.25@sha256:…`

    error: services.web.verson: unknown key
     --> acme.toml:3:2
      |
    3 |  verson = 'ö�'
      |  ^^^^^^
      |
      = help: did you mean `version`?

    error: services.web.ports[1]: `70000` is not a port: `70000` is not a number up to 65535
     --> acme.toml:5:9
      |
    5 |   '80', '70000',
      |         ^^^^^^^
      |
      = help: write e.g. "8080:80", "53:53/udp", "8000-8010:80-90" or 80

    warning: not read: folders in templates/ are not searched
    --> templates/eu/x.toml
     = help: move it to templates/ itself
"#);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = "[services.web]\n\"\\u001b[31m\" = 1 # \u{9b}31m \u{202e} \u{7f}\nimage = 'a\tb'\n";
    let given = files(&[("a\u{1b}.toml", text)]);
    let loaded = load(&given);
    let shown = render(&loaded.diagnostics, &given, false);
    assert!(shown.contains("\\u{1b}"), "{shown}");
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{shown:?}");
    let lines: String = loaded.diagnostics.iter().map(Diagnostic::one_line).collect();
    assert!(!lines.chars().any(char::is_control), "{lines:?}");
}

#[test]
fn color_is_only_for_terminals() {
    let given = files(&[("acme.toml", "x = 1")]);
    let diagnostics = load(&given).diagnostics;
    assert!(render(&diagnostics, &given, true).contains("\u{1b}["));
    assert!(!render(&diagnostics, &given, false).contains('\u{1b}'));
}

#[test]
fn long_lines_are_not_shown() {
    let text = format!("services = {{}} # {}\n", "x".repeat(100_000));
    let given = files(&[("acme.toml", &text)]);
    let shown = render(&load(&given).diagnostics, &given, false);
    assert!(shown.contains("acme.toml:1:12") && shown.len() < 2000, "{shown}");
}

#[test]
fn positions_count_characters() {
    let text = "\u{feff}aö\r\n\nb";
    for (offset, expected) in
        [(0, (1, 1)), (3, (1, 1)), (4, (1, 2)), (6, (1, 3)), (8, (2, 1)), (9, (3, 1)), (99, (3, 2))]
    {
        assert_eq!(position(text, offset), expected, "{offset}");
    }
}
