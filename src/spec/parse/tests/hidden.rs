//! What variables hold is in no message, whatever is wrong with it: it may be a secret, whatever the variable is called.

use super::*;

/// Words that no message may have, in shapes that end up in different errors.
const VALUES: &[&str] = &[
    "hunter2",
    "hunter2:x:y:z",
    "hunter2=1",
    "hunter2,hunter2",
    "../hunter2",
    "/x:hunter2",
    "9hunter2",
    "hunter2 x",
];

/// A value that comes from a variable, in every place where a reader wants more than a text.
const PLACES: &[&str] = &[
    "image = 'app:${v}'",
    "image = '${v}'",
    "image = 'app:${v}'\nversion = '^1'",
    "version = '${v}'",
    "version.require = '>=${v}'",
    "version.exclude = ['${v}']",
    "version.min_age = '${v}'",
    "version.prerelease = ['${v}']",
    "version.tags = '${v}'",
    "version.retag = '${v}'",
    "version.downgrade = '${v}'",
    "adopt = '${v}'",
    "on_failure = '${v}'",
    "after = ['${v}']",
    "env_file = '${v}'",
    "env_file = ['../../${v}']",
    "environment = ['A=1', '${v}', '${v}']",
    "command = '\"${v}'",
    "labels = ['skep.${v}', '${v}', '${v}']",
    "healthcheck = { test = ['${v}'], interval = '${v}', retries = '${v}' }",
    "networks = ['${v}']",
    "networks = { default = { aliases = ['a b${v}'] } }",
    "ports = ['${v}', '${v}:80']",
    "ports = [{ target = '${v}', published = '${v}', protocol = '${v}', mode = '${v}' }]",
    "secrets = ['${v}']",
    "configs = [{ source = '${v}', uid = '${v}', gid = '${v}', mode = '${v}' }]",
    "secrets = [{ source = 's', target = '${v}' }, { source = 's', target = '${v}' }]",
    "volumes = ['${v}', '${v}:/x', '/x:${v}', '/x:/y:${v}', './${v}:/z']",
    "volumes = [{ type = '${v}', source = '${v}', target = '${v}' }]",
    "volumes = [{ type = 'volume', source = '${v}', target = '${v}' }, { type = 'bind', source = '${v}', target = '/y' }]",
    "volumes = [{ type = 'tmpfs', target = '/${v}', tmpfs = { size = '${v}' } }, { type = 'tmpfs', target = '/${v}' }]",
    "tmpfs = ['${v}', '/run:${v}', '/tmp:size=${v}']",
    "isolation = '${v}'",
    "cap_add = ['${v}']",
    "dns = '${v}'",
    "extra_hosts = ['${v}', 'a:${v}']",
    "extra_hosts = { a = '${v}' }",
    "sysctls = ['${v}']",
    "ulimits = { nofile = '${v}' }",
    "stop_grace_period = '${v}'",
    "init = '${v}'",
    "credential_spec = { config = '${v}' }",
    "deploy = { replicas = '${v}', mode = '${v}', endpoint_mode = '${v}' }",
    "deploy.update_config = { parallelism = '${v}', order = '${v}', delay = '${v}', max_failure_ratio = '${v}' }",
    "deploy.restart_policy = { condition = '${v}', delay = '${v}', window = '${v}' }",
    "deploy.placement = { constraints = ['${v}', 'node.role == ${v}'], max_replicas_per_node = '${v}' }",
    "deploy.resources.limits = { cpus = '${v}', memory = '${v}', pids = '${v}' }",
    "[networks.n]\nname = '${v}'\nipam.config = [{ subnet = '${v}' }]",
    "[networks.n]\nexternal = '${v}'",
    "[volumes.n]\nname = '${v}'",
    "[secrets.n]\nexternal = true\nname = '${v}'",
    "[secrets.n]\nenvironment = '${v}'",
    "[secrets.n]\nfile = '${v}'",
    "[configs.n]\nfile = '../${v}'",
];

#[test]
fn what_variables_hold_is_in_no_message() {
    let mut faulty = 0;
    for value in VALUES {
        for place in PLACES {
            let image = if place.starts_with("image") { "" } else { "image = 'app'\n" };
            let text = format!(
                "[vars]\nv = '{value}'\n[secrets.s]\nexternal = true\n[services.web]\n{image}{place}\n"
            );
            // Nothing is there, so that files and variables are told of too.
            let loaded = load_with(&files(&[("acme.toml", &text)]), &super::secrets::Given(&[]));
            for line in lines(&loaded.diagnostics) {
                assert!(!line.contains("unter2"), "{place}: {line}");
            }
            faulty += usize::from(!loaded.diagnostics.is_empty());
        }
    }
    assert!(faulty > VALUES.len() * PLACES.len() / 2, "{faulty}: hardly anything was wrong");
}

/// Rules that let nothing pass that a variable may hold.
const RULES: &str = "\
allowed_images = ['registry.example.com/saas/*']

[forbid]
docker_socket = true
host_binds = true
host_ports = true
privileged_ports = true
cap_add = true

[limits]
replicas = 5

[contents]
environment = ['${CUSTOMER}_*']
files = ['${customer}']
";

