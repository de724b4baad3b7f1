//! Faulty specs: the exact place and key of every error, and how its message begins.

use super::*;

/// Checks `LINE:COLUMN KEY: MESSAGE…` of every finding.
fn check(text: &str, expected: &[&str]) {
    let loaded = load(&files(&[("acme.toml", text)]));
    let found: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|d| format!("{}:{} {}: {}", d.line, d.column, d.key, d.message))
        .collect();
    let fits = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
    assert!(fits, "{text}\nfound    {found:#?}\nexpected {expected:#?}");
    assert!(loaded.customers.is_empty());
    assert_eq!(loaded.invalid["acme"], loaded.diagnostics);
}

/// The same of keys that follow `image` in line 3.
pub(super) fn check_service(keys: &str, expected: &[&str]) {
    check(&format!("[services.web]\nimage = \"app\"\n{keys}\n"), expected);
}

#[test]
fn top() {
    check("", &["0:0 services: no services"]);
    check("services = {}", &["1:12 services: no services"]);
    check("services = 3", &["1:12 services: expected a table of services, found an integer"]);
    check(
        r#"service = 1
[services]
"#,
        &["1:1 service: unknown key", "2:1 services: no services"],
    );
    check(
        r#"name = 'x'
[services.a]
image='a'"#,
        &["1:1 name: this key does not belong here"],
    );
    check(
        r#"suspend = true
[services.a]
image='a'"#,
        &["1:11 suspend: expected a reason or a table, found a boolean"],
    );
    check(
        r#"suspend = {until = 2026-12-01}
[services.a]
image='a'"#,
        &["1:11 suspend: `reason` is missing", "1:20 suspend.until: not a date and time with an offset"],
    );
    check(
        r#"suspend = ' '
[services.a]
image='a'"#,
        &["1:11 suspend: the reason is empty"],
    );
    check(
        r#"[services.a]
image='a'
suspend={reason='x', until = '2026-12-01T08:00:00', by='me'}"#,
        &[
            "3:30 services.a.suspend.until: not a date and time with an offset",
            "3:53 services.a.suspend.by: unknown key",
        ],
    );
    check(
        r#"[services."a b"]
image='a'
[services._x]
image='a'
[services.'é']
image='a'"#,
        &[
            r#"1:11 services."a b": not a service name"#,
            "3:11 services._x: not a service name",
            r#"5:11 services."é": not a service name"#,
        ],
    );
    check(
        r#"[services.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]
image='a'"#,
        &[
            "1:11 services.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: the name in the Swarm, `acme_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`, has 65 characters",
        ],
    );
    check(
        r#"[services]
a = false
b = true
c = 'app'"#,
        &[
            "2:5 services.a: the template has no such service",
            "3:5 services.b: expected a table or false",
            "4:5 services.c: expected a table or false, found a string",
        ],
    );
    check(
        r#"[[services]]
image='a'"#,
        &["1:1 services: expected a table of services, found a list"],
    );
    check(
        r#"template = 5
[services.a]
foo = 1"#,
        &["1:12 template: expected a string, found an integer", "3:1 services.a.foo: unknown key"],
    );
    check(
        r#"template = 'nope'
[services.a]
adopt = 1"#,
        &[
            r#"1:12 template: there is no template "nope""#,
            "3:9 services.a.adopt: expected true or false, found an integer",
        ],
    );
}

