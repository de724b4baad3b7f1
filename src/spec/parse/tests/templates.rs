//! Templates beneath templates, and the variables that they declare.

use super::*;

const BASE: &str = "[vars]\nregistry = 'r.example.com'\n[services.web]\nimage = '${registry}/web'\n\
                    deploy = { replicas = 1, labels = { tier = 'base' } }\n[services.debug]\nimage = 'debug'\n";

fn told(given: &[(&str, &str)]) -> Vec<String> {
    lines(&load(&files(given)).diagnostics)
}

#[test]
fn templates_lie_beneath_one_another() {
    let acme = customer(&[
        ("acme.toml", "template = 'saas'\n[services.web.deploy]\nlabels = { own = 'x' }\n"),
        (
            "templates/saas.toml",
            "template = 'base'\n[vars]\nregistry = 'eu.example.com'\n[services.web.deploy]\nreplicas = 3\n\
             [services]\ndebug = false\n[services.db]\nimage = 'db'\n",
        ),
        ("templates/base.toml", BASE),
    ]);
    assert_eq!(acme.services.keys().collect::<Vec<_>>(), ["db", "web"]);
    let web = &acme.services["web"];
    assert_eq!(web.image.repository().to_string(), "eu.example.com/web");
    assert_eq!(web.compose.deploy.replicas, Some(3));
    assert_eq!(web.compose.deploy.labels.keys().collect::<Vec<_>>(), ["own", "tier"]);
}

#[test]
fn a_chain_must_end() {
    let web = "[services.web]\nimage = 'web'\n";
    assert_eq!(
        told(&[
            ("acme.toml", "template = 'a'\n"),
            ("templates/a.toml", "template = 'b'\n"),
            ("templates/b.toml", &format!("template = 'c'\n{web}")),
            ("templates/c.toml", "template = 'b'\n"),
            ("templates/self.toml", "template = 'self'\n"),
            ("templates/lost.toml", "template = 'slef'\n"),
            ("templates/odd.toml", "template = 1\n"),
        ]),
        [
            "templates/b.toml:1:12: template: the templates lie in a circle: templates/b.toml -> templates/c.toml -> templates/b.toml (in the template of acme.toml); take `template` out of one of them",
            "templates/c.toml:1:12: template: the templates lie in a circle: templates/c.toml -> templates/b.toml -> templates/c.toml (in the template of acme.toml); take `template` out of one of them",
            "templates/lost.toml:1:12: template: there is no template \"slef\"; did you mean \"self\"?",
            "templates/odd.toml:1:12: template: expected a string, found an integer",
            "templates/self.toml:1:12: template: the templates lie in a circle: templates/self.toml -> templates/self.toml; take `template` out of one of them",
        ]
    );
    let chain = |length: usize| {
        let mut given: BTreeMap<String, String> = (0..length)
            .map(|i| (format!("templates/t{i:02}.toml"), format!("template = 't{:02}'\n", i + 1)))
            .collect();
        given.insert(format!("templates/t{:02}.toml", length - 1), web.to_owned());
        given.insert("acme.toml".to_owned(), "template = 't00'\n".to_owned());
        load(&SpecFiles { files: given })
    };
    assert_eq!(lines(&chain(16).diagnostics), Vec::<String>::new());
    let loaded = chain(17);
    assert_eq!(
        lines(&loaded.diagnostics),
        [
            "templates/t00.toml:1:12: template: more than 16 templates lie beneath one another, from templates/t00.toml down to templates/t16.toml (in the template of acme.toml); join some of them"
        ]
    );
    assert_eq!(loaded.invalid["acme"].len(), 1);
}