/// Places that break a rule with what the variable holds, the value, and the variable as the message has it.
const BREACHES: &[(&str, &str, &str)] = &[
    ("image = '${v}/app'", "hunter2", "`${v}/app` is not among `allowed_images`"),
    ("volumes = ['/${v}:/x']", "hunter2", "`/${v}:/x` is a path of the node"),
    ("volumes = [{ type = 'bind', source = '/${v}', target = '/x' }]", "hunter2", "`/${v}` is a path"),
    ("volumes = ['/${v}/docker.sock:/x']", "hunter2", "`/${v}/docker.sock:/x` gives the service"),
    ("cap_add = ['${v}']", "HUNTER2", "the capability `${v}`"),
    ("ports = ['${v}:80']", "977", "port ${v}:80 is below 1024"),
    ("ports = [{ target = '${v}', mode = 'host' }]", "9771", "port ${v} is published by the node"),
    ("deploy.replicas = '${v}'", "9771", "${v} replicas"),
    ("env_file = ['${v}/x']", "hunter2", "`${v}/x` is in none of the folders"),
    ("[secrets.n]\nenvironment = '${v}'", "hunter2", "the variable `${v}` is not among"),
    ("[secrets.n]\nenvironment = '${v}'", "CI_HUNTER2", "`${v}` is among the settings"),
    ("[secrets.n]\nfile = '${v}'", "hunter2", "`${v}` is in none of the folders"),
    ("[secrets.n]\nexternal = true\nname = '${v}'", "globex_hunter2", "`${v}` belongs to customer globex"),
    ("[volumes.n]\nname = '${v}'", "globex_hunter2", "`acme = [\"${v}\"]`"),
    ("[volumes.n]\nname = '${v}'", "hunter2", "customer globex names the volume `${v}`, too"),
    (
        "[volumes.n]\ndriver_opts = { type = 'none', o = 'bind', device = '/${v}' }",
        "hunter2",
        "`/${v}` is a path",
    ),
    (
        "[volumes.n]\ndriver_opts = { type = 'overlay', o = 'lowerdir=/${v}' }",
        "hunter2",
        "`lowerdir=/${v}` is",
    ),
    ("[volumes.n]\ndriver = 'x'\ndriver_opts = { size = '1', at = '/${v}' }", "hunter2", "`/${v}` is a path"),
    ("networks = { default = { aliases = ['${v}'] } }", "globex_hunter2", "the alias `${v}`"),
];

#[test]
fn what_the_fleet_forbids_is_told_without_what_variables_hold() {
    let given = super::secrets::Given(&[
        ("hunter2", "x"),
        ("hunter2/x", "A=1"),
        ("$hunter2", "x"),
        ("$CI_HUNTER2", "x"),
    ]);
    for (place, value, expected) in BREACHES {
        let image = if place.starts_with("image") { "" } else { "image = 'registry.example.com/saas/app'\n" };
        // A volume that no service mounts shows nothing.
        let mount = if place.starts_with("[volumes") { "volumes = ['n:/n']\n" } else { "" };
        let text = format!("[vars]\nv = '{value}'\n[services.web]\n{image}{mount}{place}\n");
        let globex =
            "[services.web]\nimage = 'registry.example.com/saas/app'\n[volumes.n]\nname = 'hunter2'\n";
        let specs = [("fleet.toml", RULES), ("acme.toml", text.as_str()), ("globex.toml", globex)];
        let told = lines(&load_with(&files(&specs), &given).diagnostics);
        let acme: Vec<_> = told.iter().filter(|line| line.starts_with("acme.toml")).collect();
        assert!(acme.iter().any(|line| line.contains(expected)), "{place}: {told:?}");
        assert!(!acme.iter().any(|line| line.contains(value)), "{place}: {told:?}");
    }
}

#[test]
fn what_stands_beside_a_variable_is_shown() {
    let image = "image = 'registry.example.com/saas/app'";
    let text = format!("[vars]\nv = '8080'\n[services.web]\n{image}\nports = ['${{v}}:80', '81:81', 82]\n");
    let told = lines(&load(&files(&[("fleet.toml", RULES), ("acme.toml", &text)])).diagnostics);
    assert!(told.len() == 1 && told[0].contains(": port 81 is below 1024"), "{told:?}");
}

#[test]
fn the_variable_is_named_and_what_was_expected() {
    let said = |line: &str| {
        let text = format!("[vars]\nv = 'hunter2'\n[services.web]\nimage = 'app'\n{line}\n");
        lines(&load(&files(&[("acme.toml", &text)])).diagnostics)
    };
    assert_eq!(
        said("dns = '${v}'"),
        ["acme.toml:5:7: services.web.dns: `${v}` is not an IP address; e.g. \"10.0.0.53\""]
    );
    assert_eq!(
        said("ports = ['8080:${v}']"),
        [
            "acme.toml:5:10: services.web.ports[0]: `8080:${v}` is not a port; write e.g. \"8080:80\", \"53:53/udp\", \"8000-8010:80-90\" or 80"
        ]
    );
    // The customer's name is no secret.
    let text = "[services.web]\nimage = 'app'\ndns = '${customer}'\n";
    let said = lines(&load(&files(&[("acme.toml", text)])).diagnostics);
    assert!(said[0].contains("`acme` is not an IP address"), "{said:?}");
}