#[test]
fn images() {
    check(
        r#"[services.web]

"#,
        &["1:11 services.web: `image` is missing"],
    );
    check(
        r#"[services.web]
image = 5
"#,
        &["2:9 services.web.image: expected a string, found an integer"],
    );
    check(
        r#"[services.web]
image = 'a b'
"#,
        &["2:9 services.web.image: invalid image `a b`"],
    );
    check(
        r#"[services.web]
image = ''
"#,
        &["2:9 services.web.image: an image is empty: write e.g. registry.example.com/team/app"],
    );
    check(
        r#"[services.web]
image = 'https://x/y'
"#,
        &["2:9 services.web.image: invalid image `https://x/y`"],
    );
    check(
        r#"[services.web]
image = 'nginx:latest'
"#,
        &["2:9 services.web.image: `latest` is a floating tag: what it names can change"],
    );
    check(
        r#"[services.web]
image = 'nginx:1'
"#,
        &["2:9 services.web.image: `1` is a floating tag: what it names can change"],
    );
    check(
        r#"[services.web]
image = 'nginx:16.3-alpine'
"#,
        &["2:9 services.web.image: `16.3-alpine` is a floating tag: what it names can change"],
    );
    check(
        r#"[services.web]
image = 'reg.io:5000/nginx:v2'
"#,
        &["2:9 services.web.image: `v2` is a floating tag: what it names can change"],
    );
    check(
        r#"[services.web]
image='x:01.2.3'
"#,
        &["2:7 services.web.image: `01.2.3` is a floating tag: what it names can change"],
    );
    check(
        r#"[services.web]
image = 'nginx:1.2.3'
version = '^1'
"#,
        &["2:9 services.web.image: the image has a tag, and there is a `version`"],
    );
    check(
        r#"[services.web]
image = 'nginx:latest'
version = '^1'
"#,
        &["2:9 services.web.image: the image has a tag, and there is a `version`"],
    );
    check(
        r#"[services.web]
image = 'nginx@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
version = '^1'
"#,
        &["2:9 services.web.image: the image has a digest, and there is a `version`"],
    );
}

#[test]
fn versions() {
    check_service("version = 1.4", &["3:11 services.web.version: expected a string, found a float"]);
    check_service(
        "version = ['^1']",
        &["3:11 services.web.version: expected a requirement or a table, found a list"],
    );
    check_service(
        "version = ''",
        &["3:11 services.web.version: `` is not a version requirement: it is empty"],
    );
    check_service(
        "version = '^1 || ^2'",
        &["3:11 services.web.version: `^1 || ^2` is not a version requirement: there is no `||`"],
    );
    check_service(
        "version = '1.2 - 1.4'",
        &["3:11 services.web.version: `1.2 - 1.4` is not a version requirement: there are no hyphen ranges"],
    );
    check_service(
        "version = '>=v1.2'",
        &[
            "3:11 services.web.version: `>=v1.2` is not a version requirement: versions have no leading `v` here",
        ],
    );
    check_service(
        "version = '>=1.2 <2'",
        &["3:11 services.web.version: `>=1.2 <2` is not a version requirement:"],
    );
    check_service(
        "version = 'latest'",
        &["3:11 services.web.version: `latest` is not a version requirement:"],
    );
    check_service("version='01.2'", &["3:9 services.web.version: `01.2` is not a version requirement:"]);
    check_service(
        "version='99999999999999999999'",
        &["3:9 services.web.version: `99999999999999999999` is not a version requirement:"],
    );
    check_service(
        "version = { requires = '^1', req = '1', prerelease = 'rc', tags = 'alpine', exclude = '1.4.2', min_age = '2 hours', retag = 'folow', downgrade = 'no' }",
        &[
            "3:13 services.web.version.requires: unknown key",
            "3:30 services.web.version.req: this key does not belong here",
            "3:54 services.web.version.prerelease: expected true, false or a list of strings, found a string",
            "3:67 services.web.version.tags: there must be one `{version}`",
            "3:87 services.web.version.exclude: expected a list of strings, found a string",
            "3:106 services.web.version.min_age: `2 hours` is not a duration",
            r#"3:125 services.web.version.retag: "folow" is not one of "follow", "hold""#,
            "3:146 services.web.version.downgrade: expected true or false, found a string",
        ],
    );
    check_service(
        "version = { prerelease = ['rc.1', ''], tags = '{version}{version}', exclude = ['1.x.y', 5], min_age = 5 }",
        &[
            "3:27 services.web.version.prerelease[0]: not a pre-release identifier",
            "3:35 services.web.version.prerelease[1]: not a pre-release identifier",
            "3:47 services.web.version.tags: there must be one `{version}`",
            "3:80 services.web.version.exclude[0]: `1.x.y` is not a version requirement:",
            "3:89 services.web.version.exclude[1]: expected a string, found an integer",
            "3:103 services.web.version.min_age: expected a string, found an integer",
        ],
    );
    check_service(
        "version = { tags = '-{version}' }",
        &["3:20 services.web.version.tags: no tag can be spelt so"],
    );
    check_service(
        "version = { tags = '{version}+x' }",
        &["3:20 services.web.version.tags: no tag can be spelt so"],
    );
}

