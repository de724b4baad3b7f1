//! Several files: names, templates, one bad customer beside good ones.

use super::*;

const GOOD: &str = "[services.web]\nimage = 'app'\n";

fn names<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

#[test]
fn one_bad_customer_never_hides_the_others() {
    let loaded = load(&files(&[
        ("bad.toml", "[services.web]\nimage = 'app:latest'\n"),
        ("broken.toml", "]["),
        ("deep/er/good.toml", GOOD),
        ("other.toml", GOOD),
    ]));
    assert_eq!(names(&loaded.customers), ["good", "other"]);
    assert_eq!(names(&loaded.invalid), ["bad", "broken"]);
    assert_eq!(loaded.customers["good"].file, "deep/er/good.toml");
    assert!(loaded.invalid.values().all(|diagnostics| !diagnostics.is_empty()));
}

#[test]
fn files_are_sorted_by_their_names() {
    let long = format!("{}.toml", "x".repeat(41));
    let loaded = load(&files(&[
        (".git/x.toml", "]["),
        (".hidden.toml", "]["),
        ("README.md", "]["),
        ("acme.toml", GOOD),
        ("acme.toml.bak", "]["),
        ("a.b.toml", GOOD),
        ("Upper.toml", GOOD),
        ("-x.toml", GOOD),
        ("eu/fleet.toml", GOOD),
        ("fleet.toml", "# nothing\n\n"),
        ("templates/saas.toml", GOOD),
        (&long, GOOD),
    ]));
    assert_eq!(names(&loaded.customers), ["acme", "fleet"]);
    assert_eq!(names(&loaded.invalid), ["-x", "Upper", "a.b", &"x".repeat(41)]);
    assert!(lines(&loaded.diagnostics).iter().all(|line| line.contains("is not a customer name")));
    assert_eq!(loaded.diagnostics.len(), 4);
}

#[test]
fn what_is_ignored_says_so() {
    let loaded =
        load(&files(&[("acme.toml", GOOD), ("fleet.toml", "[waves]\n"), ("templates/eu/x.toml", "][")]));
    assert_eq!(names(&loaded.customers), ["acme"]);
    assert_eq!(
        lines(&loaded.diagnostics),
        [
            "fleet.toml: not yet: fleet.toml is not read; its rules are not applied; they come with a later release",
            "templates/eu/x.toml: not read: folders in templates/ are not searched; move it to templates/ itself",
        ]
    );
}

#[test]
fn two_files_with_one_stem_are_an_error_in_both() {
    let loaded = load(&files(&[("acme.toml", GOOD), ("eu/acme.toml", GOOD), ("us.toml", GOOD)]));
    assert_eq!(names(&loaded.customers), ["us"]);
    let expected = [
        "acme.toml: customer `acme` has another file: eu/acme.toml; rename one of the two, or take it away",
        "eu/acme.toml: customer `acme` has another file: acme.toml; rename one of the two, or take it away",
    ];
    assert_eq!(lines(&loaded.diagnostics), expected);
    assert_eq!(lines(&loaded.invalid["acme"]), expected);
}

#[test]
fn too_many_files_are_refused_not_forgotten() {
    let files =
        SpecFiles { files: (0..FILES_MAX + 2).map(|i| (format!("c{i:05}.toml"), GOOD.to_owned())).collect() };
    let loaded = load(&files);
    assert_eq!(loaded.customers.len(), FILES_MAX);
    let refused = [FILES_MAX, FILES_MAX + 1].map(|i| format!("c{i:05}"));
    assert_eq!(names(&loaded.invalid), refused);
}

#[test]
fn templates_merge_beneath() {
    let template = r#"
[vars]
domain = "default.example.com"
size = 1
[services.web]
image = "app"
version = { require = "^1", prerelease = true }
command = ["a", "b"]
environment = { A = "1", B = "${domain}" }
labels = ["a=b"]
[services.db]
image = "db"
[services.extra]
image = "extra"
"#;
    let customer_text = r#"
template = "saas"
vars.domain = "acme.example.com"
[services]
extra = false
[services.web]
version = { prerelease = false }
command = ["c"]
environment = { A = "2" }
labels = { c = "d" }
[services.db]
version = "^16"
"#;
    let acme = customer(&[("acme.toml", customer_text), ("templates/saas.toml", template)]);
    assert_eq!(names(&acme.services), ["db", "web"]);
    let web = &acme.services["web"];
    let ImagePolicy::Highest { policy, .. } = &web.image else { panic!() };
    assert_eq!((policy.require.to_string().as_str(), &policy.prerelease), ("^1", &Prerelease::None));
    assert_eq!(web.compose.command, Some(strings(&["c"])));
    assert_eq!(web.compose.environment["A"].as_deref(), Some("2"));
    assert_eq!(web.compose.environment["B"].as_deref(), Some("acme.example.com"));
    assert_eq!(web.compose.labels, BTreeMap::from([("c".into(), "d".into())]));
    let ImagePolicy::Highest { policy, .. } = &acme.services["db"].image else { panic!() };
    assert_eq!(policy.require.to_string(), "^16");
}