const DECLARES: &str = "\
[vars]
domain = { required = true, description = \"the customer's own\" }
size = { type = 'enum', values = ['small', 'large'], default = 'small' }
workers = { type = 'integer', default = 2 }
debug = { type = 'boolean', default = false }
note = { type = 'string', default = '${customer}' }
plain = 'x'

[services.web]
image = 'web'
environment = { D = '${domain}', S = '${size}', W = '${workers}', N = '${note}', P = '${plain}' }
tty = '${debug}'
deploy = { replicas = '${workers}' }
";

#[test]
fn declared_variables_have_types_and_defaults() {
    let acme = customer(&[
        ("acme.toml", "template = 'saas'\n[vars]\ndomain = 'a.b'\nworkers = 7\ndebug = true\n"),
        ("templates/saas.toml", DECLARES),
    ]);
    let web = &acme.services["web"].compose;
    let values: Vec<&str> = web.environment.values().map(|value| value.as_deref().unwrap()).collect();
    assert_eq!(values, ["a.b", "acme", "x", "small", "7"]);
    assert_eq!((web.container.tty, web.deploy.replicas), (Some(true), Some(7)));
}

#[test]
fn what_a_template_declares_is_checked_and_both_files_are_named() {
    assert_eq!(
        told(&[
            (
                "acme.toml",
                "template = 'saas'\n[vars]\nsize = 'larg'\nworkers = '7'\ndebug = 1\nnote = 5\nplan = 'y'\n"
            ),
            ("globex.toml", "template = 'saas'\n[vars]\ndomain = 'a.b'\nworkerz = 7\n"),
            ("templates/saas.toml", DECLARES),
        ]),
        [
            "acme.toml:1:12: template: templates/saas.toml requires the variable `domain`; write `domain` under [vars]: the customer's own",
            "acme.toml:3:8: vars.size: the value is not one of \"small\", \"large\", as templates/saas.toml declares; did you mean \"large\"?",
            "acme.toml:4:11: vars.workers: expected an integer, found a string, as templates/saas.toml declares",
            "acme.toml:5:9: vars.debug: expected true or false, found an integer, as templates/saas.toml declares",
            "acme.toml:6:8: vars.note: expected a string, found an integer, as templates/saas.toml declares",
            "globex.toml:4:1: vars.workerz: no template declares this variable, and no string names it; did you mean `workers`?",
            "templates/saas.toml:12:7: services.web.tty: expected true or false, and the variable is something else (in the template of acme.toml)",
        ]
    );
}

#[test]
fn a_declaration_must_make_sense() {
    let declares = "\
[vars]
a = { type = 'text', default = 'x' }
b = { required = true, default = 1 }
c = { required = false }
d = { type = 'enum', default = 'x' }
e = { type = 'integer', values = ['1'], default = 1 }
f = { values = ['1'], default = '2' }
g = { type = 'integer', default = 'x', descriptio = 'y' }
h = { values = [], default = '' }
i = { pattern = '[a-z', default = '' }
j = { type = 'integer', pattern = '1', default = 1 }
k = { pattern = 'a)(b', default = 'ab' }
l = { pattern = '(\\w{50}){50}', default = '' }
m = { pattern = '[a-z]+', default = 'ab1' }
n = { pattern = '[a-z]+', values = ['a'], default = 'a' }
";
    assert_eq!(
        told(&[
            ("templates/saas.toml", declares),
            ("acme.toml", "vars.x = { default = 1 }\nservices.web.image = '${x}'\n")
        ]),
        [
            "acme.toml:1:10: vars.x: expected a string, number or boolean, found a table; only a template declares variables; write the value here",
            "templates/saas.toml:2:14: vars.a.type: \"text\" is not one of \"string\", \"integer\", \"boolean\", \"enum\"",
            "templates/saas.toml:3:18: vars.b.required: `required` and `default` exclude each other; take one of the two out",
            "templates/saas.toml:4:18: vars.c.required: there is no `default`; write one, or take `required` out",
            "templates/saas.toml:5:5: vars.d: `values` is missing; write `values = [\"small\", \"large\"]`",
            "templates/saas.toml:6:34: vars.e.values: only an enum has `values`; write `type = \"enum\"`, or take this out",
            "templates/saas.toml:7:33: vars.f.default: the value is not one of \"1\"",
            "templates/saas.toml:8:35: vars.g.default: expected an integer, found a string",
            "templates/saas.toml:8:40: vars.g.descriptio: unknown key; did you mean `description`?",
            "templates/saas.toml:9:16: vars.h.values: an enum has 1 to 1000 values",
            "templates/saas.toml:10:17: vars.i.pattern: `[a-z` is not a regular expression: unclosed character class; write e.g. '[a-z0-9-]+\\.example\\.com', which the whole value must match",
            "templates/saas.toml:11:35: vars.j.pattern: only a string has a `pattern`; write `type = \"string\"`, or take this out",
            "templates/saas.toml:12:17: vars.k.pattern: `a)(b` is not a regular expression: unopened group; write e.g. '[a-z0-9-]+\\.example\\.com', which the whole value must match",
            "templates/saas.toml:13:17: vars.l.pattern: `(\\w{50}){50}` is not a regular expression: it is too large; write e.g. '[a-z0-9-]+\\.example\\.com', which the whole value must match",
            "templates/saas.toml:14:37: vars.m.default: the value does not match `[a-z]+`",
            "templates/saas.toml:15:17: vars.n.pattern: only a string has a `pattern`; write `type = \"string\"`, or take this out",
        ]
    );
}

/// The whole value, with the customer's name filled in, not only some part of it.
#[test]
fn a_string_must_match_its_pattern() {
    let declares = "\
[vars]
domain = { pattern = '[a-z0-9.-]+\\.example\\.com', description = 'the host name' }
tier = { type = 'string', pattern = 'gold|silver', default = 'gold' }
[services.web]
image = 'web'
environment = { D = '${domain}', T = '${tier}' }
";
    let given = |acme: &str| {
        told(&[
            ("acme.toml", &format!("template = 'saas'\n[vars]\n{acme}")),
            ("templates/saas.toml", declares),
        ])
    };
    for good in ["domain = 'a.example.com'\n", "domain = '${customer}.example.com'\ntier = 'silver'\n"] {
        assert_eq!(given(good), Vec::<String>::new(), "{good}");
    }
    for (bad, line) in [
        ("domain = 'a.example.org'\n", "3:10"),
        ("domain = 'a.example.com.evil'\n", "3:10"),
        ("domain = '${customer}_.example.com'\n", "3:10"),
        ("domain = \"a.example.com\\n\"\n", "3:10"),
        ("domain = ''\n", "3:10"),
    ] {
        let expected = format!(
            "acme.toml:{line}: vars.domain: the value does not match `[a-z0-9.-]+\\.example\\.com`, as templates/saas.toml declares"
        );
        assert_eq!(given(bad), [expected], "{bad}");
    }
    assert_eq!(
        given("domain = 'a.example.com'\ntier = 'golden'\n"),
        ["acme.toml:4:8: vars.tier: the value does not match `gold|silver`, as templates/saas.toml declares"]
    );
}

/// The nearest declaration counts, and a value of a template between is a default.
#[test]
fn a_template_above_may_declare_anew() {
    let given = |acme: &'static str| {
        [
            ("acme.toml", acme),
            (
                "templates/saas.toml",
                "template = 'base'\n[vars]\nb = { type = 'integer', default = 2 }\na = 'set'\n",
            ),
            (
                "templates/base.toml",
                "[vars]\na = { required = true }\nb = { required = true }\n[services.web]\nimage = 'web'\nuser = '${a}${b}'\n",
            ),
        ]
    };
    let acme = customer(&given("template = 'saas'\n"));
    assert_eq!(acme.services["web"].compose.container.user.as_deref(), Some("set2"));
    assert_eq!(
        told(&given("template = 'saas'\nvars.b = 'x'\n")),
        ["acme.toml:2:10: vars.b: expected an integer, found a string, as templates/saas.toml declares"]
    );
    assert_eq!(
        told(&given("template = 'base'\nvars.b = 'x'\n")),
        ["acme.toml:1:12: template: templates/base.toml requires the variable `a`; write `a` under [vars]"]
    );
}