#[test]
fn variables() {
    check(
        r#"[vars]
customer = 'x'
'a b' = 'x'
l = []
r = '${q}'
q = '${customer}'
u = '${'
unused = 1
[services.web]
image = "${q}/app"
version = "${vesion}"
command = '${q} ${'
entrypoint = '$${x} $y ${a:-b}'"#,
        &[
            "2:1 vars.customer: `customer` cannot be set",
            r#"3:1 vars."a b": not a variable name"#,
            "4:5 vars.l: expected a string, number or boolean, found a list",
            "5:5 vars.r: a variable may only refer to ${customer}",
            "7:5 vars.u: `${` without its `}`",
            "11:12 services.web.version: undefined variable `vesion`",
            "12:12 services.web.command: `${` without its `}`",
            "13:24 services.web.entrypoint: `${a:-b}` is not a variable",
        ],
    );
    check(
        r#"vars = 5
[services.a]
image = 'x'"#,
        &["1:8 vars: expected a table, found an integer"],
    );
}

#[test]
fn syntax() {
    check(
        r#"a = 
[services.web
image = 'x:latest'
[services.b]
image = x
verson = 1
version '1'
adopt = 1
"#,
        &[
            "1:5 : invalid TOML: string values must be quoted",
            "2:14 : invalid TOML: unclosed table",
            "5:9 : invalid TOML: string values must be quoted",
            "6:1 services.b.verson: unknown key",
            "7:9 : invalid TOML: key with no value",
            "8:9 services.b.adopt: expected true or false, found an integer",
        ],
    );
    check(
        r#"[services.a]
image = 'x'
image = 'y'
adopt = 5
"#,
        &[
            "3:1 : invalid TOML: duplicate key",
            "4:9 services.a.adopt: expected true or false, found an integer",
        ],
    );
    check(
        r#"a = 99999999999999999999
b = inf
[services.a]
image = 'x'"#,
        &[
            "1:1 a: unknown key",
            "1:5 a: the number does not fit 64 bits",
            "2:1 b: unknown key",
            "2:5 b: the number is not finite",
        ],
    );
    check(
        "\u{feff}[services.ä]\r\nimage = 'x'\r\n\"ö\\u001b\" = 1",
        &["1:11 : invalid TOML: invalid unquoted key", r#"3:1 services."ä"."ö\u{1b}": unknown key"#],
    );
}

#[test]
fn order_drift_and_prune() {
    check_service("after = \"db\"", &["3:9 services.web.after: expected a list of strings, found a string"]);
    check_service("after = [\"web\"]", &["3:10 services.web.after[0]: a service cannot wait for itself"]);
    check_service("after = [\"wed\"]", &["3:10 services.web.after[0]: there is no service `wed`"]);
    check_service("drift = \"ignore\"", &["3:9 services.web.drift: \"ignore\" is not one of"]);
    check_service("prune = false", &["3:1 services.web.prune: unknown key"]);
    check(
        "prune = 1\ndrift = true\n[services.a]\nimage = 'a'\n",
        &["1:9 prune: expected true or false", "2:9 drift: expected one of"],
    );
    let service = |name: &str, after: &str| format!("[services.{name}]\nimage = 'a'\nafter = [{after}]\n");
    check(
        &[service("a", "'b'"), service("b", "'c', 'c'"), service("c", "'a'")].concat(),
        &[
            "3:10 services.a.after[0]: `a` waits for itself: a after b after c after a",
            "6:10 services.b.after[0]: `b` waits for itself: b after c after a after b",
            "6:15 services.b.after[1]: the service stands here twice",
            "9:10 services.c.after[0]: `c` waits for itself: c after a after b after c",
        ],
    );
}