#[test]
fn a_fault_in_a_template_concerns_all_its_customers() {
    let template = "[services.web]\nimage = 'app:latest'\nverson = 1\n";
    let acme = "template = 'saas'\nservices.web.image = 'app'\n";
    let loaded = load(&files(&[
        ("acme.toml", acme),
        ("beta.toml", "template = 'saas'\n"),
        ("gamma.toml", GOOD),
        ("templates/saas.toml", template),
    ]));
    assert_eq!(names(&loaded.customers), ["gamma"]);
    let places = |diagnostics: &[Diagnostic]| -> Vec<String> {
        diagnostics.iter().map(|d| format!("{}:{}:{} {}", d.file, d.line, d.column, d.message)).collect()
    };
    let floating = "templates/saas.toml:2:9 `latest` is a floating tag: what it names can change";
    let unknown = "templates/saas.toml:3:1 unknown key";
    // The template is wrong although acme overrides the image.
    for name in ["acme", "beta"] {
        let mention = format!("(in the template of {name}.toml)");
        assert_eq!(
            places(&loaded.invalid[name]),
            [format!("{floating} {mention}"), format!("{unknown} {mention}")]
        );
    }
    let mention = "(in the template of acme.toml and 1 more)";
    assert_eq!(
        places(&loaded.diagnostics),
        [format!("{floating} {mention}"), format!("{unknown} {mention}")]
    );
}

#[test]
fn a_customers_own_fault_is_its_own() {
    let template = "[services.web]\nimage = 'app'\n[services.db]\nversion = '^1'\ncommand = '${x}'\n";
    let loaded = load(&files(&[
        ("acme.toml", "template = 'saas'\nservices.db.image = 'db'\nvars.x = 1\n"),
        ("beta.toml", "template = 'saas'\n"),
        ("gamma.toml", "template = 'sas'\n[services.web]\ncommand = 5\n"),
        ("templates/saas.toml", template),
    ]));
    assert_eq!(names(&loaded.customers), ["acme"]);
    assert_eq!(
        lines(&loaded.diagnostics),
        [
            "gamma.toml:1:12: template: there is no template \"sas\"; did you mean \"saas\"?",
            "gamma.toml:3:11: services.web.command: expected a string or a list of strings, found an integer",
            "templates/saas.toml:3:11: services.db: `image` is missing (in the template of beta.toml); write `image = \"registry.example.com/team/app\"`",
            "templates/saas.toml:5:12: services.db.command: undefined variable `x` (in the template of beta.toml); write `x = \"…\"` under [vars], or `$${` for the text itself",
        ]
    );
}

#[test]
fn templates_are_checked_even_when_nobody_uses_them() {
    let loaded = load(&files(&[
        ("templates/a.toml", "template = 'b'\n[services.web]\nimage = '${registry}/x'\nrestart = 'always'\n"),
        ("templates/b.toml", "[services"),
    ]));
    assert_eq!(
        lines(&loaded.diagnostics),
        [
            "templates/a.toml:4:1: services.web.restart: Swarm ignores this key; use `deploy.restart_policy`",
            "templates/b.toml:1:10: invalid TOML: unclosed table, expected `]`",
        ]
    );
    assert!(loaded.customers.is_empty() && loaded.invalid.is_empty());
}

#[test]
fn a_template_in_conflict_names_the_other_file() {
    let loaded = load(&files(&[
        ("acme.toml", "template = 'saas'\nservices.web.image = 'app:1.2.3'\n"),
        ("templates/saas.toml", "[services.web]\nimage = 'app'\nversion = '^1'\n"),
    ]));
    assert_eq!(
        lines(&loaded.diagnostics),
        [
            "acme.toml:2:22: services.web.image: the image has a tag, and there is a `version` (in templates/saas.toml); write `image = \"app\"` and `version = \"=1.2.3\"`, or leave out `version`"
        ]
    );
}

#[test]
fn unused_variables_are_warned_of() {
    let loaded = load(&files(&[
        ("acme.toml", "template = 'saas'\nvars = { size = 2, domian = 'x' }\n"),
        (
            "templates/saas.toml",
            "[vars]\nsize = 1\ndomain = 'y'\n[services.web]\nimage = 'app'\ncommand = '${domain}'\n",
        ),
    ]));
    assert_eq!(names(&loaded.customers), ["acme"]);
    assert_eq!(
        lines(&loaded.diagnostics),
        ["acme.toml:2:20: vars.domian: no string names this variable; did you mean `domain`?"]
    );
    assert_eq!(loaded.diagnostics[0].severity, Severity::Warning);
}

#[test]
fn bounds() {
    let services: String = (0..501).map(|i| format!("[services.s{i:03}]\nimage = 'app'\n")).collect();
    let vars: String = (0..1001).map(|i| format!("v{i:04} = 1\n")).collect();
    let long = "x".repeat(200 << 10);
    let bomb = format!(
        "[vars]\na = '{}'\n[services.web]\nimage = 'app'\ncommand = [{}]\n",
        "x".repeat(100 << 10),
        "'${a}',".repeat(100)
    );
    for (text, expected) in [
        (services, "services.s500: more than 500 services"),
        (format!("[vars]\n{vars}{GOOD}"), "vars.v1000: more than 1000 variables"),
        (format!("{GOOD}command = ['{long}']\n"), "the string has more than"),
        (bomb, "the strings are too long with their variables"),
        (format!("{GOOD}command = [{}]\n", "5,".repeat(1000)), "acme.toml: there are more than 500 errors"),
        ("a =\n".repeat(1000), "acme.toml: there are more than 500 errors"),
        ("b\n".repeat(1000), "key with no value"),
        (format!("# {}", "x".repeat(FILE_BYTES_MAX)), "acme.toml: the file is too large"),
    ] {
        let loaded = load(&files(&[("acme.toml", &text)]));
        let found = lines(&loaded.invalid["acme"]);
        assert!(found.iter().any(|line| line.contains(expected)), "{expected}: {:?}", found.first());
        assert!(found.len() <= 50 && loaded.diagnostics.len() <= 501);
    }
}
